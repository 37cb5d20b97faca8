"""Who handles which kind of event. A new kind is a line in `kinds` and its handler here, in that order."""

from __future__ import annotations

from resilim.plane import checks, connections, crash, host, outcome, source, streams, timeouts, updates

# By kind; the compiled engine makes a switch of it (`engine.switch`).
HANDLERS = (
    host.on_reach,
    host.run,
    outcome.on_reply,
    source.on_arrival,
    timeouts.on_timer,
    connections.on_connected,
    outcome.on_call_again,
    streams.on_serve,
    connections.fail_waiting,
    connections.on_age,
    connections.on_idle,
    timeouts.on_stream_end,
    updates.on_update,
    crash.on_crash,
    connections.cut,
    host.on_repeat,
    checks.on_check,
    checks.on_checked,
)
