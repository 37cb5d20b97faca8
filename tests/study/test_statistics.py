"""Intervals against scipy, and against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from resilim.histogram import EDGES, of_latencies, quantiles
from resilim.plane.telemetry import BUCKETS
from resilim.study import statistics


def test_mean_is_scipys_t_interval() -> None:
    values = np.array([3.0, 4.5, 5.5, 2.0, 4.0])
    estimate = statistics.mean(values, 0.9)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    assert estimate.value == pytest.approx(3.8)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))


def test_nothing_is_estimated_from_missing_values() -> None:
    assert statistics.mean(np.array([1.0, np.nan]), 0.95) == statistics.NOTHING
    assert statistics.mean(np.array([]), 0.95) == statistics.NOTHING


def test_no_failure_at_all_is_an_upper_bound_not_a_certainty() -> None:
    estimate = statistics.share(np.array([500.0, 500.0]), np.array([500.0, 500.0]), 0.95)
    assert estimate.value == 1.0
    assert estimate.high == 1.0
    assert estimate.low == pytest.approx(1 - stats.binomtest(0, 1000).proportion_ci(0.90).high, rel=1e-9)


def test_histogram_quantiles_are_within_a_bucket_of_the_exact_ones() -> None:
    latencies = np.random.default_rng(1).lognormal(16, 1, 200_000).astype(np.int64)
    at = np.array([0.01, 0.5, 0.9, 0.99, 0.999])
    found = quantiles(of_latencies(latencies)[None, :], at)[0]
    assert found == pytest.approx(np.quantile(latencies, at), rel=0.011)


def test_empty_histograms_have_no_quantile() -> None:
    assert np.isnan(quantiles(np.zeros((2, BUCKETS)), np.array([0.5]))).all()


def test_bucket_edges_rise_by_little() -> None:
    assert (np.diff(EDGES) > 0).all()
    assert EDGES[0] == pytest.approx(0, abs=1e-9)
    large = EDGES[EDGES > 1e6]
    assert (large[1:] / large[:-1]).max() < 1.0111


@pytest.mark.slow
def test_pooled_quantile_intervals_cover() -> None:
    rng = np.random.default_rng(2)
    truth = -np.log(0.01) * 1e7
    hits = 0
    for _ in range(300):
        histograms = np.stack([of_latencies(rng.exponential(1e7, 2000).astype(np.int64)) for _ in range(20)])
        estimate = statistics.quantile(histograms.astype(float), 0.99, 0.95)
        assert estimate.low is not None
        assert estimate.high is not None
        hits += estimate.low <= truth / 1e9 <= estimate.high
    assert hits >= 270  # nominal 285 of 300; 270 is four standard deviations away


def test_paired_difference_of_equal_arms_is_exactly_nothing() -> None:
    histograms = np.stack([of_latencies(np.arange(1, 1000) * 10_000 + r) for r in range(5)]).astype(float)
    estimate = statistics.quantile_difference(histograms, histograms, 0.99, 0.95)
    assert (estimate.value, estimate.low, estimate.high) == (0.0, 0.0, 0.0)
