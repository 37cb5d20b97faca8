"""What happens to connections by themselves: set-up ends, age, idleness, loss.

* A failed set-up fails every request that waits in the pool, newest first, each in an event of its own.
* All streams of a connection that the upstream closes are reset, a few at a time.
"""

from __future__ import annotations

from resilim.plane import outlier, pool
from resilim.plane.gate import REFUSING
from resilim.plane.host import LOST
from resilim.plane.kinds import CUT, FAIL_WAITING
from resilim.plane.lists import give_back
from resilim.plane.machine import ATTEMPTS, State, plane, push
from resilim.plane.outcome import failed, upstream_reset
from resilim.plane.resets import CONNECT_FAILURE, TERMINATION, flag_of
from resilim.plane.streams import forget, serve

# Attempts that are looked at in one event when many streams are reset at once.
LOOKED_AT_ONCE = 8


@plane
def on_connected(S: State, now: int, connection_index: int) -> None:
    """The set-up of a connection ends."""
    connection = S.connection[connection_index]
    if connection.state != pool.CONNECTING or connection.since != now:
        return
    waiting = S.pool[connection.pool]
    if connection.knocks:
        pool.knock(S, S.cluster[waiting.cluster], connection, connection_index, now)
        return
    if connection.fails == 0 and S.host[S.member[waiting.member].host].link == REFUSING:
        connection.fails = CONNECT_FAILURE
    if connection.fails == 0:
        pool.connected(S, S.cluster[waiting.cluster], connection_index, now)
        serve(S, now, connection.pool)
        return
    by = pool.REMOTE if connection.fails == CONNECT_FAILURE else pool.LOCAL
    connect_failed(S, connection_index, connection.fails, by, now)


@plane
def connect_failed(S: State, connection_index: int, reset: int, by: int, now: int) -> None:
    """The set-up of a connection fails: tell who waits, or see whether another one is wanted."""
    pool_index = S.connection[connection_index].pool
    waiting = S.pool[pool_index]
    cluster = S.cluster[waiting.cluster]
    pool.connect_failed(S, cluster, connection_index, reset, by)
    if waiting.failed >= 0:
        push(S, now, FAIL_WAITING, pool_index)
    else:
        pool.open_connections(S, cluster, pool_index, now)


@plane
def fail_waiting(S: State, now: int, pool_index: int) -> None:
    """Tell the next request of a pool that its connection could not be made."""
    waiting = S.pool[pool_index]
    cluster = S.cluster[waiting.cluster]
    index = waiting.failed
    if index >= 0:
        attempt = S.attempt[index]
        waiting.failed = attempt.prev
        cluster.rq_pending -= 1
        call_index = attempt.call
        give_back(S.supply[ATTEMPTS], S.attempt, index)
        if call_index >= 0:
            cluster.rq_pending_failure_eject += 1
            call = S.call[call_index]
            forget(S, call, index)
            if cluster.watched:
                outlier.report(S, call.cluster, attempt.member, outlier.CONNECT_FAILURE, 0, now)
            failed(S, call_index, call, attempt.member, waiting.failure, flag_of(waiting.failure), 0, now)
    if waiting.failed >= 0:
        push(S, now, FAIL_WAITING, pool_index)
    else:
        pool.open_connections(S, cluster, pool_index, now)


@plane
def cut(S: State, now: int, connection_index: int) -> None:
    """Reset the other streams of a connection that the upstream closed: a few, then more in an event more."""
    connection = S.connection[connection_index]
    if connection.state != pool.DRAINING or connection.fails == 0:
        return
    for _ in range(LOOKED_AT_ONCE):
        if connection.cursor >= S.supply[ATTEMPTS].used:
            return
        index = connection.cursor
        connection.cursor += 1
        attempt = S.attempt[index]
        if attempt.connection == connection_index:
            lose_attempt(S, index, now)
            if connection.state != pool.DRAINING:
                return
    push(S, now, CUT, connection_index)


@plane
def lose_attempt(S: State, index: int, now: int) -> None:
    """Reset a bound attempt whose connection is gone; its host may still be at work on it."""
    attempt = S.attempt[index]
    is_lost = attempt.step == LOST
    upstream_reset(S, index, TERMINATION, now)
    if is_lost:
        give_back(S.supply[ATTEMPTS], S.attempt, index)


@plane
def on_age(S: State, now: int, index: int) -> None:
    """A connection may have reached its maximum duration."""
    connection = S.connection[index]
    cluster = S.cluster[S.pool[connection.pool].cluster]
    if connection.state == pool.OPEN and connection.since + cluster.max_connection_duration == now:
        pool.aged(S, cluster, index)


@plane
def on_idle(S: State, now: int, index: int) -> None:
    """The idle timeout of a connection may be over."""
    connection = S.connection[index]
    if connection.state != pool.OPEN or connection.idle_due != now:
        return
    cluster = S.cluster[S.pool[connection.pool].cluster]
    if pool.is_idle_for_long(S, cluster, connection, index, now):
        cluster.cx_idle_timeout += 1
        pool.close(S, cluster, index, pool.LOCAL)
