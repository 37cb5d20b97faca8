"""How a call ends: once, and whoever waits for it is told.

* A failure keeps the flags and the service of its origin on the way up.
* The client's own calls end in a row of the outcome table: nothing is lost. A copy is only counted.
"""

from __future__ import annotations

from resilim.plane import filters, retry, timers
from resilim.plane.host import fail, run
from resilim.plane.lists import give_back
from resilim.plane.machine import CALLS, State, plane, see_to_rows
from resilim.plane.proxy import clean
from resilim.plane.records import NONE, Call, Cluster
from resilim.plane.telemetry import call_ended, charge, count_failure
from resilim.plane.user import think


@plane
def end_call(
    S: State, call_index: int, call: Call, cluster: Cluster, code: int, flags: int, origin: int, now: int
) -> None:
    """A call has its outcome: tell whoever waits for it."""
    if call.parent == filters.SHADOW:
        end_copy(S, call_index, call, cluster, code)
        return
    if call.timer >= 0:
        timers.stop(S.timer_queue[call.timer], S.call, call_index)
        call.timer = NONE
    if call.retrying:
        retry.release_place(call, cluster)
    if call.soiled:
        flags = flags | call.flags
        clean(S, call, cluster)
    is_failure = code >= 400 or code == 0
    if is_failure:
        charge(cluster, code, flags, origin)
    call_ended(S, cluster, now - call.started, is_failure)
    parent = call.parent
    if parent == filters.CLIENT:
        tell_client(S, call, code, flags, origin, now)
    elif is_failure and call.optional == 0:
        fail(S.attempt[parent], 500, flags, origin)
    if call.scheduled:
        call.ended = 1
    else:
        give_back(S.supply[CALLS], S.call, call_index)
    if parent >= 0:
        resume(S, parent, now)


@plane
def tell_client(S: State, call: Call, code: int, flags: int, origin: int, now: int) -> None:
    """The client's own call has its outcome."""
    record_outcome(S, call.first_step, call.started, now, code, flags, origin, call.attempts)
    if S.source[call.source].user:
        think(S, call.source, call.started, code >= 400 or code == 0, now)


@plane
def resume(S: State, index: int, now: int) -> None:
    """One of the calls that an attempt waits for is over."""
    attempt = S.attempt[index]
    attempt.awaiting -= 1
    if attempt.awaiting == 0:
        run(S, now, index)


@plane
def end_copy(S: State, call_index: int, call: Call, cluster: Cluster, code: int) -> None:
    """A mirrored copy has its outcome, which nobody waits for; it is never retried."""
    if call.timer >= 0:
        timers.stop(S.timer_queue[call.timer], S.call, call_index)
        call.timer = NONE
    if call.soiled:
        clean(S, call, cluster)
    cluster.shadows_ended += 1
    if code >= 400:
        count_failure(cluster, code)
    give_back(S.supply[CALLS], S.call, call_index)


@plane
def record_outcome(
    S: State, first_step: int, arrived: int, now: int, code: int, flags: int, origin: int, attempts: int
) -> None:
    """Record the outcome of a client request."""
    world = S.world[0]
    world.ended += 1
    see_to_rows(S, world.rows)
    row = S.row[world.rows]
    world.rows += 1
    row.arrived = arrived
    row.latency = now - arrived
    row.endpoint = S.step[first_step].endpoint
    row.code = code
    row.flags = flags
    row.origin = origin
    row.attempts = attempts
