"""Rules between what is said of one service in different places, in Envoy's or Istio's words where there are.

* What would have no effect is refused: a setting of another algorithm, of another protocol, of localities
  that are not there.
* Routes lead to hosts of their own service; a subset that does not exist answers 503 NC, so it stands alone.
* The proxies of all callers know at most a million hosts in all, and 30 million hashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resilim.spec.balancer import LoadBalancer, LocalityLbSetting
from resilim.spec.base import Finding, Steps
from resilim.spec.experiment import Fault, Load
from resilim.spec.model import System
from resilim.spec.policy import TrafficPolicy
from resilim.spec.problems import nearest, one_of
from resilim.spec.route import Destination, Route, service_of
from resilim.spec.units import format_duration, quoted
from resilim.spec.upstream import Upstream, subset_exists, upstream, views

MOST_MEMBERS = 1_000_000
MOST_HASHES = 30_000_000
_WITH_SLOW_START = ("ROUND_ROBIN", "LEAST_REQUEST")
_ONLY_APART = (
    "consecutive_local_origin_failure",
    "enforcing_consecutive_local_origin_failure",
    "enforcing_local_origin_success_rate",
    "enforcing_failure_percentage_local_origin",
)


def system_findings(system: System) -> Iterator[Finding]:
    """Everything that does not fit together in a system whose parts are all sound."""
    for service in system.services:
        yield from _policy_findings(system, service)
        if service in system.envoy:
            yield from _envoy_findings(system, service)
            yield from _retry_findings(system, service)
        if service in system.routes:
            yield from _route_findings(system, service, system.routes[service])
    yield from _size_findings(system)


def trial_findings(system: System, load: Load, faults: Sequence[Fault]) -> Iterator[Finding]:
    """Everything that does not fit between a system, its load and its faults."""
    for index, fault in enumerate(faults):
        if fault.kind == "load-surge" and load.users is not None:
            message = "a load-surge multiplies a rate; this load has users"
            yield Finding(("faults", index, "kind"), message)
        if fault.service not in system.services:
            continue
        of = upstream(system, fault.service)
        if fault.grpc_status is not None and of.service.protocol != "grpc":
            message = f"{fault.service} speaks {of.service.protocol}, a grpcStatus needs protocol: grpc"
            yield Finding(("faults", index, "grpcStatus"), message)
        if fault.how in ("stream-reset", "refused-stream") and not of.http2:
            message = f"{fault.service} speaks HTTP/1.1, which has no streams; choose connection-close"
            yield Finding(("faults", index, "how"), message)


# Istio's policies


def _policy_findings(system: System, service: str) -> Iterator[Finding]:
    written: list[tuple[Steps, TrafficPolicy | None, Upstream]] = [
        (("trafficPolicies", service), system.traffic_policies.get(service), upstream(system, service))
    ]
    for name, subset in system.subsets.get(service, {}).items():
        steps: Steps = ("subsets", service, name, "trafficPolicy")
        written.append((steps, subset.traffic_policy, upstream(system, service, name)))
    for steps, policy, of in written:
        if policy is not None:
            yield from _streams_findings(steps, policy, of, service)
            yield from _locality_findings(steps, policy.load_balancer, system, service)
        yield from _ejection_findings(of, service)


def _streams_findings(steps: Steps, policy: TrafficPolicy, of: Upstream, service: str) -> Iterator[Finding]:
    http = policy.connection_pool.http if policy.connection_pool else None
    if http is not None and http.max_concurrent_streams and not of.http2:
        message = f"maxConcurrentStreams is for HTTP/2, and {service} speaks HTTP/1.1"
        yield Finding((*steps, "connectionPool", "http", "maxConcurrentStreams"), message)


def _locality_findings(
    steps: Steps, balancer: LoadBalancer | None, system: System, service: str
) -> Iterator[Finding]:
    setting = balancer.locality_lb_setting if balancer else None
    if setting is None or not setting.enabled or not (setting.distribute or setting.failover):
        return
    steps = (*steps, "loadBalancer", "localityLbSetting")
    own = system.services[service].localities
    if own is None:
        message = f"the hosts of {service} have no localities; write services.{service}.localities"
        yield Finding(steps, message)
        return
    everywhere = tuple(
        dict.fromkeys(name for other in system.services.values() for name in other.localities or ())
    )
    for place, name, is_own in _localities_named(setting):
        known = tuple(own) if is_own else everywhere
        if not any(locality_matches(locality, name) for locality in known):
            whose = f"host of {service}" if is_own else "host of the model"
            message = f"no {whose} is in {quoted(name)}; there is {one_of(known)}"
            yield Finding((*steps, *place), message, nearest(name, known))


def _localities_named(setting: LocalityLbSetting) -> Iterator[tuple[Steps, str, bool]]:
    """Every locality that a setting names: where, its name, and whether it is to be one of the service."""
    for index, distribute in enumerate(setting.distribute):
        yield ("distribute", index, "from"), distribute.from_, False
        for name in distribute.to:
            yield ("distribute", index, "to", name), name, True
    for index, failover in enumerate(setting.failover):
        yield ("failover", index, "from"), failover.from_, False
        yield ("failover", index, "to"), failover.to, True


def locality_matches(locality: str, pattern: str) -> bool:
    """Whether a locality is the one that is named, or in it; `*` stands for all of a level."""
    levels = locality.split("/")
    wanted = pattern.split("/")
    same = all(want in ("*", have) for want, have in zip(wanted, levels, strict=False))
    return same and all(want == "*" for want in wanted[len(levels) :])


def _ejection_findings(of: Upstream, service: str) -> Iterator[Finding]:
    detector = of.outlier_detection
    if of.envoy.outlier_detection is None or detector is None:
        return
    for finding in detector.ejection_time_findings():
        yield Finding(("envoy", service, "outlierDetection", *finding.steps), finding.message)
    if not detector.split_external_local_origin_errors:
        keys = {name: key for key, name in detector.keys().items()}
        for name in _ONLY_APART:
            if name in of.envoy.outlier_detection.model_fields_set:
                message = f"{keys[name]} has no effect without splitExternalLocalOriginErrors"
                yield Finding(("envoy", service, "outlierDetection", keys[name]), message)


# Envoy's settings


def _envoy_findings(system: System, service: str) -> Iterator[Finding]:
    of = upstream(system, service)
    envoy, steps = of.envoy, ("envoy", service)
    if of.slow_start is not None and of.algorithm not in _WITH_SLOW_START:
        key = "slowStart" if envoy.slow_start is not None else "lbPolicy"
        message = f"a slow start is for ROUND_ROBIN and LEAST_REQUEST, not for {of.algorithm}"
        yield Finding((*steps, key), message)
    if envoy.least_request is not None and of.algorithm != "LEAST_REQUEST":
        yield Finding((*steps, "leastRequest"), f"leastRequest has no effect with {of.algorithm}")
    if envoy.hash_balance_factor and not of.hashes:
        message = f"hashBalanceFactor is for RING_HASH and MAGLEV, not for {of.algorithm}"
        yield Finding((*steps, "hashBalanceFactor"), message)
    if envoy.fail_traffic_on_panic and of.panic_threshold == 0:
        message = "failTrafficOnPanic has no effect: with a panic threshold of 0 there is no panic"
        yield Finding((*steps, "failTrafficOnPanic"), message)
    yield from _envoy_locality_findings(of, service)
    yield from _weight_findings(of, service)


def _envoy_locality_findings(of: Upstream, service: str) -> Iterator[Finding]:
    keys = {
        "localityWeighted": of.envoy.locality_weighted,
        "zoneAwareLbConfig": of.envoy.zone_aware_lb_config,
    }
    given = [key for key, value in keys.items() if value]
    if given and of.service.localities is None:
        message = f"the hosts of {service} have no localities; write services.{service}.localities"
        yield Finding(("envoy", service, given[0]), message)
    elif of.envoy.zone_aware_lb_config is not None:
        steps: Steps = ("envoy", service, "zoneAwareLbConfig")
        if of.locality_weighted:
            yield Finding(steps, "localities are chosen by weight here; only one of the two is possible")
        elif of.fails_over:
            message = (
                "with outlierDetection, hosts have priorities by their distance, and the first of them has"
                " one zone only; write localityLbSetting: {enabled: false}"
            )
            yield Finding(steps, message)


def _weight_findings(of: Upstream, service: str) -> Iterator[Finding]:
    versions = of.service.versions or {}
    for name in of.envoy.weights:
        if name not in versions:
            there = f"; there is {one_of(versions)}" if versions else ""
            message = f"there is no version of {service} {quoted(name)}{there}"
            yield Finding(("envoy", service, "weights", name), message, nearest(name, versions))
    if of.envoy.weights and of.algorithm == "RANDOM":
        yield Finding(("envoy", service, "weights"), "RANDOM takes no notice of weights")


def _retry_findings(system: System, service: str) -> Iterator[Finding]:
    envoy, retries = system.settings(service), system.route(service).retries
    if envoy.retry_back_off is not None:
        steps: Steps = ("envoy", service, "retryBackOff", "maxInterval")
        if retries.attempts == 0:
            yield Finding(steps, f"routes.{service}.retries has no attempts: there is no back-off")
        elif envoy.retry_back_off.max_interval < retries.backoff:
            message = "retry_policy.max_interval must greater than or equal to the base_interval"
            yield Finding(steps, f"{message} of {format_duration(retries.backoff)}")
    if envoy.hedge_on_per_try_timeout and (retries.per_try_timeout is None or retries.attempts == 0):
        message = f"hedging needs routes.{service}.retries with attempts and a perTryTimeout"
        yield Finding(("envoy", service, "hedgeOnPerTryTimeout"), message)


# Routes


def _route_findings(system: System, service: str, route: Route) -> Iterator[Finding]:
    several = len(route.weighted) > 1
    for index, entry in enumerate(route.route or ()):
        steps: Steps = ("routes", service, "route", index, "destination")
        yield from _host_findings(service, entry.destination, steps)
        if several and entry.weight > 0:
            yield from _subset_findings(system, service, entry.destination, steps)
    if route.mirror is not None:
        steps = ("routes", service, "mirror")
        yield from _host_findings(service, route.mirror, steps)
        yield from _subset_findings(system, service, route.mirror, steps)
    for index, mirror in enumerate(route.mirrors):
        steps = ("routes", service, "mirrors", index, "destination")
        yield from _host_findings(service, mirror.destination, steps)
        yield from _subset_findings(system, service, mirror.destination, steps)


def _host_findings(service: str, destination: Destination, steps: Steps) -> Iterator[Finding]:
    if service_of(destination.host) != service:
        message = f"calls to {service} can only go to hosts of {service}: others do not know its endpoints"
        yield Finding((*steps, "host"), message)


def _subset_findings(
    system: System, service: str, destination: Destination, steps: Steps
) -> Iterator[Finding]:
    if not subset_exists(system, service, destination.subset):
        names = tuple(system.subsets.get(service, {}))
        there = f"; there is {one_of(names)}" if names else ""
        message = f"there is no subset of {service} {quoted(destination.subset)}{there}"
        yield Finding((*steps, "subset"), message, nearest(str(destination.subset), names))


# Size


def _size_findings(system: System) -> Iterator[Finding]:
    """The rules on what all proxies know together, located at the service that takes most of it."""
    edges = _edges(system)
    members = {edge: _members(system, *edge) for edge in edges}
    if sum(members.values()) > MOST_MEMBERS:
        caller, callee = max(edges, key=members.__getitem__)
        message = (
            f"the proxies of all callers would know {sum(members.values()):,} hosts in all,"
            f" {members[caller, callee]:,} of them between {caller} and {callee};"
            f" at most {MOST_MEMBERS:,} are possible"
        )
        yield Finding(("services", callee), message)
    hashes = {edge: _hashes(system, *edge) for edge in edges}
    if sum(hashes.values()) > MOST_HASHES:
        _, callee = max(edges, key=hashes.__getitem__)
        message = (
            f"the tables of all callers would have {sum(hashes.values()):,} hashes in all;"
            f" at most {MOST_HASHES:,} are possible"
        )
        yield Finding(("services", callee), message)


def _edges(system: System) -> list[tuple[str, str]]:
    """Every caller and service that it calls."""
    pairs = {
        (caller, call.target[0])
        for caller, service in system.services.items()
        for endpoint in service.endpoints.values()
        for step in endpoint.steps
        for call in step.calls
    }
    return sorted(pairs)


def _members(system: System, caller: str, callee: str) -> int:
    hosts = len(system.services[callee].host_versions)
    return len(system.services[caller].host_versions) * hosts * len(views(system, callee))


def _hashes(system: System, caller: str, callee: str) -> int:
    sizes = (upstream(system, callee, subset).table_size for subset in views(system, callee))
    return len(system.services[caller].host_versions) * sum(sizes)
