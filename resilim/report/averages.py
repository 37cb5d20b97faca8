"""Averages of series with gaps."""

from __future__ import annotations

import math

import numpy as np

from resilim.run import Array


def mean(values: Array) -> Array:
    """Mean over the last axis of what is there; nan where nothing is."""
    there = np.isfinite(values)
    total = np.where(there, values, 0.0).sum(axis=-1)
    count = there.sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), math.nan)
