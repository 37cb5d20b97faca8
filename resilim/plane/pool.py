"""Connection pools: one for each worker of a caller's proxy and upstream host (Envoy, conn_pool_base.cc).

* The host is picked before its pool is asked; a waiting request is never moved to another host.
* A request takes the connection that became ready last. Without a ready one it must wait in the
  pending queue, also while a connection is being set up for it: HTTP/2 included.
* `max_pending_requests`, `max_requests`, `max_connections` and `max_connection_pools` are limits of the whole
  cluster, over all its hosts and workers. Admission asks `count < limit`; a refusal is a 503 with flag UO.
* `max_requests` is asked when a request meets its connection, HTTP/1.1 too; so a request may wait first
  and be refused then, and the connection stays free.
* A pool wants a connection while (waiting + active) * preconnect ratio > connecting + spare + active streams,
  spare ones being those that established connections could take at once (counted since 1.33.1); that is
  waiting > connecting with the ratio 1, or when the host is not healthy. It opens at most three at a time,
  and only below the limits of the cluster and of the host; but a pool without any connection may always
  open one.
* Set-up has a timeout, TLS included; a host that does not answer is asked again after 1, 3, 7, ... s. When
  it fails, every request that waits in the pool fails, newest first.
* Resetting a stream (a timeout) closes an HTTP/1.1 connection; HTTP/2 keeps it.
* A connection drains after its last permitted request, at its maximum age, at GOAWAY, and when its host is
  ejected or fails its health check: it takes no more requests and closes when its last stream ends, at once
  if it has none. It keeps its place in `max_connections` until then.
* An idle connection closes after the idle timeout.
* The connection is held from the moment it is bound until the answer has passed both sidecars.
"""

from __future__ import annotations

from resilim.plane.gate import REFUSING, SILENT
from resilim.plane.kinds import AGE, CONNECTED, IDLE
from resilim.plane.lists import (
    give_back,
    join_pool_queue,
    leave_pool_queue,
    list_connecting,
    stack_ready,
    take,
    unlist_connecting,
    unstack_ready,
)
from resilim.plane.luck import CONNECT, HANDSHAKE, duration
from resilim.plane.machine import CONNECTIONS, State, plane, push, scramble
from resilim.plane.records import NONE, UNLIMITED, Attempt, Cluster, Connection, Member, Pool
from resilim.plane.resets import CONNECT_FAILURE, CONNECT_TIMEOUT

# States of a connection.
CONNECTING = 0
OPEN = 1
DRAINING = 2
CLOSED = 3

# What becomes of a request that asks for a connection.
BOUND = 0
WAITS = 1
REFUSED = 2

# In place of a connection: the attempt waited for one that could not be made, and is told so in a moment.
ASIDE = -2

# Who closes a connection.
LOCAL = 0
REMOTE = 1

_MOST_OPENED_AT_ONCE = 3

# Linux asks again after 1, 3, 7, ... s when there is no answer, and gives up after six times; ns.
_TCP_REPEATS_AFTER = 1_000_000_000
_TCP_TIMEOUT = 127 * _TCP_REPEATS_AFTER


# ---------------------------------------------------------------- requests


@plane
def request(S: State, cluster: Cluster, attempt: Attempt, attempt_index: int, now: int) -> int:
    """Ask the attempt's pool for a connection: BOUND, WAITS or REFUSED."""
    pool = S.pool[attempt.pool]
    if pool.ready >= 0:
        fate = bind(S, cluster, pool, attempt)
        if cluster.preconnect > 1.0:
            open_connections(S, cluster, attempt.pool, now)
        return fate
    if pool.exists == 0 and not may_exist(S, cluster, pool, attempt.pool):
        cluster.cx_pool_overflow += 1
        return REFUSED
    if cluster.rq_pending >= cluster.max_pending:
        cluster.rq_pending_overflow += 1
        end_if_idle(cluster, pool)
        return REFUSED
    join_pool_queue(pool, S.attempt, attempt_index)
    cluster.rq_pending += 1
    cluster.rq_pending_total += 1
    open_connections(S, cluster, attempt.pool, now)
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
    pool.active += 1
    if cluster.requests_per_connection > 0:
        connection.left -= 1
        if connection.left == 0:
            cluster.cx_max_requests += 1
            connection.state = DRAINING
    if connection.active == cluster.streams or connection.state == DRAINING:
        unstack_ready(pool, S.connection, connection_index)
    cluster.rq_active += 1
    cluster.rq_total += 1
    S.member[attempt.member].rq_active += 1
    attempt.connection = connection_index
    return BOUND


