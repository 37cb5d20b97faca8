"""An experiment: a load, faults, and the arms that are compared.

* The load is open: requests arrive at a rate, whatever became of those before.
* Time runs from 0: warm-up, then the windows before, fault and after, one behind the other.
  A window of length 0 does not exist.
* A fault lasts from one moment until another: `fault.start`, `fault.end - 5s`, or `120s` from the
  start of the simulation.
* An arm changes the model and the load with `set`, with Istio manifests, or inherits from another
  arm. The first arm is the reference of every comparison.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    SerializerFunctionWrapHandler,
    StringConstraints,
    WithJsonSchema,
    model_serializer,
)

from resilim.spec.base import Finding, Strict
from resilim.spec.problems import nearest
from resilim.spec.units import (
    DAY,
    SECOND,
    Count,
    Duration,
    Factor,
    Flag,
    Name,
    PositiveDuration,
    Rate,
    Share,
    format_duration,
    format_share,
    kind_of,
    parse_duration,
    quoted,
)

LONGEST_RUN = 7 * DAY
_LEAST_CONFIDENCE, _MOST_CONFIDENCE = 0.5, 0.999
_ANCHORS = tuple(f"{window}.{edge}" for window in ("before", "fault", "after") for edge in ("start", "end"))
_MOMENT = re.compile(r"([a-zA-Z]+\.[a-zA-Z]+)(?:\s*([+-])\s*(\S+))?")

Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", max_length=80)]


class Client(Strict):
    """Where the load comes from."""

    timeout: PositiveDuration | None = Field(
        default=None, description="time after which the client gives up; absent: never"
    )
    sidecar: Flag = Field(
        default=False,
        description="true: the client is inside the mesh, with a proxy that has pool, detector and route",
    )


class Load(Strict):
    """Requests that arrive from outside."""

    rate: Rate = Field(description="requests per time, such as 300/s")
    arrivals: Literal["poisson", "even"] = Field(
        default="poisson", description="random and independent, or one behind the other"
    )
    entry: str | None = Field(
        default=None, description="service that gets them; absent: the one that nobody calls"
    )
    mix: dict[str, Share] | None = Field(
        default=None, description="share by endpoint, 100% together; absent: the only endpoint"
    )
    client: Client = Field(default=Client(), description="who sends them")

    def rules(self) -> Iterator[Finding]:
        if self.mix is not None:
            total = sum(self.mix.values())
            if abs(total - 1) > 1e-9:
                shown = format_share(round(total, 12))
                yield Finding(("mix",), f"the shares are {shown} together, 100% are needed")


class Window(NamedTuple):
    """A part of the time, in nanoseconds from the start of the simulation."""

    name: str
    start: int
    end: int


class Time(Strict):
    """How long everything takes."""

    warm_up: Duration = Field(default=30 * SECOND, description="time that is not measured")
    before: Duration = Field(description="time that is measured before the fault")
    fault: Duration = Field(description="time of the fault")
    after: Duration = Field(description="time that is measured after the fault")

    @property
    def total(self) -> int:
        """All of it, in nanoseconds."""
        return self.warm_up + self.before + self.fault + self.after

    def edges(self) -> tuple[Window, ...]:
        """The windows before, fault and after, also those of length 0."""
        fault = self.warm_up + self.before
        after = fault + self.fault
        return (
            Window("before", self.warm_up, fault),
            Window("fault", fault, after),
            Window("after", after, self.total),
        )

    def windows(self) -> tuple[Window, ...]:
        """The windows that exist, in order."""
        return tuple(window for window in self.edges() if window.end > window.start)

    def rules(self) -> Iterator[Finding]:
        if not self.windows():
            yield Finding((), "before, fault and after are all 0s: there is nothing to measure")
        if self.total > LONGEST_RUN:
            total = format_duration(self.total)
            yield Finding((), f"{total} together are too long: at most {LONGEST_RUN // DAY} days")


class Moment(NamedTuple):
    """A point in time: an edge of a window, or the simulation's start, plus an offset in ns."""

    anchor: str
    offset: int

    def at(self, time: Time) -> int:
        """Nanoseconds from the start of the simulation; may be negative."""
        if not self.anchor:
            return self.offset
        name, edge = self.anchor.split(".")
        window = next(window for window in time.edges() if window.name == name)
        return (window.start if edge == "start" else window.end) + self.offset

    def __str__(self) -> str:
        if not self.anchor:
            return format_duration(self.offset)
        if not self.offset:
            return self.anchor
        sign = "+" if self.offset > 0 else "-"
        return f"{self.anchor} {sign} {format_duration(abs(self.offset))}"


