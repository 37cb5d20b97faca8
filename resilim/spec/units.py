"""Quantities as people write them, with their units.

* A scalar of a YAML file arrives as text, so that `12:30`, `1e3` or `on` are never guessed at.
* A duration needs a unit: `150ms`, `1.5s`, `2m`, `1h30m`; inside it is whole nanoseconds.
* A rate is a number for a unit of time: `300/s`, `50/min`, `10/h`; inside it is per second.
* A share is a percentage: `70%`, `99.9%`; inside it is 0 to 1.
* A factor is a plain positive number; a count is a plain whole number.
* In settings of Istio and Envoy a percentage is a plain number from 0 to 100, as they write it.
* Python code may pass the inside value (nanoseconds, per second, 0 to 1) instead of text.
* Writing a value back gives text that reads as the same value.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

MICROSECOND = 1_000
MILLISECOND = 1_000 * MICROSECOND
SECOND = 1_000 * MILLISECOND
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

LONGEST = 30 * DAY
HIGHEST_RATE = 1e7
HIGHEST_FACTOR = 1e6

_UNITS = {
    "ns": 1,
    "us": MICROSECOND,
    "µs": MICROSECOND,  # the micro sign
    "μs": MICROSECOND,  # the Greek letter, which looks the same
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_WRITTEN = {"h": HOUR, "m": MINUTE, "s": SECOND, "ms": MILLISECOND, "us": MICROSECOND, "ns": 1}
_PER = {"s": 1, "min": 60, "h": 3600}

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PART = re.compile(rf"({_NUMBER})(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_PLAIN = re.compile(rf"[+-]?{_NUMBER}(?:[eE][+-]?[0-9]{{1,3}})?")
_RATE = re.compile(rf"({_NUMBER})\s*/\s*([a-zA-Z]+)")
_SHARE = re.compile(rf"([+-]?{_NUMBER})\s*%")
_SHOWN = 40


def quoted(value: object) -> str:
    """The value for a message: in quotes, and cut when it is long."""
    return f'"{shortened(value)}"'


def shortened(value: object) -> str:
    """The value for a message: printable, and cut when it is long."""
    text = printable(str(value)[: _SHOWN + 1])
    return f"{text[:_SHOWN]}..." if len(text) > _SHOWN else text


def printable(text: str) -> str:
    """The text on one line, with escapes for what a terminal cannot show."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )


