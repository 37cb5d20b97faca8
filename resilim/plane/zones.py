"""Zone-aware routing: the caller's own zone first (Envoy 1.40, load_balancer_impl.cc).

* Only in the first priority; only when it and the caller's service are in two zones or more, and it has
  `zone_least` healthy members.
* With c a zone's share of the caller's hosts and u its share of the healthy members, both in whole 1/100
  percent: if the own zone's u is at least its c, every pick stays in it.
* Otherwise floor(u / c) of the picks stay, and the rest goes to the other zones by what their u has over
  their c; if none has anything over, to any zone.
* The caller's hosts are those that the mesh has, whatever their health.
"""

from __future__ import annotations

from resilim.plane.balancers import IN_LOCALITY
from resilim.plane.luck import OTHER_ZONE, ZONE, below
from resilim.plane.machine import State, plane
from resilim.plane.records import Cluster, HostSet

# What `HostSet.zone_routing` says.
NO_ZONES = 0
OWN_ZONE = 1
SPILLING = 2

_WHOLE = 10_000


@plane
def choose(S: State, cluster: Cluster, host_set: HostSet, key: int) -> int:
    """Number of the zone of the next pick."""
    if host_set.zone_routing == OWN_ZONE:
        return cluster.zone
    if below(key, ZONE, _WHOLE) < host_set.zone_share:
        return cluster.zone
    last = host_set.localities - 1
    spare = S.locality[host_set.first_locality + last].spare
    if spare == 0:
        return below(key, OTHER_ZONE, host_set.localities)
    drawn = below(key, OTHER_ZONE, spare)
    for number in range(last):
        if drawn < S.locality[host_set.first_locality + number].spare:
            return number
    return last


@plane
def rebuild(S: State, cluster: Cluster, host_set: HostSet) -> None:
    """Find how much stays in the caller's zone, and what the other zones have to spare."""
    host_set.zone_routing = NO_ZONES
    if host_set.localities < 2 or cluster.zones < 2 or host_set.healthy < cluster.zone_least:
        return
    host_set.zone_routing = SPILLING
    host_set.zone_share = 0
    spare = 0
    for number in range(host_set.localities):
        zone = S.locality[host_set.first_locality + number]
        size = S.group[host_set.first_group + IN_LOCALITY + 2 * number].size
        callers = 0
        if size > 0:
            callers = _WHOLE * zone.callers // cluster.zone_callers
        members = _WHOLE * size // host_set.healthy
        if number != cluster.zone:
            spare += max(0, members - callers)
        elif members > 0 and members >= callers:
            host_set.zone_routing = OWN_ZONE
        elif callers > 0:
            host_set.zone_share = _WHOLE * members // callers
        zone.spare = spare
