"""Quantiles of latency histograms with the log-linear buckets of `plane.telemetry`.

Histograms add and subtract. A quantile is interpolated inside its bucket, so its relative error is
well below the bucket's width of 1/64.
"""

from __future__ import annotations

import numpy as np

from resilim.plane.telemetry import BUCKETS, LOWEST_OCTAVE, OCTAVES, SUB_BUCKETS
from resilim.run import Array


def _edges() -> Array:
    octave = np.arange(OCTAVES)
    lower = 2.0 ** (LOWEST_OCTAVE - 1 + octave)
    inside = 1.0 + np.arange(SUB_BUCKETS) / SUB_BUCKETS
    return np.concatenate([[0.0], np.outer(lower, inside).ravel(), [2.0 ** (LOWEST_OCTAVE - 1 + OCTAVES)]])


EDGES = _edges()  # (BUCKETS + 1,) ns: bucket i holds EDGES[i] <= latency < EDGES[i + 1]


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
    bucket = np.clip(np.searchsorted(EDGES, latencies, side="right") - 1, 0, BUCKETS - 1)
    return np.bincount(bucket, minlength=BUCKETS)
