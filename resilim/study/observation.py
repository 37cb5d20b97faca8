"""What is kept of one recording: per window counts and latency histograms, and series over time.

* A client request belongs to the window in which it *arrived*; a call between services to the one in which
  it ended. Failed requests stay in the latencies as what they are.
* Recovery: from the end of the fault to the first of three bins in a row in which the share of successes is
  at most one percentage point below, and the median latency at most half above, those before the fault.
* An observation is numbers and arrays only; `pack` and `unpack` turn it into JSON and back without loss.
"""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from resilim.histogram import of_latencies, quantiles
from resilim.plan import Names
from resilim.plane import flags as response_flags
from resilim.plane.kinds import EJECTED, UNEJECTED
from resilim.run import Array, Recording, Run
from resilim.spec.units import SECOND

_BINS_IN_A_ROW = 3
_WORSE_SUCCESS = 0.01
_WORSE_MEDIAN = 1.5

CLIENT_SERIES = ("offered", "goodput", "failed", "p50", "p99")
SERVICE_SERIES = (
    "calls", "failed", "p50", "p99", "amplification", "busy", "waiting", "pending", "active",
    "connections", "refused_by_pool",
)  # fmt: skip


@dataclass(frozen=True)
class Observation:
    """One replication of one arm, per window (first axis of the arrays)."""

    recording: str  # digest of the recording
    requests: Array  # (windows, 1 + asked): all requests first, then by endpoint that clients ask for
    succeeded: Array  # (windows, 1 + asked)
    latency_sum: Array  # (windows,) ns, all requests
    histograms: Array  # (windows, 1 + asked, BUCKETS)
    failures: tuple[dict[str, int], ...]  # per window: "flags service" -> number
    calls: Array  # (windows, services) calls to each service that ended
    calls_failed: Array  # (windows, services)
    attempts: Array  # (windows, services)
    wasted: Array  # (windows, services) worker time spent for nobody, ns
    call_histograms: Array  # (windows, services, BUCKETS)
    recovery: float  # seconds; nan: not recovered, or no fault
    in_flight: int  # requests without an outcome at the very end
    client_series: Array  # (CLIENT_SERIES, bins)
    service_series: Array  # (SERVICE_SERIES, services, bins)
    ejected: Array  # (hosts, bins): share of the callers' proxies that have the host ejected


def observe(run: Run, names: Names, recording: Recording, fault_window: int | None) -> Observation:
    """The observation of a recording; `fault_window` is the index of the window whose end starts recovery."""
    rows = recording.rows
    windows = run.windows
    requests = np.zeros((len(windows), 1 + len(names.asked)), np.int64)
    succeeded = np.zeros_like(requests)
    latency_sum = np.zeros(len(windows), np.int64)
    good = rows["code"] == 200
    histograms = []
    failures = []
    for index, (begin, end) in enumerate(windows):
        inside = (rows["arrived"] >= begin) & (rows["arrived"] < end)
        latency_sum[index] = rows["latency"].sum(where=inside)
        by_endpoint = []
        for column, endpoint in enumerate(names.asked, start=1):
            of_endpoint = inside & (rows["endpoint"] == endpoint)
            requests[index, column] = of_endpoint.sum()
            succeeded[index, column] = (of_endpoint & good).sum()
            by_endpoint.append(of_latencies(rows["latency"][of_endpoint]))
        histograms.append(np.stack([np.sum(by_endpoint, axis=0), *by_endpoint]))
        failures.append(_failures(rows[inside & ~good], names))
    requests[:, 0] = requests[:, 1:].sum(axis=1)
    succeeded[:, 0] = succeeded[:, 1:].sum(axis=1)
    client = _client_series(recording)
    return Observation(
        recording=recording.digest(),
        requests=requests,
        succeeded=succeeded,
        latency_sum=latency_sum,
        histograms=np.stack(histograms),
        failures=tuple(failures),
        calls=_in_windows(run, recording, "calls_ended"),
        calls_failed=_in_windows(run, recording, "calls_failed"),
        attempts=_in_windows(run, recording, "attempts"),
        wasted=_in_windows(run, recording, "wasted_time"),
        call_histograms=recording.window_histograms,
        recovery=_recovery(run, recording, client, fault_window),
        in_flight=recording.in_flight,
        client_series=client,
        service_series=_service_series(run, recording),
        ejected=_ejected(run, names, recording),
    )


def _failures(rows: Array, names: Names) -> dict[str, int]:
    """Failed requests by response flags and the service where the failure began."""
    counted = Counter(zip(rows["flags"].tolist(), rows["origin"].tolist(), strict=True))
    return {
        f"{response_flags.text(flags)} {names.services[origin]}": number
        for (flags, origin), number in sorted(counted.items())
    }


def _in_windows(run: Run, recording: Recording, counter: str) -> Array:
    """Growth of a counter of every service inside each window; edges between samples are interpolated."""
    values = recording.samples[counter].astype(float)
    edges = np.array(run.windows, dtype=float).ravel()
    at_edges = [np.interp(edges, recording.sample_times, values[:, s]) for s in range(values.shape[1])]
    begin_end = np.array(at_edges).reshape(values.shape[1], -1, 2)
    growth: Array = (begin_end[:, :, 1] - begin_end[:, :, 0]).T
    return growth


