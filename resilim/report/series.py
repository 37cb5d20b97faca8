"""Series over time, cut to what a picture can show.

* Only the measured windows are drawn, not the warm-up.
* Neighbouring bins are averaged until a picture has few enough points; the caption says how long one is.
* Values keep three significant digits: a pixel shows no more, and the page stays small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resilim.report.averages import mean
from resilim.report.view import View
from resilim.run import Array

MOST_BINS = 300  # more than one point for every two pixels of a laptop's screen helps nobody
LEAST_BINS = 60
MOST_POINTS = 40_000  # of one picture, about 110 kB when packed


@dataclass(frozen=True)
class Cut:
    """Which bins of a timeline a picture shows, and how many of them make one point."""

    first: int
    last: int  # exclusive
    group: int
    start: float  # seconds of shown time: middle of the first point
    step: float  # seconds from point to point

    def of(self, values: Array) -> Array:
        """The points of a series (..., bins); nan where a point has no bin with a value."""
        values = values[..., self.first : self.last]
        missing = -values.shape[-1] % self.group
        padding = [(0, 0)] * (values.ndim - 1) + [(0, missing)]
        padded = np.pad(np.asarray(values, dtype=float), padding, constant_values=math.nan)
        return mean(padded.reshape(*values.shape[:-1], -1, self.group))

    def times(self) -> Array:
        """The middle of each point, seconds of shown time."""
        points = -(-(self.last - self.first) // self.group)
        return self.start + self.step * np.arange(points)


def cut(view: View, series: int) -> Cut:
    """The cut for a picture of so many series."""
    most = min(MOST_BINS, max(LEAST_BINS, MOST_POINTS // max(series, 1)))
    return cut_to(view, most)


def cut_to(view: View, most: int) -> Cut:
    """The cut to at most so many points a series. Bins are as long as the first two are apart."""
    bins = view.result.timelines[view.reference].bins
    step = float(bins[1] - bins[0]) if len(bins) > 1 else 1.0
    edges = bins - view.zero
    inside = np.flatnonzero((edges > view.begin + 1e-9) & (edges <= view.end + 1e-9))
    first, last = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, len(bins))
    group = max(1, -(-(last - first) // most))
    return Cut(first, last, group, float(edges[first]) - step + group * step / 2, group * step)


def numbers(values: Array | Sequence[float], digits: int = 3) -> list[float | int | None]:
    """Values for a picture: so many significant digits, None for nan, whole numbers without a point."""
    return [_short(float(v), digits) for v in values]


def _short(value: float, digits: int) -> float | int | None:
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short == int(short) else short
