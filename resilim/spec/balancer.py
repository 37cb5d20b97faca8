"""How a proxy chooses a host, in Istio's names.

* `simple` or `consistentHash`, not both; neither means LEAST_REQUEST.
* `consistentHash` hashes who the client is. A user of the load is known by the header, cookie or query
  parameter that every service passes on.
* `localityLbSetting`: `distribute` says which share goes to which locality; without it, callers of a service
  that has `outlierDetection` prefer hosts in their own zone, then in their own region.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from resilim.spec.base import Finding, Strict
from resilim.spec.units import Count, Flag, IstioDuration, Name, Percent, format_duration, parse_factor

DEFAULT_RING = 1024
DEFAULT_TABLE = 65537
_LARGEST_RING = 8 * 2**20
_LARGEST_TABLE = 5_000_011

Algorithm = Literal["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "LEAST_CONN", "UNSPECIFIED"]


def _no_passthrough(value: object) -> object:
    if value == "PASSTHROUGH":
        raise ValueError(
            "PASSTHROUGH sends a request to the address that the caller asked for, and resilim has no"
            " addresses; choose another algorithm or leave it out"
        )
    return value


def _prime(value: int) -> int:
    if value >= _LARGEST_TABLE:
        raise ValueError(f"tableSize must be less than {_LARGEST_TABLE} for maglev")
    if value < 2 or any(value % divisor == 0 for divisor in range(2, math.isqrt(value) + 1)):
        raise ValueError("tableSize must be a prime number for maglev")
    return value


def _aggression(value: float) -> float:
    if value < 1:
        raise ValueError("aggression should be greater than or equal to 1")
    return value


RingSize = Annotated[Count, Field(ge=0, le=_LARGEST_RING)]


class HttpCookie(Strict):
    """A cookie that tells clients apart."""

    name: Name = Field(description="name of the cookie")
    path: Name | None = Field(default=None, description="path of the cookie; not used")
    ttl: IstioDuration | None = Field(default=None, description="life of the cookie; not used")


class RingHash(Strict):
    """Hosts on a ring of hashes."""

    minimum_ring_size: RingSize = Field(default=DEFAULT_RING, description="entries of the ring, at least")


class Maglev(Strict):
    """Hosts in a table of hashes."""

    table_size: Annotated[Count, AfterValidator(_prime)] = Field(
        default=DEFAULT_TABLE, description="entries of the table, a prime number"
    )


class ConsistentHash(Strict):
    """The same client gets the same host."""

    http_header_name: Name | None = Field(default=None, description="header that tells clients apart")
    http_cookie: HttpCookie | None = Field(default=None, description="cookie that tells clients apart")
    http_query_parameter_name: Name | None = Field(
        default=None, description="query parameter that tells clients apart"
    )
    use_source_ip: Flag = Field(
        default=False, description="true: the address of the calling host tells clients apart"
    )
    ring_hash: RingHash | None = Field(default=None, description="a ring; the default")
    maglev: Maglev | None = Field(default=None, description="a table")
    minimum_ring_size: RingSize | None = Field(
        default=None, description="the old way to write ringHash.minimumRingSize"
    )

    @property
    def table_size(self) -> int:
        """Least number of entries of the ring, or number of entries of the table."""
        if self.maglev is not None:
            return self.maglev.table_size
        return (
            self.ring_hash.minimum_ring_size if self.ring_hash else self.minimum_ring_size
        ) or DEFAULT_RING

    def rules(self) -> Iterator[Finding]:
        keys = {
            "httpHeaderName": self.http_header_name,
            "httpCookie": self.http_cookie,
            "httpQueryParameterName": self.http_query_parameter_name,
            "useSourceIp": self.use_source_ip or None,
        }
        given = [key for key, value in keys.items() if value is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            yield Finding((), f"a consistent hash is of one of {', '.join(keys)}, not of {found}")
        if self.ring_hash is not None and self.maglev is not None:
            yield Finding(("maglev",), "only one of ringHash and maglev can be specified")
        if self.minimum_ring_size and (self.ring_hash or self.maglev):
            message = "only one of MinimumRingSize or Maglev/Ringhash can be specified"
            yield Finding(("minimumRingSize",), message)


class Warmup(Strict):
    """A new host gets its share of the load little by little."""

    duration: IstioDuration = Field(description="time until a new host has its whole weight")
    minimum_percent: Percent = Field(default=10.0, description="least share of its weight")
    aggression: Annotated[float, BeforeValidator(parse_factor), AfterValidator(_aggression)] = Field(
        default=1.0, description="1: linear; above: faster at first"
    )


class Distribute(Strict):
    """Where the load of one locality goes."""

    from_: Name = Field(
        alias="from", description="locality of the caller: region, region/zone or region/zone/*"
    )
    to: dict[Name, Count] = Field(min_length=1, description="percent by locality, 100 together")

    def rules(self) -> Iterator[Finding]:
        for name, weight in self.to.items():
            if not 1 <= weight <= 100:
                yield Finding(("to", name), "locality weight must be in range [1, 100]")
        total = sum(self.to.values())
        if total != 100:
            yield Finding(("to",), f"total locality weight {total} != 100")


class Failover(Strict):
    """The region that takes over."""

    from_: Name = Field(alias="from", description="region of the caller")
    to: Name = Field(description="region that is asked before the others when the own one is not healthy")

    def rules(self) -> Iterator[Finding]:
        if self.from_ == self.to:
            yield Finding(("to",), "locality lb failover settings must specify different regions")


class LocalityLbSetting(Strict):
    """Preference for near hosts."""

    not_simulated: ClassVar[frozenset[str]] = frozenset({"failoverPriority"})

    enabled: Flag = Field(default=True, description="false: localities do not matter")
    distribute: tuple[Distribute, ...] = Field(default=(), description="shares by locality of the caller")
    failover: tuple[Failover, ...] = Field(default=(), description="regions that take over")

    def rules(self) -> Iterator[Finding]:
        if self.distribute and self.failover:
            yield Finding(("failover",), "can not simultaneously specify 'distribute' and 'failover'")


class LoadBalancer(Strict):
    """How a host is chosen."""

    not_simulated: ClassVar[frozenset[str]] = frozenset({"zoneAwareLbSetting"})

    simple: Annotated[Algorithm, BeforeValidator(_no_passthrough)] | None = Field(
        default=None,
        description="algorithm; absent: LEAST_REQUEST, whose old names are LEAST_CONN and UNSPECIFIED",
    )
    consistent_hash: ConsistentHash | None = Field(
        default=None, description="the same client gets the same host"
    )
    warmup: Warmup | None = Field(default=None, description="new hosts get their share little by little")
    warmup_duration_secs: IstioDuration | None = Field(
        default=None, description="the old way to write warmup.duration"
    )
    locality_lb_setting: LocalityLbSetting | None = Field(
        default=None, description="preference for near hosts; absent: enabled"
    )

    @property
    def algorithm(self) -> str:
        """Envoy's name of the algorithm."""
        if self.consistent_hash is not None:
            return "MAGLEV" if self.consistent_hash.maglev else "RING_HASH"
        return self.simple if self.simple in ("ROUND_ROBIN", "RANDOM") else "LEAST_REQUEST"

    @property
    def warm_up(self) -> Warmup | None:
        """The warm-up of new hosts, however it is written."""
        if self.warmup_duration_secs is not None:
            return Warmup(duration=self.warmup_duration_secs)
        return self.warmup

    @property
    def locality(self) -> LocalityLbSetting:
        """The preference for near hosts in effect."""
        return self.locality_lb_setting or LocalityLbSetting()

    def rules(self) -> Iterator[Finding]:
        if self.simple is not None and self.consistent_hash is not None:
            yield Finding(("consistentHash",), "only one of simple and consistentHash can be specified")
        if self.warmup is not None and self.warmup_duration_secs is not None:
            message = "warmupDurationSecs is the old name of warmup.duration; write one of them"
            yield Finding(("warmupDurationSecs",), message)
        if self.warm_up is not None and self.algorithm not in ("ROUND_ROBIN", "LEAST_REQUEST"):
            key = "warmup" if self.warmup is not None else "warmupDurationSecs"
            shown = format_duration(self.warm_up.duration)
            message = f"a warm-up of {shown} is for ROUND_ROBIN and LEAST_REQUEST, not for {self.algorithm}"
            yield Finding((key,), message)
