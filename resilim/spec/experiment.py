"""An experiment: a load, faults, and the arms that are compared.

* `clients` has the load, `moment` the time, `fault` what goes wrong.
* An arm changes the model and the load with `set`, with Istio manifests, or inherits from another
  arm. The first arm is the reference of every comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from resilim.spec.base import Finding, Strict
from resilim.spec.clients import Client, Load, Users
from resilim.spec.fault import Fault
from resilim.spec.moment import Moment, Time, Window, parse_moment
from resilim.spec.problems import nearest
from resilim.spec.units import Count, Name, Share, format_share, quoted

__all__ = [
    "Arm",
    "Client",
    "Experiment",
    "Fault",
    "Load",
    "Moment",
    "Replications",
    "Time",
    "Trial",
    "Users",
    "Window",
    "parse_moment",
]

_LEAST_CONFIDENCE, _MOST_CONFIDENCE = 0.5, 0.999

Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", max_length=80)]


def _confidence(share: float) -> float:
    if not _LEAST_CONFIDENCE <= share <= _MOST_CONFIDENCE:
        low, high = format_share(_LEAST_CONFIDENCE), format_share(_MOST_CONFIDENCE)
        raise ValueError(f"{quoted(format_share(share))} is out of range: {low} to {high}")
    return share


class Replications(Strict):
    """How often everything is repeated, and how sure the answer has to be."""

    min: Annotated[Count, Field(ge=2, le=100_000)] = Field(
        default=20, description="replications of every arm"
    )
    seed: Annotated[Count, Field(ge=0, le=2**63 - 1)] = Field(
        default=1, description="the same seed gives the same result"
    )
    confidence: Annotated[Share, AfterValidator(_confidence)] = Field(
        default=0.95, description="confidence of every interval, 50% to 99.9%"
    )
    pairing: Literal["common random numbers", "independent"] = Field(
        default="common random numbers", description="whether arms share their luck"
    )


class Arm(Strict):
    """One of the choices that are compared."""

    name: Name = Field(description="name of the arm")
    from_: str | None = Field(default=None, alias="from", description="arm to inherit from")
    overlay: dict[str, Any] = Field(
        default={}, alias="set", description="path to value: what is different in this arm"
    )
    manifests: tuple[Name, ...] = Field(
        default=(), description="files of Istio objects, relative to this file"
    )


class Trial(Strict):
    """The part of an experiment that `-S` and, except time and replications, arms may change."""

    load: Load = Field(description="requests that arrive")
    time: Time = Field(description="how long everything takes")
    faults: tuple[Fault, ...] = Field(default=(), description="what goes wrong")
    replications: Replications = Field(default=Replications(), description="how often everything is repeated")

    def rules(self) -> Iterator[Finding]:
        names = [fault.name for fault in self.faults]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield Finding(("faults", index, "name"), f"a fault {quoted(name)} is there already")


class Experiment(Trial):
    """A question to a model."""

    kind: Literal["Experiment"] = Field(description="Experiment")
    name: Slug = Field(description="letters, digits, dash, underscore and dot; at most 80")
    question: str | None = Field(default=None, description="what is to be found out")
    model: Name = Field(description="file of the model, relative to this file")
    arms: tuple[Arm, ...] = Field(min_length=1, description="what is compared")

    def rules(self) -> Iterator[Finding]:
        yield from super().rules()
        names: list[str] = []
        for index, arm in enumerate(self.arms):
            if arm.name in names:
                yield Finding(("arms", index, "name"), f"an arm {quoted(arm.name)} is there already")
            elif arm.from_ is not None and arm.from_ not in names:
                message = f"no arm {quoted(arm.from_)} comes before this one"
                yield Finding(("arms", index, "from"), message, nearest(arm.from_, names))
            names.append(arm.name)
