"""`View`: a result with what every section asks of it, worked out once.

* Figures are found by key, so that a page about a thousand services does not search for each cell.
* Times are shown from the start of the window named `fault`; without one, from the start of the simulation.
* With more than `MOST` services, pictures show those that changed most between the arms during the fault,
  always with the entry and the services that the faults strike.
* A result that was read back from `summary.json` has no timelines: its pictures over time are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from resilim.report import units
from resilim.report.averages import mean
from resilim.report.units import duration
from resilim.report.words import Judgement, judgement
from resilim.run import Array
from resilim.study.result import Estimate, Metric, Outcomes, Result, Window

MOST = 12  # services that one picture shows

Key = tuple[str, str, str, str]  # metric, of, window, arm

_LEAST_LATENCY = 1e-6  # seconds: below, ratios of latencies say nothing


class Compared(NamedTuple):
    """A paired difference as it is read: `same`, or its size and what it says."""

    text: str
    relative: str  # as a share of the reference; empty where that says nothing
    word: Judgement

    @property
    def sentence(self) -> str:
        """All of it in a sentence: `−580 ms ±170 (better)`."""
        return f"{self.text} ({self.word})" if self.word else self.text


@dataclass(frozen=True)
class View:
    """A result, indexed."""

    result: Result
    metrics: dict[str, Metric]
    figures: dict[Key, Estimate]
    differences: dict[Key, Estimate]
    measured: dict[str, tuple[tuple[str, str], ...]]  # by window: (metric, of), each once, in order
    window: Window  # the one that the question is about
    zero: float  # seconds from the start of the simulation at which the shown time is 0
    shown: tuple[int, ...]  # indices of the services in pictures, entry first

    @classmethod
    def of(cls, result: Result) -> View:
        """Index a result."""
        fault = next((w for w in result.windows if w.name == "fault"), None)
        window = fault or result.windows[0]
        return cls(
            result=result,
            metrics={m.id: m for m in result.metrics},
            figures={(f.metric, f.of, f.window, f.arm): f.estimate for f in result.figures},
            differences={(d.metric, d.of, d.window, d.arm): d.estimate for d in result.differences},
            measured={w.name: tuple(result.measured(w.name)) for w in result.windows},
            window=window,
            zero=fault.begin if fault else 0.0,
            shown=_shown(result, window),
        )

    @property
    def reference(self) -> str:
        """The arm that the others are compared with."""
        return self.result.arms[0]

    @property
    def others(self) -> tuple[str, ...]:
        """The arms that are compared with the reference."""
        return self.result.arms[1:]

    @property
    def begin(self) -> float:
        """Where pictures begin, seconds of shown time."""
        return min(w.begin for w in self.result.windows) - self.zero

    @property
    def end(self) -> float:
        """Where pictures end, seconds of shown time."""
        return max(w.end for w in self.result.windows) - self.zero

    @property
    def time_title(self) -> str:
        """What the shown time counts from."""
        return f"seconds from the start of the {'fault window' if self.zero else 'simulation'}"

    @property
    def struck(self) -> tuple[int, ...]:
        """Indices of the services that a fault strikes, each once."""
        names = dict.fromkeys(f.service for f in self.result.faults)
        return tuple(self.result.services.index(n) for n in names if n in self.result.services)

    def fault_words(self) -> list[str]:
        """Each fault in words with its time; plain text of the model, neither cleaned nor escaped."""
        return [
            f"{f.name}: {f.text}, from {duration(f.begin - self.zero)} to {duration(f.end - self.zero)}"
            for f in self.result.faults
        ]

    def outcomes(self) -> list[Outcomes]:
        """Outcomes window by window, so that the arms of a window stand together."""
        windows = [w.name for w in self.result.windows]
        arms = self.result.arms
        return sorted(self.result.outcomes, key=lambda o: (windows.index(o.window), arms.index(o.arm)))

    def figure(self, metric: str, of: str, window: str, arm: str) -> Estimate | None:
        """One figure; None when it was not estimated."""
        return self.figures.get((metric, of, window, arm))

    def difference(self, metric: str, of: str, window: str, arm: str) -> Estimate | None:
        """One paired difference to the reference; None when it was not estimated."""
        return self.differences.get((metric, of, window, arm))

    def compared(self, metric: Metric, of: str, window: str, arm: str) -> Compared:
        """What the paired difference of an arm to the reference says."""
        found = self.difference(metric.id, of, window, arm)
        reference = self.figure(metric.id, of, window, self.reference)
        if units.same(found, reference, metric.unit):
            return Compared(units.SAME, "", "")
        written = units.difference(found, metric.unit)
        return Compared(written, units.relative(found, reference, metric.unit), judgement(found, metric))

    def unchanged(self, metric: Metric, of: str, window: str) -> bool:
        """Whether every arm is the same as the reference."""
        return all(self.compared(metric, of, window, arm).text == units.SAME for arm in self.others)

    def recovered(self, window: str, arm: str, digits: int | None = None) -> str:
        """The recovery time of an arm, or in how many replications it did not recover."""
        time = self.figure("recovery_time", "", window, arm)
        if time is not None and time.value is not None:
            return units.estimate(time, "seconds", digits)
        missing = self.not_recovered(arm)
        if missing is None:
            return "not recovered in every replication"
        return f"not recovered in {missing} of {self.result.replications}"

    def not_recovered(self, arm: str) -> int | None:
        """How many replications of an arm did not recover; None when nobody looked."""
        window = next((w for w, measured in self.measured.items() if ("recovered", "") in measured), "")
        share = self.figure("recovered", "", window, arm)
        if share is None or share.value is None:
            return None
        return round((1 - share.value) * self.result.replications)

    def of_client(self, window: str) -> Iterator[tuple[Metric, str]]:
        """(metric, endpoint) pairs of the client's requests in a window; "" stands for all endpoints."""
        services = set(self.result.services)
        for metric, of in self.measured[window]:
            if of not in services:
                yield self.metrics[metric], of

    def of_services(self, window: str) -> dict[str, list[Metric]]:
        """The metrics that each service has figures of in a window, entry first."""
        found: dict[str, list[Metric]] = {self.result.services[i]: [] for i in _in_order(self.result)}
        for metric, of in self.measured[window]:
            if of in found:
                found[of].append(self.metrics[metric])
        return {name: metrics for name, metrics in found.items() if metrics}


