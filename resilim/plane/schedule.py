"""Round robin and least request where weights differ (Envoy 1.40, load_balancer_impl.cc).

* A group of two or more has a schedule, earliest deadline first, when its weights differ or when any host of
  the cluster starts slowly; otherwise none is needed.
* Round robin: a member's own weight. Least request: its weight / (requests on connections + 1).
  Both times the factor of slow start.
* Weights are looked at when a member is put in again, so a member that got busy since keeps its deadline.
* Every refresh of a host set starts its schedules anew, at the random phase of their worker.
"""

from __future__ import annotations

from resilim.plane import edf, slow_start
from resilim.plane.balancers import EVERYBODY, HEALTHY, HEALTHY_LOCALITIES, IN_LOCALITY, LEAST_REQUEST
from resilim.plane.luck import SCHEDULE, below
from resilim.plane.machine import State, plane, scramble
from resilim.plane.records import Cluster, Group, HostSet


@plane
def pick_due(S: State, cluster: Cluster, group: Group, worker: int, now: int) -> int:
    """The member of a group whose turn it is."""
    turn = S.turn[group.first_turn + worker]
    first = group.first_entry + worker * cluster.worker_entries
    index = edf.earliest(S.entry, turn, first)
    edf.put_back(S.entry, turn, first, group.size, weight_of(S, cluster, index, now))
    return index


@plane
def weight_of(S: State, cluster: Cluster, index: int, now: int) -> float:
    """The weight of a member at this moment."""
    member = S.member[index]
    weight = float(member.weight)
    if cluster.balancer == LEAST_REQUEST:
        weight = weight / (member.rq_active + 1)
    if cluster.slow_start:
        weight = weight * slow_start.factor(cluster, member, now)
    return weight


@plane
def rebuild(S: State, cluster: Cluster, host_set: HostSet, now: int) -> None:
    """Start the schedules of a host set anew."""
    starting = cluster.slow_start > 0 and slow_start.is_within(cluster, cluster.newest, now)
    first = host_set.first_group
    rebuild_group(S, cluster, S.group[first + EVERYBODY], starting, now)
    # The schedules of the localities stand in the places of the whole set's, so only one of the two is made.
    for degraded in range(2):
        if picks_by_locality(S, cluster, host_set, degraded):
            for number in range(host_set.localities):
                own = first + IN_LOCALITY + 2 * number + degraded
                rebuild_group(S, cluster, S.group[own], starting, now)
        else:
            rebuild_group(S, cluster, S.group[first + HEALTHY + degraded], starting, now)


@plane
def picks_by_locality(S: State, cluster: Cluster, host_set: HostSet, degraded: int) -> bool:
    """Whether a locality is chosen before one of the healthy, or degraded, members of a set is picked."""
    if host_set.localities == 0:
        return False
    if cluster.locality_weighted:
        return S.group[host_set.first_group + HEALTHY_LOCALITIES + degraded].size > 0
    return host_set.zone_routing > 0


@plane
def rebuild_group(S: State, cluster: Cluster, group: Group, starting: bool, now: int) -> None:
    """Start the schedules of a group, one a worker, if it needs any."""
    group.weighted = int(group.size > 1 and (starting or not has_equal_weights(S, group)))
    if group.weighted == 0:
        return
    offset = group.first - cluster.first_member
    if group.first >= len(S.member):
        offset += cluster.members - len(S.member)
    group.first_entry = cluster.first_entry + offset
    for worker in range(cluster.workers):
        first = group.first_entry + worker * cluster.worker_entries
        for number in range(group.size):
            entry = S.entry[first + number]
            entry.who = S.lineup[group.first + number]
            entry.weight = weight_of(S, cluster, entry.who, now)
        picks = below(scramble(cluster.key, worker), SCHEDULE, edf.MOST_PICKS)
        edf.start(S.entry, S.turn[group.first_turn + worker], first, group.size, picks)


@plane
def has_equal_weights(S: State, group: Group) -> bool:
    """Whether all members of a group have the same weight."""
    for place in range(group.first + 1, group.first + group.size):
        if S.member[S.lineup[place]].weight != S.member[S.lineup[group.first]].weight:
            return False
    return True
