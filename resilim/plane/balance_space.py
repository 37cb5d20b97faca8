"""What the balancer of a cluster needs of the tables: for the planner.

* `lineup`: two places a member of the run.
* HostSet records: one a priority, first priority first, with `first_member`, `members`, `localities` and
  `first_locality`. The members of a set stand together, those of a locality together in it.
* Locality records: one a locality, set after set, with `weight` (locality-weighted) or `callers` (zone
  aware); `Member.locality` counts from 0 in its set. None for a cluster that looks at neither.
* Group, turn and entry records, and places of `hash_table`: as many as `space_for` says, those of a cluster
  together, from its `first_group`, `first_turn`, `first_entry` and `table` on; NONE where there are none.
  All of them fresh, places 0: `balance.begin` fills them in.
* `table_room` of the cluster: `Space.room`.
* `Member.identity`: a salt of the host's name, needed by ring hash and maglev only.
* `Member.healthy_since`: 0 makes a host new at the start of the run, for slow start; a host that is long in
  service has a negative time, 1 ms or more further back than the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import ceil
from typing import NamedTuple

from resilim.plane.balancers import MAGLEV, RING_HASH
from resilim.plane.groups import groups_of
from resilim.plane.records import Cluster, HostSet, Locality, Member
from resilim.plane.ring_hash import MOST_POINTS


class Space(NamedTuple):
    """Records and places of one cluster."""

    groups: int
    turns: int
    entries: int
    places: int  # in `hash_table`
    room: int  # Cluster.table_room: of those, for one host set


def space_for(
    cluster: Cluster, sets: Sequence[HostSet], members: Sequence[Member], localities: Sequence[Locality]
) -> Space:
    """What a cluster with these host sets, members and localities, all of them its own, needs."""
    groups = sum(groups_of(host_set.localities) for host_set in sets)
    turns = groups * cluster.workers
    if cluster.balancer >= RING_HASH:
        room = _table_room(cluster, sets, members, localities)
        return Space(groups, turns, len(members), room * len(sets), room)
    entries = 2 * (len(members) + len(localities)) * cluster.workers
    scheduled = cluster.slow_start or cluster.locality_weighted or _weights_differ(sets, members)
    return Space(groups, turns, entries if scheduled else 0, 0, 0)


def _by_set(sets: Sequence[HostSet], members: Sequence[Member]) -> list[Sequence[Member]]:
    """The members of each host set."""
    ends = list(accumulate(host_set.members for host_set in sets))
    return [members[end - host_set.members : end] for host_set, end in zip(sets, ends, strict=True)]


def _weights_differ(sets: Sequence[HostSet], members: Sequence[Member]) -> bool:
    """Whether any host set has members of different weights."""
    return any(len({member.weight for member in own}) > 1 for own in _by_set(sets, members))


def _table_room(
    cluster: Cluster, sets: Sequence[HostSet], members: Sequence[Member], localities: Sequence[Locality]
) -> int:
    """Places that the largest table of a cluster may need, whoever is healthy."""
    if cluster.balancer == MAGLEV:
        return cluster.table_size
    if cluster.locality_weighted and localities:
        parts = _by_locality(sets, members, localities)
    else:
        parts = [(own, 1.0) for own in _by_set(sets, members) if own]
    # A ring has ceil(w n) / w points, w the least share of a host: fewer than n + 1 / w.
    most = max((_inverse_of_least_share(own) / share for own, share in parts), default=1.0)
    return min(cluster.table_size + ceil(most), MOST_POINTS) + 1


def _by_locality(
    sets: Sequence[HostSet], members: Sequence[Member], localities: Sequence[Locality]
) -> list[tuple[Sequence[Member], float]]:
    """The members of each locality, with its share of the weight of its set."""
    parts: list[tuple[Sequence[Member], float]] = []
    end = 0
    for host_set, own in zip(sets, _by_set(sets, members), strict=True):
        weights = [locality.weight for locality in localities[end : end + host_set.localities]]
        end += host_set.localities
        for number, weight in enumerate(weights):
            if weight:
                in_it = [member for member in own if member.locality == number]
                parts += [(in_it, weight / sum(weights))] if in_it else []
    return parts


def _inverse_of_least_share(members: Sequence[Member]) -> float:
    """The weight of all members by that of the lightest."""
    weights = [member.weight for member in members]
    return sum(weights) / min(weights)
