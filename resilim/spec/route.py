"""How calls to one service are made: the http part of a VirtualService.

* No `retries` block means Istio's default policy; a block says for itself how many `attempts`.
* A `perTryTimeout` that is not below the `timeout` is refused, because Envoy ignores it.
* A delay or an abort without a percentage strikes no request, so it is refused.
* Weights are shares of their sum. A single destination takes everything; of several, those of weight 0 take
  nothing.
* A mirror gets a copy of every call that gets as far as a first attempt, or of a percentage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from resilim.spec.base import Finding, Strict
from resilim.spec.retry_on import conditions, retry_on_findings, status_codes
from resilim.spec.units import (
    MILLISECOND,
    Count,
    Flag,
    IstioDuration,
    Name,
    Percent,
    format_duration,
    quoted,
)

RESELECTIONS = 5
"""Further picks when a retry meets a host that was tried already: Istio's number."""


def _abort_status(value: int) -> int:
    if not 200 <= value <= 599:
        raise ValueError(f"HTTP status {value} is not in range 200-599")
    return value


def _weight(value: int) -> int:
    if value < 0:
        raise ValueError(f"weight {value} < 0")
    return value


def service_of(host: str) -> str:
    """The service that `cart` or `cart.shop.svc.cluster.local` names."""
    return host.split(".")[0]


def host_findings(host: str, steps: tuple[str | int, ...]) -> Iterator[Finding]:
    """What is wrong with the name of a host."""
    labels = host.split(".")
    if host.startswith("*"):
        yield Finding(steps, f"invalid destination host {host}")
    elif len(labels) != 1 and labels[2:] != ["svc", "cluster", "local"]:
        message = f"{quoted(host)} is neither a service name nor <service>.<namespace>.svc.cluster.local"
        yield Finding(steps, message)


class Retries(Strict):
    """When and how often a client proxy tries again."""

    not_simulated: ClassVar[frozenset[str]] = frozenset({"retryRemoteLocalities"})

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
    retry_ignore_previous_hosts: Flag | None = Field(
        default=None,
        description="true: a retry looks for a host that was not tried yet, up to 5 times;"
        " absent: true, but false with consistentHash",
    )

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions of `retry_on`, without status codes."""
        return conditions(self.retry_on)

    @property
    def status_codes(self) -> tuple[int, ...]:
        """The status codes of `retry_on`."""
        return status_codes(self.retry_on)

    def rules(self) -> Iterator[Finding]:
        given = self.model_fields_set
        if given and "attempts" not in given:
            message = "Istio reads retries without attempts as attempts: 0; write the attempts"
            yield Finding((), message)
        if self.attempts == 0 and given - {"attempts"}:
            message = "http retry policy configured when attempts are set to 0 (disabled)"
            yield Finding(("attempts",), message)
        yield from retry_on_findings(self.retry_on)

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # what is written back must pass the rule on attempts: 0
        return handler(self) if self.attempts else {"attempts": 0}


class Percentage(Strict):
    """Istio's way to write a percentage."""

    value: Percent = Field(default=0.0, description="0 to 100")

    def rules(self) -> Iterator[Finding]:
        if 0 < self.value < 0.0001:
            message = f"percentage {self.value:g} is neither 0.0, nor in range [0.0001, 100.0]"
            yield Finding(("value",), message)


class _Injected(Strict):
    """The part of the requests to which something is done."""

    percentage: Percentage | None = Field(default=None, description="of the requests")
    percent: Annotated[Count, Field(ge=0, le=100)] | None = Field(
        default=None, description="the old way to write the percentage"
    )

    @property
    def share(self) -> float:
        """Share of the requests, 0 to 1."""
        percent = self.percentage.value if self.percentage else float(self.percent or 0)
        return percent / 100

    def rules(self) -> Iterator[Finding]:
        if self.percentage is None and self.percent is None:
            yield Finding((), "without a percentage no request is struck; write percentage: {value: 100}")
        elif self.percentage is not None and self.percent is not None:
            yield Finding(("percent",), "percent is the old name of percentage; write one of them")


class Delay(_Injected):
    """A pause before the call is made."""

    not_simulated: ClassVar[frozenset[str]] = frozenset({"exponentialDelay"})

    fixed_delay: IstioDuration = Field(description="length of the pause")


class Abort(_Injected):
    """An answer without a call."""

    not_simulated: ClassVar[frozenset[str]] = frozenset({"grpcStatus", "http2Error"})

    http_status: Annotated[Count, AfterValidator(_abort_status)] = Field(description="200 to 599")


