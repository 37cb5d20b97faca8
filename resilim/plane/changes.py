"""State changes that people ask about, recorded as `(at, kind, who)`.

A control-plane process can wait for them: the change is handed over in the same instant,
before any later event of the data plane.
"""

from __future__ import annotations

from resilim.plane.machine import State, announce, make_room, plane


@plane
def note_change(S: State, now: int, kind: int, who: int, why: int) -> None:
    """Record one state change, and tell whoever waits for it."""
    log_change(S, now, kind, who, why)
    world = S.world[0]
    if world.listening:
        announce(S, S.change[world.changes - 1])


@plane
def log_change(S: State, now: int, kind: int, who: int, why: int) -> None:
    """Record what changes no state, but is asked about: nobody waits for it."""
    world = S.world[0]
    make_room(S.change, world.changes)
    change = S.change[world.changes]
    world.changes += 1
    change.at = now
    change.kind = kind
    change.who = who
    change.why = why
