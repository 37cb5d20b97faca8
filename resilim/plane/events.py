"""Who handles which kind of event. A new kind is one line here and one in `kinds`."""

from __future__ import annotations

from resilim.plane import host, kinds, outcome, source
from resilim.plane.machine import State, plane


@plane
def dispatch(S: State, now: int, kind: int, who: int) -> None:
    """Handle one event of the data plane."""
    if kind == kinds.REACH:
        host.on_reach(S, now, who)
    elif kind == kinds.WORKED:
        host.on_worked(S, now, who)
    elif kind == kinds.REPLY:
        outcome.on_reply(S, now, who)
    elif kind == kinds.ARRIVAL:
        source.on_arrival(S, now, who)
    elif kind == kinds.TIMER:
        outcome.on_timer(S, now, who)
    elif kind == kinds.CONNECTED:
        outcome.on_connected(S, now, who)
    elif kind == kinds.RETRY:
        outcome.on_retry(S, now, who)
    elif kind == kinds.SERVE:
        outcome.serve(S, now, who)
    else:
        host.run(S, now, who)
