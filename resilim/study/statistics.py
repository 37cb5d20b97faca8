"""Intervals. The unit of analysis is the replication, never the request.

* Mean of a figure that every replication has: Student's t on the replications' values.
* Share: the same, on the replications' shares. When no replication shows a single failure (or success) the
  interval is one-sided: the "rule of three" bound of Clopper and Pearson, from the requests of all.
* Quantile: the replications' histograms are pooled and the quantile is jackknifed over replications; the mean
  of per-replication p99s would cover only 70 to 81 % where 95 % is claimed.
* Two arms: the same on paired differences, the arms of a replication sharing their luck.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from resilim.histogram import quantiles
from resilim.run import Array
from resilim.spec.units import SECOND
from resilim.study.result import Estimate

NOTHING = Estimate(None, None, None)


@cache
def t_quantile(confidence: float, degrees: int) -> float:
    """Two-sided critical value of Student's t."""
    from scipy.stats import t  # slow to import

    return float(t.ppf(0.5 + confidence / 2, degrees))


def mean(values: Array, confidence: float) -> Estimate:
    """Mean over replications with its t interval. Values (replications,); nan: nothing to estimate."""
    if len(values) == 0 or not np.isfinite(values).all():
        return NOTHING
    centre = math.fsum(values.tolist()) / len(values)
    if len(values) == 1:
        return Estimate(centre, None, None)
    deviation = math.sqrt(math.fsum(((values - centre) ** 2).tolist()) / (len(values) - 1))
    half = t_quantile(confidence, len(values) - 1) * deviation / math.sqrt(len(values))
    return Estimate(centre, centre - half, centre + half)


def share(hits: Array, of: Array, confidence: float) -> Estimate:
    """Mean over replications of the share hits/of, in 0..1; never an interval of width 0."""
    if (of == 0).any():
        return NOTHING
    total = float(of.sum())
    bound = 1.0 - (1.0 - confidence) ** (1.0 / total)
    if (hits == of).all():
        return Estimate(1.0, 1.0 - bound, 1.0)
    if (hits == 0).all():
        return Estimate(0.0, 0.0, bound)
    estimate = mean(hits / of, confidence)
    if estimate.low is None or estimate.high is None:
        return estimate
    return Estimate(estimate.value, max(0.0, estimate.low), min(1.0, estimate.high))


def quantile(histograms: Array, at: float, confidence: float) -> Estimate:
    """Pooled quantile, seconds, jackknifed. Histograms (replications, BUCKETS)."""
    return jackknife(*_leave_one_out(histograms, at), confidence)


def quantile_difference(histograms: Array, against: Array, at: float, confidence: float) -> Estimate:
    """Difference of two arms' pooled quantiles, seconds, jackknifed over the paired replications."""
    whole, parts = _leave_one_out(histograms, at)
    other_whole, other_parts = _leave_one_out(against, at)
    return jackknife(whole - other_whole, parts - other_parts, confidence)


def _leave_one_out(histograms: Array, at: float) -> tuple[float, Array]:
    """The quantile of all histograms together, and of all but each one; seconds."""
    pooled = histograms.sum(axis=0)
    together = np.concatenate([pooled[None, :], pooled[None, :] - histograms])
    values = quantiles(together, np.array([at]))[:, 0] / SECOND
    return float(values[0]), values[1:]


def jackknife(whole: float, parts: Array, confidence: float) -> Estimate:
    """Interval of a statistic from its leave-one-out values (Tukey's pseudo-values)."""
    n = len(parts)
    if not np.isfinite(whole):
        return NOTHING
    if n < 2 or not np.isfinite(parts).all():
        return Estimate(whole, None, None)
    centre = math.fsum(parts.tolist()) / n
    variance = (n - 1) / n * math.fsum(((parts - centre) ** 2).tolist())
    half = t_quantile(confidence, n - 1) * math.sqrt(variance)
    return Estimate(whole, whole - half, whole + half)