@plane
def release(S: State, cluster: Cluster, pool: Pool, attempt: Attempt, now: int) -> None:
    """End the stream of a bound attempt that has its answer; its connection may be used again."""
    index = attempt.connection
    connection = S.connection[index]
    unbind(S, cluster, pool, attempt, connection)
    if connection.state == DRAINING:
        if connection.active == 0:
            close(S, cluster, index, LOCAL)
        return
    if connection.is_ready == 0:
        if connection.epoch != pool.epoch:
            drain_connection(S, cluster, index)
            return
        stack_ready(pool, S.connection, index)
    if cluster.idle_timeout > 0 and connection.active == 0:
        watch_idleness(S, cluster, connection, index, now)


@plane
def reset(S: State, cluster: Cluster, pool: Pool, attempt: Attempt, now: int) -> None:
    """End the stream of a bound attempt before its answer came: the caller's proxy gives it up."""
    if cluster.multiplexed:
        cluster.rq_tx_reset += 1
        release(S, cluster, pool, attempt, now)
        return
    index = attempt.connection
    unbind(S, cluster, pool, attempt, S.connection[index])
    note_active_request(cluster, LOCAL)
    close(S, cluster, index, LOCAL)


@plane
def lose(S: State, cluster: Cluster, pool: Pool, attempt: Attempt) -> int:
    """The upstream closes the connection of an attempt: its index if other streams are on it, else NONE."""
    index = attempt.connection
    connection = S.connection[index]
    unbind(S, cluster, pool, attempt, connection)
    if cluster.multiplexed:
        cluster.rq_pending_failure_eject += 1
    if connection.fails == 0:
        connection.fails = CONNECT_FAILURE
        note_active_request(cluster, REMOTE)
        if connection.is_ready:
            unstack_ready(pool, S.connection, index)
        connection.state = DRAINING
    if connection.active == 0:
        close(S, cluster, index, REMOTE)
        return NONE
    return index


@plane
def unbind(S: State, cluster: Cluster, pool: Pool, attempt: Attempt, connection: Connection) -> None:
    """Take an attempt off its connection."""
    attempt.connection = NONE
    connection.active -= 1
    pool.active -= 1
    cluster.rq_active -= 1
    S.member[attempt.member].rq_active -= 1


@plane
def leave(S: State, cluster: Cluster, attempt_index: int) -> None:
    """Take a waiting attempt out of the pending queue: it is bound, refused or cancelled."""
    pool = S.pool[S.attempt[attempt_index].pool]
    leave_pool_queue(pool, S.attempt, attempt_index)
    cluster.rq_pending -= 1


# ---------------------------------------------------------------- opening


@plane
def open_connections(S: State, cluster: Cluster, pool_index: int, now: int) -> None:
    """Open what the requests of a pool need and the limits allow."""
    pool = S.pool[pool_index]
    member = S.member[pool.member]
    for _ in range(_MOST_OPENED_AT_ONCE):
        if not is_needed(S, cluster, pool, member):
            return
        allowed = is_allowed(cluster, member)
        if not allowed:
            cluster.cx_overflow += 1
            if pool.connections > 0:
                return
        connect(S, cluster, pool_index, now)
        if not allowed:
            return


@plane
def is_needed(S: State, cluster: Cluster, pool: Pool, member: Member) -> bool:
    """Whether the requests of a pool want one connection more."""
    if cluster.preconnect > 1.0 and is_healthy(member):
        wanted = (pool.waiting + pool.active) * cluster.preconnect
        return wanted > pool.connecting_capacity + spare_streams(S, cluster, pool) + pool.active
    return pool.waiting > pool.connecting_capacity


@plane
def spare_streams(S: State, cluster: Cluster, pool: Pool) -> int:
    """Streams that the established connections of a pool could take at once."""
    spare = 0
    index = pool.ready
    while index >= 0:
        spare += capacity(cluster, S.connection[index])
        index = S.connection[index].next
    return spare


@plane
def is_allowed(cluster: Cluster, member: Member) -> bool:
    """Whether the limits of the cluster and of the host allow one connection more."""
    return cluster.cx_active < cluster.max_connections and member.cx_active < cluster.max_host_connections


@plane
def is_healthy(member: Member) -> bool:
    """Whether a member is fit for connections that nobody waits for yet."""
    return member.ejected + member.check_failed + member.degraded == 0


@plane
def preconnect(S: State, cluster: Cluster, pool_index: int, ratio: float, now: int) -> bool:
    """Open one connection if one more request would want it, with a cluster-wide ratio; whether it did."""
    pool = S.pool[pool_index]
    member = S.member[pool.member]
    if ratio > 0.0 and is_healthy(member):
        supply = pool.connecting_capacity + spare_streams(S, cluster, pool) + pool.active
        wanted = (pool.waiting + pool.active + 1) * ratio > supply
    else:
        wanted = is_needed(S, cluster, pool, member)
    if not wanted:
        return False
    allowed = is_allowed(cluster, member)
    if not allowed:
        cluster.cx_overflow += 1
        if pool.connections > 0:
            return False
    connect(S, cluster, pool_index, now)
    return allowed


