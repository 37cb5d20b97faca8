"""One service, or a subset of it, as the proxies of its callers are told about it.

Istio's policy as it arrives in Envoy, and over it what the `envoy` block says.
"""

from __future__ import annotations

from dataclasses import dataclass

from resilim.spec.balancer import DEFAULT_RING, DEFAULT_TABLE, LocalityLbSetting
from resilim.spec.envoy import EnvoyOutlierDetection, EnvoySettings, LeastRequest, SlowStart
from resilim.spec.model import Service, System
from resilim.spec.policy import TrafficPolicy, outlier_settings

_ENVOYS_PANIC_THRESHOLD = 50
_TABLE_SIZES = {"RING_HASH": DEFAULT_RING, "MAGLEV": DEFAULT_TABLE}


@dataclass(frozen=True)
class Upstream:
    """What is in effect towards a service or a subset."""

    service: Service
    policy: TrafficPolicy
    envoy: EnvoySettings
    version: str | None
    """Only hosts of this version are meant; None: all."""

    @property
    def http2(self) -> bool:
        """Whether callers speak HTTP/2 to the hosts."""
        return self.service.protocol != "http1" or self.policy.upgrades

    @property
    def algorithm(self) -> str:
        """Envoy's name of the balancing algorithm."""
        return self.envoy.lb_policy or self.policy.balancer.algorithm

    @property
    def choices(self) -> int:
        """Hosts drawn, of which LEAST_REQUEST takes the least busy one."""
        return (self.envoy.least_request or LeastRequest()).choice_count

    @property
    def hashes(self) -> bool:
        """Whether the same client gets the same host."""
        return self.algorithm in ("RING_HASH", "MAGLEV")

    @property
    def table_size(self) -> int:
        """Least number of entries of the ring, or number of entries of the table; 0 without either."""
        hashed = self.policy.balancer.consistent_hash
        if hashed is not None and self.algorithm == self.policy.balancer.algorithm:
            return hashed.table_size
        return _TABLE_SIZES.get(self.algorithm, 0)

    @property
    def slow_start(self) -> SlowStart | None:
        """How new hosts get their share; None: at once."""
        warmup = self.policy.balancer.warm_up
        if self.envoy.slow_start is not None or warmup is None:
            return self.envoy.slow_start
        return SlowStart.model_construct(
            window=warmup.duration,
            aggression=warmup.aggression,
            min_weight_percent=warmup.minimum_percent,
        )

    @property
    def outlier_detection(self) -> EnvoyOutlierDetection | None:
        """The detector; None: there is none."""
        return outlier_settings(self.policy.outlier_detection, self.envoy.outlier_detection)

    @property
    def panic_threshold(self) -> int:
        """Percent of healthy hosts below which all are used."""
        if self.envoy.healthy_panic_threshold is not None:
            return self.envoy.healthy_panic_threshold
        istio = self.policy.outlier_detection
        return istio.min_health_percent if istio is not None else _ENVOYS_PANIC_THRESHOLD

    @property
    def locality(self) -> LocalityLbSetting:
        """The preference for near hosts."""
        return self.policy.balancer.locality

    @property
    def fails_over(self) -> bool:
        """Whether hosts have priorities by their distance."""
        watched = self.policy.outlier_detection is not None
        return watched and self.locality.enabled and not self.locality.distribute

    @property
    def locality_weighted(self) -> bool:
        """Whether a locality is chosen by its weight before a host is."""
        if self.envoy.locality_weighted is not None:
            return self.envoy.locality_weighted
        locality = self.locality
        return locality.enabled and bool(locality.distribute or (self.fails_over and locality.failover))

    @property
    def reselections(self) -> bool:
        """Whether a retry looks for a host that was not tried, when the route does not say."""
        return self.policy.balancer.consistent_hash is None


def upstream(system: System, service: str, subset: str | None = None) -> Upstream:
    """What is in effect towards a service, or towards a subset that exists."""
    known = system.subsets.get(service, {}).get(subset) if subset is not None else None
    return Upstream(
        service=system.services[service],
        policy=system.policy(service, subset),
        envoy=system.settings(service),
        version=known.version if known else None,
    )


def subset_exists(system: System, service: str, subset: str | None) -> bool:
    """Whether a route may lead there: to all hosts of a service, or to a subset of it."""
    return subset is None or subset in system.subsets.get(service, {})


def views(system: System, service: str) -> tuple[str | None, ...]:
    """What callers of a service have clusters for: subsets, or None for all hosts; the route's own is first.

    A subset that does not exist has no cluster: the route answers by itself, and is counted with all hosts.
    """
    route = system.route(service)
    destinations = [destination for destination, _ in route.weighted]
    destinations += [mirror.destination for mirror in route.copies if mirror.share > 0]
    if not route.weighted:
        return tuple(dict.fromkeys([None, *(place.subset for place in destinations)]))
    subsets = (place.subset for place in destinations)
    return tuple(dict.fromkeys(name if subset_exists(system, service, name) else None for name in subsets))
