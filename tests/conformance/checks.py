"""What the replayers of proxy cases share: words that are known, numbers that are compared, statistics.

* Statistics are read by Envoy's names, as they are written to a user's file; `host.` names one member's.
* A breaker's gauge of what remains is 0 unless `track_remaining` is set, as in Envoy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import isclose
from typing import Any

from resilim.plane.record import Record, to_array
from resilim.plane.records import Cluster, Detector, Member
from resilim.study.envoy_stats import stats_lines
from tests.conformance.cases import Case

BREAKERS = "circuit_breakers.default."
_OF_HOST = ("rq_success", "rq_error", "rq_timeout", "rq_active", "cx_active")
CASE_KEYS = {
    *("id", "kind", "source", "evidence", "config", "hosts", "events", "expect", "note"),
    *("random", "request_headers", "profile", "optional"),
}


class Wrong(Exception):
    """A case says something that is not known, or not possible."""


def refuse_unknown(what: Any, known: set[str], name: str) -> None:
    """Every key of `what` must be known."""
    unknown = set(what) - known
    if unknown:
        raise Wrong(f"{name}: unknown {', '.join(sorted(unknown))}")


def look_up(table: Mapping[str, Any], word: Any, name: str) -> Any:
    """What a word of a case means."""
    if not isinstance(word, str) or word not in table:
        raise Wrong(f"unknown {name}: {word}")
    return table[word]


def must_be_true(event: Mapping[str, Any], word: str) -> None:
    """An event whose word has no value of its own says `true`."""
    if event[word] is not True:
        raise Wrong(f"unknown {word}: {event[word]}")


def facts_of(case: Case) -> dict[int, list[dict[str, Any]]]:
    """The expectations of a case by the event they stand after: -1 before all; without `after` the last."""
    last = len(case["events"]) - 1
    facts: dict[int, list[dict[str, Any]]] = {}
    if not case["expect"]:
        raise Wrong("nothing is expected")
    for fact in case["expect"]:
        after = fact.get("after", last)
        if not isinstance(after, int) or not -1 <= after <= last:
            raise Wrong(f"expectation after no event: {fact}")
        facts.setdefault(after, []).append(fact)
    return facts


class Script:
    """A case that is replayed event by event."""

    case: Case
    events: Mapping[str, tuple[Callable[[dict[str, Any]], None], set[str]]]
    """By the word of an event: who plays it, and what else it may say."""

    def run(self, facts: dict[int, list[dict[str, Any]]]) -> Iterator[str]:
        """Replay the events, and check what is expected after each."""
        for number in range(-1, len(self.case["events"])):
            if number >= 0:
                self.play(self.case["events"][number])
            for fact in facts.get(number, []):
                yield from (f"after event {number}: {problem}" for problem in self.check(fact))

    def play(self, event: dict[str, Any]) -> None:
        """One event."""
        what = next((word for word in self.events if word in event), None)
        if what is None:
            raise Wrong(f"unknown event: {event}")
        play, words = self.events[what]
        refuse_unknown(event, {"t", what, *words}, "event")
        play(event)

    def check(self, fact: dict[str, Any]) -> Iterator[str]:
        """What is not as expected."""
        raise NotImplementedError


def compare(what: str, found: Any, wanted: Any) -> Iterator[str]:
    """Say so when something is not as wanted."""
    if isinstance(found, bool | int | float) and isinstance(wanted, bool | int | float):
        same = isclose(found, wanted, rel_tol=1e-12, abs_tol=1e-9)
    else:
        same = found == wanted
    if not same:
        yield f"{what} is {found}, not {wanted}"


def fields_of(item: Record) -> dict[str, float]:
    """The values of a record by field."""
    values = to_array(type(item), [item])
    return dict(zip(values.dtype.names or (), values[0].tolist(), strict=True))


def statistics_of(cluster: Cluster, config: Mapping[str, Any]) -> dict[str, float]:
    """The statistics of a cluster by Envoy's names."""
    none = dict.fromkeys(fields_of(Detector()), 0.0)
    stats: dict[str, float] = dict(stats_lines(fields_of(cluster), none, {"interval": 0}, []))
    if not config.get("track_remaining"):
        stats.update(dict.fromkeys((name for name in stats if ".remaining_" in name), 0))
    return stats


def statistic(name: str, stats: Mapping[str, float], members: list[Member]) -> float:
    """One statistic by its name, with or without `cluster.<name>.` before it."""
    if name.startswith("cluster."):
        name = name.split(".", 2)[-1]
    if name.startswith("host."):
        field = name.removeprefix("host.")
        if field not in _OF_HOST:
            raise Wrong(f"unknown stat: {name}")
        return float(sum(getattr(member, field) for member in members))
    for known in (name, BREAKERS + name):
        if known in stats:
            return stats[known]
    raise Wrong(f"unknown stat: {name}")
