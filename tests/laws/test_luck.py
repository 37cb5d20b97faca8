"""Luck is uniform, independent where it should be, and turned into the laws that were asked for."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from resilim.plan import salt
from resilim.plane import luck, retry
from resilim.plane.machine import scramble
from resilim.plane.records import Call, Law, Route
from resilim.run import Array

N = 20_000
LEAST_P = 1e-4  # of each test; there are about a hundred, and the seeds are fixed

PURPOSES = {
    name: value
    for name, value in vars(luck).items()
    if name.isupper() and isinstance(value, int) and value > 1 << 32
}
# What keys look like: of client requests, of calls of one site, of later attempts.
SOURCE = scramble(salt("replication", 1, 0, ""), salt("source", "web"))
REQUESTS = [scramble(SOURCE, serial) for serial in range(N)]
CALLS = [scramble(key, salt("call", "web", "GET /", 0, 0)) for key in REQUESTS]
ATTEMPTS = [scramble(key, luck.ATTEMPT + 1) for key in REQUESTS]
KEYS = {"requests": REQUESTS, "calls": CALLS, "attempts": ATTEMPTS}


def uniforms(keys: list[int], purpose: int) -> Array:
    return np.array([luck.uniform(key, purpose) for key in keys])


def correlation_p(one: Array, other: Array) -> float:
    """p value of independence of two columns of uniforms: Pearson, and a chi-square on an 8 by 8 grid."""
    cells = np.histogram2d(one, other, bins=8, range=[[0, 1], [0, 1]])[0].ravel()
    return float(min(stats.pearsonr(one, other).pvalue, stats.chisquare(cells).pvalue))


def test_all_purposes_are_found() -> None:
    assert {"ARRIVALS", "HOPS", "BACKOFF", "FAILING", "PHASE"} <= set(PURPOSES)
    assert len(PURPOSES) == len(set(PURPOSES.values()))


@pytest.mark.parametrize("kind", KEYS)
def test_every_purpose_is_uniform(kind: str) -> None:
    for name, purpose in PURPOSES.items():
        drawn = uniforms(KEYS[kind], purpose)
        assert drawn.min() > 0.0
        assert drawn.max() < 1.0
        assert stats.kstest(drawn, "uniform").pvalue > LEAST_P, name
        assert stats.chisquare(np.histogram(drawn, bins=256, range=(0, 1))[0]).pvalue > LEAST_P, name


def test_purposes_are_independent_of_each_other() -> None:
    columns = {name: uniforms(REQUESTS, purpose) for name, purpose in PURPOSES.items()}
    for one, other in combinations(columns, 2):
        assert correlation_p(columns[one], columns[other]) > LEAST_P, f"{one} and {other}"


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 8, 64, 1024])
def test_requests_are_independent_of_those_before(lag: int) -> None:
    for name in ("ARRIVALS", "BALANCE", "FAILING", "HOPS"):
        drawn = uniforms(REQUESTS, PURPOSES[name])
        assert correlation_p(drawn[lag:], drawn[:-lag]) > LEAST_P, name


def test_call_sites_are_independent() -> None:
    sites = [salt("call", "web", "GET /", step, branch) for step in range(3) for branch in range(2)]
    columns = [uniforms([scramble(key, site) for key in REQUESTS], luck.FAILING) for site in sites]
    for one, other in combinations(range(len(sites)), 2):
        assert correlation_p(columns[one], columns[other]) > LEAST_P


@pytest.mark.parametrize("name", ["FAILING", "BALANCE", "HOPS"])
def test_attempts_of_a_call_are_independent(name: str) -> None:
    keys = [REQUESTS, *([scramble(key, luck.ATTEMPT + made) for key in REQUESTS] for made in range(1, 6))]
    columns = [uniforms(column, PURPOSES[name]) for column in keys]
    for one, other in combinations(range(len(columns)), 2):
        assert correlation_p(columns[one], columns[other]) > LEAST_P, f"attempts {one} and {other}"


def test_backoffs_of_a_call_are_independent() -> None:
    route = Route(backoff=1000 * retry.MILLISECOND)
    columns = [
        np.array([retry.backoff(route, Call(key=key, attempts=made)) for key in REQUESTS], dtype=float)
        for made in range(1, 6)
    ]
    columns = [column / (theirs * 1e9) for column, theirs in zip(columns, (1, 2, 4, 8, 10), strict=True)]
    for one, other in combinations(range(5), 2):
        measured = float(np.corrcoef(columns[one], columns[other])[0, 1])
        assert abs(measured) < 5 / math.sqrt(N), f"back-offs {one + 1} and {other + 1}: {measured:.2f}"


def test_replications_are_independent() -> None:
    """The same request of neighbouring replications, and of neighbouring seeds."""
    for name in (("replication", 1, 1, ""), ("replication", 2, 0, "")):
        source = scramble(salt(*name), salt("source", "web"))
        other = uniforms([scramble(source, serial) for serial in range(N)], luck.ARRIVALS)
        assert correlation_p(uniforms(REQUESTS, luck.ARRIVALS), other) > LEAST_P


def test_plain_numbers_as_seeds_do_as_well() -> None:
    columns = []
    for seed in (0, 1, 2, 3):
        source = scramble(seed, salt("source", "web"))
        columns.append(uniforms([scramble(source, serial) for serial in range(N)], luck.ARRIVALS))
        assert stats.kstest(columns[-1], "uniform").pvalue > LEAST_P
    for one, other in combinations(range(4), 2):
        assert correlation_p(columns[one], columns[other]) > LEAST_P


def test_every_bit_is_as_often_up_as_down() -> None:
    words = np.array([scramble(key, luck.HOPS) for key in REQUESTS])
    assert words.min() >= 0
    for bit in range(63):
        up = int(((words >> bit) & 1).sum())
        assert stats.binomtest(up, N).pvalue > LEAST_P / 63, f"bit {bit}"


def test_one_bit_of_the_key_changes_half_of_the_bits() -> None:
    """Avalanche over two rounds, as every draw has them (request, then purpose)."""
    for bit in range(0, 63, 3):
        changed = [
            (scramble(scramble(key, 1 << bit), luck.HOPS) ^ scramble(scramble(key, 0), luck.HOPS)).bit_count()
            for key in REQUESTS[:2000]
        ]
        assert abs(np.mean(changed) - 31.5) < 0.5, f"bit {bit}"


def test_both_halves_of_the_bits_are_independent_draws() -> None:
    """The latencies of the two sidecars of a call come from one hash."""
    law = Law(luck.UNIFORM, 0.0, 1e15)
    for keys in KEYS.values():
        words = [scramble(key, luck.HOPS) for key in keys]
        first = np.array([luck.duration(law, bits) for bits in words]) / 1e15
        second = np.array([luck.duration(law, luck.other_half(bits)) for bits in words]) / 1e15
        assert stats.kstest(second, "uniform").pvalue > LEAST_P
        assert correlation_p(first, second) > LEAST_P


@pytest.mark.parametrize("n", [2, 3, 7, 10, 100])
def test_below_is_uniform(n: int) -> None:
    drawn = np.array([luck.below(key, luck.BALANCE, n) for key in REQUESTS])
    counts = np.bincount(drawn, minlength=n)
    assert len(counts) == n
    assert stats.chisquare(counts).pvalue > LEAST_P


# ---------------------------------------------------------------- laws


def test_the_normal_quantile_is_that_of_scipy() -> None:
    tails = np.logspace(-16, math.log10(0.5), 2000)
    for p in [*tails, *(1.0 - tails), 0.5, 0.075, 0.925, math.exp(-25.0)]:
        expected = float(special.ndtri(p))
        assert luck.normal_quantile(float(p)) == pytest.approx(expected, rel=2e-14, abs=1e-15)


MS = 1e6
LAWS: dict[str, tuple[Law, Any]] = {
    "uniform": (Law(luck.UNIFORM, 2 * MS, 3 * MS), stats.uniform(2 * MS, 3 * MS)),
    "exponential": (Law(luck.EXPONENTIAL, 4 * MS), stats.expon(scale=4 * MS)),
    "lognormal": (Law(luck.LOGNORMAL, math.log(5 * MS), 0.7), stats.lognorm(0.7, scale=5 * MS)),
    "pareto": (Law(luck.PARETO, 2 * MS, -1 / 2.5), stats.pareto(2.5, scale=2 * MS)),
}


@pytest.mark.parametrize("name", LAWS)
def test_a_sample_has_the_law_that_was_asked_for(name: str) -> None:
    law, expected = LAWS[name]
    drawn = np.array([luck.duration(law, scramble(key, salt("work", name))) for key in REQUESTS])
    assert drawn.dtype == np.int64
    assert stats.kstest(drawn, expected.cdf).pvalue > LEAST_P


def test_a_constant_is_constant() -> None:
    assert {luck.duration(Law(luck.CONSTANT, 5 * MS), key) for key in REQUESTS[:100]} == {5_000_000}


@pytest.mark.parametrize("name", LAWS)
def test_the_extremes_of_luck_give_durations(name: str) -> None:
    law, expected = LAWS[name]
    least, most = luck.duration(law, 0), luck.duration(law, (1 << 63) - 1)
    assert 0 <= least <= expected.ppf(1e-12) + 1
    assert expected.ppf(1 - 1e-12) - 1 <= most < 1 << 62


@pytest.mark.parametrize("name", LAWS)
def test_more_luck_is_a_longer_duration(name: str) -> None:
    """By inverse transform: a sweep over a parameter stays correlated."""
    law, _ = LAWS[name]
    drawn = [luck.duration(law, bits << 53) for bits in range(1024)]
    assert drawn == sorted(drawn)
