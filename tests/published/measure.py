"""What can be compared: numbers of one run, by the names that the cases use.

* A number that is the same in every run is a number nonetheless; nan where there is nothing to measure.
* Client requests are those that arrived in the measured windows; statistics of Envoy run from the start.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from resilim.engine.mesh import Mesh
from resilim.engine.simulate import has_numba, simulate
from resilim.plan import CLIENT_PROXY, Names, Plan
from resilim.plane import flags
from resilim.plane.kinds import EJECTED, UNEJECTED
from resilim.run import Array, Recording, Run
from resilim.spec.units import MILLISECOND, SECOND
from resilim.study.envoy_stats import STATISTICS, cluster_statistics

NAN = math.nan
_LOOK_EVERY = MILLISECOND


@dataclass
class Peaks:
    """A control-plane process: the most of what was there at once, seen every millisecond."""

    at_host: int = 0
    connections: int = 0

    def watch(self, mesh: Mesh) -> Generator[Any, Any, None]:
        """Look, for ever."""
        while True:
            yield mesh.env.timeout(_LOOK_EVERY)
            self.at_host = max(self.at_host, *(int(host.busy) for host in mesh.plane.records("host")))
            connections = sum(int(cluster.cx_active) for cluster in mesh.plane.records("cluster"))
            self.connections = max(self.connections, connections)


@dataclass(frozen=True)
class Observed:
    """One run and what came out of it."""

    run: Run
    names: Names
    recording: Recording
    peaks: Peaks = field(default_factory=Peaks)

    @property
    def rows(self) -> Array:
        """Outcomes of the requests that arrived in the windows."""
        rows = self.recording.rows
        arrived = rows["arrived"]
        inside: Array = rows[(arrived >= self.run.windows[0][0]) & (arrived < self.run.windows[-1][1])]
        return inside

    @property
    def good(self) -> Array:
        """Of those, the ones with status 200."""
        good: Array = self.rows[self.rows["code"] == 200]
        return good


def observe(plan: Plan, seed: int, watched: bool) -> Observed:
    """Run a plan with the luck of a seed."""
    run = plan.run.with_seed(seed)
    peaks = Peaks()
    engine = "compiled" if has_numba() else "python"
    recording = simulate(run, engine, [peaks.watch] if watched else [])
    return Observed(run, plan.names, recording, peaks)


# ---------------------------------------------------------------- outcomes


def _share(seen: Observed, which: Array) -> float:
    return 100.0 * float(which.sum()) / len(seen.rows) if len(seen.rows) else NAN


def _good(seen: Observed) -> float:
    return _share(seen, seen.rows["code"] == 200)


def _failed(seen: Observed) -> float:
    return _share(seen, seen.rows["code"] != 200)


def _flagged(flag: int) -> Callable[[Observed], float]:
    return lambda seen: _share(seen, seen.rows["flags"] & flag != 0)


def _requests(seen: Observed) -> float:
    return float(len(seen.rows))


def _rate_of_good(seen: Observed) -> float:
    """Answers with 200 per second, from the first arrival to the last outcome."""
    rows = seen.rows
    if not len(rows):
        return NAN
    ended = (rows["arrived"] + rows["latency"]).max()
    return float(len(seen.good) * SECOND / (ended - rows["arrived"].min()))


def _quantile(share: float) -> Callable[[Observed], float]:
    def quantile(seen: Observed) -> float:
        return float(np.quantile(seen.good["latency"], share)) / MILLISECOND if len(seen.good) else NAN

    return quantile


def _mean_latency(seen: Observed) -> float:
    return float(seen.rows["latency"].mean()) / MILLISECOND if len(seen.rows) else NAN


def _burst(number: int) -> Callable[[Observed], float]:
    """Answers with 200 among the requests of one burst, the first is 1."""

    def good(seen: Observed) -> float:
        instants = np.unique(seen.rows["arrived"])
        if len(instants) < number:
            return NAN
        return float((seen.good["arrived"] == instants[number - 1]).sum())

    return good


# ---------------------------------------------------------------- retries


def _attempts(seen: Observed) -> float:
    return float(seen.rows["attempts"].mean()) if len(seen.rows) else NAN


def _backoffs(seen: Observed, attempts: int) -> Array:
    """The back-offs of the calls with so many attempts, ms: what their latency has more than the attempts.

    An attempt takes as long as the quickest call with only one.
    """
    rows = seen.rows
    single = rows["latency"][rows["attempts"] == 1].min()
    extra: Array = rows["latency"][rows["attempts"] == attempts] - attempts * single
    return extra / MILLISECOND


def _first_backoff(seen: Observed) -> float:
    return float(_backoffs(seen, 2).mean())


def _first_backoff_p95(seen: Observed) -> float:
    return float(np.quantile(_backoffs(seen, 2), 0.95))


def _second_backoff(seen: Observed) -> float:
    """Mean of the sum of both, less the mean of the first."""
    both = _backoffs(seen, 3)
    return float(both.mean()) - _first_backoff(seen) if len(both) else NAN


# ---------------------------------------------------------------- ejections

_FAULT_LASTS = 30 * SECOND  # from the beginning of the fault, what is looked at


def _begin(seen: Observed) -> int:
    return int(seen.run.faults["begins"].min())


def _changes(seen: Observed, kind: int) -> Array:
    """Times of one kind of change, ns after the beginning of the fault."""
    changes = seen.recording.changes
    at: Array = changes["at"][changes["kind"] == kind] - _begin(seen)
    return at[(at >= 0) & (at < _FAULT_LASTS)]


def _first_ejection(seen: Observed) -> float:
    at = _changes(seen, EJECTED)
    return float(at[0]) / SECOND if len(at) else NAN


def _ejections(seen: Observed) -> float:
    return float(len(_changes(seen, EJECTED)))


def _ejection(number: int) -> Callable[[Observed], float]:
    """How long one ejection lasts, s; the first is 1."""

    def lasts(seen: Observed) -> float:
        begins, ends = _changes(seen, EJECTED), _changes(seen, UNEJECTED)
        return float(ends[number - 1] - begins[number - 1]) / SECOND if len(ends) >= number else NAN

    return lasts


def _back_in_service(seen: Observed) -> float:
    """How long the host is back before it is ejected again, s, mean."""
    begins, ends = _changes(seen, EJECTED), _changes(seen, UNEJECTED)
    again = begins[1:]
    return float((again - ends[: len(again)]).mean()) / SECOND if len(again) else NAN


def _share_to_bad_host(seen: Observed) -> float:
    """Share of the requests during the fault that met the bad host: all of those fail, and no others."""
    rows = seen.recording.rows
    since = rows["arrived"] - _begin(seen)
    during = rows[(since >= 0) & (since < _FAULT_LASTS)]
    return 100.0 * float((during["code"] != 200).mean())


# ---------------------------------------------------------------- names


@dataclass(frozen=True)
class Metric:
    """A number that cases ask for."""

    of: Callable[[Observed], float]
    unit: str = ""
    watched: bool = False  # needs `Peaks`


METRICS = {
    "requests": Metric(_requests),
    "share of 200": Metric(_good, "%"),
    "share of failures": Metric(_failed, "%"),
    "share of UO": Metric(_flagged(flags.UO), "%"),
    "share of UT": Metric(_flagged(flags.UT), "%"),
    "share of URX": Metric(_flagged(flags.URX), "%"),
    "200 per second": Metric(_rate_of_good, "/s"),
    "p50 of 200": Metric(_quantile(0.5), "ms"),
    "p90 of 200": Metric(_quantile(0.9), "ms"),
    "p99 of 200": Metric(_quantile(0.99), "ms"),
    "mean latency": Metric(_mean_latency, "ms"),
    "200 in burst 1": Metric(_burst(1)),
    "200 in burst 2": Metric(_burst(2)),
    "200 in burst 3": Metric(_burst(3)),
    "attempts per request": Metric(_attempts),
    "1st back-off, mean": Metric(_first_backoff, "ms"),
    "1st back-off, p95": Metric(_first_backoff_p95, "ms"),
    "2nd back-off, mean": Metric(_second_backoff, "ms"),
    "first ejection after": Metric(_first_ejection, "s"),
    "ejections": Metric(_ejections),
    "1st ejection lasts": Metric(_ejection(1), "s"),
    "2nd ejection lasts": Metric(_ejection(2), "s"),
    "3rd ejection lasts": Metric(_ejection(3), "s"),
    "4th ejection lasts": Metric(_ejection(4), "s"),
    "back until ejected again": Metric(_back_in_service, "s"),
    "share to the bad host": Metric(_share_to_bad_host, "%"),
    "peak at a host": Metric(lambda seen: float(seen.peaks.at_host), watched=True),
    "peak of connections": Metric(lambda seen: float(seen.peaks.connections), watched=True),
}


def metric(name: str) -> Metric:
    """A metric by its name, or a sum of Envoy's statistics of the client's proxy. KeyError for others."""
    if name in METRICS:
        return METRICS[name]
    terms = name.split(" + ")
    for term in terms:
        STATISTICS[term]

    def total(seen: Observed) -> float:
        clusters = [i for i, (proxy, _, _) in enumerate(seen.names.clusters) if proxy == CLIENT_PROXY]
        found = [dict(cluster_statistics(seen.recording, index)) for index in clusters]
        return float(sum(statistics.get(term, 0) for statistics in found for term in terms))

    return Metric(total)