@plane
def connect(S: State, cluster: Cluster, pool_index: int, now: int) -> None:
    """Begin to set up one connection; how that will end is known now."""
    pool = S.pool[pool_index]
    index = take(S.supply[CONNECTIONS], S.connection)
    connection = S.connection[index]
    connection.pool = pool_index
    connection.state = CONNECTING
    connection.active = 0
    connection.is_ready = 0
    connection.epoch = pool.epoch
    connection.fails = 0
    connection.idle_due = NONE
    connection.left = UNLIMITED
    if cluster.requests_per_connection > 0:
        connection.left = cluster.requests_per_connection
    pool.connections += 1
    if pool.exists == 0:
        pool.exists = 1
        cluster.pools_active += 1
    pool.connecting_capacity += capacity(cluster, connection)
    list_connecting(pool, S.connection, index)
    S.member[pool.member].cx_active += 1
    cluster.cx_active += 1
    cluster.cx_total += 1
    connection.serial = cluster.cx_total
    connection.idle_since = now
    knock(S, cluster, connection, index, now)


@plane
def knock(S: State, cluster: Cluster, connection: Connection, index: int, now: int) -> None:
    """Ask the host for a connection that is wanted since `idle_since`, for the first time or again."""
    link = S.host[S.member[S.pool[connection.pool].member].host].link
    if link == SILENT:
        connection.knocks = 1
        at = 2 * now - connection.idle_since + _TCP_REPEATS_AFTER
    else:
        connection.knocks = 0
        at = now + set_up_time(S, cluster, connection, link)
        if link == REFUSING:
            connection.fails = CONNECT_FAILURE
    timeout = cluster.connect_timeout if cluster.connect_timeout > 0 else _TCP_TIMEOUT
    if at >= connection.idle_since + timeout:
        connection.knocks = 0
        connection.fails = CONNECT_TIMEOUT
        at = connection.idle_since + timeout
    connection.since = at
    push(S, at, CONNECTED, index)


@plane
def set_up_time(S: State, cluster: Cluster, connection: Connection, link: int) -> int:
    """How long the set-up of a connection takes once its host hears of it, or until it is refused, ns."""
    key = scramble(cluster.key, connection.serial)
    time = duration(S.law[cluster.connect], scramble(key, CONNECT))
    if link != REFUSING and cluster.handshake >= 0:
        time += duration(S.law[cluster.handshake], scramble(key, HANDSHAKE))
    return time


@plane
def connected(S: State, cluster: Cluster, index: int, now: int) -> None:
    """The set-up of a connection succeeds: it is ready."""
    connection = S.connection[index]
    pool = S.pool[connection.pool]
    unlist_connecting(pool, S.connection, index)
    pool.connecting_capacity -= capacity(cluster, connection)
    connection.state = OPEN
    stack_ready(pool, S.connection, index)
    if cluster.max_connection_duration > 0:
        push(S, now + cluster.max_connection_duration, AGE, index)
    if cluster.idle_timeout > 0:
        watch_idleness(S, cluster, connection, index, now)


@plane
def connect_failed(S: State, cluster: Cluster, index: int, reset: int, by: int) -> None:
    """The set-up of a connection fails; the requests that wait for the pool are set aside, to be told so."""
    pool = S.pool[S.connection[index].pool]
    cluster.cx_connect_fail += 1
    if reset == CONNECT_TIMEOUT:
        cluster.cx_connect_timeout += 1
    set_waiting_aside(S, pool, reset)
    close(S, cluster, index, by)


@plane
def set_waiting_aside(S: State, pool: Pool, reset: int) -> None:
    """Move all waiting requests to the list of those that failed: newest first, linked by `prev`."""
    if pool.waiting == 0:
        return
    index = pool.head
    while index >= 0:
        S.attempt[index].connection = ASIDE
        index = S.attempt[index].next
    S.attempt[pool.head].prev = pool.failed
    pool.failed = pool.tail
    pool.failure = reset
    pool.head = NONE
    pool.tail = NONE
    pool.waiting = 0


# ---------------------------------------------------------------- draining and closing


@plane
def drain_member(S: State, cluster: Cluster, member_index: int, now: int) -> None:
    """Drain the pools of all workers for one member."""
    for worker in range(cluster.workers):
        drain(S, cluster, member_index + cluster.pool_shift + worker * cluster.members)


@plane
def drain(S: State, cluster: Cluster, pool_index: int) -> None:
    """Let no connection of a pool take new requests; those that are set up for waiting requests stay."""
    pool = S.pool[pool_index]
    pool.epoch += 1
    while pool.ready >= 0:
        drain_connection(S, cluster, pool.ready)
    index = pool.connecting
    while index >= 0:
        following = S.connection[index].next
        if pool.waiting == 0:
            close(S, cluster, index, LOCAL)
        else:
            S.connection[index].epoch = pool.epoch
        index = following


