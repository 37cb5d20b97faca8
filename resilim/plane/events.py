"""Who handles which kind of event. A new kind is a line in `kinds` and its handler here, in that order."""

from __future__ import annotations

from resilim.plane import host, outcome, source

# By kind; the compiled engine makes a switch of it (`engine.switch`).
HANDLERS = (
    host.on_reach,
    host.run,
    outcome.on_reply,
    source.on_arrival,
    outcome.on_timer,
    outcome.on_connected,
    outcome.on_retry,
    outcome.serve,
)
