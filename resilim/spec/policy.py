"""Mesh policy in Istio's names: what a DestinationRule says of a service, or of a subset of its hosts.

* A limit that is 0 or absent is no limit: 2^32 - 1, as Istio writes it into Envoy's configuration.
* `outlierDetection` is off when absent; present, even empty, it is on with Istio's defaults, and without
  Envoy's success rate, which Istio switches off.
* `maxEjectionPercent: 0` is the same as absent: 10.
* The policy of a subset replaces that of its service block by block.
* Istio durations are at least 1 ms, in whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from resilim.spec.balancer import LoadBalancer
from resilim.spec.base import Finding, Strict
from resilim.spec.envoy import EnvoyOutlierDetection
from resilim.spec.units import HOUR, SECOND, Count, Flag, IstioDuration, IstioDurationOrOff, Percent

UNLIMITED = 2**32 - 1
_DEFAULT_EJECTION_PERCENT = 10
_DEFAULT_STREAMS = 1024


def _percentage(value: int) -> int:
    if not 0 <= value <= 100:
        raise ValueError(f"percentage {value} is not in range 0..100")
    return value


Percentage = Annotated[Count, AfterValidator(_percentage)]
EjectionPercentage = Annotated[Percentage, AfterValidator(lambda value: value or _DEFAULT_EJECTION_PERCENT)]
Limit = Annotated[Count, Field(ge=0, le=2**31 - 1)]
Errors = Annotated[Count, Field(ge=0, le=UNLIMITED)]


def _not_empty(block: Strict, what: str) -> Iterator[Finding]:
    if not block.model_fields_set:
        yield Finding((), f"{what} must have at least one field")


class TcpPool(Strict):
    """Limits on connections."""

    not_simulated: ClassVar[frozenset[str]] = frozenset({"tcpKeepalive"})

    max_connections: Limit | None = Field(
        default=None, description="connections from one proxy to all hosts; 0 or absent: no limit"
    )
    connect_timeout: IstioDuration = Field(
        default=10 * SECOND, description="time to set up a connection, TLS included"
    )
    idle_timeout: IstioDurationOrOff = Field(
        default=1 * HOUR, description="a connection without a request is closed after so long; 0s: never"
    )
    max_connection_duration: IstioDuration | None = Field(
        default=None, description="age at which a connection takes no more requests; absent: none"
    )

    def rules(self) -> Iterator[Finding]:
        yield from _not_empty(self, "connection pool")


class HttpPool(Strict):
    """Limits on requests."""

    not_simulated: ClassVar[frozenset[str]] = frozenset({"useClientProtocol"})

    http1_max_pending_requests: Limit | None = Field(
        default=None,
        description="requests that wait for a connection, HTTP/1.1 and HTTP/2; 0 or absent: no limit",
    )
    http2_max_requests: Limit | None = Field(
        default=None,
        description="active requests to all hosts, HTTP/1.1 and HTTP/2; 0 or absent: no limit",
    )
    max_requests_per_connection: Annotated[Count, Field(ge=0, le=2**29)] | None = Field(
        default=None, description="requests after which a connection closes; 0 or absent: no limit"
    )
    max_retries: Limit | None = Field(
        default=None, description="retries outstanding at one time; 0 or absent: no limit"
    )
    idle_timeout: IstioDuration | None = Field(
        default=None, description="as tcp.idleTimeout, which holds when this is absent"
    )
    max_concurrent_streams: Limit | None = Field(
        default=None, description="HTTP/2: requests at once on one connection; 0 or absent: 1024"
    )
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] = Field(
        default="DEFAULT", description="whether HTTP/1.1 becomes HTTP/2 towards the hosts"
    )

    def rules(self) -> Iterator[Finding]:
        yield from _not_empty(self, "connection pool")


class ConnectionPool(Strict):
    """Envoy's circuit breaking: limits of one client proxy towards one service."""

    tcp: TcpPool | None = Field(default=None, description="limits on connections")
    http: HttpPool | None = Field(default=None, description="limits on requests")

    def rules(self) -> Iterator[Finding]:
        yield from _not_empty(self, "connection pool")


