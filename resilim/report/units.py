"""Figures as people read them, always with their interval.

* A number never stands without its interval; `±?` says that there is none.
* No more digits than the half-width allows: one figure of a half-width below 10, two above.
* An interval that is clearly not centred on its value is written as `[low, high]`.
* A share that no replication ever saw otherwise (always 1, or never) is its one-sided bound: `> 99.999 %`.
* An interval of width 0 is said in a word: `exactly 0 s`. Every replication gave that value.
* A table with few columns may ask for fewer digits. A half-width below them is left out: `1.00`.
* A difference whose whole interval lies within 0.01 % of the reference is the `same`: no one can use it.
* Shares are percentages, their differences percentage points (pp); durations are ms below one second.
* `None` is a dash.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from resilim.study.result import Estimate, Unit

DASH = "–"
MINUS = "−"

SAME = "same"
EXACTLY = "exactly "

_MOST_DECIMALS = 6
_WHOLE = 1e-12  # half-widths below this share of the value are rounding of floats
_BOUND_DECIMALS = 3  # more nines than 99.999 % are hard to count
_SAME = 1e-4  # of the reference's value
_OFF_CENTRE = 0.15  # of the interval's width: beyond, ± would mislead
_LEAST_PRECISE = 0.25  # a reference whose half-width is larger than this share of it divides nothing
_TIMES = 2.0  # a relative change beyond +200 % reads better as "× 3"


class _Scale(NamedTuple):
    factor: float
    suffix: str


def estimate(figure: Estimate | None, unit: Unit, digits: int | None = None) -> str:
    """A figure with its interval: `99.98 % ±0.01`, `612 ms ±18`, `41 s [33, 52]`.

    With `digits`, at most so many significant ones.
    """
    if figure is not None and unit == "share" and (bound := _one_sided(figure)):
        return bound
    return _with_interval(figure, unit, signed=False, digits=digits)


def difference(figure: Estimate | None, unit: Unit) -> str:
    """A paired difference with its sign and interval: `−381 ms ±20`, `+1.3 pp ±0.2`."""
    return _with_interval(figure, unit, signed=True)


def same(figure: Estimate | None, reference: Estimate | None, unit: Unit) -> bool:
    """Whether a paired difference is no difference: its whole interval next to 0, seen from the reference.

    A share is seen from its nearer end: of 99.99 % and 99.98 % one has twice the failures.
    """
    bounds = _bounds(figure) if figure is not None else None
    if bounds is None:
        return False
    size = abs(reference.value) if reference is not None and reference.value is not None else 0.0
    if unit == "share":
        size = max(min(size, 1.0 - size), 0.0)
    return max(map(abs, bounds)) <= _SAME * size


def relative(figure: Estimate | None, reference: Estimate | None, unit: Unit) -> str:
    """A paired difference as a share of the reference's value: `▼ 62 % [60, 64]`, `× 4.1 [3.8, 4.4]`.

    Empty where it says nothing: for shares (their points are clearer) and for a reference that is near
    zero or hardly known. The reference's value is taken as fixed, so the interval is that of the difference.
    """
    if unit == "share" or figure is None or figure.value is None:
        return ""
    bounds = _bounds(figure)
    if bounds is None or reference is None or reference.value is None or not _far_from_zero(reference):
        return ""
    low, value, high = (x / reference.value for x in (bounds[0], figure.value, bounds[1]))
    if value > _TIMES:
        return f"× {_bracketed(value + 1, low + 1, high + 1)}"
    low, value, high = 100 * low, 100 * value, 100 * high
    if low > 0:
        return f"▲ {_bracketed(value, low, high, ' %')}"
    if high < 0:
        return f"▼ {_bracketed(-value, -high, -low, ' %')}"
    return _bracketed(value, low, high, " %", signed=True)


def duration(seconds: float) -> str:
    """An exact length of time: `90 s`, `250 ms`, `2.5 s`."""
    scale = _scale("seconds", abs(seconds))
    return f"{_number(round(seconds * scale.factor, 3) + 0.0, 3).rstrip('0').rstrip('.')}{scale.suffix}"


def percent(share: float, decimals: int = 0) -> str:
    """An exact share: `95 %`."""
    return f"{_number(100 * share, decimals)} %"


def _with_interval(figure: Estimate | None, unit: Unit, signed: bool, digits: int | None = None) -> str:
    if figure is None or figure.value is None or not math.isfinite(figure.value):
        return DASH
    bounds = _bounds(figure)
    scale = _scale(unit, max(map(abs, (figure.value, *(bounds or ())))))
    suffix = " pp" if signed and unit == "share" else scale.suffix
    value = figure.value * scale.factor
    if bounds is None:
        return f"{_number(value, _decimals_of(value, digits or 3), signed)}{suffix} ±?"
    low, high = bounds[0] * scale.factor, bounds[1] * scale.factor
    if high - low <= 2 * _WHOLE * abs(value):
        return f"{EXACTLY}{_short(value, signed)}{suffix}"
    if abs((high - value) - (value - low)) > _OFF_CENTRE * (high - low):
        return _bracketed(value, low, high, suffix, signed)
    half = max(high - value, value - low)
    decimals = _decimals(half, value)
    if digits is not None:
        decimals = min(decimals, _decimals_of(value, digits))
        if round(half, decimals) == 0.0:
            return f"{_number(value, decimals, signed)}{suffix}"
    return f"{_number(value, decimals, signed)}{suffix} ±{_number(half, decimals)}"


def _one_sided(figure: Estimate) -> str:
    """`> 99.999 %` for a share that was 1 in every replication, `< 0.001 %` for 0; empty for all others."""
    bounds = _bounds(figure)
    if bounds is None or bounds[0] == bounds[1] or figure.value not in bounds or figure.value not in (0, 1):
        return ""
    apart = float(f"{100 * (bounds[1] - bounds[0]):.9g}")  # without what floats add
    decimals = min(max(round(-math.log10(apart)), 0), _BOUND_DECIMALS)
    rounded = math.ceil(apart * 10**decimals) / 10**decimals  # towards the careful side
    return f"> {_number(100 - rounded, decimals)} %" if figure.value else f"< {_number(rounded, decimals)} %"


def _bounds(figure: Estimate) -> tuple[float, float] | None:
    """Both ends of the interval; None when one of them is not there."""
    if figure.low is None or figure.high is None:
        return None
    known = math.isfinite(figure.low) and math.isfinite(figure.high)
    return (figure.low, figure.high) if known else None


def _bracketed(value: float, low: float, high: float, suffix: str = "", signed: bool = False) -> str:
    decimals = _decimals((high - low) / 2, value)
    shown = [_number(x, decimals, signed) for x in (value, low, high)]
    return f"{shown[0]}{suffix} [{shown[1]}, {shown[2]}]"


def _scale(unit: Unit, size: float) -> _Scale:
    if unit == "share":
        return _Scale(100.0, " %")
    if unit == "seconds":
        return _Scale(1.0, " s") if size >= 1.0 or size == 0.0 else _Scale(1000.0, " ms")
    return _Scale(1.0, "/s") if unit == "per second" else _Scale(1.0, "")


def _decimals(half: float, value: float) -> int:
    """Decimals that a half-width allows; negative ones round to tens, hundreds and so on."""
    if half <= 1e-9 * abs(value):
        return _decimals_of(value, 3)
    order = math.floor(math.log10(float(f"{half:.0e}")))  # of the rounded half-width: 0.096 is shown as 0.1
    return min((1 if order >= 1 else 0) - order, _MOST_DECIMALS)


def _decimals_of(value: float, digits: int) -> int:
    """Decimals that show a value with so many significant digits, none beyond the point if it is larger."""
    if value == 0.0:
        return 0
    rounded = float(f"{abs(value):.{digits - 1}e}")  # 0.9999 is shown as 1.00
    return min(max(digits - 1 - math.floor(math.log10(rounded)), 0), _MOST_DECIMALS)


def _number(value: float, decimals: int, signed: bool = False) -> str:
    value = round(value, decimals) + 0.0  # the sum turns -0.0 into 0.0
    text = f"{abs(value):,.{max(decimals, 0)}f}"
    if value < 0:
        return MINUS + text
    return f"+{text}" if signed and value > 0 else text


def _short(value: float, signed: bool) -> str:
    """A value that is known exactly, without zeros at its end."""
    text = _number(value, _decimals_of(value, 4), signed)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _far_from_zero(figure: Estimate) -> bool:
    bounds = _bounds(figure)
    if bounds is None or figure.value is None:
        return False
    return figure.value > 0 and (bounds[1] - bounds[0]) / 2 < _LEAST_PRECISE * figure.value
