"""What Envoy can do and Istio has no field for: what an EnvoyFilter would patch into the proxies.

* The names are Envoy's, in camelCase; the defaults are Envoy's. What is given here wins over what Istio makes
  of its own fields. Envoy counts time in whole milliseconds.
* `localRateLimit` acts at the hosts of the service, in front of them; everything else in the proxies of
  its callers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from resilim.spec.base import Finding, Strict, camel
from resilim.spec.law import Law, constant
from resilim.spec.units import (
    MILLISECOND,
    SECOND,
    Count,
    Duration,
    Factor,
    Flag,
    IstioDuration,
    IstioDurationOrOff,
    Name,
    Percent,
    Share,
)

_LONGEST_EJECTION = 300 * SECOND
_LEAST_FILL_INTERVAL = 50 * MILLISECOND
MOST = 2**32 - 1

Unsigned = Annotated[Count, Field(ge=0, le=MOST)]
Percents = Annotated[Count, Field(ge=0, le=100)]
LbPolicy = Literal["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "RING_HASH", "MAGLEV"]


def _ratio(value: float) -> float:
    if not 1 <= value <= 3:
        raise ValueError(f"{value:g} is out of range: 1 to 3")
    return value


def _balance_factor(value: int) -> int:
    if 0 < value < 100:
        raise ValueError(f"{value} is too small: 0 (off), or at least 100")
    return value


def _fill_interval(value: int) -> int:
    if value < _LEAST_FILL_INTERVAL:
        raise ValueError("local rate limit token bucket fill timer must be >= 50ms")
    return value


class EnvoyCircuitBreakers(Strict):
    """Limits that Istio has no field for."""

    per_host_max_connections: Unsigned | None = Field(
        default=None, description="connections from one proxy to one host; absent: no limit"
    )
    max_connection_pools: Unsigned | None = Field(
        default=None, description="connection pools of one proxy; absent: no limit"
    )


class EnvoyOutlierDetection(Strict):
    """Ejection of hosts that fail, with all that Envoy can be told."""

    consecutive_5xx: Unsigned = Field(default=5, description="5xx in a row that eject a host; 0: off")
    enforcing_consecutive_5xx: Percents = Field(default=100, description="percent of those detected")
    consecutive_gateway_failure: Unsigned = Field(
        default=5, description="502, 503 and 504 in a row that eject a host; 0: off"
    )
    enforcing_consecutive_gateway_failure: Percents = Field(
        default=0, description="percent of those detected"
    )
    split_external_local_origin_errors: Flag = Field(
        default=False, description="true: timeouts, resets and connect failures are counted apart"
    )
    consecutive_local_origin_failure: Unsigned = Field(
        default=5, description="of those in a row that eject a host; 0: off"
    )
    enforcing_consecutive_local_origin_failure: Percents = Field(
        default=100, description="percent of those detected"
    )
    interval: IstioDuration = Field(default=10 * SECOND, description="time between sweeps")
    base_ejection_time: IstioDuration = Field(
        default=30 * SECOND, description="time out for a first ejection; longer when repeated"
    )
    max_ejection_time: IstioDuration | None = Field(
        default=None, description="longest time out; absent: 300s, or the base when that is longer"
    )
    max_ejection_time_jitter: IstioDurationOrOff = Field(
        default=0, description="a random time up to this is added to an ejection"
    )
    max_ejection_percent: Percents = Field(
        default=10, description="percent of the hosts that may be out at one time"
    )
    always_eject_one_host: Flag = Field(
        default=False, description="true: one host may be out whatever the percentage"
    )
    enforcing_success_rate: Percents = Field(default=100, description="percent of those detected")
    enforcing_local_origin_success_rate: Percents = Field(
        default=100, description="percent of those detected; only when counted apart"
    )
    success_rate_minimum_hosts: Unsigned = Field(default=5, description="hosts with enough requests")
    success_rate_request_volume: Unsigned = Field(default=100, description="requests that are enough")
    success_rate_stdev_factor: Unsigned = Field(
        default=1900, description="thousandths of a standard deviation below the mean"
    )
    failure_percentage_threshold: Percents = Field(default=85, description="percent that eject a host")
    enforcing_failure_percentage: Percents = Field(default=0, description="percent of those detected")
    enforcing_failure_percentage_local_origin: Percents = Field(
        default=0, description="percent of those detected; only when counted apart"
    )
    failure_percentage_minimum_hosts: Unsigned = Field(default=5, description="hosts with enough requests")
    failure_percentage_request_volume: Unsigned = Field(default=50, description="requests that are enough")
    successful_active_health_check_uneject_host: Flag = Field(
        default=True, description="true: a passed health check ends an ejection"
    )

    @classmethod
    def of(cls, **settings: object) -> Self:
        """The object with these settings, by their names in snake_case; ValidationError when one is wrong."""
        whole = {"base_ejection_time": cls.model_fields["base_ejection_time"].default, **settings}
        return cls.model_validate({camel(name): value for name, value in whole.items()})

    @property
    def longest_ejection(self) -> int:
        """The longest time out in effect, ns."""
        if self.max_ejection_time is not None:
            return self.max_ejection_time
        return max(_LONGEST_EJECTION, self.base_ejection_time)

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # what is not given leaves Istio's value as it is, so it must not be written back
        keys = self.keys()
        return {
            key: value for key, value in handler(self).items() if keys.get(key, key) in self.model_fields_set
        }

    def rules(self) -> Iterator[Finding]:
        # a base from Istio's block is checked where the two blocks come together
        if {"base_ejection_time", "max_ejection_time"} <= self.model_fields_set:
            yield from self.ejection_time_findings()

    def ejection_time_findings(self) -> Iterator[Finding]:
        """The rule between the longest and the first ejection."""
        if self.longest_ejection < self.base_ejection_time:
            message = "outlier detector's max_ejection_time cannot be smaller than base_ejection_time"
            yield Finding(("maxEjectionTime",), message)


class PreconnectPolicy(Strict):
    """Connections that are opened ahead of need."""

    per_upstream_preconnect_ratio: Annotated[Factor, AfterValidator(_ratio)] = Field(
        default=1.0, description="streams to have room for, for each one that is needed; 1 to 3"
    )


class LeastRequest(Strict):
    """How the least busy host is looked for."""

    choice_count: Annotated[Count, Field(ge=2, le=MOST)] = Field(
        default=2, description="hosts drawn, of which the least busy one is taken"
    )


class SlowStart(Strict):
    """A new host gets its share of the load little by little."""

    window: IstioDuration = Field(description="time until a new host has its whole weight")
    aggression: Factor = Field(default=1.0, description="1: linear; above: faster at first")
    min_weight_percent: Percent = Field(default=10.0, description="least share of its weight")


class ZoneAware(Strict):
    """Callers prefer hosts of their own locality as far as these can take it."""

    min_cluster_size: Annotated[Count, Field(ge=1, le=MOST)] = Field(
        default=6, description="only with so many healthy hosts"
    )


class HealthChecks(Strict):
    """Checks that callers' proxies make on their own."""

    timeout: IstioDuration = Field(description="time after which a check has failed")
    interval: IstioDuration = Field(description="time between the checks of a host")
    unhealthy_threshold: Annotated[Count, Field(ge=1, le=MOST)] = Field(
        description="failed checks in a row that make a host unhealthy"
    )
    healthy_threshold: Annotated[Count, Field(ge=1, le=MOST)] = Field(
        description="passed checks in a row that make it healthy again; the very first one is enough"
    )
    initial_jitter: IstioDurationOrOff = Field(
        default=0, description="random time before the first check, up to this"
    )
    interval_jitter: IstioDurationOrOff = Field(
        default=0, description="random time added to an interval, up to this"
    )
    interval_jitter_percent: Percents = Field(default=0, description="the same, in percent of the interval")
    unhealthy_interval: IstioDuration | None = Field(
        default=None, description="interval for an unhealthy host; absent: interval"
    )
    healthy_edge_interval: IstioDuration | None = Field(
        default=None, description="interval after a first passed check; absent: interval"
    )
    unhealthy_edge_interval: IstioDuration | None = Field(
        default=None, description="interval after a first failed check; absent: unhealthyInterval"
    )
    no_traffic_interval: IstioDuration = Field(
        default=60 * SECOND, description="interval while the callers' proxy never had a request"
    )
    response: Law = Field(
        default=constant(1 * MILLISECOND), description="time that a host takes to answer a check"
    )


