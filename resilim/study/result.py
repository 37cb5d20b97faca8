"""`Result`: what an experiment found out. Plain values; the report floor only reads them.

* Every figure is an `Estimate` with its interval; `None` stands where there is nothing to estimate.
* The unit of analysis is the replication. Differences are paired: arm minus reference, same luck.
* `to_json` holds no wall time, no host name and no engine name: the same input gives the same bytes.
* Timelines are for pictures: the median over replications and the band from 10 % to 90 % of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from resilim.run import Array

SCHEMA = 1

Verdict = Literal["yes", "partly", "no", "inconclusive", "none"]
Unit = Literal["share", "seconds", "per second", "ratio", "count"]


@dataclass(frozen=True)
class Metric:
    """What a figure means."""

    id: str
    label: str
    unit: Unit
    better: Literal["higher", "lower", ""]
    doc: str


@dataclass(frozen=True)
class Estimate:
    """A value and its confidence interval, in the metric's unit; `None` where there is none."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Figure:
    """One metric of one arm in one window."""

    metric: str
    of: str  # "" for the client's requests, an endpoint of the mix, or a service
    window: str
    arm: str
    estimate: Estimate


@dataclass(frozen=True)
class Difference:
    """Paired difference of one metric: `arm` minus `against`, the same replications."""

    metric: str
    of: str
    window: str
    arm: str
    against: str
    estimate: Estimate


@dataclass(frozen=True)
class Outcomes:
    """How the client's requests of one arm and window ended, mean number a replication."""

    arm: str
    window: str
    requests: float
    succeeded: float
    # (flags as Envoy prints them, service where the failure began, mean number), most frequent first
    failures: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class Window:
    """A measured interval, seconds from the start of the simulation."""

    name: str
    begin: float
    end: float


@dataclass(frozen=True)
class FaultNote:
    """A fault as the report marks it, seconds from the start of the simulation."""

    name: str
    text: str  # for example "2 hosts of order-service, 20 times slower"
    service: str
    hosts: tuple[str, ...]  # names of the hosts it strikes
    begin: float
    end: float


@dataclass(frozen=True)
class Band:
    """A series over time: median and 10 %..90 % of the replications. Arrays (..., bins); nan where empty."""

    median: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Timeline:
    """One arm over time. `bins` are the right edges of the bins, seconds from the start of the simulation."""

    bins: Array  # (bins,)
    client: dict[str, Band]  # series -> (bins,): goodput, offered (per second), failed (share), p50, p99 (s)
    # series -> (services, bins): calls (per second), failed (share of calls), p50, p99 (s, of calls to it),
    # amplification (attempts per call), busy (share of workers), waiting (in host queues), pending (in
    # callers' pools), active (on connections), connections, refused_by_pool (per second)
    services: dict[str, Band]
    ejected: Array  # (hosts, bins): share of the callers' proxies that have the host ejected, mean


@dataclass(frozen=True)
class Answer:
    """The answer in words. `verdict` is for one glance; the sentence says it with numbers."""

    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class Result:
    """Everything that a report says."""

    experiment: str
    question: str
    digest: str  # of the resolved runs; names the result's folder
    version: str  # of resilim
    seed: int
    replications: int
    requested: int
    confidence: float
    pairing: str
    arms: tuple[str, ...]  # the first is the reference
    windows: tuple[Window, ...]
    faults: tuple[FaultNote, ...]
    services: tuple[str, ...]
    entry: str  # the service that clients call
    hosts: tuple[str, ...]  # for example "order-service-v1-0"
    host_service: tuple[int, ...]  # index of each host's service
    workers: tuple[int, ...]  # of each service, over all its hosts
    provenance: tuple[tuple[str, str, str], ...]  # what, source, kind
    metrics: tuple[Metric, ...]
    figures: tuple[Figure, ...]
    differences: tuple[Difference, ...]
    outcomes: tuple[Outcomes, ...]
    answer: Answer
    notes: tuple[str, ...]  # what the reader should know: excess of failures before the fault, and so on
    timelines: dict[str, Timeline]  # by arm; not part of summary.json

    def metric(self, metric_id: str) -> Metric:
        """A metric by its id. KeyError when there is none."""
        for metric in self.metrics:
            if metric.id == metric_id:
                return metric
        raise KeyError(metric_id)

    def figure(self, metric: str, of: str, window: str, arm: str) -> Estimate | None:
        """One figure; None when it was not estimated."""
        wanted = (metric, of, window, arm)
        return next((f.estimate for f in self.figures if (f.metric, f.of, f.window, f.arm) == wanted), None)

    def difference(self, metric: str, of: str, window: str, arm: str) -> Estimate | None:
        """One paired difference to the reference; None when it was not estimated."""
        wanted = (metric, of, window, arm)
        return next(
            (d.estimate for d in self.differences if (d.metric, d.of, d.window, d.arm) == wanted), None
        )

    def measured(self, window: str) -> Iterator[tuple[str, str]]:
        """The (metric, of) pairs that have figures in a window, in order, each once."""
        yield from dict.fromkeys((f.metric, f.of) for f in self.figures if f.window == window)

    def to_json(self) -> dict[str, Any]:
        """What `summary.json` holds: everything but the timelines."""
        plain = asdict(self)
        del plain["timelines"]
        return {"schema": SCHEMA, **plain}
