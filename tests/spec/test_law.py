"""Laws have the moments and quantiles that were asked for."""

from __future__ import annotations

import math
import re
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resilim.spec.law import Z99, Law
from resilim.spec.units import MILLISECOND


def law(data: Any) -> Law:
    return Law.model_validate(data)


@pytest.mark.parametrize(
    ("data", "kind", "parameters", "mean"),
    [
        ("5ms", "constant", (5e6,), 5e6),
        ({"constant": "5ms"}, "constant", (5e6,), 5e6),
        ({"uniform": ["1ms", "3ms"]}, "uniform", (1e6, 3e6), 2e6),
        ({"exponential": {"mean": "12ms"}}, "exponential", (12e6,), 12e6),
        ({"pareto": {"mean": "10ms", "shape": "2.5"}}, "pareto", (6e6, 2.5), 10e6),
    ],
)
def test_parameters(data: Any, kind: str, parameters: tuple[float, ...], mean: float) -> None:
    read = law(data)
    assert read.kind == kind
    assert read.parameters == parameters
    assert read.mean == mean
    assert law(read.model_dump(mode="json", by_alias=True, exclude_none=True)) == read


@given(st.integers(1, 10**12), st.floats(1.0001, 14.9))
def test_lognormal_of_mean_and_p99(mean: int, ratio: float) -> None:
    p99 = max(mean + 1, int(mean * ratio))
    if p99 / mean > 14.9:
        return
    read = law({"lognormal": {"mean": mean, "p99": p99}})
    mu, sigma = read.parameters
    assert math.isclose(read.mean, mean, rel_tol=1e-9)
    assert math.isclose(math.exp(mu + Z99 * sigma), p99, rel_tol=1e-9)
    assert 0 < sigma <= Z99  # the smaller root


def test_lognormal_of_median_and_p99() -> None:
    read = law({"lognormal": {"median": "8ms", "p99": "30ms"}})
    mu, sigma = read.parameters
    assert math.isclose(math.exp(mu), 8 * MILLISECOND)
    below = NormalDist(mu, sigma).cdf(math.log(30 * MILLISECOND))
    assert math.isclose(below, 0.99)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("5", '"5" needs a unit'),
        ({}, "a law is a time such as 5ms, or one of constant, uniform"),
        ({"constant": "5ms", "uniform": ["1ms", "3ms"]}, "or one of"),
        ({"uniform": ["3ms", "1ms"]}, "the shortest, 3ms, is above the longest, 1ms"),
        ({"exponential": {"mean": "0s"}}, "0s is too short: at least 1ns"),
        ({"lognormal": {"p99": "3ms"}}, "needs either mean or median"),
        ({"lognormal": {"mean": "1ms", "median": "1ms", "p99": "3ms"}}, "either mean or median"),
        ({"lognormal": {"mean": "5ms", "p99": "5ms"}}, "the p99 of 5ms must exceed the mean"),
        ({"lognormal": {"median": "5ms", "p99": "4ms"}}, "must exceed the median of 5ms"),
        ({"lognormal": {"mean": "1ms", "p99": "15ms"}}, "has so large a p99 (at most 14"),
        ({"pareto": {"mean": "1ms", "shape": "1"}}, "1 must exceed 1, or there is no mean"),
    ],
)
def test_mistakes(data: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        law(data)
