"""How attempts and calls end: an answer, a timeout, a refusal; a retry or the end.

* Order at an answer: detector, stream, waiting requests, then the call itself.
* Every attempt ends once. One that is abandoned (timeout, client gone) keeps its record until the host is
  done with it; its late answer is dropped.
* Every call ends once; its failure keeps the flags and the service of its origin on the way up.
* The client's own calls end in a row of the outcome table: nothing is lost.
"""

from __future__ import annotations

from resilim.plane import pool, retry, timers
from resilim.plane.flags import DC, NO_FLAG, UO, UT
from resilim.plane.host import fail, run, waste
from resilim.plane.kinds import RETRY, SERVE
from resilim.plane.lists import give_back
from resilim.plane.machine import ATTEMPTS, CALLS, State, plane, push, see_to_rows
from resilim.plane.outlier import report
from resilim.plane.proxy import begin_attempt, send
from resilim.plane.records import NONE, Attempt, Call, Cluster
from resilim.plane.telemetry import call_ended


@plane
def on_reply(S: State, now: int, index: int) -> None:
    """An answer is back at the caller."""
    attempt = S.attempt[index]
    call_index = attempt.call
    code = attempt.code
    if call_index < 0:
        waste(S, S.host[attempt.host], attempt, index, now - attempt.way_back)
        return
    call = S.call[call_index]
    cluster = S.cluster[call.cluster]
    report(S, call.cluster, attempt.member, code, now)
    end_stream(S, cluster, attempt, index, False, now)
    if code < 400 and call.retrying == 0 and S.route[cluster.route].codes == 0:
        give_back(S.supply[ATTEMPTS], S.attempt, index)
        end_call(S, call_index, call, cluster, code, NO_FLAG, NONE, now)
        return
    flags = attempt.flags
    origin = attempt.origin
    give_back(S.supply[ATTEMPTS], S.attempt, index)
    settle(S, call_index, code, flags, origin, False, now)


@plane
def settle(S: State, call_index: int, code: int, flags: int, origin: int, reset: bool, now: int) -> None:
    """An attempt of a call has failed, or was a retry: repeat it, or end the call."""
    call = S.call[call_index]
    cluster = S.cluster[call.cluster]
    call.attempt = NONE
    verdict = retry.decide(S, call, cluster, code, reset)
    if verdict == retry.RETRY_NOW:
        call.backing_off = 1
        push(S, now + retry.backoff(S.route[cluster.route], call), RETRY, call_index)
    else:
        end_call(S, call_index, call, cluster, code, flags | verdict, origin, now)


@plane
def on_retry(S: State, now: int, call_index: int) -> None:
    """The back-off is over."""
    call = S.call[call_index]
    call.backing_off = 0
    if call.ended:
        call.ended = 0
        give_back(S.supply[CALLS], S.call, call_index)
        return
    cluster = S.cluster[call.cluster]
    failure = begin_attempt(S, call_index, call, cluster, now)
    if failure != NO_FLAG:
        end_call(S, call_index, call, cluster, 503, failure, cluster.service, now)


@plane
def end_call(
    S: State, call_index: int, call: Call, cluster: Cluster, code: int, flags: int, origin: int, now: int
) -> None:
    """A call has its outcome: tell whoever waits for it."""
    if call.timer >= 0:
        timers.stop(S.timer_queue[call.timer], S.call, call_index)
        call.timer = NONE
    if call.retrying:
        retry.release_place(call, cluster)
    failed = code >= 400 or code == 0
    call_ended(S, cluster, now - call.started, failed)
    parent = call.parent
    if parent < 0:
        record_outcome(S, call.first_step, call.started, now, code, flags, origin, call.attempts)
    elif failed and call.optional == 0:
        fail(S.attempt[parent], 500, flags, origin)
    if call.backing_off:
        call.ended = 1
    else:
        give_back(S.supply[CALLS], S.call, call_index)
    if parent >= 0:
        waiting = S.attempt[parent]
        waiting.awaiting -= 1
        if waiting.awaiting == 0:
            run(S, now, parent)


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


