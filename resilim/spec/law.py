"""Distributions of durations.

* `5ms` and `{constant: 5ms}`: always the same.
* `{uniform: [1ms, 3ms]}`: every duration between the two is equally likely.
* `{exponential: {mean: 12ms}}`: memoryless.
* `{lognormal: {mean: 8ms, p99: 30ms}}`, or `median` in place of `mean`: like real service times.
  From mean and p99, sigma is the smaller root of ln(p99/mean) = z sigma - sigma^2/2, z = 2.3263
  (99 % of a normal law lie below z); the larger root is a law with a huge tail and a tiny median.
* `{pareto: {mean: 10ms, shape: 2.5}}`: heavy tail; P(X > x) = (scale/x)^shape from `scale` up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any, Literal, cast

from pydantic import Field, model_validator

from resilim.spec.base import Finding, Strict
from resilim.spec.units import Duration, Factor, PositiveDuration, format_duration

Z99 = NormalDist().inv_cdf(0.99)
LawKind = Literal["constant", "uniform", "exponential", "lognormal", "pareto"]


class Exponential(Strict):
    """A memoryless duration."""

    mean: PositiveDuration = Field(description="mean duration, a time such as 12ms")


class Lognormal(Strict):
    """A duration whose logarithm is normal."""

    mean: PositiveDuration | None = Field(default=None, description="mean, a time such as 8ms")
    median: PositiveDuration | None = Field(
        default=None, description="median, a time such as 6ms; in place of the mean"
    )
    p99: PositiveDuration = Field(description="99 % are faster than this time, such as 30ms")

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm."""
        if self.median is not None:
            return math.log(self.p99 / self.median) / Z99
        return Z99 - math.sqrt(Z99**2 - 2 * math.log(self.p99 / self._centre))

    @property
    def mu(self) -> float:
        """Mean of the logarithm of the duration in nanoseconds."""
        logarithm = math.log(self._centre)
        return logarithm if self.median is not None else logarithm - self.sigma**2 / 2

    @property
    def _centre(self) -> int:
        # a rule below says that one of the two is there
        return cast(int, self.mean if self.median is None else self.median)

    def rules(self) -> Iterator[Finding]:
        if (self.mean is None) == (self.median is None):
            yield Finding((), "a lognormal law needs either mean or median, and p99")
            return
        centre, name = self._centre, "mean" if self.median is None else "median"
        if self.p99 <= centre:
            p99, text = format_duration(self.p99), format_duration(centre)
            yield Finding(("p99",), f"the p99 of {p99} must exceed the {name} of {text}")
        elif self.median is None and 2 * math.log(self.p99 / centre) > Z99**2:
            most = format_duration(math.floor(centre * math.exp(Z99**2 / 2)))
            yield Finding(
                ("p99",),
                f"no lognormal law of mean {format_duration(centre)} has so large a p99 (at most"
                f" {most}); give the median instead of the mean",
            )


class Pareto(Strict):
    """A duration with a heavy tail."""

    mean: PositiveDuration = Field(description="mean duration, a time such as 10ms")
    shape: Factor = Field(description="tail index, a number above 1; smaller is heavier")

    @property
    def scale(self) -> float:
        """The shortest duration, in nanoseconds."""
        return self.mean * (self.shape - 1) / self.shape

    def rules(self) -> Iterator[Finding]:
        if self.shape <= 1:
            yield Finding(("shape",), f"{self.shape:g} must exceed 1, or there is no mean")


class Law(Strict):
    """A distribution of durations; exactly one of its fields is set."""

    constant: Duration | None = Field(default=None, description="always this time, such as 5ms")
    uniform: tuple[Duration, Duration] | None = Field(
        default=None, description="shortest and longest time, such as [1ms, 3ms]"
    )
    exponential: Exponential | None = Field(default=None, description="memoryless")
    lognormal: Lognormal | None = Field(default=None, description="like real service times")
    pareto: Pareto | None = Field(default=None, description="heavy tail")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return {"constant": data} if isinstance(data, str | int) else data

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        long_form = handler(core_schema)
        return {"anyOf": [{"type": "string", "description": "a constant, such as 5ms"}, long_form]}

    def rules(self) -> Iterator[Finding]:
        if len(self.model_fields_set) != 1:
            yield Finding((), f"a law is a time such as 5ms, or one of {', '.join(self.keys())}")
        elif self.uniform and self.uniform[0] > self.uniform[1]:
            low, high = map(format_duration, self.uniform)
            yield Finding(("uniform",), f"the shortest, {low}, is above the longest, {high}")

    @property
    def kind(self) -> LawKind:
        """Which law it is."""
        return cast(LawKind, next(iter(self.model_fields_set)))

    @property
    def parameters(self) -> tuple[float, ...]:
        """The numbers of the law, times in nanoseconds.

        constant (value), uniform (low, high), exponential (mean), lognormal (mu, sigma) of the
        logarithm of nanoseconds, pareto (scale, shape).
        """
        if self.constant is not None:
            return (self.constant,)
        if self.uniform is not None:
            return self.uniform
        if self.exponential is not None:
            return (self.exponential.mean,)
        if self.lognormal is not None:
            return (self.lognormal.mu, self.lognormal.sigma)
        pareto = cast(Pareto, self.pareto)
        return (pareto.scale, pareto.shape)

    @property
    def mean(self) -> float:
        """Mean duration in nanoseconds."""
        if self.uniform is not None:
            return sum(self.uniform) / 2
        if self.lognormal is not None:
            return math.exp(self.lognormal.mu + self.lognormal.sigma**2 / 2)
        if self.pareto is not None:
            return float(self.pareto.mean)
        return float(self.parameters[0])


def constant(nanoseconds: int) -> Law:
    """The law that always gives the same duration."""
    return Law(constant=nanoseconds)


def uniform(low: int, high: int) -> Law:
    """The law of all durations between two, in nanoseconds."""
    return Law(uniform=(low, high))
