"""The metrics: what is estimated from the observations of an arm, and how two arms differ.

A new metric is one entry: a `Metric`, and what it is made of: one value a replication, a pair (hits, of), or
one histogram a replication and a quantile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resilim.run import Array
from resilim.spec.units import SECOND
from resilim.study import statistics
from resilim.study.observation import Observation
from resilim.study.result import Estimate, Metric


@dataclass(frozen=True)
class Values:
    """One value a replication."""

    values: Array  # (replications,)

    def estimate(self, confidence: float) -> Estimate:
        """The mean."""
        return statistics.mean(self.values, confidence)

    def difference(self, against: Values, confidence: float) -> Estimate:
        """The mean paired difference."""
        return statistics.mean(self.values - against.values, confidence)


@dataclass(frozen=True)
class Share:
    """Hits among so many, a replication."""

    hits: Array  # (replications,)
    of: Array  # (replications,)

    def estimate(self, confidence: float) -> Estimate:
        """The mean share."""
        return statistics.share(self.hits, self.of, confidence)

    def difference(self, against: Share, confidence: float) -> Estimate:
        """The mean paired difference of shares."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return statistics.mean(self.hits / self.of - against.hits / against.of, confidence)


@dataclass(frozen=True)
class Quantile:
    """A quantile of pooled latencies."""

    histograms: Array  # (replications, BUCKETS)
    at: float

    def estimate(self, confidence: float) -> Estimate:
        """The pooled quantile, seconds."""
        return statistics.quantile(self.histograms, self.at, confidence)

    def difference(self, against: Quantile, confidence: float) -> Estimate:
        """The difference of the pooled quantiles, seconds."""
        return statistics.quantile_difference(self.histograms, against.histograms, self.at, confidence)


Data = Values | Share | Quantile
Observations = Sequence[Observation]

SUCCESS = Metric(
    "success_ratio", "success ratio", "share", "higher",
    "Share of the requests that arrived in the window and were answered with 200.",
)  # fmt: skip
GOODPUT = Metric(
    "goodput", "goodput", "per second", "higher",
    "Requests that arrived in the window and were answered with 200, per second.",
)  # fmt: skip
MEAN = Metric(
    "latency_mean", "mean latency", "seconds", "lower",
    "Mean time from arrival to outcome, failed requests included.",
)  # fmt: skip
P50 = Metric(
    "latency_p50", "p50 latency", "seconds", "lower", "Median time from start to outcome, failures included."
)
P99 = Metric("latency_p99", "p99 latency", "seconds", "lower", "99 % of requests have their outcome sooner.")
RECOVERY = Metric(
    "recovery_time", "recovery time", "seconds", "lower",
    "From the end of the fault to three bins in a row with successes within 1 percentage point of, and a "
    "median latency at most half above, those before the fault. Missing when a replication does not recover.",
)  # fmt: skip
RECOVERED = Metric(
    "recovered", "replications that recovered", "share", "higher",
    "Share of the replications that recovered before the end of the run.",
)  # fmt: skip
FAILED = Metric(
    "failed_ratio", "failed calls", "share", "lower", "Share of the calls to the service that failed."
)
AMPLIFICATION = Metric(
    "retry_amplification", "retry amplification", "ratio", "lower",
    "Attempts that got a connection, per call to the service.",
)  # fmt: skip
WASTED = Metric(
    "wasted_work", "wasted work", "share", "lower",
    "Share of the service's worker time spent on answers that nobody waited for any more.",
)  # fmt: skip

METRICS = (SUCCESS, GOODPUT, MEAN, P50, P99, RECOVERY, RECOVERED, FAILED, AMPLIFICATION, WASTED)


def client_data(seconds: float, window: int, observations: Observations) -> dict[Metric, Data]:
    """Metrics of all client requests in a window of so many seconds."""
    requests = _column(observations, "requests", window, 0)
    succeeded = _column(observations, "succeeded", window, 0)
    latency = np.array([float(observation.latency_sum[window]) for observation in observations])
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = latency / requests / SECOND
    return {
        SUCCESS: Share(succeeded, requests),
        GOODPUT: Values(succeeded / seconds),
        MEAN: Values(mean),
        **_quantiles(_column(observations, "histograms", window, 0)),
    }


def endpoint_data(number: int, window: int, observations: Observations) -> dict[Metric, Data]:
    """Metrics of the client requests to the `number`-th endpoint that clients ask for."""
    requests = _column(observations, "requests", window, 1 + number)
    succeeded = _column(observations, "succeeded", window, 1 + number)
    histograms = _column(observations, "histograms", window, 1 + number)
    return {SUCCESS: Share(succeeded, requests), **_quantiles(histograms)}


def service_data(
    service: int, worker_seconds: float, window: int, observations: Observations
) -> dict[Metric, Data]:
    """Metrics of the calls to one service, whose workers together have so many seconds in the window."""
    calls = _column(observations, "calls", window, service)
    failed = _column(observations, "calls_failed", window, service)
    attempts = _column(observations, "attempts", window, service)
    wasted = _column(observations, "wasted", window, service)
    with np.errstate(invalid="ignore", divide="ignore"):
        amplification = attempts / calls
    return {
        **_quantiles(_column(observations, "call_histograms", window, service)),
        FAILED: Share(failed, calls),
        AMPLIFICATION: Values(amplification),
        WASTED: Values(wasted / SECOND / worker_seconds),
    }


def recovery_data(observations: Observations) -> dict[Metric, Data]:
    """Recovery after the fault."""
    times = np.array([observation.recovery for observation in observations])
    recovered = np.isfinite(times).astype(float)
    return {RECOVERY: Values(times), RECOVERED: Share(recovered, np.ones(len(times)))}


def _quantiles(histograms: Array) -> dict[Metric, Data]:
    return {P50: Quantile(histograms, 0.5), P99: Quantile(histograms, 0.99)}


def _column(observations: Observations, name: str, window: int, of: int) -> Array:
    """One entry of an array of every observation: of a window, then of an endpoint or a service."""
    return np.stack([getattr(observation, name)[window][of] for observation in observations]).astype(float)
