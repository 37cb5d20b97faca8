"""The compiled entry points: they take the address of the state's block."""

from __future__ import annotations

from numba import float64, int64

from resilim.engine.heap import pop
from resilim.engine.state import state_at
from resilim.plane import changes, crash, outlier, source, start, telemetry
from resilim.plane.events import HANDLERS
from resilim.plane.machine import CHUNK, ROOM

# What `advance` returns.
DONE = 0
NEEDS_ROOM = 1
SIGNALLED = 2


def handle(S, now, kind, who):  # type: ignore[no-untyped-def]
    """Handle one event. `compiled` binds this name to a switch over the compiled handlers."""
    HANDLERS[kind](S, now, who)


def advance(address, until):  # type: ignore[no-untyped-def]
    """Handle the events before `until`; stop early for room, or after a state change that is awaited."""
    S = state_at(address)
    clock = S.clock[0]
    world = S.world[0]
    while clock.events > 0 and S.heap[0].at < until:
        if is_short_of_room(S):
            return NEEDS_ROOM
        now, kind, who = pop(S)
        handle(S, now, kind, who)
        if world.signalled:
            clock.now = now
            return SIGNALLED
    return DONE


def is_short_of_room(S):  # type: ignore[no-untyped-def]
    """Whether the next event might not find room in some table."""
    return (
        S.clock[0].events + ROOM > len(S.heap)
        or S.supply[0].used + ROOM > len(S.call)
        or S.supply[1].used + ROOM > len(S.attempt)
        or S.supply[2].used + ROOM > len(S.connection)
        or S.supply[3].used + ROOM > len(S.tried)
        or S.world[0].changes + ROOM > len(S.change)
        or S.world[0].rows >= CHUNK
    )


def begin(address):  # type: ignore[no-untyped-def]
    """Entry of `start.begin`."""
    start.begin(state_at(address))


def sweep(address, cluster, now):  # type: ignore[no-untyped-def]
    """Entry of `outlier.sweep`."""
    outlier.sweep(state_at(address), cluster, now)


def set_rate(address, index, rate, now):  # type: ignore[no-untyped-def]
    """Entry of `source.set_rate`."""
    source.set_rate(state_at(address), index, rate, now)


def set_link(address, host, link, now):  # type: ignore[no-untyped-def]
    """Entry of `crash.set_link`."""
    crash.set_link(state_at(address), host, link, now)


def note_change(address, now, kind, who, why):  # type: ignore[no-untyped-def]
    """Entry of `changes.note_change`."""
    changes.note_change(state_at(address), now, kind, who, why)


def take_sample(address):  # type: ignore[no-untyped-def]
    """Entry of `telemetry.take_sample`."""
    telemetry.take_sample(state_at(address))


# What Python calls, with the types of the arguments.
ENTRIES = {
    advance: (int64, int64),
    begin: (int64,),
    sweep: (int64, int64, int64),
    set_rate: (int64, int64, float64, int64),
    set_link: (int64, int64, int64, int64),
    note_change: (int64, int64, int64, int64, int64),
    take_sample: (int64,),
}
HELPERS = (is_short_of_room,)
