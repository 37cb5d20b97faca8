"""Load balancing: which member of a cluster serves the next attempt (Envoy 1.40, load_balancer_impl.cc).

* Each worker of each caller's proxy has its own positions; health, loads and tables are shared.
* First a priority is chosen (`priority.py`), then in it a locality if they are weighted (`locality.py`) or
  if the caller's own is preferred (`zones.py`), then a member.
* ROUND_ROBIN counts picks from a random start, the same for all groups of a worker; the count goes on when
  the lineup changes.
* LEAST_REQUEST draws members (`least_request.py`). RANDOM is uniform and ignores weights; one random number
  decides on the priority and on the member.
* Where weights differ or hosts start slowly, ROUND_ROBIN and LEAST_REQUEST keep a schedule (`schedule.py`).
* RING_HASH and MAGLEV look the request's hash up in a table (`hashing.py`).
* A pick in a priority in panic takes from all its members and counts as `healthy_panic`; with
  `fail_on_panic` it fails. A pick that finds nobody counts as `none_healthy` (503 UH).
* A pick is plain when there is one group to pick from, without panic, weights or hashes: then the cluster
  itself says what the pick needs. Nearly all picks are plain.

What a cluster needs of the tables: `balance_space.py`.
"""

from __future__ import annotations

from resilim.plane import groups, hashing, least_request, locality, priority, schedule, slow_start, zones
from resilim.plane.balancers import (
    EVERYBODY,
    HEALTHY,
    IN_LOCALITY,
    LEAST_REQUEST,
    MAGLEV,
    RANDOM,
    RING_HASH,
    ROUND_ROBIN,
)
from resilim.plane.luck import BALANCE, PRIORITY, SECOND_CHOICE, TURNS, below
from resilim.plane.machine import State, plane, scramble
from resilim.plane.records import NONE, Cluster, Group, HostSet

__all__ = [
    "LEAST_REQUEST",
    "MAGLEV",
    "RANDOM",
    "RING_HASH",
    "ROUND_ROBIN",
    "begin",
    "line_up",
    "pick",
    "refresh",
]

# Round robin starts at one of so many numbers.
_TURNS = (1 << 31) - 1


# ---------------------------------------------------------------- picks


@plane
def pick(S: State, cluster: Cluster, worker: int, key: int, hashed: int, try_number: int, now: int) -> int:
    """Index of the member that serves an attempt; NONE when there is nobody.

    `key` is the luck of this pick, `hashed` the request's hash or NONE, `try_number` the number of picks
    that this attempt has rejected so far.
    """
    n = cluster.lineup
    if n == 0:
        return pick_closely(S, cluster, worker, key, hashed, try_number, now)
    start = cluster.lineup_start
    if cluster.balancer == ROUND_ROBIN:
        turn = S.turn[cluster.lineup_turn + worker]
        number = turn.turn
        turn.turn = number + 1
        return S.lineup[start + number % n]
    first = S.lineup[start + below(key, BALANCE, n)]
    if cluster.balancer == RANDOM:
        return first
    if cluster.choices != 2:
        return least_request.choose(S, cluster, start, n, key)
    second = S.lineup[start + below(key, SECOND_CHOICE, n)]
    if S.member[second].rq_active < S.member[first].rq_active:
        return second
    return first


@plane
def pick_closely(
    S: State, cluster: Cluster, worker: int, key: int, hashed: int, try_number: int, now: int
) -> int:
    """`pick`, when it takes more than a look at the cluster."""
    if cluster.balancer >= RING_HASH:
        member = hashing.pick_hashed(S, cluster, key, hashed, try_number)
    else:
        member = pick_from_groups(S, cluster, worker, key, now)
    if member < 0:
        cluster.none_healthy += 1
    return member


@plane
def pick_from_groups(S: State, cluster: Cluster, worker: int, key: int, now: int) -> int:
    """Choose a priority, perhaps a locality, and a member."""
    bits = scramble(key, BALANCE)
    percent = bits % 100 if cluster.balancer == RANDOM else below(key, PRIORITY, 100)
    index = priority.choose(S, cluster, percent)
    host_set = S.host_set[S.group[index].host_set]
    if host_set.in_panic:
        cluster.healthy_panic += 1
        if cluster.fail_on_panic:
            return NONE
        index = host_set.first_group + EVERYBODY
    elif host_set.localities:
        index = group_in_locality(S, cluster, host_set, index, worker, key)
    return pick_from(S, cluster, S.group[index], worker, key, bits, now)


