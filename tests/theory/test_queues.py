"""The simulated host against queueing theory: waits, sojourns, refusals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import integrate

from resilim import theory
from resilim.run import Recording

from .systems import SECOND, UNBOUNDED, agree, mean_latency, measured, replicate, service, share_of, system

MEAN = 0.001  # seconds of service
EXPONENTIAL = {"exponential": {"mean": "1ms"}}


def test_mm1_mean_sojourn(tmp_path: Path) -> None:
    run = system(tmp_path, {"queue": service(EXPONENTIAL, workers=1, queue=UNBOUNDED)}, rate=600, seconds=200)
    agree(replicate(run, mean_latency), theory.mm1_mean_sojourn(600, MEAN))


@pytest.mark.slow
@pytest.mark.parametrize("servers", [2, 8])
def test_mmc_mean_sojourn(tmp_path: Path, servers: int) -> None:
    rate = 700.0 * servers
    queue = service(EXPONENTIAL, workers=servers, queue=UNBOUNDED)
    run = system(tmp_path, {"queue": queue}, rate, seconds=100)
    agree(replicate(run, mean_latency), theory.mmc_mean_sojourn(rate, MEAN, servers))


@pytest.mark.slow
def test_mmc_wait_distribution(tmp_path: Path) -> None:
    """The share of long sojourns: the law of the wait (Erlang C) and that of service, convolved."""
    servers, rate, time = 4, 3000.0, 3 * MEAN
    queue = service(EXPONENTIAL, workers=servers, queue=UNBOUNDED)
    run = system(tmp_path, {"queue": queue}, rate, seconds=60)

    def served_first(age: float) -> float:
        return math.exp(-age / MEAN) / MEAN * theory.mmc_wait_beyond(time - age, rate, MEAN, servers)

    beyond = math.exp(-time / MEAN) + integrate.quad(served_first, 0.0, time)[0]
    agree(replicate(run, share_of(lambda rows: rows["latency"] > time * SECOND)), beyond)


@pytest.mark.parametrize(
    ("work", "moments"),
    [
        ("1ms", theory.constant_moments(MEAN)),
        ({"uniform": ["0ms", "2ms"]}, theory.uniform_moments(0.0, 2 * MEAN)),
        pytest.param(
            # median and p99 that give mean 1 ms and sigma 0.8
            {"lognormal": {"median": f"{1e6 * math.exp(-0.32):.0f}ns", "p99": "4669525ns"}},
            theory.lognormal_moments(MEAN, 0.8),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["constant", "uniform", "lognormal"],
)
def test_mg1_mean_sojourn(tmp_path: Path, work: Any, moments: theory.Moments) -> None:
    run = system(tmp_path, {"queue": service(work, workers=1, queue=UNBOUNDED)}, rate=600, seconds=200)
    agree(replicate(run, mean_latency), theory.mg1_mean_sojourn(600, moments))


@pytest.mark.slow
def test_mg1_at_a_slow_host(tmp_path: Path) -> None:
    """A slow host is the same queue with a longer service."""
    fault = {"name": "slow", "kind": "slow-host", "service": "queue", "factor": "2"}
    run = system(
        tmp_path, {"queue": service("1ms", workers=1, queue=UNBOUNDED)}, 300, seconds=400, faults=[fault]
    )
    agree(replicate(run, mean_latency), theory.mg1_mean_sojourn(300, theory.constant_moments(2 * MEAN)))


@pytest.mark.parametrize(("servers", "places"), [(1, 2), pytest.param(3, 4, marks=pytest.mark.slow)])
def test_mmck_refuses_what_finds_no_place(tmp_path: Path, servers: int, places: int) -> None:
    rate = 1000.0 * servers
    queue = service(EXPONENTIAL, workers=servers, queue=places)
    run = system(tmp_path, {"queue": queue}, rate, seconds=100 // servers)
    blocking = theory.mmck_blocking(rate, MEAN, servers, places)
    figures = replicate_both(run)
    agree(figures[:, 0], blocking)
    agree(figures[:, 1], theory.mmck_mean_sojourn(rate, MEAN, servers, places))


def replicate_both(run: Any) -> Any:
    """Share refused and mean sojourn of the rest, for each replication of one series."""
    kept: list[float] = []

    def refused(recording: Recording) -> float:
        kept.append(mean_latency(recording))
        return float((measured(recording)["code"] == 503).mean())

    return np.column_stack([replicate(run, refused), kept])


# ---------------------------------------------------------------- the request limit of a pool


@pytest.mark.parametrize("protocol", ["http1", "http2"])
@pytest.mark.parametrize(
    "work",
    [
        EXPONENTIAL,
        "1ms",
        pytest.param({"lognormal": {"mean": "1ms", "p99": "5ms"}}, marks=pytest.mark.slow),
    ],
    ids=["exponential", "constant", "lognormal"],
)
def test_erlang_b_for_the_request_limit(tmp_path: Path, protocol: str, work: Any) -> None:
    """Requests beyond http2MaxRequests are lost: M/G/c/c, whatever the law of service."""
    limit, rate = 4, 4000.0
    run = system(
        tmp_path,
        {"unbounded": service(work, protocol=protocol)},
        rate,
        seconds=15,
        client={"sidecar": "true"},
        trafficPolicies={"unbounded": {"connectionPool": {"http": {"http2MaxRequests": str(limit)}}}},
    )
    lost = replicate(run, share_of(lambda rows: rows["code"] == 503))
    agree(lost, theory.erlang_b(limit, rate * MEAN))
