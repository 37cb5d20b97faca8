"""The caller's proxy: how a call begins, and an attempt is sent.

* Envoy's order: route, filters, host, pool, stream. The route timeout runs from the moment the router has the
  call and covers waiting, all attempts and back-offs; the per-try timeout runs from the moment an attempt has
  a connection.
* What fails at once (no host, a pool limit) fails in the same instant and is never retried.
* A retry asks the balancer again; a host that was tried already is refused, so and so many times, then taken
  all the same.
* A proxy has worker threads; a call is handled by one of them, with its pools and its place in the rotation.
* Each sidecar delays a call once, half on the way there and half on the way back.
"""

from __future__ import annotations

from resilim.plane import filters, outlier, pool, timers
from resilim.plane.balance import RING_HASH, pick
from resilim.plane.flags import DC, NO_FLAG, UH, UO
from resilim.plane.kinds import REACH, STREAM_END
from resilim.plane.lists import give_back, take
from resilim.plane.luck import ATTEMPT, HOPS, RESELECT, WORKER, below, duration, other_half
from resilim.plane.machine import ATTEMPTS, CALLS, TRIED, State, plane, push, scramble
from resilim.plane.records import NONE, Attempt, Call, Cluster, Route
from resilim.plane.telemetry import call_ended, charge
from resilim.plane.user import hash_key


@plane
def begin_call(
    S: State,
    parent: int,
    route_index: int,
    cluster_index: int,
    first_step: int,
    optional: int,
    key: int,
    now: int,
) -> int:
    """Begin a call; NONE when it failed at once, with its outcome in the world record."""
    route = S.route[route_index]
    if route.filters & filters.HAS_SPLIT:
        cluster_index = filters.choose_cluster(S, route, key, cluster_index)
    cluster = S.cluster[cluster_index]
    index = take(S.supply[CALLS], S.call)
    call = S.call[index]
    call.parent = parent
    call.route = route_index
    call.cluster = cluster_index
    call.worker = 0
    call.first_step = first_step
    call.optional = optional
    call.key = key
    call.started = now
    call.attempts = 0
    if parent == filters.CLIENT:
        call.source = S.world[0].source
    if cluster.workers > 1:
        call.worker = below(key, WORKER, cluster.workers)
    if route.filters and filters.delay(S, route, call, cluster, index, now) == filters.HELD:
        if route.timeout_flag == DC:
            start_route_timer(S, route, call, index, now)
        return index
    code = enter_router(S, route, call, cluster, index, now)
    if code == 0:
        return index
    world = S.world[0]
    world.code = code
    world.flags = call.flags
    world.origin = cluster.service
    if call.soiled:
        clean(S, call, cluster)
    give_back(S.supply[CALLS], S.call, index)
    call_ended(S, cluster, 0, code >= 400)
    if code >= 400:
        charge(cluster, code, world.flags, cluster.service)
    return NONE


@plane
def enter_router(S: State, route: Route, call: Call, cluster: Cluster, index: int, now: int) -> int:
    """Let a call make its first attempt, after the delay: 0, or the status that it fails with.

    The flags of the failure are those of the call then.
    """
    if route.filters:
        code = filters.reply(S, route, call, cluster)
        if code != filters.PASSES:
            return code
    failure = begin_attempt(S, index, call, cluster, route, now)
    if failure != NO_FLAG:
        call.soiled = 1
        call.flags = call.flags | failure
        return 503
    if route.timeout > 0 and call.timer < 0:
        start_route_timer(S, route, call, index, now)
    if route.mirrors > 0:
        filters.mirror(S, route, call, own_cluster(S, route, call), now)
    return 0


@plane
def start_route_timer(S: State, route: Route, call: Call, index: int, now: int) -> None:
    """Start the route timeout of a call."""
    call.timer = route.timeout_queue
    timers.start(S, route.timeout_queue, S.call, index, now)


@plane
def own_cluster(S: State, route: Route, call: Call) -> int:
    """The cluster that a call of this route would use if there were no weighted destinations."""
    if route.filters & filters.HAS_SPLIT == 0:
        return call.cluster
    chosen = filters.choose_cluster(S, route, call.key, 0)
    return call.cluster - chosen


