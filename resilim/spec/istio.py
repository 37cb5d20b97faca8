"""Istio objects as they are in a cluster.

* A manifest is a file of one or more documents.
* `DestinationRule` of `networking.istio.io/v1`, `v1beta1` or `v1alpha3` is read; what else there is
  in a manifest is an error, because leaving it out would change the answer silently.
* A host is `cart` or `cart.<namespace>.svc.cluster.local`; the service is its first label.
* The labels of a subset choose hosts by their version: that is the only label that hosts of a model have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from resilim.spec.base import Finding, Strict
from resilim.spec.policy import TrafficPolicy
from resilim.spec.route import host_findings, service_of
from resilim.spec.units import Name, quoted


class Metadata(Strict):
    """Name and labels of an object."""

    name: Name = Field(description="name of the object")
    namespace: Name | None = Field(default=None, description="namespace; not used")
    labels: dict[str, str] = Field(default={}, description="not used")
    annotations: dict[str, str] = Field(default={}, description="not used")


class NamedSubset(Strict):
    """Some of the hosts of a service."""

    name: Name = Field(description="name of the subset")
    labels: dict[str, str] = Field(default={}, description="version of the hosts; none: all hosts")
    traffic_policy: TrafficPolicy | None = Field(
        default=None, description="block by block in place of the traffic policy of the service"
    )

    def rules(self) -> Iterator[Finding]:
        for label in self.labels:
            if label != "version":
                message = f"hosts of a model have the label version only, not {quoted(label)}"
                yield Finding(("labels", label), message)


class DestinationRuleSpec(Strict):
    """What a DestinationRule says."""

    not_simulated: ClassVar[frozenset[str]] = frozenset({"exportTo", "workloadSelector"})

    host: Name = Field(description="the service: its name, or its full name in the cluster")
    traffic_policy: TrafficPolicy = Field(
        default=TrafficPolicy(), description="what client proxies do towards the service"
    )
    subsets: tuple[NamedSubset, ...] = Field(default=(), description="parts of the service's hosts")

    def rules(self) -> Iterator[Finding]:
        if "traffic_policy" in self.model_fields_set and not self.traffic_policy.model_fields_set:
            yield Finding(("trafficPolicy",), "traffic policy must have at least one field")
        yield from host_findings(self.host, ("host",))
        names = [subset.name for subset in self.subsets]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield Finding(("subsets", index, "name"), f"duplicate subset names: {name}")

    @property
    def service(self) -> str:
        """The name of the service in the model."""
        return service_of(self.host)


class DestinationRule(Strict):
    """An Istio DestinationRule."""

    api_version: Literal[
        "networking.istio.io/v1",
        "networking.istio.io/v1beta1",
        "networking.istio.io/v1alpha3",
    ] = Field(description="API group and version")
    kind: Literal["DestinationRule"] = Field(description="DestinationRule")
    metadata: Metadata = Field(description="name and labels")
    spec: DestinationRuleSpec = Field(description="host and traffic policy")