class OutlierDetection(Strict):
    """Ejection of hosts that fail, by one client proxy."""

    not_simulated: ClassVar[frozenset[str]] = frozenset(
        {"consecutiveErrors", "outlierDetectionHttpErrorCodes"}
    )

    consecutive5xx_errors: Errors = Field(
        default=5, description="5xx answers in a row that eject a host; 0: off"
    )
    consecutive_gateway_errors: Errors | None = Field(
        default=None, description="502, 503 and 504 in a row that eject a host; 0 or absent: off"
    )
    split_external_local_origin_errors: Flag = Field(
        default=False, description="true: timeouts, resets and connect failures are counted apart"
    )
    consecutive_local_origin_failures: Errors | None = Field(
        default=None, description="of those in a row that eject a host; 0 or absent: 5"
    )
    interval: IstioDuration = Field(
        default=10 * SECOND, description="time between the sweeps that let hosts back in"
    )
    base_ejection_time: IstioDuration = Field(
        default=30 * SECOND, description="time out for a first ejection; longer when repeated"
    )
    max_ejection_percent: EjectionPercentage = Field(
        default=_DEFAULT_EJECTION_PERCENT,
        description="percent of the hosts that may be out at one time; 0 or absent: 10",
    )
    min_health_percent: Percentage = Field(
        default=0,
        description="below this percent of healthy hosts ejection is ignored; 0: never",
    )

    def rules(self) -> Iterator[Finding]:
        if self.consecutive_local_origin_failures is not None and not self.split_external_local_origin_errors:
            message = (
                "outlier detection consecutive local origin failures is specified,"
                " but split external local origin errors is set to false"
            )
            yield Finding(("consecutiveLocalOriginFailures",), message)

    def for_envoy(self) -> dict[str, object]:
        """What Istio makes of it: Envoy's settings, by their names in snake_case."""
        gateway = self.consecutive_gateway_errors
        settings: dict[str, object] = {
            "consecutive_5xx": self.consecutive5xx_errors,
            "enforcing_consecutive_5xx": 100 if self.consecutive5xx_errors else 0,
            "split_external_local_origin_errors": self.split_external_local_origin_errors,
            "interval": self.interval,
            "base_ejection_time": self.base_ejection_time,
            "max_ejection_percent": self.max_ejection_percent,
            "enforcing_success_rate": 0,
            "enforcing_local_origin_success_rate": 0,
        }
        if gateway is not None:
            settings["consecutive_gateway_failure"] = gateway
            settings["enforcing_consecutive_gateway_failure"] = 100 if gateway else 0
        if self.consecutive_local_origin_failures:
            settings["consecutive_local_origin_failure"] = self.consecutive_local_origin_failures
        return settings


class RetryBudget(Strict):
    """A limit of retries that grows with the load; in place of `maxRetries`."""

    not_simulated: ClassVar[frozenset[str]] = frozenset({"budgetInterval"})

    percent: Percent = Field(default=20.0, description="of the active and pending requests")
    min_retry_concurrency: Annotated[Count, Field(ge=0, le=UNLIMITED)] = Field(
        default=3, description="retries at one time that are always allowed"
    )


@dataclass(frozen=True)
class PoolLimits:
    """The limits in effect; `UNLIMITED` where there is none. Times in ns, 0 where there is none."""

    connections: int
    pending: int
    requests: int
    requests_per_connection: int
    retries: int
    streams: int
    connect_timeout: int
    idle_timeout: int
    connection_duration: int


class TrafficPolicy(Strict):
    """What client proxies do towards one service."""

    not_simulated: ClassVar[frozenset[str]] = frozenset(
        {"portLevelSettings", "proxyProtocol", "tls", "tunnel"}
    )

    connection_pool: ConnectionPool | None = Field(default=None, description="limits")
    outlier_detection: OutlierDetection | None = Field(
        default=None, description="ejection of failing hosts; absent: off"
    )
    load_balancer: LoadBalancer | None = Field(
        default=None, description="how a host is chosen; absent: LEAST_REQUEST"
    )
    retry_budget: RetryBudget | None = Field(
        default=None, description="limit of retries that grows with the load; absent: maxRetries"
    )

    @property
    def balancer(self) -> LoadBalancer:
        """How a host is chosen."""
        return self.load_balancer or LoadBalancer()

    @property
    def limits(self) -> PoolLimits:
        """The limits of the connection pool, with Istio's value for those that are not set."""
        pool = self.connection_pool or ConnectionPool.model_construct()
        tcp = pool.tcp or TcpPool.model_construct()
        http = pool.http or HttpPool.model_construct()
        return PoolLimits(
            connections=tcp.max_connections or UNLIMITED,
            pending=http.http1_max_pending_requests or UNLIMITED,
            requests=http.http2_max_requests or UNLIMITED,
            requests_per_connection=http.max_requests_per_connection or UNLIMITED,
            retries=http.max_retries or UNLIMITED,
            streams=http.max_concurrent_streams or _DEFAULT_STREAMS,
            connect_timeout=tcp.connect_timeout,
            idle_timeout=tcp.idle_timeout if http.idle_timeout is None else http.idle_timeout,
            connection_duration=tcp.max_connection_duration or 0,
        )

    @property
    def upgrades(self) -> bool:
        """Whether HTTP/1.1 becomes HTTP/2 towards the hosts."""
        http = self.connection_pool.http if self.connection_pool else None
        return http is not None and http.h2_upgrade_policy == "UPGRADE"

    def over(self, base: TrafficPolicy) -> TrafficPolicy:
        """The policy of a subset: its own blocks, and those of its service where it has none."""
        own = {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        return base.model_copy(update=own)

    def rules(self) -> Iterator[Finding]:
        locality = self.load_balancer.locality_lb_setting if self.load_balancer else None
        if locality is not None and locality.failover and self.outlier_detection is None:
            steps = ("loadBalancer", "localityLbSetting", "failover")
            yield Finding(steps, "outlier detection policy must be provided for failover")
        if self.retry_budget is not None and self.limits.retries != UNLIMITED:
            steps = ("connectionPool", "http", "maxRetries")
            yield Finding(steps, "maxRetries has no effect beside a retryBudget, which takes its place")


def outlier_settings(
    istio: OutlierDetection | None, envoy: EnvoyOutlierDetection | None
) -> EnvoyOutlierDetection | None:
    """The detector in effect: Istio's block as it arrives in Envoy, and what is given to Envoy over it.

    Unchecked: whether the two fit together is a rule between blocks.
    """
    if istio is None:
        return envoy
    given = {name: getattr(envoy, name) for name in envoy.model_fields_set} if envoy else {}
    return EnvoyOutlierDetection.model_construct(**{**istio.for_envoy(), **given})