@plane
def begin_attempt(S: State, call_index: int, call: Call, cluster: Cluster, route: Route, now: int) -> int:
    """Try once more to serve a call; the flag of its failure when no attempt could begin."""
    key = call.key
    hashed = NONE
    if cluster.balancer >= RING_HASH:
        hashed = cluster.source_address if cluster.source_address >= 0 else hash_key(S, call)
    if call.attempts > 0:
        key = scramble(key, ATTEMPT + call.attempts)
        member_index = pick_again(S, call, cluster, route, key, hashed, now)
    else:
        member_index = pick(S, cluster, call.worker, key, hashed, 0, now)
    if member_index < 0:
        return UH
    index = take(S.supply[ATTEMPTS], S.attempt)
    attempt = S.attempt[index]
    attempt.call = call_index
    attempt.member = member_index
    attempt.pool = member_index + cluster.pool_shift
    attempt.connection = NONE
    attempt.step = call.first_step
    attempt.host = S.member[member_index].host
    attempt.key = key
    attempt.begun = NONE
    attempt.code = 0
    attempt.flags = NO_FLAG
    attempt.origin = NONE
    attempt.older = call.attempt
    call.attempts += 1
    if cluster.workers > 1:
        attempt.pool += call.worker * cluster.members
    fate = pool.request(S, cluster, attempt, index, now)
    if fate == pool.REFUSED:
        give_back(S.supply[ATTEMPTS], S.attempt, index)
        return UO
    call.attempt = index
    if fate == pool.BOUND:
        send(S, cluster, route, attempt, index, now)
    return NO_FLAG


@plane
def send(S: State, cluster: Cluster, route: Route, attempt: Attempt, index: int, now: int) -> None:
    """Send an attempt that has a connection through both sidecars to its host."""
    if route.per_try_timeout > 0:
        attempt.timed = 1
        timers.start(S, route.per_try_queue, S.attempt, index, now)
    if cluster.splits:
        outlier.report(S, S.call[attempt.call].cluster, attempt.member, outlier.CONNECT_SUCCESS, 0, now)
    bits = scramble(attempt.key, HOPS)
    hops = duration(S.law[cluster.hop], bits) + duration(S.law[cluster.upstream_hop], other_half(bits))
    there = hops // 2
    attempt.way_back = hops - there
    push(S, now + there, REACH, index)
    if route.max_stream_duration > 0:
        attempt.stream_end = now + route.max_stream_duration
        push(S, attempt.stream_end, STREAM_END, index)


# ---------------------------------------------------------------- hosts that were tried


@plane
def pick_again(S: State, call: Call, cluster: Cluster, route: Route, key: int, hashed: int, now: int) -> int:
    """The member for a retry, if possible one that was not tried yet."""
    member_index = pick(S, cluster, call.worker, key, hashed, 0, now)
    for again in range(route.reselections):
        if member_index < 0 or not was_tried(S, call, member_index):
            break
        luck = scramble(key, RESELECT + again)
        member_index = pick(S, cluster, call.worker, luck, hashed, again + 1, now)
    return member_index


@plane
def was_tried(S: State, call: Call, member_index: int) -> bool:
    """Whether an attempt of the call was sent to this member."""
    entry = call.tried
    while entry >= 0:
        if S.tried[entry].member == member_index:
            return True
        entry = S.tried[entry].next
    return False


@plane
def remember(S: State, call: Call, member_index: int) -> None:
    """Note that an attempt of the call was sent to this member."""
    entry = take(S.supply[TRIED], S.tried)
    S.tried[entry].member = member_index
    S.tried[entry].next = call.tried
    call.tried = entry
    call.soiled = 1


@plane
def clean(S: State, call: Call, cluster: Cluster) -> None:
    """Put a call's record back into its first state before it is given back."""
    while call.tried >= 0:
        entry = call.tried
        call.tried = S.tried[entry].next
        give_back(S.supply[TRIED], S.tried, entry)
    if call.faulted:
        call.faulted = 0
        cluster.active_faults -= 1
    call.retried = 0
    call.sent = 0
    call.forwarded = 0
    call.flags = NO_FLAG
    call.soiled = 0
