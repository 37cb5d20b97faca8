"""Who calls whom: a route for each caller and service, and the clusters that it leads to.

* The clusters of a caller towards one subset (or all hosts) of a service are a block, one a caller host, in
  the order of the hosts. A route has an own block; its other destinations and its mirrors are told by how
  far their blocks are from that one.
* A copy has the route timeout, and nothing else of the route.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from resilim.plan.clusters import Clusters
from resilim.plan.names import CLIENT, salt
from resilim.plan.routes import add_route, client_route, copy_route, mesh_route
from resilim.plan.tables import Tables
from resilim.plane import filters
from resilim.plane.records import Destination, Route
from resilim.spec import route as spec_route
from resilim.spec.load import ResolvedArm
from resilim.spec.upstream import views


class Edge(NamedTuple):
    """What a call site needs to know of the service that it calls."""

    route: int
    first_cluster: int


@dataclass
class Edges:
    """The routes and clusters of a run, made when they are first asked for."""

    arm: ResolvedArm
    tables: Tables
    clusters: Clusters
    known: dict[tuple[str, str], Edge] = field(default_factory=dict)

    def edge(self, caller: str, service: str) -> Edge:
        """The route of a caller to a service, and the cluster of the caller's first host."""
        key = caller, service
        if key not in self.known:
            self.known[key] = self._make(caller, service)
        return self.known[key]

    def _make(self, caller: str, service: str) -> Edge:
        if caller == CLIENT and not self.arm.load.client.sidecar:
            first = self.clusters.add_block(caller, service, None)
            return Edge(add_route(self.tables, client_route(self.arm, self.tables, service)), first)
        make = client_route if caller == CLIENT else mesh_route
        record = make(self.arm, self.tables, service)
        subsets = views(self.arm.model, service)
        blocks = {subset: self.clusters.add_block(caller, service, subset) for subset in subsets}
        first = blocks[subsets[0]]
        self._add_destinations(record, service, blocks, first)
        self._add_mirrors(record, service, blocks, first)
        return Edge(add_route(self.tables, record), first)

    def _add_destinations(
        self, record: Route, service: str, blocks: Mapping[str | None, int], first: int
    ) -> None:
        """Put down the weighted destinations of a route, if there are several."""
        weighted = self.arm.route(service).weighted
        if len(weighted) < 2:
            return
        record.filters |= filters.HAS_SPLIT
        record.first_destination = self.tables.size("destination")
        record.destinations = len(weighted)
        for upto, place in _cumulated(weighted):
            self.tables.add("destination", Destination(upto=upto, offset=blocks[place.subset] - first))

    def _add_mirrors(self, record: Route, service: str, blocks: Mapping[str | None, int], first: int) -> None:
        """Put down the mirrors of a route."""
        mirrors = [mirror for mirror in self.arm.route(service).copies if mirror.share > 0]
        if not mirrors:
            return
        record.filters |= filters.HAS_MIRROR
        copy = add_route(self.tables, copy_route(record))
        record.first_mirror = self.tables.size("destination")
        record.mirrors = len(mirrors)
        for number, mirror in enumerate(mirrors):
            subset = mirror.destination.subset
            entry = Destination(
                upto=mirror.share,
                offset=blocks[subset] - first,
                route=copy,
                salt=salt("mirror", service, subset or "", number),
            )
            self.tables.add("destination", entry)


def _cumulated(
    weighted: tuple[tuple[spec_route.Destination, float], ...],
) -> Iterator[tuple[float, spec_route.Destination]]:
    """The destinations with their cumulated shares, the last one 1."""
    upto = 0.0
    for place, share in weighted[:-1]:
        upto += share
        yield upto, place
    yield 1.0, weighted[-1][0]
