"""Groups: who is healthy, degraded or in the cluster at all, set by set (Envoy 1.40, upstream_impl.cc).

* A member is unavailable when it is ejected, fails active checks, is excluded or is removed.
* A removed member is in no group. An excluded one is in no denominator, but panic uses it too.
* A degraded member is available, but only used as far as healthy ones do not suffice.
* The lineup table has two halves. The first has a place a member: a set's healthy members, then its
  degraded ones. The second has another: all members of a set. So panic, which may come from a change in
  another priority, needs no new list.
* Lists keep the order of the members, which stand locality by locality, so a locality's part of a list is
  one stretch of it.
"""

from __future__ import annotations

from resilim.plane.balancers import DEGRADED, EVERYBODY, GROUPS, HEALTHY, IN_LOCALITY
from resilim.plane.machine import State, plane
from resilim.plane.records import Cluster, Group, HostSet, Member


@plane
def groups_of(localities: int) -> int:
    """Number of groups of a host set with so many localities."""
    if localities == 0:
        return GROUPS
    return IN_LOCALITY + 2 * localities


@plane
def is_available(member: Member) -> bool:
    """Whether a member may serve requests outside panic."""
    return member.ejected == 0 and member.check_failed == 0 and member.excluded == 0 and member.removed == 0


@plane
def is_healthy(member: Member) -> bool:
    """Whether a member is available and not degraded."""
    return member.degraded == 0 and is_available(member)


@plane
def lay_out(S: State, cluster: Cluster, cluster_index: int) -> None:
    """Give the host sets of a cluster their groups, and the groups their turns."""
    place = cluster.first_group
    turn = cluster.first_turn
    localities = 0
    for set_index in range(cluster.first_set, cluster.first_set + cluster.sets):
        host_set = S.host_set[set_index]
        host_set.cluster = cluster_index
        host_set.first_group = place
        localities += host_set.localities
        for index in range(place, place + groups_of(host_set.localities)):
            S.group[index].host_set = set_index
            S.group[index].first_turn = turn
            turn += cluster.workers
        place += groups_of(host_set.localities)
    cluster.worker_entries = 2 * cluster.members + 2 * localities


@plane
def list_members(S: State, host_set: HostSet) -> None:
    """List and count the healthy, the degraded and all members of a host set."""
    first = host_set.first_member
    second_half = len(S.member)
    hosts = 0
    excluded = 0
    healthy = 0
    degraded = 0
    for index in range(first, first + host_set.members):
        member = S.member[index]
        if member.removed == 0:
            S.lineup[second_half + first + hosts] = index
            hosts += 1
            excluded += member.excluded
            if is_available(member):
                if member.degraded:
                    degraded += 1
                else:
                    S.lineup[first + healthy] = index
                    healthy += 1
    host_set.hosts = hosts
    host_set.counted = hosts - excluded
    host_set.healthy = healthy
    host_set.degraded = degraded
    place_group(S.group[host_set.first_group + HEALTHY], first, healthy)
    place_group(S.group[host_set.first_group + DEGRADED], first + healthy, degraded)
    place_group(S.group[host_set.first_group + EVERYBODY], second_half + first, hosts)
    if degraded:
        list_degraded(S, host_set, first + healthy)


@plane
def place_group(group: Group, first: int, size: int) -> None:
    """Say where a group stands in the lineup table; until its schedule is built it needs none."""
    group.first = first
    group.size = size
    group.weighted = 0


@plane
def list_degraded(S: State, host_set: HostSet, place: int) -> None:
    """List the degraded members of a host set from a place on."""
    for index in range(host_set.first_member, host_set.first_member + host_set.members):
        member = S.member[index]
        if member.degraded and is_available(member):
            S.lineup[place] = index
            place += 1


@plane
def list_localities(S: State, host_set: HostSet) -> None:
    """Find the stretches of the localities in the lists of their host set."""
    first = host_set.first_group
    healthy = S.group[first + HEALTHY].first
    degraded = S.group[first + DEGRADED].first
    everybody = S.group[first + EVERYBODY].first
    for number in range(host_set.localities):
        own = first + IN_LOCALITY + 2 * number
        size = stretch(S, healthy, S.group[first + DEGRADED].first, number)
        place_group(S.group[own], healthy, size)
        healthy += size
        size = stretch(S, degraded, S.group[first + DEGRADED].first + host_set.degraded, number)
        place_group(S.group[own + 1], degraded, size)
        degraded += size
        size = stretch(S, everybody, S.group[first + EVERYBODY].first + host_set.hosts, number)
        S.locality[host_set.first_locality + number].counted = count_counted(S, everybody, size)
        everybody += size


@plane
def stretch(S: State, place: int, end: int, number: int) -> int:
    """Number of members of a locality from a place of the lineup table on."""
    size = 0
    while place + size < end and S.member[S.lineup[place + size]].locality == number:
        size += 1
    return size


@plane
def count_counted(S: State, place: int, size: int) -> int:
    """Number of members in a part of the lineup table that are not excluded."""
    counted = 0
    for offset in range(size):
        counted += 1 - S.member[S.lineup[place + offset]].excluded
    return counted
