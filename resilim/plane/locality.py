"""Localities chosen by weight (Envoy 1.40, locality_wrr.cc).

* A locality counts with weight * min(1, 1.4 * share of its counted members that are healthy). So it keeps its
  share of the picks while 71.4 % of it are healthy, and then loses it bit by bit to the others.
* Degraded members have weights of their own, in the same way.
* The choice is earliest deadline first, each worker for itself, and starts anew at every refresh of the set.
* When no locality has a weight, the balancer picks from the whole set. Panic does not look at localities.
"""

from __future__ import annotations

from resilim.plane import edf
from resilim.plane.balancers import DEGRADED_LOCALITIES, HEALTHY_LOCALITIES, IN_LOCALITY
from resilim.plane.luck import LOCALITIES, below
from resilim.plane.machine import State, plane, scramble
from resilim.plane.priority import OVERPROVISIONING
from resilim.plane.records import NONE, Cluster, Group, HostSet


@plane
def choose(S: State, cluster: Cluster, host_set: HostSet, degraded: int, worker: int) -> int:
    """Number of the locality of the next pick; NONE when none has a weight."""
    group = S.group[host_set.first_group + HEALTHY_LOCALITIES + degraded]
    if group.size == 0:
        return NONE
    turn = S.turn[group.first_turn + worker]
    first = group.first_entry + worker * cluster.worker_entries
    number = edf.earliest(S.entry, turn, first)
    edf.put_back(S.entry, turn, first, group.size, S.entry[first].weight)
    return number


@plane
def rebuild(S: State, cluster: Cluster, host_set: HostSet, now: int) -> None:
    """Weigh the localities of a host set, and start their schedules anew."""
    first = host_set.first_group
    for number in range(host_set.localities):
        locality = S.locality[host_set.first_locality + number]
        own = first + IN_LOCALITY + 2 * number
        locality.healthy_weight = effective(locality.weight, S.group[own].size, locality.counted)
        locality.degraded_weight = effective(locality.weight, S.group[own + 1].size, locality.counted)
    before = host_set.first_locality - cluster.first_locality
    place = cluster.first_entry + 2 * cluster.members + 2 * before
    start(S, cluster, host_set, S.group[first + HEALTHY_LOCALITIES], 0, place, now)
    start(S, cluster, host_set, S.group[first + DEGRADED_LOCALITIES], 1, place + host_set.localities, now)


@plane
def effective(weight: int, available: int, counted: int) -> float:
    """The weight of a locality with so many available members."""
    if counted == 0:
        return 0.0
    return weight * min(1.0, OVERPROVISIONING / 100.0 * (1.0 * available / counted))


@plane
def start(
    S: State, cluster: Cluster, host_set: HostSet, group: Group, degraded: int, place: int, now: int
) -> None:
    """Start the schedules of the localities that have a weight, one a worker."""
    group.first_entry = place
    for worker in range(cluster.workers):
        first = place + worker * cluster.worker_entries
        group.size = fill(S, host_set, degraded, first)
        if group.size > 0:
            luck = scramble(scramble(cluster.key, now), worker)
            picks = below(luck, LOCALITIES, edf.MOST_PICKS)
            edf.start(S.entry, S.turn[group.first_turn + worker], first, group.size, picks)


@plane
def fill(S: State, host_set: HostSet, degraded: int, first: int) -> int:
    """Make entries of the localities that have a weight: how many."""
    size = 0
    for number in range(host_set.localities):
        locality = S.locality[host_set.first_locality + number]
        weight = locality.degraded_weight if degraded else locality.healthy_weight
        if weight > 0.0:
            S.entry[first + size].who = number
            S.entry[first + size].weight = weight
            size += 1
    return size
