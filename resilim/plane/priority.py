"""Priorities: how much of the load each gets, and when it is in panic (Envoy 1.40, load_balancer_impl.cc).

* The health of a priority is floor(140 * healthy / counted), at most 100 percent; so 71.4 % healthy counts as
  whole. The same for its degraded members. With `weighted_health` their weights count instead of heads.
* All of these together, at most 100, are the total. In order of priority, first for healthy then for
  degraded members, each gets floor(100 * health / total) of the load while there is some left; what rounding
  leaves over goes to the first priority with healthy members, else the first with degraded ones.
* A priority is in panic when the total is below 100 and fewer than `panic_threshold` percent of its members
  are healthy or degraded; exactly the threshold is not panic.
* When all priorities are in panic the load goes by number of hosts, healthy or not, and the rest to the first
  that has any.
* With threshold 0 and nobody left, all load goes to the first priority, where the pick fails.
"""

from __future__ import annotations

from resilim.plane.balancers import DEGRADED
from resilim.plane.groups import is_available
from resilim.plane.machine import State, plane
from resilim.plane.records import Cluster, HostSet

# Envoy's overprovisioning factor in percent.
OVERPROVISIONING = 140


@plane
def choose(S: State, cluster: Cluster, percent: int) -> int:
    """Index of the group, the healthy or the degraded members of a set, at 0..99 percent of the load."""
    upto = 0
    for set_index in range(cluster.first_set, cluster.first_set + cluster.sets):
        upto += S.host_set[set_index].load
        if percent < upto:
            return S.host_set[set_index].first_group
    for set_index in range(cluster.first_set, cluster.first_set + cluster.sets):
        upto += S.host_set[set_index].degraded_load
        if percent < upto:
            return S.host_set[set_index].first_group + DEGRADED
    return S.host_set[cluster.first_set].first_group


@plane
def share_out(S: State, cluster: Cluster) -> None:
    """Work out health, loads and panic of all priorities of a cluster."""
    total = 0
    for set_index in range(cluster.first_set, cluster.first_set + cluster.sets):
        host_set = S.host_set[set_index]
        find_health(S, cluster, host_set)
        total += host_set.health + host_set.degraded_health
    total = min(100, total)
    if total > 0:
        share_by_health(S, cluster, total)
    all_in_panic = note_panic(S, cluster, total)
    if total == 0 and cluster.panic_threshold == 0:
        S.host_set[cluster.first_set].load = 100
    elif all_in_panic:
        share_by_number(S, cluster)


@plane
def find_health(S: State, cluster: Cluster, host_set: HostSet) -> None:
    """Health of a priority's healthy and degraded members, percent."""
    counted = host_set.counted
    healthy = host_set.healthy
    degraded = host_set.degraded
    if cluster.weighted_health:
        counted = 0
        healthy = 0
        degraded = 0
        for index in range(host_set.first_member, host_set.first_member + host_set.members):
            member = S.member[index]
            if member.removed == 0 and member.excluded == 0:
                counted += member.weight
                if is_available(member):
                    healthy += member.weight * (1 - member.degraded)
                    degraded += member.weight * member.degraded
    host_set.health = 0
    host_set.degraded_health = 0
    if counted > 0:
        host_set.health = min(100, OVERPROVISIONING * healthy // counted)
        host_set.degraded_health = min(100, OVERPROVISIONING * degraded // counted)


@plane
def share_by_health(S: State, cluster: Cluster, total: int) -> None:
    """Give the load to healthy members in order of priority, then to degraded ones."""
    left = 100
    for set_index in range(cluster.first_set, cluster.first_set + cluster.sets):
        host_set = S.host_set[set_index]
        host_set.load = min(left, 100 * host_set.health // total)
        left -= host_set.load
    for set_index in range(cluster.first_set, cluster.first_set + cluster.sets):
        host_set = S.host_set[set_index]
        host_set.degraded_load = min(left, 100 * host_set.degraded_health // total)
        left -= host_set.degraded_load
    if left > 0:
        give_rest(S, cluster, left)


@plane
def give_rest(S: State, cluster: Cluster, rest: int) -> None:
    """Give what rounding left over to the first healthy priority, else to the first degraded one."""
    for set_index in range(cluster.first_set, cluster.first_set + cluster.sets):
        if S.host_set[set_index].health > 0:
            S.host_set[set_index].load += rest
            return
    for set_index in range(cluster.first_set, cluster.first_set + cluster.sets):
        if S.host_set[set_index].degraded_health > 0:
            S.host_set[set_index].degraded_load += rest
            return


@plane
def note_panic(S: State, cluster: Cluster, total: int) -> bool:
    """Find which priorities are in panic; whether all are."""
    all_in_panic = True
    for set_index in range(cluster.first_set, cluster.first_set + cluster.sets):
        host_set = S.host_set[set_index]
        in_panic = int(total < 100 and is_panic(cluster, host_set))
        if in_panic != host_set.in_panic:
            host_set.table_built = 0
        host_set.in_panic = in_panic
        all_in_panic = all_in_panic and in_panic == 1
    return all_in_panic


@plane
def is_panic(cluster: Cluster, host_set: HostSet) -> bool:
    """Whether too few members of a priority are healthy or degraded."""
    if host_set.counted == 0:
        return cluster.panic_threshold > 0
    return 100 * (host_set.healthy + host_set.degraded) < cluster.panic_threshold * host_set.counted


@plane
def share_by_number(S: State, cluster: Cluster) -> None:
    """Give the load to priorities by number of hosts, healthy or not."""
    hosts = 0
    for set_index in range(cluster.first_set, cluster.first_set + cluster.sets):
        hosts += S.host_set[set_index].hosts
    if hosts == 0:
        S.host_set[cluster.first_set].load = 100
        return
    left = 100
    first = -1
    for set_index in range(cluster.first_set, cluster.first_set + cluster.sets):
        host_set = S.host_set[set_index]
        if first < 0 and host_set.hosts > 0:
            first = set_index
        host_set.load = 100 * host_set.hosts // hosts
        host_set.degraded_load = 0
        left -= host_set.load
    S.host_set[first].load += left