def _client_series(recording: Recording) -> Array:
    """Series of the client's requests, by bins between samples."""
    edges = recording.sample_times
    seconds = np.diff(edges) / SECOND
    rows = recording.rows
    good = rows["code"] == 200
    offered = np.histogram(rows["arrived"], edges)[0]
    arrived_good = np.histogram(rows["arrived"][good], edges)[0]
    ended_good = np.histogram((rows["arrived"] + rows["latency"])[good], edges)[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        failed = 1.0 - arrived_good / offered
    order = np.argsort(rows["arrived"], kind="stable")
    at = np.searchsorted(rows["arrived"][order], edges)
    latencies = rows["latency"][order] / SECOND
    both = np.array(
        [
            np.quantile(latencies[begin:end], [0.5, 0.99]) if end > begin else [np.nan, np.nan]
            for begin, end in pairwise(at)
        ]
    ).reshape(-1, 2)
    return np.stack([offered / seconds, ended_good / seconds, failed, both[:, 0], both[:, 1]])


def _service_series(run: Run, recording: Recording) -> Array:
    """Series of every service: rates and shares of each bin, gauges at its end."""
    samples = recording.samples
    seconds = (np.diff(recording.sample_times) / SECOND)[:, None]
    growth = {name: np.diff(samples[name], axis=0) for name in ("calls_ended", "calls_failed", "attempts")}
    refused = np.diff(samples["refused_by_pool"], axis=0) / seconds
    hosts = run.tables["host"]
    hosts = hosts[hosts["rank"] >= 0]  # no graveyards
    workers = np.bincount(hosts["service"], weights=hosts["workers"], minlength=samples.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        failed = growth["calls_failed"] / growth["calls_ended"]
        amplification = growth["attempts"] / growth["calls_ended"]
    p50, p99 = (recording.bin_quantiles[:, :, which] / SECOND for which in (0, 1))
    gauges = [samples[name][1:] for name in ("waiting", "pending", "active", "connections")]
    series = [
        growth["calls_ended"] / seconds, failed, p50, p99, amplification, samples["busy"][1:] / workers,
        *gauges, refused,
    ]  # fmt: skip
    return np.stack([one.T.astype(float) for one in series])


def _ejected(run: Run, names: Names, recording: Recording) -> Array:
    """Share of the callers' proxies that have a host ejected, at the end of each bin."""
    host_of = run.tables["member"]["host"]
    clusters = run.tables["cluster"]
    watched = np.repeat(run.tables["detector"]["interval"] > 0, clusters["members"])
    watchers = np.bincount(host_of[watched], minlength=len(names.hosts))
    steps = np.zeros((len(names.hosts), len(recording.sample_times)))
    for kind, step in ((EJECTED, 1), (UNEJECTED, -1)):
        changes = recording.changes[recording.changes["kind"] == kind]
        bins = np.searchsorted(recording.sample_times, changes["at"])
        inside = bins < len(recording.sample_times)
        np.add.at(steps, (host_of[changes["who"][inside]], bins[inside]), step)
    return np.cumsum(steps, axis=1)[:, 1:] / np.maximum(watchers, 1)[:, None]


def _recovery(run: Run, recording: Recording, client: Array, fault_window: int | None) -> float:
    """Seconds from the end of the fault window to recovery; nan when it does not come."""
    if fault_window is None or fault_window == 0:
        return float("nan")
    ends = recording.sample_times[1:]
    before_begin, before_end = run.windows[0]
    before = (ends > before_begin) & (ends <= before_end)
    fault_end = run.windows[fault_window][1]
    after = ends > fault_end
    if not before.any() or after.sum() < _BINS_IN_A_ROW:
        return float("nan")
    failed, median = client[CLIENT_SERIES.index("failed")], client[CLIENT_SERIES.index("p50")]
    well = (failed <= np.nanmean(failed[before]) + _WORSE_SUCCESS) & (
        median <= np.nanmedian(median[before]) * _WORSE_MEDIAN
    )
    calm = well[after]
    for first in range(len(calm) - _BINS_IN_A_ROW + 1):
        if calm[first : first + _BINS_IN_A_ROW].all():
            begins = recording.sample_times[:-1][after][first]
            return float(max(0, begins - fault_end) / SECOND)
    return float("nan")


_ARRAYS = {
    "requests": np.int64, "succeeded": np.int64, "latency_sum": np.int64, "histograms": np.int32,
    "calls": np.float64, "calls_failed": np.float64, "attempts": np.float64, "wasted": np.float64,
    "call_histograms": np.int32, "client_series": np.float32, "service_series": np.float32,
    "ejected": np.float32,
}  # fmt: skip


def pack(observation: Observation) -> dict[str, Any]:
    """The observation as JSON data: arrays compressed, in base64."""
    packed: dict[str, Any] = {
        "recording": observation.recording,
        "failures": list(observation.failures),
        "recovery": None if np.isnan(observation.recovery) else observation.recovery,
        "in_flight": observation.in_flight,
    }
    for name, kind in _ARRAYS.items():
        array = np.ascontiguousarray(getattr(observation, name), dtype=kind)
        data = base64.b64encode(zlib.compress(array.tobytes(), 6)).decode()
        packed[name] = [list(array.shape), data]
    return packed


def unpack(packed: dict[str, Any]) -> Observation:
    """The observation that `pack` made JSON data of. KeyError or ValueError when it is damaged."""
    arrays = {}
    for name, kind in _ARRAYS.items():
        shape, data = packed[name]
        try:
            raw = zlib.decompress(base64.b64decode(data, validate=True))
        except zlib.error as error:
            raise ValueError(f"{name}: {error}") from error
        arrays[name] = np.frombuffer(raw, dtype=kind).reshape(shape)
    return Observation(
        recording=packed["recording"],
        failures=tuple(packed["failures"]),
        recovery=float("nan") if packed["recovery"] is None else packed["recovery"],
        in_flight=packed["in_flight"],
        **arrays,
    )


def pooled_quantile(histogram: Array, at: float) -> float:
    """One quantile of one histogram, seconds; nan when it is empty."""
    return float(quantiles(histogram[None, :], np.array([at]))[0, 0] / SECOND)
