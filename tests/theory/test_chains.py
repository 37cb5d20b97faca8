"""Chains of calls: latencies of hops add up, retries multiply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from resilim import theory
from resilim.run import Array, Recording, Run

from .systems import (
    SECOND,
    agree,
    failing,
    mean_latency,
    measured,
    p_value,
    replicate,
    service,
    share_of,
    system,
)

MILLISECOND = SECOND // 1000
DEPTH = 4


@pytest.fixture
def chain(tmp_path: Path) -> Run:
    """Services in a row that do no work, under sidecars with a random latency."""
    services: dict[str, Any] = {}
    for number in range(DEPTH):
        last = number == DEPTH - 1
        step = {"work": "0ms"} if last else {"call": f"service-{number + 1}.GET /"}
        services[f"service-{number}"] = service(None, steps=[step], protocol="http2")
    hop = {"hop": {"uniform": ["1ms", "3ms"]}, "connect": "0ms", "tlsHandshake": "0ms"}
    return system(tmp_path, services, 1000, seconds=10, mesh={"sidecar": hop})


# A client outside the mesh has no proxy; every other call crosses two.
HOPS = 1 + 2 * (DEPTH - 1)


def test_the_mean_of_a_chain_is_the_sum_of_its_hops(chain: Run) -> None:
    total = theory.sum_moments([theory.uniform_moments(0.001, 0.003)] * HOPS)
    agree(replicate(chain, mean_latency), total.mean)
    agree(replicate(chain, variance_of_latency), total.variance)


def variance_of_latency(recording: Recording) -> float:
    return float((measured(recording)["latency"] / SECOND).var())


@pytest.mark.slow
def test_the_p99_of_a_chain_is_that_of_the_sum_of_its_hops(chain: Run) -> None:
    p99 = theory.sum_quantile(0.99, [stats.uniform(0.001, 0.002)] * HOPS)
    slower = replicate(chain, share_of(lambda rows: rows["latency"] > p99 * SECOND), replications=60)
    assert p_value(slower, 0.01) >= 0.001
    # a p99 that is wrong by 3 % is far away from the share of 1 %
    wrong = replicate(chain, share_of(lambda rows: rows["latency"] > 1.03 * p99 * SECOND))
    assert p_value(wrong, 0.01) < 1e-6


# ---------------------------------------------------------------- retries


def retrying(
    folder: Path, probability: float, attempts: int, seconds: float = 20, backoff: str = "1ms"
) -> Run:
    """A client in the mesh that calls a host which fails now and then."""
    retries = {"attempts": str(attempts - 1)}
    if attempts > 1:
        retries |= {"retryOn": "5xx", "backoff": backoff}
    return system(
        folder,
        {"failing": service("1ms", protocol="http2")},
        1000,
        seconds,
        client={"sidecar": "true"},
        routes={"failing": {"retries": retries}},
        faults=failing(probability, of="failing"),
    )


def mean_attempts(recording: Recording) -> float:
    return float(measured(recording)["attempts"].mean())


@pytest.mark.parametrize(
    ("probability", "attempts"),
    [(0.5, 3), pytest.param(0.2, 2, marks=pytest.mark.slow), pytest.param(0.8, 6, marks=pytest.mark.slow)],
)
def test_retries_amplify_and_heal(tmp_path: Path, probability: float, attempts: int) -> None:
    run = retrying(tmp_path, probability, attempts)
    agree(replicate(run, mean_attempts), theory.expected_attempts(probability, attempts))
    healed = 1.0 - theory.failure_after(probability, attempts)
    agree(replicate(run, share_of(lambda rows: rows["code"] == 200)), healed)


@pytest.mark.slow
def test_retries_of_a_chain_multiply(tmp_path: Path) -> None:
    """The client retries the caller, which retries the callee: attempts at the callee are a product."""
    inner, outer, probability = 3, 3, 0.7
    retries = {"retryOn": "5xx", "backoff": "1ms"}
    run = system(
        tmp_path,
        {"caller": service(None, steps=[{"call": "callee.GET /"}]), "callee": service("1ms")},
        1000,
        seconds=20,
        client={"sidecar": "true"},
        routes={
            "caller": {"retries": {"attempts": str(outer - 1)} | retries},
            "callee": {"retries": {"attempts": str(inner - 1)} | retries},
        },
        faults=failing(probability, of="callee"),
    )

    def attempts_at_callee(recording: Recording) -> float:
        clusters = recording.clusters
        return float(clusters["rq_total"][clusters["service"] == 1].sum()) / recording.started

    calls = theory.expected_attempts(theory.failure_after(probability, inner), outer)
    agree(replicate(run, attempts_at_callee), calls * theory.expected_attempts(probability, inner))


@pytest.mark.parametrize("retry", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_backoff_is_uniform_over_its_window(tmp_path: Path, retry: int) -> None:
    """With a host that always fails, latency is work plus back-offs, in whole ms."""
    run = retrying(tmp_path, 1.0, retry + 1, seconds=10, backoff="8ms")
    before = sum(theory.mean_backoff(8, number) for number in range(1, retry + 1))

    def mean_pause(recording: Recording) -> float:
        return float(pauses(recording, retry + 1).mean())

    agree(replicate(run, mean_pause), before)


def pauses(recording: Recording, attempts: int) -> Array:
    """Time that the requests spent in back-offs, ms."""
    pause = measured(recording)["latency"] - attempts * MILLISECOND
    assert not (pause % MILLISECOND).any()
    return np.asarray(pause // MILLISECOND)


def test_every_backoff_of_the_window_is_equally_likely(tmp_path: Path) -> None:
    run = retrying(tmp_path, 1.0, 2, backoff="8ms")
    counts: Array = np.zeros(0)

    def count(recording: Recording) -> float:
        nonlocal counts
        counts = np.bincount(pauses(recording, 2))
        return 0.0

    replicate(run, count, replications=1)
    assert len(counts) == theory.backoff_window(8, 1)
    assert stats.chisquare(counts).pvalue >= 0.001


@pytest.mark.slow
def test_the_fifth_backoff_is_as_wide_as_it_gets(tmp_path: Path) -> None:
    run = retrying(tmp_path, 1.0, 7, seconds=10, backoff="4ms")
    before = sum(theory.mean_backoff(4, number) for number in range(1, 7))
    agree(replicate(run, lambda recording: float(pauses(recording, 7).mean())), before)


# ---------------------------------------------------------------- streaks of failures


@pytest.mark.parametrize(("probability", "streak"), [(0.5, 3), pytest.param(0.7, 5, marks=pytest.mark.slow)])
def test_requests_until_a_streak_of_failures(tmp_path: Path, probability: float, streak: int) -> None:
    """One host of one may not be ejected (10 %): every streak counts as an overflow and begins anew."""
    run = system(
        tmp_path,
        {"failing": service("1ms")},
        2000,
        seconds=20,
        client={"sidecar": "true"},
        routes={"failing": {"retries": {"attempts": "0"}}},
        trafficPolicies={"failing": {"outlierDetection": {"consecutive5xxErrors": str(streak)}}},
        faults=failing(probability, of="failing"),
    )

    def requests_per_streak(recording: Recording) -> float:
        return recording.ended / float(recording.detectors["detected_5xx"][0])

    agree(replicate(run, requests_per_streak), theory.requests_until_streak(probability, streak))