def parse_moment(value: object) -> Moment:
    """The moment of a text such as `fault.start + 20s`; ValueError when it is none."""
    if isinstance(value, Moment):
        return value
    if not isinstance(value, str):
        raise ValueError(f"a moment such as fault.start is needed here, not {kind_of(value)}")
    found = _MOMENT.fullmatch(value.strip())
    if not found:
        return Moment("", parse_duration(value))
    anchor, sign, offset = found.groups()
    if anchor not in _ANCHORS:
        near = nearest(anchor, _ANCHORS)
        wanted = f"; did you mean {near}?" if near else ""
        raise ValueError(f"{quoted(anchor)} is not one of {', '.join(_ANCHORS)}{wanted}")
    shift = parse_duration(offset) if offset else 0
    return Moment(anchor, -shift if sign == "-" else shift)


MomentText = Annotated[
    Moment,
    PlainValidator(parse_moment),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["fault.start", "fault.end - 5s", "120s"]}),
]

_HOST_KEYS = ("service", "hosts", "version")
_KEYS = {
    "slow-host": (*_HOST_KEYS, "factor"),
    "failing-host": (*_HOST_KEYS, "probability", "code"),
    "load-surge": ("factor",),
}
_REQUIRED = {
    "slow-host": ("service", "factor"),
    "failing-host": ("service",),
    "load-surge": ("factor",),
}
_COMMON_KEYS = ("name", "kind", "from", "until")


class Fault(Strict):
    """Something that goes wrong for a while."""

    name: Name = Field(description="name of the fault")
    kind: Literal["slow-host", "failing-host", "load-surge"] = Field(description="what happens")
    service: str | None = Field(default=None, description="service whose hosts it happens to")
    hosts: Annotated[Count, Field(ge=1)] | None = Field(
        default=None, description="how many hosts; absent: all"
    )
    version: str | None = Field(default=None, description="only hosts of this version")
    factor: Factor = Field(
        default=1.0,
        description="slow-host: work takes so many times longer; load-surge: rate times this",
    )
    probability: Share = Field(default=1.0, description="failing-host: share of failed requests")
    code: Annotated[Count, Field(ge=500, le=599)] = Field(
        default=503, description="failing-host: status of the answer, 500 to 599"
    )
    from_: MomentText = Field(default=Moment("fault.start", 0), alias="from", description="when it begins")
    until: MomentText = Field(default=Moment("fault.end", 0), description="when it is over")

    def rules(self) -> Iterator[Finding]:
        names = {name: key for key, name in self.keys().items()}
        given = {names[name] for name in self.model_fields_set}
        for key in sorted(given - {*_KEYS[self.kind], *_COMMON_KEYS}):
            owners = " or ".join(kind for kind, keys in _KEYS.items() if key in keys)
            yield Finding((key,), f"{key} belongs to {owners}, not to {self.kind}")
        for key in _REQUIRED[self.kind]:
            if key not in given:
                yield Finding((), f'"{key}" is missing; a {self.kind} needs it')

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        own = (*_COMMON_KEYS, *_KEYS[self.kind])
        return {key: value for key, value in handler(self).items() if key in own}


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