def _in_order(result: Result) -> list[int]:
    """Indices of the services, the entry first."""
    return sorted(range(len(result.services)), key=lambda i: result.services[i] != result.entry)


def _shown(result: Result, window: Window) -> tuple[int, ...]:
    order = _in_order(result)
    if len(order) <= MOST:
        return tuple(order)
    struck = {f.service for f in result.faults} | {result.entry}
    changes = _changes(result, window)
    ranked = sorted(order, key=lambda i: (result.services[i] not in struck, -changes[i]))
    chosen = set(ranked[:MOST])
    return tuple(i for i in order if i in chosen)


def _changes(result: Result, window: Window) -> Array:
    """How far each service is from the reference in a window: |log ratio of p99| + |share failed|."""
    changes = np.zeros(len(result.services))
    if not result.timelines:
        return changes
    reference = _means(result, result.arms[0], window)
    for arm in result.arms[1:]:
        apart = [np.abs(a - b) for a, b in zip(_means(result, arm, window), reference, strict=True)]
        changes = np.maximum(changes, np.nan_to_num(apart[0]) + np.nan_to_num(apart[1]))
    return changes


def _means(result: Result, arm: str, window: Window) -> tuple[Array, Array]:
    """Means of log p99 and of the failed share of each service over a window."""
    timeline = result.timelines[arm]
    inside = (timeline.bins > window.begin) & (timeline.bins <= window.end)
    p99 = np.log(np.maximum(timeline.services["p99"].median[:, inside], _LEAST_LATENCY))
    return mean(p99), mean(timeline.services["failed"].median[:, inside])