@plane
def on_timer(S: State, now: int, queue_index: int) -> None:
    """The oldest timer of a queue may be due."""
    if S.timer_queue[queue_index].kind == timers.ROUTE_TIMEOUT:
        index = timers.take_due(S, queue_index, S.call, now)
        if index >= 0:
            route_timeout(S, index, now)
    else:
        index = timers.take_due(S, queue_index, S.attempt, now)
        if index >= 0:
            per_try_timeout(S, index, now)


@plane
def route_timeout(S: State, call_index: int, now: int) -> None:
    """The route timeout of a call, or the client's patience, is over."""
    call = S.call[call_index]
    call.timer = NONE
    cluster = S.cluster[call.cluster]
    flag = S.route[cluster.route].timeout_flag
    if call.attempt >= 0:
        attempt = S.attempt[call.attempt]
        if attempt.connection < 0:
            pool.leave(S, cluster, call.attempt)
            cluster.rq_cancelled += 1
            give_back(S.supply[ATTEMPTS], S.attempt, call.attempt)
        else:
            if flag == UT:
                cluster.rq_timeout += 1
                report(S, call.cluster, attempt.member, 504, now)
            abandon(S, cluster, call.attempt, now)
    code = 0 if flag == DC else 504
    end_call(S, call_index, call, cluster, code, flag, cluster.service, now)


@plane
def per_try_timeout(S: State, index: int, now: int) -> None:
    """The per-try timeout of an attempt is over: a local reset."""
    attempt = S.attempt[index]
    attempt.timed = 0
    call_index = attempt.call
    call = S.call[call_index]
    cluster = S.cluster[call.cluster]
    cluster.rq_per_try_timeout += 1
    report(S, call.cluster, attempt.member, 504, now)
    abandon(S, cluster, index, now)
    settle(S, call_index, 504, UT, cluster.service, True, now)


@plane
def abandon(S: State, cluster: Cluster, index: int, now: int) -> None:
    """Reset the stream of an attempt that its host may go on to serve."""
    attempt = S.attempt[index]
    end_stream(S, cluster, attempt, index, True, now)
    attempt.call = NONE


@plane
def end_stream(S: State, cluster: Cluster, attempt: Attempt, index: int, reset: bool, now: int) -> None:
    """Free the stream of an attempt and let a waiting request have it."""
    if attempt.timed:
        attempt.timed = 0
        queue = S.timer_queue[S.route[cluster.route].per_try_queue]
        timers.stop(queue, S.attempt, index)
    pool.release(S, cluster, attempt, reset)
    if S.pool[attempt.member].head >= 0:
        serve(S, now, attempt.member)


@plane
def on_connected(S: State, now: int, connection_index: int) -> None:
    """A connection is set up."""
    serve(S, now, pool.connected(S, connection_index))


@plane
def serve(S: State, now: int, pool_index: int) -> None:
    """Let the first waiting request of a pool have a ready connection; a further one gets its own event."""
    waiting = S.pool[pool_index]
    cluster = S.cluster[waiting.cluster]
    if waiting.head >= 0 and waiting.ready >= 0:
        index = waiting.head
        attempt = S.attempt[index]
        pool.leave(S, cluster, index)
        if pool.bind(S, cluster, waiting, attempt) == pool.BOUND:
            send(S, cluster, attempt, index, now)
        else:
            refuse(S, cluster, index, now)
    if waiting.head >= 0:
        if waiting.ready >= 0:
            push(S, now, SERVE, pool_index)
        else:
            pool.open_connections(S, cluster, pool_index, now)


@plane
def refuse(S: State, cluster: Cluster, index: int, now: int) -> None:
    """A request that waited meets the request limit: it fails after all."""
    call_index = S.attempt[index].call
    give_back(S.supply[ATTEMPTS], S.attempt, index)
    call = S.call[call_index]
    call.attempt = NONE
    end_call(S, call_index, call, cluster, 503, UO, cluster.service, now)
