"""Cases: scripts of events, and what must be true after them.

* A file is `{"schema_version": 1, "about": ..., "cases": [...]}`. A case belongs to a family, by its `kind`
  or by the words of its config and events; the module of the family has `replay(case)`: what is wrong.
* Times are in seconds, percentages from 0 to 100; what is not set has Envoy's default.
* A word that is not known is a failure: nothing is passed over in silence.
* Skipped, by name: unknown kinds, what is left out or guarded against here, and what other versions do.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

Case = Mapping[str, Any]

ENVOY = (1, 40)  # the version that is simulated

_FAMILIES = {
    "pure-function": "outlier",
    "router-report": "outlier",
    "resource-manager": "circuit",
    "retry-state": "retry",
    "router": "router",
}
# Words of the config or of an event that tell the families of cases without a kind.
_WORDS = {
    "circuit": {"protocol", "request", "connected", "connect_failed", "complete", "goaway", "preconnect"},
    "outlier": {"result", "sequence", "interval", "health_check", "remove_hosts", "destroy_detector"},
}
_OPTIONAL = {
    "threads": "optional (threads): detection and ejection are one step here, there is no hand-over",
    "quirk": "optional (quirk): guarded against on purpose",
}

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class Skip(Exception):
    """A case is left out, and why."""


class Verdict(NamedTuple):
    """What became of a case: PASSED, FAILED or SKIPPED, and why."""

    case: str
    state: str
    reasons: tuple[str, ...] = ()


def load(path: Path) -> list[Case]:
    """The cases of a file; ValueError when it is none of cases."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("cases"), list):
        raise ValueError(f"{path}: no file of cases")
    if content.get("schema_version") != 1:
        raise ValueError(f"{path}: schema version {content.get('schema_version')} is not known")
    return list(content["cases"])


def judge(case: Case) -> Verdict:
    """Replay one case."""
    name = str(case.get("id"))
    try:
        reasons = tuple(_replayer(case)(case))
    except Skip as skip:
        return Verdict(name, SKIPPED, (str(skip),))
    except Exception as error:  # a case that the replay cannot cope with must not end all others
        where = traceback.extract_tb(error.__traceback__)[-1]
        reasons = (f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})",)
    return Verdict(name, FAILED if reasons else PASSED, reasons)


def _replayer(case: Case) -> Callable[[Case], list[str]]:
    """The function that replays a case; Skip when it is not to be replayed."""
    family = _family(case)
    if not is_of_version(str(case.get("profile", "current"))):
        raise Skip(f"of another version of Envoy: {case['profile']}")
    if case.get("optional") in _OPTIONAL:
        raise Skip(_OPTIONAL[case["optional"]])
    module = f"tests.conformance.{family}"
    if find_spec(module) is None:
        raise Skip(f"no replay of {family} cases yet")
    replay: Callable[[Case], list[str]] = import_module(module).replay
    return replay


def _family(case: Case) -> str:
    kind = case.get("kind")
    if kind is not None:
        if kind not in _FAMILIES:
            raise Skip(f"unknown kind: {kind}")
        return _FAMILIES[kind]
    words = {*case.get("config", {}), *(word for event in case.get("events", []) for word in event)}
    for family, own in _WORDS.items():
        if words & own:
            return family
    return "outlier"


def is_of_version(profile: str) -> bool:
    """Whether a profile such as `>=1.28`, `1.22-1.27` or `current` has the version that is simulated."""
    if profile == "current":
        return True
    bounds = list(_bounds(profile))
    if not bounds:
        raise ValueError(f"unknown profile: {profile}")
    return all(_HOLDS[sign](bound) for sign, bound in bounds)


_HOLDS: dict[str, Callable[[tuple[int, int]], bool]] = {
    ">=": lambda bound: bound <= ENVOY,
    "<=": lambda bound: bound >= ENVOY,
    ">": lambda bound: bound < ENVOY,
    "<": lambda bound: bound > ENVOY,
    "==": lambda bound: bound == ENVOY,
}


def _bounds(profile: str) -> Iterator[tuple[str, tuple[int, int]]]:
    span = re.fullmatch(r"(\d+)\.(\d+)\s*(?:-|\.\.|to)\s*(\d+)\.(\d+)", profile)
    if span:
        numbers = [int(number) for number in span.groups()]
        yield ">=", (numbers[0], numbers[1])
        yield "<=", (numbers[2], numbers[3])
        return
    for part in re.split(r"[\s,]+", re.sub(r"([<>=])\s+", r"\1", profile.strip())):
        one = re.fullmatch(r"(>=|<=|>|<|==)?(\d+)\.(\d+)", part)
        if not one:
            raise ValueError(f"unknown profile: {profile}")
        yield one[1] or "==", (int(one[2]), int(one[3]))
