"""Names and verdicts as the report writes them.

* A name comes from a file that anyone may have written: characters that steer a terminal or turn the
  reading direction are taken out here, and markup is escaped where it is written.
* A verdict is a word. Colour only repeats it.
"""

from __future__ import annotations

import unicodedata
from typing import Literal

from resilim.study.result import Estimate, Metric

Judgement = Literal["better", "worse", "differs", "not clear", ""]

VERDICTS = {
    "yes": "Yes",
    "partly": "Partly",
    "no": "No",
    "inconclusive": "Inconclusive",
    "none": "No verdict",
}

_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format (also direction), surrogates, line ends


def plain(name: str) -> str:
    """A name without characters that cannot be printed; line ends and tabs become spaces."""
    spaced = " ".join(name.split())
    return "".join(c for c in spaced if unicodedata.category(c) not in _UNPRINTABLE)


def clip(name: str, most: int) -> str:
    """A printable name of at most `most` characters; the end stays, since names differ there."""
    name = plain(name)
    if len(name) <= most:
        return name
    tail = most // 3
    return f"{name[: most - tail - 1]}…{name[-tail:]}"


def judgement(difference: Estimate | None, metric: Metric) -> Judgement:
    """What a paired difference says; `not clear` when its interval includes zero."""
    if difference is None or difference.low is None or difference.high is None:
        return ""
    if difference.low <= 0 <= difference.high:
        return "not clear"
    if not metric.better:
        return "differs"
    return "better" if (difference.low > 0) == (metric.better == "higher") else "worse"


def counted(number: int, noun: str) -> str:
    """A number and its noun: `1 replication`, `20 replications`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
