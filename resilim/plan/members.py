"""The members of a cluster, by priority and locality, and what its balancer needs to work with them.

All hosts are long in service when the run begins: slow start is for those that come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from resilim.plan.fleet import Fleet
from resilim.plan.seats import Priority, Seat
from resilim.plan.tables import Tables
from resilim.plane.balance_space import space_for
from resilim.plane.records import NONE, Cluster, Entry, Group, HostSet, Locality, Member, Turn
from resilim.spec.units import MILLISECOND


class Callers(NamedTuple):
    """Where the hosts of a caller are."""

    own: str  # locality of the one whose cluster it is
    hosts: Mapping[str, int]  # number of hosts by locality; none where localities are not known


def add_members(
    tables: Tables,
    fleet: Fleet,
    cluster: Cluster,
    service: str,
    places: tuple[Priority, ...],
    callers: Callers,
) -> None:
    """Put down the members, host sets and localities of the cluster that was put down last."""
    index = tables.size("cluster") - 1
    cluster.first_member = tables.size("member")
    cluster.first_set = tables.size("host_set")
    cluster.sets = len(places)
    looks = cluster.locality_weighted or cluster.zone_aware
    if looks:
        cluster.first_locality = tables.size("locality")
    if cluster.zone_aware:
        _apply_zones(cluster, places[0], callers)
    for priority, zones in enumerate(places):
        host_set = HostSet(cluster=index, priority=priority, first_member=tables.size("member"))
        if looks:
            host_set.first_locality, host_set.localities = tables.size("locality"), len(zones)
        for number, zone in enumerate(zones):
            if looks:
                neighbours = callers.hosts.get(zone.seats[0].locality, 0)
                tables.add("locality", Locality(weight=zone.weight, callers=neighbours))
            for seat in zone.seats:
                member = _member(tables, fleet, cluster, service, seat)
                member.cluster, member.priority, member.locality = index, priority, number
                tables.add("member", member)
        host_set.members = tables.size("member") - host_set.first_member
        tables.add("host_set", host_set)
    cluster.members = tables.size("member") - cluster.first_member


def _apply_zones(cluster: Cluster, zones: Priority, callers: Callers) -> None:
    """Tell a cluster where its caller is, for zone-aware routing."""
    localities = [zone.seats[0].locality for zone in zones]
    cluster.zone = localities.index(callers.own) if callers.own in localities else NONE
    cluster.zone_callers = sum(callers.hosts.values())
    cluster.zones = len(callers.hosts)


def _member(tables: Tables, fleet: Fleet, cluster: Cluster, service: str, seat: Seat) -> Member:
    checker = tables.records["checker"][-1]
    host = fleet.first_host[service] + seat.rank
    return Member(
        host=host,
        weight=seat.weight,
        identity=fleet.host_salts[host],
        checks_done=int(checker.interval > 0),  # a run begins with a mesh that is there already
        healthy_since=-cluster.slow_start - MILLISECOND if cluster.slow_start else 0,
    )


def add_space(tables: Tables, cluster: Cluster) -> None:
    """Put down what the balancer of the cluster that was put down last needs."""
    sets = tables.records["host_set"][cluster.first_set :]
    members = tables.records["member"][cluster.first_member :]
    localities = tables.records["locality"][cluster.first_locality :] if cluster.first_locality >= 0 else []
    space = space_for(cluster, sets, members, localities)
    cluster.first_group = tables.add_fresh("group", Group, space.groups)
    cluster.first_turn = tables.add_fresh("turn", Turn, space.turns)
    if space.entries:
        cluster.first_entry = tables.add_fresh("entry", Entry, space.entries)
    if space.places:
        cluster.table, cluster.table_room = tables.hash_room, space.room
        tables.hash_room += space.places
