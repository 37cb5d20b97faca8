"""Mesh policy in Istio's names: a DestinationRule's policy, and a VirtualService's route.

* A limit that is 0 or absent is no limit: 2^32 - 1, as Istio writes it into Envoy's configuration.
* `outlierDetection` is off when absent; present, even empty, it is on with Istio's defaults.
* `maxEjectionPercent: 0` is the same as absent: 10.
* No `retries` block means Istio's default policy; a block says for itself how many `attempts`.
* A `perTryTimeout` that is not below the `timeout` is refused, because Envoy ignores it.
* Istio durations are at least 1 ms, in whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from resilim.spec.base import Finding, Strict
from resilim.spec.problems import nearest
from resilim.spec.units import (
    MILLISECOND,
    SECOND,
    Count,
    IstioDuration,
    format_duration,
    quoted,
)

UNLIMITED = 2**32 - 1
_DEFAULT_EJECTION_PERCENT = 10

RETRY_TOKENS = (
    "5xx",
    "gateway-error",
    "reset",
    "connect-failure",
    "refused-stream",
    "retriable-4xx",
    "unavailable",
    "cancelled",
)
_OTHER_RETRY_TOKENS = (
    "reset-before-request",
    "retriable-status-codes",
    "retriable-headers",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "envoy-ratelimited",
    "http3-post-connect-failure",
)


def _percentage(value: int) -> int:
    if not 0 <= value <= 100:
        raise ValueError(f"percentage {value} is not in range 0..100")
    return value


Percentage = Annotated[Count, AfterValidator(_percentage)]
EjectionPercentage = Annotated[Percentage, AfterValidator(lambda value: value or _DEFAULT_EJECTION_PERCENT)]
Limit = Annotated[Count, Field(ge=0, le=2**31 - 1)]


def _not_empty(block: Strict, what: str) -> Iterator[Finding]:
    if not block.model_fields_set:
        yield Finding((), f"{what} must have at least one field")


def _retry_token_rule(token: str) -> Iterator[Finding]:
    if token in RETRY_TOKENS:
        return
    if token.isascii() and token.isdigit() and 200 <= int(token[:4]) <= 599:
        return
    if token in _OTHER_RETRY_TOKENS:
        message = f"{quoted(token)} is a retryOn policy that resilim does not simulate yet; remove it"
        yield Finding(("retryOn",), message)
        return
    hint = nearest(token.strip(), RETRY_TOKENS)
    yield Finding(("retryOn",), f"{quoted(token)} is not a valid retryOn policy", hint)


class TcpPool(Strict):
    """Limits on connections."""

    not_simulated: ClassVar[frozenset[str]] = frozenset(
        {"connectTimeout", "idleTimeout", "maxConnectionDuration", "tcpKeepalive"}
    )

    max_connections: Limit | None = Field(
        default=None, description="connections from one proxy to all hosts; 0 or absent: no limit"
    )

    def rules(self) -> Iterator[Finding]:
        yield from _not_empty(self, "connection pool")


class HttpPool(Strict):
    """Limits on requests."""

    not_simulated: ClassVar[frozenset[str]] = frozenset(
        {"idleTimeout", "maxConcurrentStreams", "useClientProtocol"}
    )

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
        {
            "consecutiveErrors",
            "consecutiveGatewayErrors",
            "consecutiveLocalOriginFailures",
            "outlierDetectionHttpErrorCodes",
            "splitExternalLocalOriginErrors",
        }
    )

    consecutive5xx_errors: Annotated[Count, Field(ge=0, le=UNLIMITED)] = Field(
        default=5, description="5xx answers in a row that eject a host; 0: off"
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


class LoadBalancer(Strict):
    """How a host is chosen."""

    not_simulated: ClassVar[frozenset[str]] = frozenset(
        {
            "consistentHash",
            "localityLbSetting",
            "warmup",
            "warmupDurationSecs",
            "zoneAwareLbSetting",
        }
    )

    simple: Literal["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "LEAST_CONN", "UNSPECIFIED"] = Field(
        default="LEAST_REQUEST",
        description="algorithm; LEAST_CONN and UNSPECIFIED are old names of LEAST_REQUEST",
    )


@dataclass(frozen=True)
class PoolLimits:
    """The limits in effect; `UNLIMITED` where there is none."""

    connections: int
    pending: int
    requests: int
    requests_per_connection: int
    retries: int


class TrafficPolicy(Strict):
    """What client proxies do towards one service."""

    not_simulated: ClassVar[frozenset[str]] = frozenset(
        {"portLevelSettings", "proxyProtocol", "retryBudget", "tls", "tunnel"}
    )

    connection_pool: ConnectionPool | None = Field(default=None, description="limits")
    outlier_detection: OutlierDetection | None = Field(
        default=None, description="ejection of failing hosts; absent: off"
    )
    load_balancer: LoadBalancer = Field(default=LoadBalancer(), description="how a host is chosen")

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
        )


class Retries(Strict):
    """When and how often a client proxy tries again."""

    not_simulated: ClassVar[frozenset[str]] = frozenset({"retryIgnorePreviousHosts", "retryRemoteLocalities"})

    attempts: Annotated[Count, Field(ge=0, le=20)] = Field(
        default=2, description="retries after the first try; 0: none"
    )
    per_try_timeout: IstioDuration | None = Field(
        default=None, description="time for one try, the first included; absent: the timeout"
    )
    retry_on: str = Field(
        default="connect-failure,refused-stream,unavailable,cancelled",
        description="what is tried again: a list with commas and without blanks",
    )
    backoff: IstioDuration = Field(
        default=25 * MILLISECOND, description="base time of the pause before a retry"
    )

    @property
    def retry_tokens(self) -> tuple[str, ...]:
        """The conditions of `retry_on`, one by one."""
        return tuple(self.retry_on.split(","))

    def rules(self) -> Iterator[Finding]:
        given = self.model_fields_set
        if given and "attempts" not in given:
            message = "Istio reads retries without attempts as attempts: 0; write the attempts"
            yield Finding((), message)
        if self.attempts == 0 and given & {"per_try_timeout", "retry_on", "backoff"}:
            message = "http retry policy configured when attempts are set to 0 (disabled)"
            yield Finding(("attempts",), message)
        for token in self.retry_tokens:
            yield from _retry_token_rule(token)

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # what is written back must pass the rule on attempts: 0
        return handler(self) if self.attempts else {"attempts": 0}


class Route(Strict):
    """The part of a VirtualService that says how calls to one service are made."""

    not_simulated: ClassVar[frozenset[str]] = frozenset(
        {
            "corsPolicy",
            "delegate",
            "directResponse",
            "fault",
            "headers",
            "match",
            "mirror",
            "mirrorPercentage",
            "mirrors",
            "redirect",
            "rewrite",
            "route",
        }
    )

    timeout: IstioDuration | None = Field(
        default=None, description="time for a call with all its retries; absent: no limit"
    )
    retries: Retries = Field(default=Retries(), description="absent: Istio's default policy")

    def rules(self) -> Iterator[Finding]:
        if "retries" in self.model_fields_set and not self.retries.model_fields_set:
            message = "Istio reads an empty block as no retries at all; write attempts: 0"
            yield Finding(("retries",), message)
        per_try = self.retries.per_try_timeout
        if per_try is not None and self.timeout is not None and per_try >= self.timeout:
            yield Finding(
                ("retries", "perTryTimeout"),
                f"{format_duration(per_try)} is not below the timeout of"
                f" {format_duration(self.timeout)}: Envoy ignores it",
            )