class FaultInjection(Strict):
    """What callers' proxies do to calls on purpose."""

    delay: Delay | None = Field(default=None, description="drawn first")
    abort: Abort | None = Field(default=None, description="drawn after the delay, independently")

    def rules(self) -> Iterator[Finding]:
        if self.delay is None and self.abort is None:
            yield Finding((), "HTTP fault injection must have an abort and/or a delay")


class Destination(Strict):
    """The hosts that calls go to: all of a service, or a subset."""

    not_simulated: ClassVar[frozenset[str]] = frozenset({"port"})

    host: Name = Field(description="the service: its name, or its full name in the cluster")
    subset: Name | None = Field(default=None, description="name of a subset; absent: all hosts")

    def rules(self) -> Iterator[Finding]:
        yield from host_findings(self.host, ("host",))


class WeightedDestination(Strict):
    """One of the destinations of a route."""

    not_simulated: ClassVar[frozenset[str]] = frozenset({"headers"})

    destination: Destination = Field(description="where calls go")
    weight: Annotated[Count, AfterValidator(_weight)] = Field(
        default=0, description="share of the sum of all weights; a single destination takes everything"
    )


class Mirror(Strict):
    """A destination that gets copies."""

    destination: Destination = Field(description="where copies go")
    percentage: Percentage | None = Field(default=None, description="of the calls; absent: all")

    @property
    def share(self) -> float:
        """Share of the calls that are copied, 0 to 1."""
        return self.percentage.value / 100 if self.percentage else 1.0


class Route(Strict):
    """The part of a VirtualService that says how calls to one service are made."""

    not_simulated: ClassVar[frozenset[str]] = frozenset(
        {
            "corsPolicy",
            "delegate",
            "directResponse",
            "headers",
            "match",
            "redirect",
            "rewrite",
        }
    )

    timeout: IstioDuration | None = Field(
        default=None, description="time for a call with all its retries; absent: no limit"
    )
    retries: Retries = Field(default=Retries(), description="absent: Istio's default policy")
    fault: FaultInjection | None = Field(default=None, description="delays and errors on purpose")
    route: tuple[WeightedDestination, ...] | None = Field(
        default=None, description="destinations and their weights; absent: all hosts of the service"
    )
    mirror: Destination | None = Field(default=None, description="destination that gets copies")
    mirror_percentage: Percentage | None = Field(
        default=None, description="of the calls that are copied; absent: all"
    )
    mirror_percent: Annotated[Count, Field(ge=0, le=100)] | None = Field(
        default=None, description="the old way to write mirrorPercentage"
    )
    mirrors: tuple[Mirror, ...] = Field(default=(), description="several destinations that get copies")

    @property
    def weighted(self) -> tuple[tuple[Destination, float], ...]:
        """The destinations that get calls, and the share of each; empty: all hosts of the service."""
        entries = self.route or ()
        if len(entries) == 1:
            return ((entries[0].destination, 1.0),)
        total = sum(entry.weight for entry in entries)
        return tuple((entry.destination, entry.weight / total) for entry in entries if entry.weight > 0)

    @property
    def copies(self) -> tuple[Mirror, ...]:
        """All mirrors, however they are written."""
        if self.mirror is None:
            return self.mirrors
        percentage = self.mirror_percentage
        if self.mirror_percent is not None:
            percentage = Percentage(value=self.mirror_percent)
        return (Mirror(destination=self.mirror, percentage=percentage),)

    def rules(self) -> Iterator[Finding]:
        yield from self._timeout_findings()
        if self.route == ():
            yield Finding(("route",), "HTTP route, redirect or direct_response is required")
        entries = self.route or ()
        if len(entries) > 1 and not any(entry.weight for entry in entries):
            yield Finding(("route",), "total destination weight = 0")
        yield from self._mirror_findings()

    def _timeout_findings(self) -> Iterator[Finding]:
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

    def _mirror_findings(self) -> Iterator[Finding]:
        if self.mirror is not None and self.mirrors:
            yield Finding(("mirrors",), "HTTP route cannot contain both mirror and mirrors")
        percentages = {"mirrorPercentage": self.mirror_percentage, "mirrorPercent": self.mirror_percent}
        given = [key for key, value in percentages.items() if value is not None]
        if given and self.mirror is None:
            yield Finding((given[0],), f"{given[0]} belongs to mirror, which is not there")
        if len(given) == 2:
            message = "mirrorPercent is the old name of mirrorPercentage; write one of them"
            yield Finding(("mirrorPercent",), message)
