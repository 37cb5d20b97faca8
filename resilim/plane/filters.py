"""What a call passes in the caller's proxy before the router, and beside it.

* Order (Envoy 1.40): route lookup with its weighted cluster, fault filter, router: no route or no cluster,
  drop overload, then a host. Nothing that ends here is retried or seen by outlier detection.
* Fault filter (fault_filter.cc): delay and abort are rolled independently, the delay first. The route timeout
  and the per-try timeout start after the delay; a client's patience does not wait for it.
* Weighted clusters: one pick a call, kept for all its retries.
* Mirroring (router.cc): a copy of the call once an attempt is on its way, with the luck of its own; the copy
  loads the mirror's pools, limits and detector. Nobody waits for its answer, and it is never retried.
"""

from __future__ import annotations

from resilim.plane.flags import DI, DO, FI, NO_FLAG
from resilim.plane.kinds import CALL_AGAIN
from resilim.plane.lists import take
from resilim.plane.luck import ABORTS, DELAYS, DROPS, MIRRORS, SPLITS, uniform
from resilim.plane.machine import CALLS, State, plane, push, scramble
from resilim.plane.records import Call, Cluster, Destination, Route

# What there is on a route, as bits.
HAS_FAULT = 1
HAS_SPLIT = 4
HAS_MIRROR = 8
HAS_REPLY = 16
HAS_DROP = 32

# Instead of an attempt that gave rise to a call.
CLIENT = -1
SHADOW = -2

# What becomes of a call here; any other number is the status of a local reply.
PASSES = 0
HELD = -1


@plane
def choose_cluster(S: State, route: Route, key: int, cluster_index: int) -> int:
    """The cluster of a call with luck `key`: one of the weighted destinations of its route."""
    u = uniform(key, SPLITS)
    index = route.first_destination
    while S.destination[index].upto <= u:
        index += 1
    return cluster_index + S.destination[index].offset


@plane
def delay(S: State, route: Route, call: Call, cluster: Cluster, call_index: int, now: int) -> int:
    """The first half of the fault filter: HELD when the call is delayed, else PASSES."""
    if route.delay_share == 0.0 or uniform(call.key, DELAYS) >= route.delay_share:
        return PASSES
    cluster.delays_injected += 1
    call.soiled = 1
    call.flags = DI
    hold(S, call, cluster, call_index, now + route.delay)
    return HELD


@plane
def hold(S: State, call: Call, cluster: Cluster, call_index: int, until: int) -> None:
    """Keep a call back until a moment."""
    call.faulted = 1
    cluster.active_faults += 1
    call.scheduled = 1
    push(S, until, CALL_AGAIN, call_index)


@plane
def reply(S: State, route: Route, call: Call, cluster: Cluster) -> int:
    """A local reply instead of any upstream: its status, with its flag in the call; else PASSES."""
    if route.abort_share > 0.0 and uniform(call.key, ABORTS) < route.abort_share:
        cluster.aborts_injected += 1
        return local_reply(call, route.abort_code, FI)
    if route.reply_code > 0:
        return local_reply(call, route.reply_code, route.reply_flag)
    if route.drop_share > 0.0 and uniform(call.key, DROPS) < route.drop_share:
        cluster.dropped += 1
        return local_reply(call, 503, DO)
    return PASSES


@plane
def local_reply(call: Call, code: int, flag: int) -> int:
    """The status of a local reply; its flag joins those of the call."""
    if flag != NO_FLAG:
        call.soiled = 1
        call.flags = call.flags | flag
    return code


@plane
def mirror(S: State, route: Route, call: Call, cluster_index: int, now: int) -> None:
    """Send copies of a call that is on its way; `cluster_index`: the cluster of the route itself."""
    for index in range(route.first_mirror, route.first_mirror + route.mirrors):
        copied = S.destination[index]
        key = scramble(call.key, copied.salt)
        if copied.upto >= 1.0 or uniform(key, MIRRORS) < copied.upto:
            send_copy(S, copied, call, cluster_index + copied.offset, key, now)


@plane
def send_copy(S: State, copied: Destination, call: Call, cluster_index: int, key: int, now: int) -> None:
    """Begin a copy of a call, in an event of its own."""
    index = take(S.supply[CALLS], S.call)
    copy = S.call[index]
    copy.parent = SHADOW
    copy.route = copied.route
    copy.cluster = cluster_index
    copy.worker = call.worker
    copy.first_step = call.first_step
    copy.optional = 1
    copy.key = key
    copy.started = now
    copy.attempts = 0
    copy.scheduled = 1
    S.world[0].shadows += 1
    push(S, now, CALL_AGAIN, index)
