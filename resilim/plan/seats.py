"""The hosts of an upstream service as one caller host sees them: priorities, localities and weights (Istio).

* Failover, only with outlier detection: hosts in the caller's own zone come first, then those in its region,
  then those elsewhere; a `failover` region comes before the rest. Priorities have no gaps.
* `distribute`: the first entry whose `from` holds the caller; localities that it does not name are left out
  of the cluster, and a weight that is given for several localities is divided by their hosts.
* Otherwise the weight of a locality is the sum of the weights of its hosts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from resilim.spec.balancer import Distribute, Failover
from resilim.spec.fitting import locality_matches
from resilim.spec.upstream import Upstream


class Seat(NamedTuple):
    """One host in a cluster."""

    rank: int  # its number within its service
    locality: str
    weight: int


class Zone(NamedTuple):
    """The hosts of one priority in one locality."""

    weight: int
    seats: tuple[Seat, ...]


Priority = tuple[Zone, ...]


def seats(of: Upstream, caller: str) -> tuple[Priority, ...]:
    """The hosts of a cluster by priority and locality, for a caller in a locality (empty: not known).

    At least one priority, which is empty when there are no hosts.
    """
    by_locality: dict[str, list[Seat]] = {}
    for rank, (version, locality) in enumerate(
        zip(of.service.host_versions, of.service.host_localities, strict=True)
    ):
        if of.version in (None, version):
            weight = of.envoy.weights.get(version, 1)
            by_locality.setdefault(locality, []).append(Seat(rank, locality, weight))
    zones = {
        name: Zone(sum(seat.weight for seat in there), tuple(there)) for name, there in by_locality.items()
    }
    if not of.locality.enabled or not caller:
        return (tuple(zones.values()),)
    if of.locality.distribute:
        return (tuple(_distributed(zones, of.locality.distribute, caller).values()),)
    return _by_distance(zones, of.locality.failover, caller) if of.fails_over else (tuple(zones.values()),)


def _distributed(
    zones: Mapping[str, Zone], settings: tuple[Distribute, ...], caller: str
) -> Mapping[str, Zone]:
    mine = next((setting for setting in settings if locality_matches(caller, setting.from_)), None)
    if mine is None:
        return zones
    found: dict[str, Zone] = {}
    for pattern, weight in mine.to.items():
        named = [name for name in zones if name not in found and locality_matches(name, pattern)]
        total = sum(zones[name].weight for name in named)
        for name in named:
            found[name] = Zone(math.ceil(zones[name].weight * weight / total), zones[name].seats)
    return {name: found[name] for name in zones if name in found}


def _by_distance(
    zones: Mapping[str, Zone], failover: tuple[Failover, ...], caller: str
) -> tuple[Priority, ...]:
    by_distance: dict[int, list[Zone]] = {}
    for name, zone in zones.items():
        by_distance.setdefault(_distance(caller, name, failover), []).append(zone)
    return tuple(tuple(by_distance[distance]) for distance in sorted(by_distance)) or ((),)


def _distance(caller: str, other: str, failover: tuple[Failover, ...]) -> int:
    """0: same locality; 1: same zone; 2: same region; 3: elsewhere; 4: not where failover leads."""
    own, far = (name.split("/") for name in (caller, other))
    if own[0] != far[0]:
        to = next((setting.to for setting in failover if setting.from_ == own[0]), far[0])
        return 3 if far[0] == to else 4
    if own[:2] != far[:2]:
        return 2
    return 0 if own == far else 1
