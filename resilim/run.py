"""`Run` and `Recording`: what goes into the engine, and what comes out. Both are values.

* A `Run` has nothing left to decide: tables of numbers, no names, no callbacks.
* A `Recording` is columns. Two engines that run the same `Run` give equal recordings, bit for bit.
* Both pickle, compare by `digest()` and need nothing but numpy.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

# Kinds of fault, and what `value` and `code` of a fault row mean.
SLOW_HOST = 0  # who: host; value: factor of its own work
FAILING_HOST = 1  # who: host; value: share of requests; code: status, or the negative of a reset
LOAD_SURGE = 2  # who: source; value: factor of its rate
CRASHED_HOST = 3  # who: host
UNREACHABLE_HOST = 4  # who: host

FAULT_DTYPE = np.dtype(
    [
        ("kind", np.int64),
        ("fault", np.int64),  # number of the fault in the experiment
        ("who", np.int64),
        ("value", np.float64),
        ("code", np.int64),
        ("begins", np.int64),  # ns
        ("ends", np.int64),  # ns
    ]
)

# An outcome as it is kept, 32 bytes: the columns of `records.Row`, in their order, in narrower types.
ROW_DTYPE = np.dtype(
    [
        ("arrived", np.int64),
        ("latency", np.int64),
        ("endpoint", np.int32),
        ("code", np.int16),
        ("flags", np.int32),
        ("origin", np.int32),
        ("attempts", np.int16),
    ]
)


def joined_rows(chunks: list[Array]) -> Array:
    """All outcomes in one array; empties `chunks` on the way, so that memory is not needed twice."""
    rows = np.empty(sum(map(len, chunks)), dtype=ROW_DTYPE)
    end = len(rows)
    while chunks:
        chunk = chunks.pop()
        rows[end - len(chunk) : end] = chunk
        end -= len(chunk)
    return rows


def _digest(*parts: object) -> str:
    """SHA-256 over arrays (type, shape and bytes) and plain values."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            sha.update(f"{part.dtype.descr}{part.shape}".encode())
            sha.update(np.ascontiguousarray(part).view(np.uint8).data)
        else:
            sha.update(repr(part).encode())
        sha.update(b"\0")
    return sha.hexdigest()


def _parts(value: Any) -> list[object]:
    parts: list[object] = []
    for field in fields(value):
        item = getattr(value, field.name)
        if isinstance(item, dict):
            for name in sorted(item):
                parts += [name, item[name]]
        else:
            parts += [field.name, item]
    return parts


@dataclass(frozen=True)
class Run:
    """One replication of one arm, resolved. Times in ns from the start of the simulation."""

    tables: dict[str, Array]  # initial records, by the names of machine.TABLES
    vectors: dict[str, Array]  # int64, by the names of machine.VECTORS
    faults: Array  # FAULT_DTYPE
    seed: int  # 63 bits
    windows: tuple[tuple[int, int], ...]  # begin and end of each window
    end: int  # the load stops here
    drain: int  # and requests in flight get so long to end
    sample_every: int
    most_in_flight: int  # calls at once; more ends the run with a clear error

    def digest(self) -> str:
        """SHA-256 of everything that decides the recording."""
        return _digest(*_parts(self))

    def with_seed(self, seed: int) -> Run:
        """The same run with other luck."""
        return replace(self, seed=seed)


@dataclass(frozen=True)
class Recording:
    """What happened in one run, as columns."""

    rows: Array  # outcomes of client requests, ROW_DTYPE, in the order in which they ended
    changes: Array  # state changes, records.Change
    sample_times: Array  # int64 (samples,), ns
    samples: Array  # records.Gauge (samples, services)
    bin_quantiles: Array  # float64 (samples - 1, services, 2): p50 and p99 of each bin, ns; nan if empty
    window_histograms: Array  # int64 (windows, services, telemetry.BUCKETS)
    hosts: Array  # records.Host at the end
    clusters: Array  # records.Cluster at the end
    detectors: Array  # records.Detector at the end
    checkers: Array  # records.Checker at the end
    members: Array  # records.Member at the end
    buckets: Array  # records.Bucket at the end
    started: int  # client requests that arrived
    ended: int  # of those: have their outcome

    @property
    def in_flight(self) -> int:
        """Client requests without an outcome when the run ended."""
        return self.started - self.ended

    def digest(self) -> str:
        """SHA-256 of every column."""
        return _digest(*_parts(self))
