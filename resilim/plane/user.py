"""Users: who sends a request, for consistent hashing; and the one who waits for the answer (closed load).

* A user of a closed load sends the next request when the last one has its outcome, after a pause; after so
  many requests it stops. After an outcome that took no time at all the pause is at least 1 ms, or time would
  stand still.
* The key of consistent hashing is who the client is: the same at every call that serves the client's request,
  as a header that services pass on. Without a known user every request has its own.
"""

from __future__ import annotations

from resilim.plane.filters import CLIENT
from resilim.plane.kinds import ARRIVAL
from resilim.plane.luck import IDENTITY, PEOPLE, THINKING, below, duration
from resilim.plane.machine import State, plane, push, scramble
from resilim.plane.records import Call, Source

_LONGEST_CHAIN = 1000
_PAUSE_AFTER_NOTHING = 1_000_000  # ns


@plane
def think(S: State, source_index: int, asked: int, failed: bool, now: int) -> None:
    """A user who asked at time `asked` has an outcome: plan the next request."""
    source = S.source[source_index]
    if source.quota > 0 and source.serial >= source.quota:
        return
    law = source.think_after_failure if failed else source.think
    pause = duration(S.law[law], scramble(scramble(source.key, source.serial), THINKING))
    if now == asked:
        pause = max(pause, _PAUSE_AFTER_NOTHING)
    source.due = now + pause
    push(S, source.due, ARRIVAL, source_index)


@plane
def hash_key(S: State, call: Call) -> int:
    """What consistent hashing hashes for a call."""
    asking = call
    for _ in range(_LONGEST_CHAIN):
        if asking.parent < 0:
            break
        above = S.attempt[asking.parent].call
        if above < 0:
            break
        asking = S.call[above]
    if asking.parent == CLIENT:
        return person(S.source[asking.source], asking.key)
    return call.key


@plane
def person(source: Source, key: int) -> int:
    """Who sent the client request with luck `key`."""
    if source.user:
        return scramble(source.identity, IDENTITY)
    if source.people > 0:
        return scramble(below(key, PEOPLE, source.people) + 1, IDENTITY)
    return key