class RetryBackOff(Strict):
    """The pauses between retries."""

    max_interval: IstioDuration = Field(description="longest pause; without it 10 times the backoff")


class TokenBucket(Strict):
    """Room for bursts, and what comes back over time."""

    max_tokens: Annotated[Count, Field(ge=1, le=MOST)] = Field(
        description="requests that a full bucket lets pass at once; it starts full"
    )
    tokens_per_fill: Annotated[Count, Field(ge=1, le=MOST)] = Field(
        default=1, description="requests that come back in every interval"
    )
    fill_interval: Annotated[Duration, AfterValidator(_fill_interval)] = Field(
        description="the interval, at least 50ms"
    )


class LocalRateLimit(Strict):
    """A limit of the requests that one host's own proxy lets in."""

    token_bucket: TokenBucket = Field(description="the limit")
    filter_enabled: Share = Field(default=0.0, description="share of the requests that are counted")
    filter_enforced: Share = Field(
        default=0.0, description="share of the requests over the limit that are refused"
    )
    status_code: Annotated[Count, Field(ge=400, le=599)] = Field(
        default=429, description="status of a refusal"
    )

    def rules(self) -> Iterator[Finding]:
        if self.filter_enabled == 0:
            message = (
                "filterEnabled is 0% when absent, as in Envoy: it limits nothing; write filterEnabled: 100%"
            )
            yield Finding(("filterEnabled",), message)
        if "filter_enforced" not in self.model_fields_set:
            message = (
                "filterEnforced is 0% when absent, as in Envoy: it refuses nothing;"
                " write filterEnforced: 100%, or 0% to count only"
            )
            yield Finding(("filterEnforced",), message)


