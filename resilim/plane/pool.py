"""Connection pools: one for each caller's proxy and upstream host (Envoy 1.40, conn_pool_base.cc).

* The host is picked before its pool is asked; a waiting request is never moved to another host.
* A request takes the connection that became ready last. Without a ready one it must wait in the
  pending queue, also while a connection is being set up for it: HTTP/2 included.
* `max_pending_requests`, `max_requests` and `max_connections` are limits of the whole cluster, over
  all its hosts. Admission asks `count < limit`; a refusal is a 503 with flag UO, at once.
* `max_requests` is asked when a request meets its connection, HTTP/1.1 too; so a request may wait first
  and be refused then, and the connection stays free.
* A pool opens connections while more requests wait than connecting streams will be there for, at most
  three at a time, and only below `max_connections`; but a pool without any connection may always open one.
* Resetting a stream (a timeout) closes an HTTP/1.1 connection; HTTP/2 keeps it.
* After its last permitted request a connection drains: it keeps its place in `max_connections` until its
  last stream ends.
* The connection is held from the moment it is bound until the answer has passed both sidecars.
"""

from __future__ import annotations

from resilim.plane.kinds import CONNECTED
from resilim.plane.lists import (
    give_back,
    join_pool_queue,
    leave_pool_queue,
    stack_ready,
    take,
    unstack_ready,
)
from resilim.plane.luck import CONNECT, HANDSHAKE, duration
from resilim.plane.machine import CONNECTIONS, State, plane, push, scramble
from resilim.plane.records import NONE, UNLIMITED, Attempt, Cluster, Connection, Pool

# States of a connection.
CONNECTING = 0
OPEN = 1
DRAINING = 2

# What becomes of a request that asks for a connection.
BOUND = 0
WAITS = 1
REFUSED = 2

_MOST_OPENED_AT_ONCE = 3


@plane
def request(S: State, cluster: Cluster, attempt: Attempt, attempt_index: int, now: int) -> int:
    """Ask the pool of the attempt's member for a connection: BOUND, WAITS or REFUSED."""
    pool = S.pool[attempt.member]
    if pool.ready >= 0:
        return bind(S, cluster, pool, attempt)
    if cluster.rq_pending >= cluster.max_pending:
        cluster.rq_pending_overflow += 1
        return REFUSED
    attempt.connection = NONE
    join_pool_queue(pool, S.attempt, attempt_index)
    cluster.rq_pending += 1
    cluster.rq_pending_total += 1
    open_connections(S, cluster, attempt.member, now)
    return WAITS


@plane
def bind(S: State, cluster: Cluster, pool: Pool, attempt: Attempt) -> int:
    """Give a stream of the pool's ready connection to an attempt: BOUND or REFUSED."""
    if cluster.rq_active >= cluster.max_requests:
        cluster.rq_active_overflow += 1
        return REFUSED
    connection_index = pool.ready
    connection = S.connection[connection_index]
    connection.active += 1
    if cluster.requests_per_connection > 0:
        connection.left -= 1
        if connection.left == 0:
            connection.state = DRAINING
    if connection.active == cluster.streams or connection.state == DRAINING:
        unstack_ready(pool, S.connection, connection_index)
    cluster.rq_active += 1
    cluster.rq_total += 1
    S.member[attempt.member].rq_active += 1
    attempt.connection = connection_index
    return BOUND


@plane
def release(S: State, cluster: Cluster, attempt: Attempt, reset: bool) -> None:
    """End the stream of a bound attempt; `reset`: by the caller's proxy, before the answer came."""
    connection = S.connection[attempt.connection]
    connection.active -= 1
    cluster.rq_active -= 1
    S.member[attempt.member].rq_active -= 1
    if reset and cluster.streams == 1:
        close(S, cluster, attempt.connection)
    elif connection.state == DRAINING:
        if connection.active == 0:
            close(S, cluster, attempt.connection)
    elif connection.is_ready == 0:
        stack_ready(S.pool[connection.pool], S.connection, attempt.connection)


@plane
def leave(S: State, cluster: Cluster, attempt_index: int) -> None:
    """Take a waiting attempt out of the pending queue: it is bound, refused or cancelled."""
    leave_pool_queue(S.pool[S.attempt[attempt_index].member], S.attempt, attempt_index)
    cluster.rq_pending -= 1


@plane
def open_connections(S: State, cluster: Cluster, pool_index: int, now: int) -> None:
    """Open what the waiting requests of a pool need and the limit allows."""
    pool = S.pool[pool_index]
    for _ in range(_MOST_OPENED_AT_ONCE):
        if pool.waiting <= pool.connecting_capacity:
            return
        allowed = cluster.cx_active < cluster.max_connections
        if not allowed:
            cluster.cx_overflow += 1
            if pool.connections > 0:
                return
        connect(S, cluster, pool_index, now)
        if not allowed:
            return


@plane
def connect(S: State, cluster: Cluster, pool_index: int, now: int) -> None:
    """Begin to set up one connection."""
    pool = S.pool[pool_index]
    index = take(S.supply[CONNECTIONS], S.connection)
    connection = S.connection[index]
    connection.pool = pool_index
    connection.state = CONNECTING
    connection.active = 0
    connection.is_ready = 0
    connection.left = UNLIMITED
    if cluster.requests_per_connection > 0:
        connection.left = cluster.requests_per_connection
    pool.connections += 1
    pool.connecting_capacity += capacity(cluster, connection)
    cluster.cx_active += 1
    cluster.cx_total += 1
    key = scramble(cluster.key, cluster.cx_total)
    delay = duration(S.law[cluster.connect], scramble(key, CONNECT))
    if cluster.handshake >= 0:
        delay += duration(S.law[cluster.handshake], scramble(key, HANDSHAKE))
    push(S, now + delay, CONNECTED, index)


@plane
def connected(S: State, index: int) -> int:
    """A connection is set up and ready; returns the index of its pool."""
    connection = S.connection[index]
    pool = S.pool[connection.pool]
    pool.connecting_capacity -= capacity(S.cluster[pool.cluster], connection)
    connection.state = OPEN
    stack_ready(pool, S.connection, index)
    return connection.pool


@plane
def close(S: State, cluster: Cluster, index: int) -> None:
    """Close a connection that has no stream any more."""
    connection = S.connection[index]
    pool = S.pool[connection.pool]
    if connection.is_ready:
        unstack_ready(pool, S.connection, index)
    pool.connections -= 1
    cluster.cx_active -= 1
    give_back(S.supply[CONNECTIONS], S.connection, index)


@plane
def capacity(cluster: Cluster, connection: Connection) -> int:
    """Streams that a connection can take at once from now on."""
    return min(connection.left, cluster.streams - connection.active)