@plane
def group_in_locality(
    S: State, cluster: Cluster, host_set: HostSet, index: int, worker: int, key: int
) -> int:
    """Go from the healthy, or degraded, members of a set to those of one locality."""
    degraded = index - host_set.first_group
    number = NONE
    if cluster.locality_weighted:
        number = locality.choose(S, cluster, host_set, degraded, worker)
    elif host_set.zone_routing:
        number = zones.choose(S, cluster, host_set, key)
    if number == NONE:
        return index
    return host_set.first_group + IN_LOCALITY + 2 * number + degraded


@plane
def pick_from(S: State, cluster: Cluster, group: Group, worker: int, key: int, bits: int, now: int) -> int:
    """Pick a member of a group; NONE when it is empty."""
    n = group.size
    if n == 0:
        return NONE
    if group.weighted:
        return schedule.pick_due(S, cluster, group, worker, now)
    if cluster.balancer == ROUND_ROBIN:
        turn = S.turn[group.first_turn + worker]
        number = turn.turn
        turn.turn = number + 1
        return S.lineup[group.first + number % n]
    if cluster.balancer == RANDOM:
        return S.lineup[group.first + bits % n]
    return least_request.choose(S, cluster, group.first, n, key)


# ---------------------------------------------------------------- what the balancer sees


@plane
def begin(S: State, cluster: Cluster, cluster_index: int, now: int) -> None:
    """Make a balancer ready for its first pick; `cluster.key` is bound to the seed."""
    groups.lay_out(S, cluster, cluster_index)
    first = S.group[cluster.first_group]
    last = S.host_set[cluster.first_set + cluster.sets - 1]
    end = last.first_group + groups.groups_of(last.localities)
    for worker in range(cluster.workers):
        start = below(scramble(cluster.key, worker), TURNS, _TURNS)
        for number in range(end - cluster.first_group):
            S.turn[first.first_turn + number * cluster.workers + worker].turn = start
    cluster.newest = now - cluster.slow_start - slow_start.MS
    line_up(S, cluster, now)


@plane
def line_up(S: State, cluster: Cluster, now: int) -> None:
    """Rebuild all that the balancer sees of a cluster."""
    for set_index in range(cluster.first_set, cluster.first_set + cluster.sets):
        relist(S, cluster, set_index, now)
    settle(S, cluster)


@plane
def refresh(S: State, set_index: int, now: int) -> None:
    """Rebuild what the balancer sees of one host set, after a change that has reached it."""
    cluster = S.cluster[S.host_set[set_index].cluster]
    relist(S, cluster, set_index, now)
    settle(S, cluster)


@plane
def relist(S: State, cluster: Cluster, set_index: int, now: int) -> None:
    """List the members of a host set anew, and what depends on the list alone."""
    host_set = S.host_set[set_index]
    host_set.table_built = 0
    groups.list_members(S, host_set)
    if cluster.balancer >= RING_HASH:
        return
    if host_set.localities:
        groups.list_localities(S, host_set)
        if cluster.locality_weighted:
            locality.rebuild(S, cluster, host_set, now)
        if cluster.zone_aware and set_index == cluster.first_set:
            zones.rebuild(S, cluster, host_set)
    if cluster.slow_start:
        slow_start.note_newest(S, cluster, host_set, now)
    if cluster.first_entry >= 0 and cluster.balancer != RANDOM:
        schedule.rebuild(S, cluster, host_set, now)


@plane
def settle(S: State, cluster: Cluster) -> None:
    """Share the load out between the priorities, and see whether all picks are plain now."""
    priority.share_out(S, cluster)
    cluster.lineup = 0
    if cluster.balancer >= RING_HASH:
        return
    for set_index in range(cluster.first_set, cluster.first_set + cluster.sets):
        host_set = S.host_set[set_index]
        if host_set.load == 100 and host_set.in_panic == 0 and host_set.localities == 0:
            group = S.group[host_set.first_group + HEALTHY]
            if group.weighted == 0:
                cluster.lineup = group.size
                cluster.lineup_start = group.first
                cluster.lineup_turn = group.first_turn
            return
