"""Quantiles of latency histograms with the logarithmic buckets of `plane.telemetry`.

Histograms add and subtract. A quantile is interpolated inside its bucket, so its relative error is
below the bucket's width of 1.1 %.
"""

from __future__ import annotations

import numpy as np

from resilim.plane.telemetry import BUCKETS, BUCKETS_PER_E_FOLD, FIRST, OFFSET
from resilim.run import Array

# (BUCKETS + 1,) ns: bucket i holds EDGES[i] <= latency < EDGES[i + 1]
EDGES = np.exp((np.arange(BUCKETS + 1) + FIRST) / BUCKETS_PER_E_FOLD) - OFFSET


def quantiles(counts: Array, at: Array) -> Array:
    """Quantiles `at` (each in 0..1) of histograms `counts` (..., BUCKETS), ns; nan where empty.

    Shape: counts.shape[:-1] + at.shape. `counts` may be fractional but not negative.
    """
    flat = counts.reshape(-1, BUCKETS)
    result = np.full((len(flat), len(at)), np.nan)
    for row in np.flatnonzero(flat.any(axis=1)):
        used = np.flatnonzero(flat[row])
        cumulated = np.cumsum(flat[row, used])
        wanted = at * cumulated[-1]
        position = np.minimum(np.searchsorted(cumulated, wanted), len(used) - 1)
        bucket = used[position]
        below = cumulated[position] - flat[row, bucket]
        inside = np.clip((wanted - below) / flat[row, bucket], 0.0, 1.0)
        result[row] = EDGES[bucket] + inside * (EDGES[bucket + 1] - EDGES[bucket])
    return result.reshape(*counts.shape[:-1], len(at))


def of_latencies(latencies: Array) -> Array:
    """Histogram (BUCKETS,) of latencies in ns."""
    bucket = (np.log(latencies + OFFSET) * BUCKETS_PER_E_FOLD).astype(np.int64) - FIRST
    return np.bincount(bucket, minlength=BUCKETS)
