"""The caller's proxy: how a call begins, and an attempt is sent.

* Envoy's order: route, host, pool, stream. The route timeout runs from the start of the call and covers
  waiting, all attempts and back-offs; the per-try timeout runs from the moment an attempt has a connection.
* What fails at once (no host, a pool limit) fails in the same instant and is never retried.
* Each sidecar delays a call once, half on the way there and half on the way back.
"""

from __future__ import annotations

from resilim.plane import pool, timers
from resilim.plane.balance import pick
from resilim.plane.flags import NO_FLAG, UH, UO
from resilim.plane.kinds import REACH
from resilim.plane.lists import give_back, take
from resilim.plane.luck import ATTEMPT, HOPS, duration, other_half
from resilim.plane.machine import ATTEMPTS, CALLS, State, plane, push, scramble
from resilim.plane.records import NONE, Attempt, Call, Cluster
from resilim.plane.telemetry import call_ended


@plane
def begin_call(
    S: State, parent: int, cluster_index: int, first_step: int, optional: int, key: int, now: int
) -> int:
    """Begin a call; NONE when it failed at once, with its outcome in the world record."""
    cluster = S.cluster[cluster_index]
    index = take(S.supply[CALLS], S.call)
    call = S.call[index]
    call.parent = parent
    call.cluster = cluster_index
    call.first_step = first_step
    call.optional = optional
    call.key = key
    call.started = now
    call.attempts = 0
    failure = begin_attempt(S, index, call, cluster, now)
    if failure != NO_FLAG:
        give_back(S.supply[CALLS], S.call, index)
        call_ended(S, cluster, 0, True)
        world = S.world[0]
        world.code = 503
        world.flags = failure
        world.origin = cluster.service
        return NONE
    route = S.route[cluster.route]
    if route.timeout > 0:
        call.timer = route.timeout_queue
        timers.start(S, route.timeout_queue, S.call, index, now)
    return index


@plane
def begin_attempt(S: State, call_index: int, call: Call, cluster: Cluster, now: int) -> int:
    """Try once more to serve a call; the flag of its failure when no attempt could begin."""
    key = call.key
    if call.attempts > 0:
        key = scramble(key, ATTEMPT + call.attempts)
    member_index = pick(S, cluster, key)
    if member_index < 0:
        call.attempt = NONE
        return UH
    index = take(S.supply[ATTEMPTS], S.attempt)
    attempt = S.attempt[index]
    attempt.call = call_index
    attempt.member = member_index
    attempt.step = call.first_step
    attempt.host = S.member[member_index].host
    attempt.key = key
    attempt.code = 0
    attempt.flags = NO_FLAG
    attempt.origin = NONE
    call.attempt = index
    call.attempts += 1
    fate = pool.request(S, cluster, attempt, index, now)
    if fate == pool.BOUND:
        send(S, cluster, attempt, index, now)
    elif fate == pool.REFUSED:
        call.attempt = NONE
        give_back(S.supply[ATTEMPTS], S.attempt, index)
        return UO
    return NO_FLAG


@plane
def send(S: State, cluster: Cluster, attempt: Attempt, index: int, now: int) -> None:
    """Send an attempt that has a connection through both sidecars to its host."""
    route = S.route[cluster.route]
    if route.per_try_timeout > 0:
        attempt.timed = 1
        timers.start(S, route.per_try_queue, S.attempt, index, now)
    bits = scramble(attempt.key, HOPS)
    hops = duration(S.law[cluster.hop], bits) + duration(S.law[cluster.upstream_hop], other_half(bits))
    there = hops // 2
    attempt.way_back = hops - there
    push(S, now + there, REACH, index)
