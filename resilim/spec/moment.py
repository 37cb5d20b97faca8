"""How long an experiment takes, and moments in it.

* Time runs from 0: warm-up, then the windows before, fault and after, one behind the other. A window of
  length 0 does not exist.
* A moment is an edge of a window, with or without an offset: `fault.start`, `fault.end - 5s`; or a time from
  the start of the simulation: `120s`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, NamedTuple

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from resilim.spec.base import Finding, Strict
from resilim.spec.problems import nearest
from resilim.spec.units import DAY, SECOND, Duration, format_duration, kind_of, parse_duration, quoted

LONGEST_RUN = 7 * DAY
_ANCHORS = tuple(f"{window}.{edge}" for window in ("before", "fault", "after") for edge in ("start", "end"))
_MOMENT = re.compile(r"([a-zA-Z]+\.[a-zA-Z]+)(?:\s*([+-])\s*(\S+))?")


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
