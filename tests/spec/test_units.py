"""Quantities read as people mean them, and are written as they are read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilim.spec import units
from resilim.spec.units import MILLISECOND, SECOND


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("150ms", 150 * MILLISECOND),
        ("1.5s", 1500 * MILLISECOND),
        (".5s", 500 * MILLISECOND),
        ("2m", 120 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("100us", 100_000),
        ("100µs", 100_000),
        ("20ns", 20),
        ("0s", 0),
        ("720h", 30 * 86400 * SECOND),
        ("0.1s", 100 * MILLISECOND),  # not 100000000.00000001
    ],
)
def test_duration(text: str, nanoseconds: int) -> None:
    assert units.parse_duration(text) == nanoseconds


BAD = [
    (units.parse_duration, "150", '"150" needs a unit, e.g. 150ms'),
    (units.parse_duration, "0", '"0" needs a unit'),
    (units.parse_duration, "12:30", '"12:30" is not a duration'),
    (units.parse_duration, "1e3s", '"1e3s" is not a duration'),
    (units.parse_duration, "5 ms", '"5 ms" is not a duration'),
    (units.parse_duration, "٣ms", "is not a duration"),
    (units.parse_duration, "-5s", '"-5s" is negative'),
    (units.parse_duration, "721h", "out of range: 0s to 30 days"),
    (units.parse_duration, "9" * 5000 + "h", "out of range"),
    (units.parse_duration, "0.5ns", "finer than 1ns"),
    (units.parse_duration, None, "not nothing"),
    (units.parse_duration, ["5ms"], "not a list"),
    (units.parse_rate, "300", '"300" needs a unit, e.g. 300/s'),
    (units.parse_rate, "300/ms", 'per s, min or h, not per "ms"'),
    (units.parse_rate, "0/s", "out of range"),
    (units.parse_rate, "1" * 400 + "/s", "out of range"),
    (units.parse_rate, "-3/s", "is not a rate"),
    (units.parse_share, "0.7", '"0.7" needs a percent sign, e.g. 70%'),
    (units.parse_share, "101%", "out of range: 0% to 100%"),
    (units.parse_share, "-1%", "out of range"),
    (units.parse_factor, "0", "out of range"),
    (units.parse_factor, "nan", "is not a number"),
    (units.parse_factor, "20x", "is not a number"),
    (units.parse_factor, "1e999", "out of range"),
    (units.parse_count, "2.5", "is not a whole number"),
    (units.parse_count, "on", "is not a whole number"),
    (units.parse_count, "1e999", "is not a whole number"),
    (units.parse_flag, "maybe", "neither true nor false"),
]


@pytest.mark.parametrize(("parse", "text", "message"), BAD)
def test_mistakes(parse: Callable[[object], object], text: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (units.parse_rate, "50/min", 50 / 60),
        (units.parse_rate, "10/h", 10 / 3600),
        (units.parse_share, "99.9%", 0.999),
        (units.parse_share, "70 %", 0.7),
        (units.parse_factor, "1e3", 1000.0),
        (units.parse_count, "017", 17),
        (units.parse_count, "1e3", 1000),
        (units.parse_count, "1_000", 1000),
        (units.parse_flag, "on", True),
        (units.parse_flag, "no", False),
    ],
)
def test_other_units(parse: Callable[[object], object], text: str, value: object) -> None:
    assert parse(text) == value


@given(st.integers(0, units.LONGEST))
def test_durations_come_back(nanoseconds: int) -> None:
    assert units.parse_duration(units.format_duration(nanoseconds)) == nanoseconds


@given(st.floats(0, units.HIGHEST_RATE, exclude_min=True))
def test_rates_come_back(rate: float) -> None:
    assert units.parse_rate(units.format_rate(rate)) == rate


@given(st.floats(0, 1))
def test_shares_come_back(share: float) -> None:
    assert units.parse_share(units.format_share(share)) == share


NEARLY = st.text("0123456789.eE+-_%/hmsunµ% \n٣") | st.text()


@pytest.mark.parametrize(
    "parse",
    [
        units.parse_duration,
        units.parse_rate,
        units.parse_share,
        units.parse_factor,
        units.parse_count,
        units.parse_flag,
    ],
)
@given(value=NEARLY | st.none() | st.lists(NEARLY) | st.floats() | st.integers())
def test_nothing_but_value_errors(parse: Callable[[object], object], value: object) -> None:
    try:
        parsed = parse(value)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert math.isfinite(parsed)  # type: ignore[arg-type]
