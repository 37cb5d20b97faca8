"""A figure is never without its interval, and has no more digits than it knows."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilim.report import units
from resilim.study.result import Estimate, Unit


@pytest.mark.parametrize(
    ("figure", "unit", "text"),
    [
        (Estimate(0.99981, 0.99971, 0.99991), "share", "99.98 % ±0.01"),
        (Estimate(0.612, 0.594, 0.630), "seconds", "612 ms ±18"),
        (Estimate(96.2, 87.2, 105.2), "seconds", "96 s ±9"),
        (Estimate(1.0912, 1.0815, 1.1009), "ratio", "1.09 ±0.01"),
        (Estimate(12345.0, 12111.0, 12579.0), "per second", "12,340/s ±230"),
        (Estimate(41.0, 33.0, 60.0), "seconds", "41 s [33, 60]"),
        (Estimate(1.0, 1.0, 1.0), "share", "exactly 100 %"),
        (Estimate(0.0, 0.0, 0.0), "seconds", "exactly 0 s"),
        (Estimate(1.5, 1.5, 1.5), "ratio", "exactly 1.5"),
        (Estimate(1.0, 0.999992, 1.0), "share", "> 99.999 %"),
        (Estimate(1.0, 0.99999999, 1.0), "share", "> 99.999 %"),
        (Estimate(1.0, 0.999988, 1.0), "share", "> 99.998 %"),
        (Estimate(1.0, 0.86, 1.0), "share", "> 86 %"),
        (Estimate(0.0, 0.0, 0.000008), "share", "< 0.001 %"),
        (Estimate(1.0, 0.97, 1.03), "share", "100 % ±3"),
        (Estimate(0.5, None, None), "seconds", "500 ms ±?"),
        (Estimate(0.5, 0.4, float("inf")), "count", "0.500 ±?"),
        (Estimate(None, None, None), "count", "–"),
        (None, "count", "–"),
    ],
)
def test_an_estimate(figure: Estimate | None, unit: Unit, text: str) -> None:
    assert units.estimate(figure, unit) == text


@pytest.mark.parametrize(
    ("figure", "unit", "text"),
    [
        (Estimate(-0.381, -0.401, -0.361), "seconds", "−381 ms ±20"),
        (Estimate(0.013, 0.011, 0.015), "share", "+1.3 pp ±0.2"),
        (Estimate(-0.0001, -0.01, 0.0098), "ratio", "0.00 ±0.01"),
        (Estimate(5.0, 1.0, 20.0), "per second", "+5/s [+1, +20]"),
    ],
)
def test_a_difference_has_its_sign(figure: Estimate, unit: Unit, text: str) -> None:
    assert units.difference(figure, unit) == text


@pytest.mark.parametrize(
    ("figure", "reference", "unit", "text"),
    [
        (Estimate(-0.62, -0.64, -0.60), Estimate(1.0, 0.97, 1.03), "seconds", "▼ 62 % [60, 64]"),
        (Estimate(0.30, 0.20, 0.40), Estimate(1.0, 0.97, 1.03), "ratio", "▲ 30 % [20, 40]"),
        (Estimate(-0.02, -0.05, 0.01), Estimate(1.0, 0.97, 1.03), "seconds", "−2 % [−5, +1]"),
        (Estimate(3.1, 2.8, 3.4), Estimate(1.0, 0.97, 1.03), "seconds", "× 4.1 [3.8, 4.4]"),
        (Estimate(-0.2, -0.3, -0.1), Estimate(0.5, 0.49, 0.51), "share", ""),
        (Estimate(-0.2, -0.3, -0.1), Estimate(0.01, -0.2, 0.2), "seconds", ""),
        (Estimate(-0.2, None, None), Estimate(0.5, 0.49, 0.51), "seconds", ""),
        (Estimate(-0.2, -0.3, -0.1), None, "seconds", ""),
    ],
)
def test_a_relative_change(figure: Estimate, reference: Estimate | None, unit: Unit, text: str) -> None:
    assert units.relative(figure, reference, unit) == text


@pytest.mark.parametrize(
    ("figure", "unit", "text"),
    [
        (Estimate(1.00014, 1.00007, 1.00021), "ratio", "1.00"),
        (Estimate(0.99999, 0.99995, 1.00003), "ratio", "1.00"),
        (Estimate(1.620, 1.580, 1.660), "ratio", "1.62 ±0.04"),
        (Estimate(0.006149, 0.006144, 0.006154), "seconds", "6.15 ms"),
        (Estimate(1.162, 1.100, 1.224), "seconds", "1.16 s ±0.06"),
    ],
)
def test_fewer_digits_on_demand(figure: Estimate, unit: Unit, text: str) -> None:
    assert units.estimate(figure, unit, digits=3) == text


@pytest.mark.parametrize(
    ("figure", "reference", "unit", "same"),
    [
        (Estimate(0.0, 0.0, 0.0), Estimate(0.0, 0.0, 0.0), "seconds", True),
        (Estimate(1e-8, -1e-8, 3e-8), Estimate(0.05, 0.04, 0.06), "seconds", True),
        (Estimate(1e-8, -1e-4, 1e-4), Estimate(0.05, 0.04, 0.06), "seconds", False),
        (Estimate(5e-6, 0.0, 1e-5), Estimate(0.8, 0.79, 0.81), "share", True),
        (
            Estimate(-1e-5, -2e-5, 0.0),
            Estimate(0.9999, 0.9998, 1.0),
            "share",
            False,
        ),  # a tenth of the failures
        (Estimate(0.0, None, None), Estimate(1.0, 0.9, 1.1), "seconds", False),
        (None, Estimate(1.0, 0.9, 1.1), "seconds", False),
    ],
)
def test_the_same_is_what_nobody_can_use(
    figure: Estimate | None, reference: Estimate, unit: Unit, same: bool
) -> None:
    assert units.same(figure, reference, unit) is same


@pytest.mark.parametrize(
    ("seconds", "text"), [(90.0, "90 s"), (0.25, "250 ms"), (2.5, "2.5 s"), (0.0, "0 s"), (-60.0, "−60 s")]
)
def test_a_duration(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


_VALUES = st.floats(-1e7, 1e7, allow_subnormal=False)


@given(_VALUES, _VALUES, _VALUES, st.sampled_from(["share", "seconds", "per second", "ratio", "count"]))
def test_every_known_figure_shows_its_interval(a: float, b: float, c: float, unit: Unit) -> None:
    low, value, high = sorted((a, b, c))
    for text in (
        units.estimate(Estimate(value, low, high), unit),
        units.difference(Estimate(value, low, high), unit),
    ):
        assert re.search(r"±[0-9]|\[.*, .*\]|^exactly |^[<>] ", text), text
        assert "e" not in text.removeprefix(units.EXACTLY)
        assert "−0 " not in text
