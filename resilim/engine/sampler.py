"""The sampler: every service's counters, gauges and latencies at regular times.

* A bin's quantiles come from the difference of the latency histogram between two samples.
* A window's histogram is the difference between its edges; a call belongs to the window in which it ends.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from resilim.engine.mesh import Mesh
from resilim.histogram import quantiles
from resilim.plane.telemetry import BUCKETS
from resilim.run import Array, Run

_QUANTILES = np.array([0.5, 0.99])


class Sampler:
    """Takes the samples of one run."""

    def __init__(self, mesh: Mesh, run: Run) -> None:
        self._mesh = mesh
        self._run = run
        self._times: list[int] = []
        self._samples: list[Array] = []
        self._bins: list[Array] = []
        self._last = self._histogram()
        self._edges: dict[int, Array] = {0: self._last}

    def processes(self) -> list[Generator[simpy.Event, Any, None]]:
        """The SimPy processes of the sampler."""
        return [self._at_regular_times(), self._at_window_edges()]

    def _at_regular_times(self) -> Generator[simpy.Event, Any, None]:
        while self._mesh.env.now < self._run.end:
            self.sample()
            yield self._mesh.env.timeout(self._run.sample_every)

    def _at_window_edges(self) -> Generator[simpy.Event, Any, None]:
        for edge in sorted({edge for window in self._run.windows for edge in window} - {0, self._run.end}):
            yield self._mesh.env.timeout(edge - self._mesh.env.now)
            self._edges[edge] = self._histogram()

    def finish(self) -> None:
        """The last sample, at the end of the load."""
        self.sample()
        self._edges[self._run.end] = self._last

    def sample(self) -> None:
        """Take one sample now."""
        now = int(self._mesh.env.now)
        plane = self._mesh.plane
        plane.call("take_sample")
        self._times.append(now)
        self._samples.append(plane.table("gauge"))
        if now > 0:
            histogram = self._histogram()
            self._bins.append(quantiles(histogram - self._last, _QUANTILES))
            self._last = histogram

    def _histogram(self) -> Array:
        return np.array(self._mesh.plane.vector("histogram")).reshape(-1, BUCKETS)

    def columns(self) -> dict[str, Array]:
        """The columns of the recording that come from samples."""
        services = self._last.shape[0]
        windows = [self._edges[end] - self._edges[begin] for begin, end in self._run.windows]
        return {
            "sample_times": np.array(self._times, dtype=np.int64),
            "samples": np.stack(self._samples),
            "bin_quantiles": np.stack(self._bins) if self._bins else np.empty((0, services, 2)),
            "window_histograms": np.stack(windows) if windows else np.empty((0, services, BUCKETS), np.int64),
        }
