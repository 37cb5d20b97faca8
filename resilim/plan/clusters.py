"""A cluster: one upstream service, or a subset of it, as one caller host's proxy sees it.

* The members of a cluster stand together, by priority and locality; so do its host sets, and its pools,
  worker by worker.
* A client outside the mesh has no sidecar: no hop, no limits, no connection set-up, and it spreads its
  requests over the hosts in turn, as a plain load balancer would.
* A timer that cannot fire within the run is left out: it would cost time on every request.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from resilim.plan.detectors import checker_of, detector_of
from resilim.plan.fleet import Fleet
from resilim.plan.members import Callers, add_members, add_space
from resilim.plan.names import CLIENT, CLIENT_PROXY, salt
from resilim.plan.seats import Priority, seats
from resilim.plan.tables import Tables
from resilim.plane import balance
from resilim.plane.records import UNLIMITED, Cluster, Pool
from resilim.spec import law as spec_law
from resilim.spec.envoy import EnvoySettings
from resilim.spec.load import ResolvedArm
from resilim.spec.policy import PoolLimits, TrafficPolicy
from resilim.spec.upstream import Upstream, upstream

_BALANCERS = {
    "ROUND_ROBIN": balance.ROUND_ROBIN,
    "LEAST_REQUEST": balance.LEAST_REQUEST,
    "RANDOM": balance.RANDOM,
    "RING_HASH": balance.RING_HASH,
    "MAGLEV": balance.MAGLEV,
}


class Block(NamedTuple):
    """What the clusters of all hosts of a caller have in common."""

    caller: str
    service: str
    subset: str | None
    of: Upstream

    @property
    def suffix(self) -> tuple[str, ...]:
        """What sets the luck of a subset apart from that of the whole service."""
        return () if self.subset is None else (self.subset,)


@dataclass
class Clusters:
    """The clusters of a run."""

    arm: ResolvedArm
    tables: Tables
    fleet: Fleet
    until: int  # end of the run, ns: what happens later does not happen
    names: list[tuple[str, str, str]] = field(default_factory=list)  # as `Names.clusters`

    def add_block(self, caller: str, service: str, subset: str | None) -> int:
        """Put down the clusters of all hosts of a caller; index of the first."""
        first = self.tables.size("cluster")
        block = Block(caller, service, subset, self._seen(caller, service, subset))
        localities = ("",) if caller == CLIENT else self.arm.model.services[caller].host_localities
        known = Counter(filter(None, localities))
        places = {locality: seats(block.of, locality) for locality in dict.fromkeys(localities)}
        for rank, locality in enumerate(localities):
            self._add(block, rank, places[locality], Callers(locality, known))
        return first

    def _seen(self, caller: str, service: str, subset: str | None) -> Upstream:
        """What a caller is told about a service; a client outside the mesh is told nothing."""
        if self._is_outside(caller):
            return Upstream(self.arm.model.services[service], TrafficPolicy(), EnvoySettings(), None)
        return upstream(self.arm.model, service, subset)

    def _is_outside(self, caller: str) -> bool:
        return caller == CLIENT and not self.arm.load.client.sidecar

    def _add(self, block: Block, rank: int, places: tuple[Priority, ...], callers: Callers) -> None:
        """Put down one cluster with all that belongs to it."""
        cluster = Cluster(
            service=self.fleet.services[block.service],
            upstream_hop=self.tables.law(self.arm.model.mesh.sidecar.hop),
            key=salt("cluster", block.caller, rank, block.service, *block.suffix),
        )
        if self._is_outside(block.caller):
            self._outside(cluster)
        else:
            self._apply(cluster, block.of)
            hashed = block.of.policy.balancer.consistent_hash
            if hashed is not None and hashed.use_source_ip:
                cluster.source_address = salt("address", block.caller, rank)
        self.names.append((self._proxy(block.caller, rank), block.service, block.subset or ""))
        index = self.tables.add("cluster", cluster)
        self._add_watch(cluster, block.of)
        add_members(self.tables, self.fleet, cluster, block.service, places, callers)
        add_space(self.tables, cluster)
        self._add_pools(cluster, index)

    def _proxy(self, caller: str, rank: int) -> str:
        """The name of a proxy: that of its host."""
        if caller == CLIENT:
            return "" if self._is_outside(caller) else CLIENT_PROXY
        return self.fleet.host_names[self.fleet.first_host[caller] + rank]

    def _add_watch(self, cluster: Cluster, of: Upstream) -> None:
        """Put down the detector and the active checks of a cluster."""
        detector = detector_of(of.outlier_detection)
        cluster.watched = int(detector.interval > 0)
        cluster.splits = int(cluster.watched and detector.split_external_local_origin_errors)
        self.tables.add("detector", detector)
        self.tables.add("checker", checker_of(of.envoy.health_checks, self.tables))

    def _outside(self, cluster: Cluster) -> None:
        """What a client outside the mesh has instead of a proxy."""
        cluster.balancer = balance.ROUND_ROBIN
        cluster.streams = UNLIMITED
        cluster.multiplexed = 1
        cluster.hop = cluster.connect = self.tables.law(spec_law.constant(0))

    def _apply(self, cluster: Cluster, of: Upstream) -> None:
        """What a caller inside the mesh is told about a service."""
        sidecar = self.arm.model.mesh.sidecar
        cluster.workers = sidecar.concurrency
        cluster.hop = self.tables.law(sidecar.hop)
        cluster.connect = self.tables.law(sidecar.connect)
        if sidecar.mtls != "DISABLE":
            cluster.handshake = self.tables.law(sidecar.tls_handshake)
        self._apply_limits(cluster, of.policy.limits, of.http2)
        self._apply_settings(cluster, of.envoy)
        if of.policy.retry_budget is not None:
            cluster.budget_percent = of.policy.retry_budget.percent
            cluster.budget_least = of.policy.retry_budget.min_retry_concurrency
        self._apply_balancer(cluster, of)

    def _apply_limits(self, cluster: Cluster, limits: PoolLimits, http2: bool) -> None:
        cluster.streams = limits.streams if http2 else 1
        cluster.multiplexed = int(http2)
        cluster.max_connections = limits.connections
        cluster.max_pending = limits.pending
        cluster.max_requests = limits.requests
        cluster.max_retries = limits.retries
        if limits.requests_per_connection != UNLIMITED:
            cluster.requests_per_connection = limits.requests_per_connection
        cluster.connect_timeout = limits.connect_timeout
        cluster.idle_timeout = self._if_it_fires(limits.idle_timeout)
        cluster.max_connection_duration = self._if_it_fires(limits.connection_duration)

    def _if_it_fires(self, duration: int) -> int:
        return duration if duration < self.until else 0

    @staticmethod
    def _apply_settings(cluster: Cluster, envoy: EnvoySettings) -> None:
        breakers = envoy.circuit_breakers
        if breakers.per_host_max_connections is not None:
            cluster.max_host_connections = breakers.per_host_max_connections
        if breakers.max_connection_pools is not None:
            cluster.max_pools = breakers.max_connection_pools
        cluster.preconnect = envoy.preconnect_policy.per_upstream_preconnect_ratio
        cluster.merge_window = envoy.update_merge_window
        cluster.fail_on_panic = int(envoy.fail_traffic_on_panic)

    @staticmethod
    def _apply_balancer(cluster: Cluster, of: Upstream) -> None:
        cluster.balancer = _BALANCERS[of.algorithm]
        cluster.choices = of.choices
        cluster.hash_balance_factor = of.envoy.hash_balance_factor
        cluster.table_size = of.table_size
        if of.slow_start is not None:
            cluster.slow_start = of.slow_start.window
            cluster.slow_start_aggression = of.slow_start.aggression
            cluster.slow_start_least = of.slow_start.min_weight_percent / 100
        cluster.locality_weighted = int(of.locality_weighted)
        if of.envoy.zone_aware_lb_config is not None:
            cluster.zone_aware = 1
            cluster.zone_least = of.envoy.zone_aware_lb_config.min_cluster_size
        cluster.panic_threshold = of.panic_threshold

    def _add_pools(self, cluster: Cluster, index: int) -> None:
        """Put down the pools of a cluster, worker by worker."""
        cluster.first_pool = self.tables.size("pool")
        cluster.pool_shift = cluster.first_pool - cluster.first_member
        for _ in range(cluster.workers):
            for member in range(cluster.first_member, cluster.first_member + cluster.members):
                self.tables.add("pool", Pool(cluster=index, member=member))
