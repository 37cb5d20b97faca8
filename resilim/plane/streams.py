"""Streams: attempts get connections and give them back.

* A stream that becomes free goes to the request that has waited longest, at once. What is left is seen
  to once, at the end of the instant: further streams, and whether connections have to be opened. (Envoy hands
  all of them over in the next turn of its event loop, so there a request that comes then may be first.)
* An attempt that is given up (timeout, client gone, another one won) leaves the pending queue, or has its
  stream reset. Its host does not notice: the record is kept until the host is done with it, and the late
  answer is dropped.
"""

from __future__ import annotations

from resilim.plane import pool, retry, timers
from resilim.plane.calls import end_call
from resilim.plane.flags import UO
from resilim.plane.host import LOST
from resilim.plane.kinds import SERVE
from resilim.plane.lists import give_back
from resilim.plane.machine import ATTEMPTS, State, plane, push
from resilim.plane.proxy import send
from resilim.plane.records import NONE, Attempt, Call, Cluster


@plane
def serve(S: State, now: int, pool_index: int) -> None:
    """A connection may be free: let the first waiting request have it, and see to the rest later."""
    serve_first(S, now, pool_index)
    waiting = S.pool[pool_index]
    if waiting.head >= 0 and waiting.serving == 0:
        waiting.serving = 1
        push(S, now, SERVE, pool_index)


@plane
def on_serve(S: State, now: int, pool_index: int) -> None:
    """Everything else of an instant has happened: does a request still wait in the pool?"""
    waiting = S.pool[pool_index]
    waiting.serving = 0
    if waiting.ready >= 0:
        serve(S, now, pool_index)
    elif waiting.head >= 0:
        pool.open_connections(S, S.cluster[waiting.cluster], pool_index, now)


@plane
def serve_first(S: State, now: int, pool_index: int) -> None:
    """Let the first waiting request of a pool have a ready connection."""
    waiting = S.pool[pool_index]
    if waiting.head < 0 or waiting.ready < 0:
        return
    cluster = S.cluster[waiting.cluster]
    index = waiting.head
    attempt = S.attempt[index]
    pool.leave(S, cluster, index)
    if pool.bind(S, cluster, waiting, attempt) == pool.BOUND:
        send(S, cluster, S.route[S.call[attempt.call].route], attempt, index, now)
    else:
        refuse(S, cluster, index, now)


@plane
def refuse(S: State, cluster: Cluster, index: int, now: int) -> None:
    """A request that waited meets the request limit: it fails after all."""
    call_index = S.attempt[index].call
    call = S.call[call_index]
    forget(S, call, index)
    give_back(S.supply[ATTEMPTS], S.attempt, index)
    retry.decide(S, call, cluster, S.route[call.route], False)
    if call.attempt < 0 and call.scheduled == 0:
        end_call(S, call_index, call, cluster, 503, UO, cluster.service, now)


@plane
def end_stream(S: State, cluster: Cluster, attempt: Attempt, index: int, now: int) -> None:
    """Free the stream of an attempt that has its answer, and let a waiting request have it."""
    if attempt.timed:
        stop_timer(S, S.call[attempt.call], attempt, index)
    waiting = S.pool[attempt.pool]
    pool.release(S, cluster, waiting, attempt, now)
    if waiting.head >= 0:
        serve(S, now, attempt.pool)


@plane
def stop_timer(S: State, call: Call, attempt: Attempt, index: int) -> None:
    """Stop the per-try timer of an attempt, if it is running."""
    if attempt.timed:
        attempt.timed = 0
        timers.stop(S.timer_queue[S.route[call.route].per_try_queue], S.attempt, index)


@plane
def give_up(S: State, cluster: Cluster, index: int, now: int) -> None:
    """Let go of an attempt: leave the pending queue, or reset its stream, though its host may work on."""
    attempt = S.attempt[index]
    attempt.hedged = 0
    if attempt.connection == pool.ASIDE:
        cluster.rq_cancelled += 1
        attempt.call = NONE
        return
    if attempt.connection < 0:
        pool.leave(S, cluster, index)
        cluster.rq_cancelled += 1
        give_back(S.supply[ATTEMPTS], S.attempt, index)
        return
    stop_timer(S, S.call[attempt.call], attempt, index)
    pool.reset(S, cluster, S.pool[attempt.pool], attempt, now)
    attempt.call = NONE
    if S.pool[attempt.pool].head >= 0:
        serve(S, now, attempt.pool)
    if attempt.step == LOST:
        give_back(S.supply[ATTEMPTS], S.attempt, index)


@plane
def forget(S: State, call: Call, index: int) -> None:
    """Take an attempt off the list of those that are in flight for a call."""
    older = S.attempt[index].older
    if call.attempt == index:
        call.attempt = older
        return
    younger = call.attempt
    while S.attempt[younger].older != index:
        younger = S.attempt[younger].older
    S.attempt[younger].older = older


@plane
def reset_others(S: State, call: Call, cluster: Cluster, now: int) -> None:
    """Reset every attempt of a call that is still in flight."""
    while call.attempt >= 0:
        index = call.attempt
        call.attempt = S.attempt[index].older
        give_up(S, cluster, index, now)
