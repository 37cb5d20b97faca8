"""A model: the system that exists, without load, faults or choices under test.

* A service has hosts, or versions with hosts each. A host serves `workers` requests at once; others
  wait in its `queue`; when that is full, the answer is 503.
* An endpoint is a list of steps: own work, one call, or several calls in parallel. The steps run
  one after the other.
* A call may happen in a share of the cases only (`probability`), and may be `optional`: its failure
  does not fail the endpoint.
* `trafficPolicies`, `subsets` and `routes` say in Istio's names what callers' proxies do; `envoy` says what
  Istio has no names for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)

from resilim.spec.base import Finding, Strict
from resilim.spec.envoy import EnvoySettings
from resilim.spec.law import Law, constant, uniform
from resilim.spec.policy import TrafficPolicy
from resilim.spec.route import Route
from resilim.spec.units import MILLISECOND, Count, Flag, Name, Share, quoted

ISTIO_VERSIONS = ("1.24", "1.25", "1.26", "1.27", "1.28", "1.29", "1.30")
MOST_SERVICES = 5000
WIDEST_PARALLEL = 64

ServiceName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$")]
Hosts = Annotated[Count, Field(ge=1, le=10_000)]
Protocol = Literal["http1", "http2", "grpc"]


def _istio_version(text: str) -> str:
    if text not in ISTIO_VERSIONS:
        first, last = ISTIO_VERSIONS[0], ISTIO_VERSIONS[-1]
        raise ValueError(f"Istio {text[:20]} is not simulated, {first} to {last} are")
    return text


def _locality(text: str) -> str:
    parts = text.split("/")
    if len(parts) > 3 or not all(part and part.strip() == part and "*" not in part for part in parts):
        raise ValueError(f"{quoted(text)} is not a locality, e.g. eu-west/a")
    return text


def _target(text: str) -> str:
    service, dot, endpoint = text.partition(".")
    if not (service.strip() and dot and endpoint.strip()):
        raise ValueError(f"{quoted(text)} is not a call, e.g. cart.GET /cart")
    return text


IstioVersion = Annotated[str, AfterValidator(_istio_version)]
Target = Annotated[str, AfterValidator(_target)]
LocalityName = Annotated[str, AfterValidator(_locality)]


class Provenance(Strict):
    """Where some of the numbers come from."""

    what: Name = Field(description="which numbers")
    source: Name = Field(description="where they come from, in words")
    kind: Literal["measured", "documented", "assumed"] = Field(description="how good that is")


class Sidecar(Strict):
    """The proxies next to the hosts."""

    hop: Law = Field(
        default=uniform(1 * MILLISECOND, 3 * MILLISECOND),
        description="time that one proxy adds to one call, request and response together, half"
        " each way; a call crosses two",
    )
    connect: Law = Field(default=constant(1 * MILLISECOND), description="time to set up a TCP connection")
    tls_handshake: Law = Field(
        default=constant(2 * MILLISECOND), description="time of a TLS handshake on a connection"
    )
    mtls: Literal["STRICT", "PERMISSIVE", "DISABLE"] = Field(
        default="PERMISSIVE", description="mutual TLS; DISABLE: connecting needs no TLS handshake"
    )
    concurrency: Annotated[Count, Field(ge=1, le=64)] = Field(
        default=2, description="worker threads of a proxy, each with connection pools of its own"
    )


class Mesh(Strict):
    """The service mesh."""

    istio_version: IstioVersion = Field(
        default=ISTIO_VERSIONS[-1], description="Istio version whose defaults and rules apply"
    )
    sidecar: Sidecar = Field(default=Sidecar(), description="the proxies")
    manifests: tuple[Name, ...] = Field(
        default=(), description="files of Istio objects, relative to this file"
    )


class Version(Strict):
    """A version of a service that runs beside others."""

    hosts: Hosts = Field(description="hosts that run this version")


class _Chance(Strict):
    """What may be said of a call."""

    probability: Share = Field(default=1.0, description="share of the requests that make the call")
    optional: Flag = Field(default=False, description="true: a failed call does not fail the endpoint")


def target_of(call: str) -> tuple[str, str]:
    """Service and endpoint of `service.ENDPOINT`."""
    service, _, endpoint = call.partition(".")
    return service, endpoint


class Call(_Chance):
    """A call to another service."""

    call: Target = Field(description="service.ENDPOINT, e.g. cart.GET /cart")

    @property
    def target(self) -> tuple[str, str]:
        """Service and endpoint that are called."""
        return target_of(self.call)


class Step(_Chance):
    """One step of an endpoint: work, call or parallel."""

    work: Law | None = Field(default=None, description="time a worker of the host is busy")
    call: Target | None = Field(default=None, description="service.ENDPOINT to call and wait for")
    parallel: Annotated[tuple[Call, ...], Field(max_length=WIDEST_PARALLEL)] | None = Field(
        default=None, description="calls made at once; the slowest decides"
    )

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls that this step makes at once; none when it is work."""
        if self.call is None:
            return self.parallel or ()
        return (Call(call=self.call, probability=self.probability, optional=self.optional),)

    def rules(self) -> Iterator[Finding]:
        kinds = [kind for kind in ("work", "call", "parallel") if kind in self.model_fields_set]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none of them"
            yield Finding((), f"a step is one of work, call or parallel, not {found}")
        elif kinds[0] != "call":
            for key in sorted({"probability", "optional"} & self.model_fields_set):
                yield Finding((key,), f"{key} belongs to a call, not to {kinds[0]}")
        if self.parallel == ():
            yield Finding(("parallel",), "at least 1 call is needed here")

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # what is written back must pass the rule on keys that belong to a call
        own = self.call is not None
        chance = ("probability", "optional")
        return {key: value for key, value in handler(self).items() if own or key not in chance}