def kind_of(value: object) -> str:
    """What a value read from YAML is, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else quoted(value)


def _text(value: object, wanted: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{wanted} is needed here, not {kind_of(value)}")
    return value.strip()


def _number(value: object, wanted: str) -> Decimal:
    text = _text(value, wanted)
    bare = text.replace("_", "")
    if not _PLAIN.fullmatch(bare):
        raise ValueError(f"{quoted(text)} is not {wanted}")
    return Decimal(bare)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain_text(number: float) -> str:
    """The shortest decimal text, without exponent, that reads as the same float."""
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def parse_duration(value: object) -> int:
    """Nanoseconds of a text such as `1h30m`; ValueError when it is none or out of range."""
    if _is_number(value):
        return _in_range(Decimal(str(value)), f"{value}ns")
    text = _text(value, "a duration such as 150ms")
    if text.startswith("-") and _DURATION.fullmatch(text[1:]):
        raise ValueError(f"{quoted(text)} is negative")
    if _PLAIN.fullmatch(text):
        raise ValueError(f"{quoted(text)} needs a unit, e.g. {text if len(text) < 9 else 150}ms")
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not a duration, e.g. 150ms, 1.5s, 2m or 1h30m")
    parts = [Decimal(number) * _UNITS[unit] for number, unit in _PART.findall(text)]
    return _in_range(sum(parts, Decimal(0)), text)


def _in_range(nanoseconds: Decimal, text: str) -> int:
    if not (nanoseconds.is_finite() and 0 <= nanoseconds <= LONGEST):
        raise ValueError(f"{quoted(text)} is out of range: 0s to {LONGEST // DAY} days")
    if nanoseconds != nanoseconds.to_integral_value():
        raise ValueError(f"{quoted(text)} is finer than 1ns")
    return int(nanoseconds)


def format_duration(nanoseconds: int) -> str:
    """The duration in the largest unit that takes it whole: 90s, 1500ms, 2h."""
    if nanoseconds == 0:
        return "0s"
    unit = next(unit for unit, size in _WRITTEN.items() if nanoseconds % size == 0)
    return f"{nanoseconds // _WRITTEN[unit]}{unit}"


def _at_least(value: int, least: int) -> int:
    if value < least:
        raise ValueError(f"{format_duration(value)} is too short: at least {format_duration(least)}")
    return value


def _positive(value: int) -> int:
    return _at_least(value, 1)


def _whole_milliseconds(value: int) -> int:
    _at_least(value, MILLISECOND)
    if value % MILLISECOND:
        raise ValueError(f"{format_duration(value)}: only durations to ms precision are supported")
    return value


def _whole_milliseconds_or_none(value: int) -> int:
    return _whole_milliseconds(value) if value else 0


def parse_rate(value: object) -> float:
    """Events per second of a text such as `50/min`; ValueError when it is none."""
    if _is_number(value):
        return _rate_in_range(float(str(value)), f"{value}/s")
    text = _text(value, "a rate such as 300/s")
    found = _RATE.fullmatch(text)
    if not found:
        needs = "needs a unit" if _PLAIN.fullmatch(text) else "is not a rate"
        raise ValueError(f"{quoted(text)} {needs}, e.g. 300/s, 50/min or 10/h")
    number, unit = found.groups()
    if unit not in _PER:
        raise ValueError(f"{quoted(text)}: a rate is per s, min or h, not per {quoted(unit)}")
    return _rate_in_range(float(Decimal(number) / _PER[unit]), text)


def _rate_in_range(rate: float, text: str) -> float:
    if not 0 < rate <= HIGHEST_RATE:
        raise ValueError(f"{quoted(text)} is out of range: above 0/s, at most 10000000/s")
    return rate


def format_rate(rate: float) -> str:
    """The rate per second, as text."""
    return f"{_plain_text(rate)}/s"


def parse_share(value: object) -> float:
    """0 to 1 from a text such as `99.9%`; ValueError when it is none."""
    if _is_number(value):
        return _share_in_range(float(str(value)), f"{value}")
    text = _text(value, "a share such as 70%")
    found = _SHARE.fullmatch(text)
    if not found:
        needs = "needs a percent sign" if _PLAIN.fullmatch(text) else "is not a share"
        raise ValueError(f"{quoted(text)} {needs}, e.g. 70% or 99.9%")
    return _share_in_range(float(Decimal(found[1]) / 100), text)


def _share_in_range(share: float, text: str) -> float:
    if not 0 <= share <= 1:
        raise ValueError(f"{quoted(text)} is out of range: 0% to 100%")
    return share


def format_share(share: float) -> str:
    """The share as a percentage."""
    text = format(Decimal(repr(share)).scaleb(2), "f")
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"


def parse_factor(value: object) -> float:
    """A positive number, at most a million; ValueError when it is none."""
    number = float(str(value)) if _is_number(value) else float(_number(value, "a number, e.g. 2.5"))
    if not 0 < number <= HIGHEST_FACTOR:  # also true of a NaN
        raise ValueError(f"{quoted(value)} is out of range: above 0, at most 1000000")
    return number


def parse_percent(value: object) -> float:
    """Percent as Istio and Envoy write it, a plain number from 0 to 100; ValueError when it is none."""
    number = float(str(value)) if _is_number(value) else float(_number(value, "a percentage, e.g. 12.5"))
    if not 0 <= number <= 100:  # also true of a NaN
        raise ValueError(f"percentage {value} is not in range 0..100")
    return number


def parse_count(value: object) -> int:
    """A whole number: `4`, `1000`, also `1e3` and `017` (seventeen); ValueError when it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = _number(value, "a whole number, e.g. 4")
    if abs(number) >= 10**20 or number != number.to_integral_value():
        raise ValueError(f"{quoted(value)} is not a whole number, e.g. 4")
    return int(number)


def parse_flag(value: object) -> bool:
    """`true` or `false`, also `on`, `off`, `yes` and `no`; ValueError when it is none."""
    if isinstance(value, bool):
        return value
    text = _text(value, "true or false").lower()
    if text in ("true", "on", "yes"):
        return True
    if text in ("false", "off", "no"):
        return False
    raise ValueError(f"{quoted(text)} is neither true nor false")


def _name(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("a name is needed here, without line breaks")
    return value


Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9.]+(ns|us|µs|ms|s|m|h))+$"}),
]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
IstioDuration = Annotated[Duration, AfterValidator(_whole_milliseconds)]
IstioDurationOrOff = Annotated[Duration, AfterValidator(_whole_milliseconds_or_none)]
Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    PlainSerializer(format_rate, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9.]+\s*/\s*(s|min|h)$"}),
]
Share = Annotated[
    float,
    BeforeValidator(parse_share),
    PlainSerializer(format_share, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9.]+\s*%$"}),
]
Factor = Annotated[
    float,
    BeforeValidator(parse_factor),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": HIGHEST_FACTOR}),
]
Percent = Annotated[
    float,
    BeforeValidator(parse_percent),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100}),
]
Count = Annotated[int, BeforeValidator(parse_count)]
Flag = Annotated[bool, BeforeValidator(parse_flag)]
Name = Annotated[str, AfterValidator(_name)]