class EnvoySettings(Strict):
    """What an EnvoyFilter would set for one service."""

    circuit_breakers: EnvoyCircuitBreakers = Field(
        default=EnvoyCircuitBreakers(), description="limits that Istio has no field for"
    )
    outlier_detection: EnvoyOutlierDetection | None = Field(
        default=None, description="what is given wins over Istio's outlierDetection"
    )
    update_merge_window: IstioDurationOrOff = Field(
        default=1 * SECOND,
        description="changes of health within this time reach the balancer together; 0s: each at once",
    )
    healthy_panic_threshold: Percents | None = Field(
        default=None,
        description="percent of healthy hosts below which all are used; absent: Istio's minHealthPercent,"
        " or 50 without outlierDetection",
    )
    preconnect_policy: PreconnectPolicy = Field(
        default=PreconnectPolicy(), description="connections that are opened ahead of need"
    )
    lb_policy: LbPolicy | None = Field(default=None, description="algorithm; absent: Istio's")
    least_request: LeastRequest | None = Field(
        default=None, description="for LEAST_REQUEST; absent: the better of two hosts"
    )
    hash_balance_factor: Annotated[Unsigned, AfterValidator(_balance_factor)] = Field(
        default=0,
        description="for RING_HASH and MAGLEV: a host gets at most this percent of the mean load;"
        " 0: no bound",
    )
    weights: dict[Name, Annotated[Count, Field(ge=1, le=1_000_000)]] = Field(
        default={}, description="weight of a host, by version; absent: 1"
    )
    slow_start: SlowStart | None = Field(default=None, description="absent: Istio's warmup")
    locality_weighted: Flag | None = Field(
        default=None, description="true: a locality is chosen by its weight first; absent: Istio's choice"
    )
    zone_aware_lb_config: ZoneAware | None = Field(
        default=None, description="callers prefer hosts of their own locality; absent: they do not"
    )
    fail_traffic_on_panic: Flag = Field(
        default=False, description="true: requests fail when too few hosts are healthy"
    )
    health_checks: HealthChecks | None = Field(default=None, description="active checks; absent: none")
    drop_overload: Share = Field(default=0.0, description="share of the calls that are dropped")
    retry_back_off: RetryBackOff | None = Field(default=None, description="pauses between retries")
    hedge_on_per_try_timeout: Flag = Field(
        default=False, description="true: a per-try timeout sends another attempt beside the slow one"
    )
    max_stream_duration: IstioDuration | None = Field(
        default=None, description="time that one attempt may take; absent: no limit"
    )
    local_rate_limit: LocalRateLimit | None = Field(
        default=None, description="limit at the hosts themselves; absent: none"
    )
