"""The closed forms themselves: printed values, limits that they must have, and what they refuse."""

from __future__ import annotations

import math

import pytest
from scipy import integrate, stats

from resilim import theory


def test_erlang_b_has_the_values_of_the_printed_tables() -> None:
    assert theory.erlang_b(1, 1.0) == pytest.approx(0.5)
    assert theory.erlang_b(2, 1.0) == pytest.approx(0.2)
    assert theory.erlang_b(10, 4.461) == pytest.approx(0.01, rel=1e-3)
    assert theory.erlang_b(100, 84.06) == pytest.approx(0.01, rel=1e-3)
    assert theory.erlang_b(3, 0.0) == 0.0


def test_erlang_c_of_one_server_is_the_utilisation() -> None:
    assert theory.erlang_c(1, 0.7) == pytest.approx(0.7)
    assert theory.erlang_c(2, 1.0) == pytest.approx(1 / 3)


def test_the_queues_agree_where_they_are_the_same_queue() -> None:
    exponential = theory.exponential_moments(0.5)
    assert theory.mm1_mean_wait(1.2, 0.5) == pytest.approx(0.75)
    assert theory.mm1_mean_sojourn(1.2, 0.5) == pytest.approx(1.25)
    assert theory.mg1_mean_wait(1.2, exponential) == pytest.approx(theory.mm1_mean_wait(1.2, 0.5))
    assert theory.mg1_mean_sojourn(1.2, exponential) == pytest.approx(theory.mm1_mean_sojourn(1.2, 0.5))
    long = theory.mmck_mean_sojourn(3.0, 1.0, servers=4, places=500)
    assert long == pytest.approx(theory.mmc_mean_sojourn(3.0, 1.0, 4))
    assert theory.mmck_blocking(3.0, 1.0, servers=4, places=0) == pytest.approx(theory.erlang_b(4, 3.0))


def test_the_states_of_an_overloaded_queue_are_probabilities() -> None:
    states = theory.mmck_states(1e6, 1.0, servers=100, places=200)
    assert math.fsum(states) == pytest.approx(1.0)
    assert states[-1] == pytest.approx(1.0 - 1e-4, rel=1e-6)


def test_the_mean_wait_is_the_integral_of_its_distribution() -> None:
    beyond, _ = integrate.quad(lambda time: theory.mmc_wait_beyond(time, 3.0, 1.0, 4), 0.0, 60.0)
    assert beyond == pytest.approx(theory.mmc_mean_wait(3.0, 1.0, 4))


def test_the_quantile_inverts_the_distribution() -> None:
    time = theory.mmc_wait_quantile(0.99, 3.0, 1.0, 4)
    assert theory.mmc_wait_beyond(time, 3.0, 1.0, 4) == pytest.approx(0.01)
    assert theory.mmc_wait_quantile(0.2, 3.0, 1.0, 4) == 0.0


def test_the_moments_are_those_of_scipy() -> None:
    for ours, law in [
        (theory.uniform_moments(1.0, 3.0), stats.uniform(1.0, 2.0)),
        (theory.exponential_moments(2.0), stats.expon(scale=2.0)),
        (theory.lognormal_moments(2.0, 0.5), stats.lognorm(0.5, scale=2.0 * math.exp(-0.125))),
    ]:
        assert ours.mean == pytest.approx(law.mean())
        assert ours.variance == pytest.approx(law.var())
    parts = [theory.uniform_moments(1.0, 3.0), theory.constant_moments(5.0)]
    assert theory.sum_moments(parts) == pytest.approx(theory.Moments(7.0, 1 / 3))


def test_the_quantile_of_a_sum_is_that_of_known_sums() -> None:
    uniform = stats.uniform(1.0, 2.0)
    assert theory.sum_quantile(0.99, [uniform]) == pytest.approx(uniform.ppf(0.99), rel=1e-4)
    triangle = stats.triang(0.5, 2.0, 4.0)  # two of them
    assert theory.sum_quantile(0.99, [uniform, uniform]) == pytest.approx(triangle.ppf(0.99), rel=1e-4)
    exponential = stats.expon(scale=2.0)
    erlang = stats.gamma(3, scale=2.0)
    assert theory.sum_quantile(0.5, [exponential] * 3) == pytest.approx(erlang.ppf(0.5), rel=1e-3)


def test_retries_and_streaks_have_their_geometric_sums() -> None:
    assert theory.expected_attempts(0.5, 3) == 1.75
    assert theory.expected_attempts(0.0, 3) == 1.0
    assert theory.expected_attempts(1.0, 3) == 3.0
    assert theory.failure_after(0.5, 3) == 0.125
    assert theory.requests_until_streak(0.5, 3) == pytest.approx((1 - 0.125) / (0.5 * 0.125))
    assert theory.requests_until_streak(1.0, 5) == 5.0


def test_the_backoff_doubles_up_to_ten_bases() -> None:
    assert [theory.backoff_window(25, retry) for retry in range(1, 7)] == [25, 50, 100, 200, 250, 250]
    assert theory.mean_backoff(25, 1) == 12.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.mm1_mean_wait(1.0, 1.0), "unstable: an offered load of 1 erlangs"),
        (lambda: theory.mmc_mean_sojourn(5.0, 1.0, 4), "needs more than 4 servers"),
        (lambda: theory.mg1_mean_wait(2.0, theory.constant_moments(0.5)), "unstable"),
        (lambda: theory.mmc_wait_quantile(0.5, 2.0, 1.0, 2), "unstable"),
        (lambda: theory.mmc_wait_quantile(1.0, 1.0, 1.0, 2), "a share is above 0 and below 1"),
        (lambda: theory.erlang_b(0, 1.0), "at least 1 server"),
        (lambda: theory.erlang_b(1, -1.0), "not negative"),
        (lambda: theory.mm1_mean_wait(0.0, 1.0), "the rate must be positive"),
        (lambda: theory.mmck_blocking(1.0, 1.0, 1, -1), "cannot have -1 places"),
        (lambda: theory.uniform_moments(3.0, 1.0), "low <= high"),
        (lambda: theory.sum_quantile(0.5, []), "at least one law"),
        (lambda: theory.expected_attempts(1.5, 2), "is a probability"),
        (lambda: theory.failure_after(0.5, 0), "at least 1 attempt"),
        (lambda: theory.requests_until_streak(0.0, 2), "never a streak"),
        (lambda: theory.requests_until_streak(0.5, 0), "at least 1 failure"),
        (lambda: theory.backoff_window(0, 1), "must be at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=message):
        call()
