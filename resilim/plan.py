"""From a resolved arm to a `Run`: names become indices, policies become records.

* The salt of everything random is a hash of *names* (service, endpoint, step), never of an index, so two
  arms that differ in one policy have the same luck everywhere else.
* A cluster is one caller host's view of one upstream service. The clusters of an edge stand together, one a
  caller host; so do the members and pools of a cluster.
* A client outside the mesh has no sidecar: no hop, no limits, no connection set-up, no retries, and it
  spreads its requests over the entry's hosts in turn, as a plain load balancer would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

import numpy as np

from resilim.plane import balance, flags, host, luck, retry, telemetry, timers
from resilim.plane.machine import TABLES, VECTORS
from resilim.plane.records import (
    UNLIMITED,
    Cluster,
    Detector,
    Endpoint,
    Gauge,
    Host,
    Law,
    Member,
    Mix,
    Pool,
    Route,
    Site,
    Source,
    Step,
    Supply,
    TimerQueue,
    World,
    to_array,
)
from resilim.run import FAILING_HOST, FAULT_DTYPE, LOAD_SURGE, SLOW_HOST, Array, Run
from resilim.spec import law as spec_law
from resilim.spec.experiment import Fault
from resilim.spec.load import ResolvedArm
from resilim.spec.model import Call, Service
from resilim.spec.policy import OutlierDetection
from resilim.spec.units import SECOND

CLIENT = ""  # the name of the caller outside

MOST_IN_FLIGHT = 2_000_000  # calls at once; a run that needs more has lost control
DRAIN = 60 * SECOND
_MOST_SAMPLES = 400
_SAMPLE_STEPS = tuple(unit * step for unit in (SECOND // 10, SECOND, 10 * SECOND, 100 * SECOND, 1000 * SECOND)
                      for step in (1, 2, 5))  # fmt: skip

# Envoy's longest ejection when nothing is configured; Istio does not expose it.
_MAX_EJECTION_TIME = 300 * SECOND

_LAW_KINDS = {
    "constant": luck.CONSTANT,
    "uniform": luck.UNIFORM,
    "exponential": luck.EXPONENTIAL,
    "lognormal": luck.LOGNORMAL,
    "pareto": luck.PARETO,
}
_BALANCERS = {
    "ROUND_ROBIN": balance.ROUND_ROBIN,
    "LEAST_REQUEST": balance.LEAST_REQUEST,
    "LEAST_CONN": balance.LEAST_REQUEST,
    "UNSPECIFIED": balance.LEAST_REQUEST,
    "RANDOM": balance.RANDOM,
}
_FAULT_KINDS = {"slow-host": SLOW_HOST, "failing-host": FAILING_HOST, "load-surge": LOAD_SURGE}


@dataclass(frozen=True)
class Names:
    """What the indices of a run mean."""

    services: tuple[str, ...]
    hosts: tuple[str, ...]
    host_service: tuple[int, ...]
    endpoints: tuple[tuple[str, str], ...]  # service, endpoint
    asked: tuple[int, ...]  # endpoints that clients ask for


@dataclass(frozen=True)
class Plan:
    """One arm, ready to run under any seed."""

    run: Run
    names: Names
    requests: float  # client requests to expect
    calls_per_request: float  # calls that one of them makes in all, when nothing fails


def salt(*names: object) -> int:
    """63 bits that depend on names only."""
    digest = hashlib.blake2b("\0".join(map(str, names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def replication_seed(seed: int, replication: int, arm: str = "") -> int:
    """The luck of one replication; `arm` only when arms are to be independent."""
    return salt("replication", seed, replication, arm)


def plan(arm: ResolvedArm) -> Plan:
    """The run of an arm, without a seed yet (`Run.with_seed`)."""
    return _Planner(arm).plan()


@dataclass
class _Planner:
    """Fills the tables of one run."""

    arm: ResolvedArm
    tables: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in TABLES})
    codes: list[int] = field(default_factory=list)
    laws: dict[tuple[int, float, float], int] = field(default_factory=dict)
    queues: dict[tuple[int, int], int] = field(default_factory=dict)
    routes: dict[str, int] = field(default_factory=dict)
    edges: dict[tuple[str, str], int] = field(default_factory=dict)
    services: dict[str, int] = field(default_factory=dict)
    endpoints: dict[tuple[str, str], int] = field(default_factory=dict)
    first_step: dict[tuple[str, str], int] = field(default_factory=dict)
    first_host: dict[str, int] = field(default_factory=dict)
    host_names: list[str] = field(default_factory=list)

    def plan(self) -> Plan:
        model = self.arm.model
        steps = 0
        for name, service in model.services.items():
            self.services[name] = len(self.services)
            self.add_hosts(name, service)
            for endpoint, body in service.endpoints.items():
                self.endpoints[name, endpoint] = len(self.endpoints)
                self.first_step[name, endpoint] = steps
                steps += len(body.steps) + 1  # the last one is END
        for name, service in model.services.items():
            for endpoint in service.endpoints:
                self.add_endpoint(name, endpoint)
        self.add_source()
        time = self.arm.time
        run = Run(
            tables=self.arrays(),
            vectors=self.vectors(),
            faults=self.faults(),
            seed=0,
            windows=tuple((window.start, window.end) for window in time.windows()),
            end=time.total,
            drain=DRAIN,
            sample_every=_sample_every(time.total),
            most_in_flight=MOST_IN_FLIGHT,
        )
        return Plan(run, self.names(), self.expected_requests(), self.expected_calls())

    # ------------------------------------------------------------ services

    def add_hosts(self, name: str, service: Service) -> None:
        self.first_host[name] = len(self.tables["host"])
        seen: dict[str, int] = {}
        for rank, version in enumerate(service.host_versions):
            number = seen[version] = seen.get(version, -1) + 1
            self.host_names.append("-".join(part for part in (name, version, str(number)) if part))
            self.tables["host"].append(
                Host(service=self.services[name], rank=rank, workers=service.workers, places=service.queue)
            )

    def add_endpoint(self, service: str, endpoint: str) -> None:
        steps = self.arm.model.services[service].endpoints[endpoint].steps
        index = self.endpoints[service, endpoint]
        self.tables["endpoint"].append(Endpoint(self.services[service], len(self.tables["step"])))
        for number, step in enumerate(steps):
            where = (service, endpoint, number)
            if step.work is not None:
                record = Step(host.WORK, index, self.law(step.work), salt("work", *where))
            else:
                record = Step(
                    host.CALLS_OUT, index, first_site=len(self.tables["site"]), sites=len(step.calls)
                )
                for branch, call in enumerate(step.calls):
                    self.add_site(service, call, salt("call", *where, branch))
            self.tables["step"].append(record)
        self.tables["step"].append(Step(host.END, index))

    def add_site(self, caller: str, call: Call, site_salt: int) -> None:
        service, endpoint = call.target
        self.tables["site"].append(
            Site(
                first_step=self.first_step[service, endpoint],
                first_cluster=self.edge(caller, service),
                probability=call.probability,
                optional=int(call.optional),
                salt=site_salt,
            )
        )

    # ------------------------------------------------------------ edges

    def edge(self, caller: str, upstream: str) -> int:
        """Index of the first cluster of the callers of an upstream service."""
        key = caller, upstream
        if key not in self.edges:
            self.edges[key] = len(self.tables["cluster"])
            hosts = 1 if caller == CLIENT else len(self.arm.model.services[caller].host_versions)
            for rank in range(hosts):
                self.add_cluster(caller, rank, upstream)
        return self.edges[key]

    def add_cluster(self, caller: str, rank: int, upstream: str) -> None:
        meshed = caller != CLIENT or self.arm.load.client.sidecar
        members = len(self.arm.model.services[upstream].host_versions)
        index, first = len(self.tables["cluster"]), len(self.tables["member"])
        cluster = Cluster(
            service=self.services[upstream],
            route=self.client_route(upstream) if caller == CLIENT else self.route(upstream),
            first_member=first,
            members=members,
            upstream_hop=self.law(self.arm.model.mesh.sidecar.hop),
            key=salt("cluster", caller, rank, upstream),
        )
        detector = Detector()
        if meshed:
            self.apply_policy(cluster, upstream)
            outliers = self.arm.policy(upstream).outlier_detection
            if outliers is not None:
                detector = _detector(outliers)
                cluster.panic_threshold = outliers.min_health_percent
        else:
            cluster.balancer = balance.ROUND_ROBIN
            cluster.streams = UNLIMITED
            cluster.hop = cluster.connect = self.law(spec_law.constant(0))
        self.tables["cluster"].append(cluster)
        self.tables["detector"].append(detector)
        for rank_there in range(members):
            self.tables["member"].append(Member(host=self.first_host[upstream] + rank_there))
            self.tables["pool"].append(Pool(cluster=index))

    def apply_policy(self, cluster: Cluster, upstream: str) -> None:
        """The traffic policy of a caller inside the mesh."""
        policy = self.arm.policy(upstream)
        sidecar = self.arm.model.mesh.sidecar
        http = policy.connection_pool.http if policy.connection_pool else None
        upgraded = http is not None and http.h2_upgrade_policy == "UPGRADE"
        http2 = upgraded or self.arm.model.services[upstream].protocol == "http2"
        limits = policy.limits
        cluster.balancer = _BALANCERS[policy.load_balancer.simple]
        cluster.hop = self.law(sidecar.hop)
        cluster.connect = self.law(sidecar.connect)
        if sidecar.mtls != "DISABLE":
            cluster.handshake = self.law(sidecar.tls_handshake)
        cluster.streams = UNLIMITED if http2 else 1
        cluster.max_connections = limits.connections
        cluster.max_pending = limits.pending
        cluster.max_requests = limits.requests
        cluster.max_retries = limits.retries
        if limits.requests_per_connection != UNLIMITED:
            cluster.requests_per_connection = limits.requests_per_connection

    def route(self, upstream: str) -> int:
        """Index of the route of calls to a service from inside the mesh."""
        if upstream not in self.routes:
            route = self.arm.route(upstream)
            retries = route.retries
            codes = [int(token) for token in retries.retry_tokens if token.isdigit()]
            record = Route(
                timeout=route.timeout or 0,
                timeout_flag=flags.UT,
                per_try_timeout=retries.per_try_timeout or 0,
                retry_on=sum(retry.TOKENS.get(token, 0) for token in set(retries.retry_tokens)),
                retries=retries.attempts,
                first_code=len(self.codes),
                codes=len(codes),
                backoff=retries.backoff,
            )
            self.codes += codes
            self.routes[upstream] = self.add_route(record)
        return self.routes[upstream]

    def client_route(self, upstream: str) -> int:
        """Index of the route of the client: its patience, and the mesh's route if it has a sidecar."""
        patience = self.arm.load.client.timeout or 0
        record = Route(backoff=retry.MILLISECOND)
        if self.arm.load.client.sidecar:
            inside = self.tables["route"][self.route(upstream)]
            record = Route(*(getattr(inside, name) for name in inside.__slots__))
        if patience and not 0 < record.timeout <= patience:
            record.timeout, record.timeout_flag = patience, flags.DC
        return self.add_route(record)

    def add_route(self, record: Route) -> int:
        if record.timeout:
            record.timeout_queue = self.timer_queue(timers.ROUTE_TIMEOUT, record.timeout)
        if record.per_try_timeout:
            record.per_try_queue = self.timer_queue(timers.PER_TRY_TIMEOUT, record.per_try_timeout)
        self.tables["route"].append(record)
        return len(self.tables["route"]) - 1

    def timer_queue(self, kind: int, duration: int) -> int:
        key = kind, duration
        if key not in self.queues:
            self.queues[key] = len(self.queues)
            self.tables["timer_queue"].append(TimerQueue(kind, duration))
        return self.queues[key]

    def law(self, law: spec_law.Law) -> int:
        """Index of the record of a law; equal laws share one."""
        key = _law_numbers(law)
        if key not in self.laws:
            self.laws[key] = len(self.laws)
            self.tables["law"].append(Law(*key))
        return self.laws[key]

    # ------------------------------------------------------------ load and faults

    def add_source(self) -> None:
        entry, load = self.arm.entry, self.arm.load
        cluster = self.edge(CLIENT, entry)
        upto = 0.0
        for endpoint, share in self.arm.mix.items():
            if share > 0:
                upto += share
                self.tables["mix"].append(Mix(upto, self.first_step[entry, endpoint], cluster))
        self.tables["mix"][-1].upto = 1.0
        self.tables["source"].append(
            Source(
                rate=load.rate / SECOND,
                even=int(load.arrivals == "even"),
                key=salt("source", entry),
                mixes=len(self.tables["mix"]),
            )
        )

    def faults(self) -> Array:
        rows = [row for number, fault in enumerate(self.arm.faults) for row in self.fault_rows(number, fault)]
        return np.array(rows, dtype=FAULT_DTYPE)

    def fault_rows(self, number: int, fault: Fault) -> Iterable[tuple[float, ...]]:
        """One row for each host or source that the fault strikes."""
        kind = _FAULT_KINDS[fault.kind]
        value = fault.probability if kind == FAILING_HOST else fault.factor
        begins, ends = fault.from_.at(self.arm.time), fault.until.at(self.arm.time)
        for who in [0] if kind == LOAD_SURGE else self.struck(fault):
            yield kind, number, who, value, fault.code, begins, ends

    def struck(self, fault: Fault) -> list[int]:
        """Indices of the hosts that a fault strikes: the first ones of its service and version."""
        name = str(fault.service)
        versions = self.arm.model.services[name].host_versions
        ranks = [rank for rank, version in enumerate(versions) if fault.version in (None, version)]
        return [self.first_host[name] + rank for rank in ranks[: fault.hosts]]

    # ------------------------------------------------------------ the whole

    def arrays(self) -> dict[str, Array]:
        self.tables["world"] = [World()]
        self.tables["supply"] = [Supply(), Supply(), Supply()]
        self.tables["gauge"] = [Gauge() for _ in self.services]
        growing = ("call", "attempt", "connection", "row", "change")
        return {
            name: to_array(kind, self.tables[name]) for name, kind in TABLES.items() if name not in growing
        }

    def vectors(self) -> dict[str, Array]:
        vectors = {
            "code": np.array(self.codes, dtype=np.int64),
            "lineup": np.arange(len(self.tables["member"]), dtype=np.int64),
            "histogram": np.zeros(len(self.services) * telemetry.BUCKETS, dtype=np.int64),
        }
        return {name: vectors[name] for name in VECTORS}

    def names(self) -> Names:
        return Names(
            services=tuple(self.services),
            hosts=tuple(self.host_names),
            host_service=tuple(record.service for record in self.tables["host"]),
            endpoints=tuple(self.endpoints),
            asked=tuple(self.endpoints[self.arm.entry, endpoint] for endpoint in self.arm.mix),
        )

    def expected_requests(self) -> float:
        """Client requests from the start to the end, surges included."""
        base = self.arm.load.rate * self.arm.time.total / SECOND
        extra = sum(
            (fault.factor - 1)
            * self.arm.load.rate
            * (fault.until.at(self.arm.time) - fault.from_.at(self.arm.time))
            for fault in self.arm.faults
            if fault.kind == "load-surge"
        )
        return base + extra / SECOND

    def expected_calls(self) -> float:
        """Calls that one client request makes in all, itself included."""
        made = {
            (service, endpoint): [call for step in body.steps for call in step.calls]
            for service, spec in self.arm.model.services.items()
            for endpoint, body in spec.endpoints.items()
        }
        callees = {caller: [call.target for call in calls] for caller, calls in made.items()}
        known: dict[tuple[str, str], float] = {}
        for caller in TopologicalSorter(callees).static_order():
            known[caller] = 1 + sum(call.probability * known[call.target] for call in made[caller])
        return sum(share * known[self.arm.entry, endpoint] for endpoint, share in self.arm.mix.items())


def _law_numbers(law: spec_law.Law) -> tuple[int, float, float]:
    """Kind and parameters of a law as `luck.duration` wants them."""
    kind = _LAW_KINDS[law.kind]
    first, *rest = law.parameters
    if kind == luck.UNIFORM:
        return kind, float(first), float(rest[0] - first)
    if kind == luck.PARETO:
        return kind, float(first), -1.0 / rest[0]
    return kind, float(first), float(rest[0]) if rest else 0.0


def _detector(outliers: OutlierDetection) -> Detector:
    return Detector(
        interval=outliers.interval,
        consecutive_5xx_errors=outliers.consecutive5xx_errors,
        base_ejection_time=outliers.base_ejection_time,
        max_ejection_time=max(_MAX_EJECTION_TIME, outliers.base_ejection_time),
        max_ejection_percent=outliers.max_ejection_percent,
    )


def _sample_every(total: int) -> int:
    """A round time between samples that gives at most about 400 of them."""
    return next((step for step in _SAMPLE_STEPS if step * _MOST_SAMPLES >= total), _SAMPLE_STEPS[-1])