@plane
def drain_connection(S: State, cluster: Cluster, index: int) -> None:
    """An established connection takes no more requests, and closes at once if it has none."""
    connection = S.connection[index]
    if connection.is_ready:
        unstack_ready(S.pool[connection.pool], S.connection, index)
    connection.state = DRAINING
    if connection.active == 0:
        close(S, cluster, index, LOCAL)


@plane
def go_away(S: State, cluster: Cluster, index: int) -> None:
    """The upstream says GOAWAY, or `connection: close` in an answer."""
    cluster.cx_close_notify += 1
    drain_connection(S, cluster, index)


@plane
def aged(S: State, cluster: Cluster, index: int) -> None:
    """A connection has reached its maximum duration."""
    cluster.cx_max_duration_reached += 1
    drain_connection(S, cluster, index)


@plane
def watch_idleness(S: State, cluster: Cluster, connection: Connection, index: int, now: int) -> None:
    """A connection has no stream from now on."""
    connection.idle_since = now
    if connection.idle_due < 0:
        connection.idle_due = now + cluster.idle_timeout
        push(S, connection.idle_due, IDLE, index)


@plane
def is_idle_for_long(S: State, cluster: Cluster, connection: Connection, index: int, now: int) -> bool:
    """Whether the idle timeout of a connection is over; if not, it is looked at again when it may be."""
    connection.idle_due = NONE
    if connection.active > 0:
        return False
    due = connection.idle_since + cluster.idle_timeout
    if due <= now:
        return True
    connection.idle_due = due
    push(S, due, IDLE, index)
    return False


@plane
def cut_idle(S: State, cluster: Cluster, pool_index: int) -> None:
    """The upstream closes the connections of a pool that have no stream."""
    pool = S.pool[pool_index]
    index = pool.ready
    while index >= 0:
        following = S.connection[index].next
        if S.connection[index].active == 0:
            close(S, cluster, index, REMOTE)
        index = following


@plane
def cancel_surplus(S: State, cluster: Cluster, pool_index: int) -> None:
    """Close the newest connecting connection if the requests do not want it any more."""
    pool = S.pool[pool_index]
    if pool.connecting >= 0:
        others = pool.connecting_capacity - capacity(cluster, S.connection[pool.connecting])
        if (pool.waiting + pool.active) * cluster.preconnect <= others + pool.active:
            close(S, cluster, pool.connecting, LOCAL)


@plane
def close(S: State, cluster: Cluster, index: int, by: int) -> None:
    """Close a connection that has no stream any more."""
    connection = S.connection[index]
    pool = S.pool[connection.pool]
    if connection.is_ready:
        unstack_ready(pool, S.connection, index)
    elif connection.state == CONNECTING:
        unlist_connecting(pool, S.connection, index)
        pool.connecting_capacity -= capacity(cluster, connection)
    connection.state = CLOSED
    pool.connections -= 1
    S.member[pool.member].cx_active -= 1
    cluster.cx_active -= 1
    cluster.cx_destroy += 1
    if by == LOCAL:
        cluster.cx_destroy_local += 1
    else:
        cluster.cx_destroy_remote += 1
    end_if_idle(cluster, pool)
    give_back(S.supply[CONNECTIONS], S.connection, index)


@plane
def note_active_request(cluster: Cluster, by: int) -> None:
    """Count a connection that is closed while requests are on it."""
    cluster.cx_destroy_with_active_rq += 1
    if by == LOCAL:
        cluster.cx_destroy_local_with_active_rq += 1
    else:
        cluster.cx_destroy_remote_with_active_rq += 1


# ---------------------------------------------------------------- pools as such


@plane
def may_exist(S: State, cluster: Cluster, pool: Pool, pool_index: int) -> bool:
    """Let a pool come into being, unless there are too many; an idle pool of the same worker makes way."""
    if cluster.pools_active >= cluster.max_pools:
        first = pool_index - (pool_index - cluster.first_pool) % cluster.members
        for index in range(first, first + cluster.members):
            other = S.pool[index]
            if other.exists and other.active + other.waiting == 0 and other.connecting < 0:
                drain(S, cluster, index)
                break
    if cluster.pools_active >= cluster.max_pools:
        return False
    pool.exists = 1
    cluster.pools_active += 1
    return True


@plane
def end_if_idle(cluster: Cluster, pool: Pool) -> None:
    """A pool without connections and requests is no more."""
    if pool.exists and pool.connections == 0 and pool.waiting == 0:
        pool.exists = 0
        cluster.pools_active -= 1


@plane
def capacity(cluster: Cluster, connection: Connection) -> int:
    """Streams that a connection can take at once from now on."""
    return min(connection.left, cluster.streams - connection.active)