class Endpoint(Strict):
    """What one kind of request makes a host do."""

    steps: tuple[Step, ...] = Field(min_length=1, description="what happens, in order")


class Service(Strict):
    """A service and its hosts, which are all alike."""

    hosts: Hosts | None = Field(default=None, description="how many hosts; or give versions")
    versions: dict[ServiceName, Version] | None = Field(
        default=None, description="versions that run side by side; or give hosts"
    )
    workers: Annotated[Count, Field(ge=1, le=1_000_000)] = Field(
        description="requests that one host serves at once; the others queue"
    )
    queue: Annotated[Count, Field(ge=0, le=1_000_000)] = Field(
        description="places in the queue of one host; when full, the answer is 503"
    )
    protocol: Protocol = Field(
        default="http1",
        description="what the service speaks; grpc: HTTP/2, and its failures have a grpc-status",
    )
    localities: dict[LocalityName, Hosts] | None = Field(
        default=None,
        description="hosts by locality (region/zone), in the order of the hosts; absent: not known",
    )
    endpoints: dict[Name, Endpoint] = Field(min_length=1, description="by name, e.g. GET /cart")

    @property
    def host_versions(self) -> tuple[str, ...]:
        """The version of every host, in order; empty names when there are no versions."""
        if self.versions is None:
            return ("",) * (self.hosts or 0)
        return tuple(name for name, version in self.versions.items() for _ in range(version.hosts))

    @property
    def host_localities(self) -> tuple[str, ...]:
        """The locality of every host, in order; empty names when they are not known."""
        if self.localities is None:
            return ("",) * len(self.host_versions)
        return tuple(name for name, hosts in self.localities.items() for _ in range(hosts))

    def rules(self) -> Iterator[Finding]:
        if self.hosts is not None and self.versions is not None:
            yield Finding(("versions",), "give either hosts or versions, not both")
        elif not self.hosts and not self.versions:
            yield Finding((), '"hosts" is missing (or versions)')
        elif self.localities is not None and sum(self.localities.values()) != len(self.host_versions):
            there = sum(self.localities.values())
            message = f"the localities have {there} hosts together, the service has {len(self.host_versions)}"
            yield Finding(("localities",), message)


class Subset(Strict):
    """Some of the hosts of a service, as callers see them: with pools and a detector of their own."""

    version: Name | None = Field(default=None, description="only hosts of this version; absent: all")
    traffic_policy: TrafficPolicy | None = Field(
        default=None, description="block by block in place of the traffic policy of the service"
    )


class System(Strict):
    """The part of a model that arms and `-S` may change."""

    mesh: Mesh = Field(default=Mesh(), description="the service mesh")
    services: dict[ServiceName, Service] = Field(
        min_length=1, max_length=MOST_SERVICES, description="by name"
    )
    traffic_policies: dict[str, TrafficPolicy] = Field(
        default={}, description="by service: what its callers' proxies do"
    )
    subsets: dict[str, dict[Name, Subset]] = Field(
        default={}, description="by service and name: the subsets of a DestinationRule"
    )
    routes: dict[str, Route] = Field(default={}, description="by service: the http part of a VirtualService")
    envoy: dict[str, EnvoySettings] = Field(
        default={}, description="by service: what an EnvoyFilter would set"
    )

    def policy(self, service: str, subset: str | None = None) -> TrafficPolicy:
        """The traffic policy towards a service or a subset: from a manifest, from the model, or empty."""
        policy = self.traffic_policies.get(service, TrafficPolicy())
        found = self.subsets.get(service, {}).get(subset) if subset is not None else None
        return found.traffic_policy.over(policy) if found and found.traffic_policy else policy

    def route(self, service: str) -> Route:
        """How calls to a service are made: from the model, or Istio's defaults."""
        return self.routes.get(service, Route())

    def settings(self, service: str) -> EnvoySettings:
        """What an EnvoyFilter would set for a service: from the model, or Envoy's defaults."""
        return self.envoy.get(service, EnvoySettings())


class Model(System):
    """A system that exists."""

    kind: Literal["Model"] = Field(description="Model")
    name: Name = Field(description="name of the model")
    summary: str | None = Field(default=None, description="what it is, in a sentence")
    provenance: tuple[Provenance, ...] = Field(default=(), description="where the numbers come from")
