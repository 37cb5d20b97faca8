"""Load balancing behaves as Envoy's: whom it picks, and how often."""

from __future__ import annotations

from collections import Counter

import pytest
from scipy import stats

from resilim.plane.balance import LEAST_REQUEST, RANDOM, ROUND_ROBIN, line_up, pick
from resilim.plane.machine import scramble
from resilim.plane.records import NONE

from .scene import Scene

N = 20_000


def picks(scene: Scene, number: int = N) -> list[int]:
    return [pick(scene.S, scene.cluster, scramble(scramble(5, key), 6)) for key in range(number)]


def eject(scene: Scene, *members: int) -> None:
    for member in members:
        scene.S.member[member].ejected = 1
    line_up(scene.S, scene.cluster)


def has_shares(drawn: list[int], shares: list[float]) -> None:
    counts = Counter(drawn)
    observed = [counts[index] for index in range(len(shares))]
    assert sum(observed) == len(drawn)
    assert stats.chisquare(observed, [share * len(drawn) for share in shares]).pvalue > 0.001


@pytest.mark.parametrize("start", [0, 1, 5])
def test_round_robin_goes_round_from_its_start(start: int) -> None:
    scene = Scene(hosts=3, balancer=ROUND_ROBIN, turn=start)
    assert picks(scene, 6) == [(start + index) % 3 for index in range(6)]


def test_round_robin_goes_on_counting_when_the_lineup_changes() -> None:
    scene = Scene(hosts=4, balancer=ROUND_ROBIN)
    assert picks(scene, 5) == [0, 1, 2, 3, 0]
    eject(scene, 1)
    # the sixth pick of a lineup of three
    assert picks(scene, 4) == [3, 0, 2, 3]
    scene.S.member[1].ejected = 0
    line_up(scene.S, scene.cluster)
    assert picks(scene, 3) == [1, 2, 3]


def test_random_is_uniform() -> None:
    has_shares(picks(Scene(hosts=5, balancer=RANDOM)), [0.2] * 5)


def test_random_among_those_in_service() -> None:
    scene = Scene(hosts=4, balancer=RANDOM)
    eject(scene, 0, 2)
    assert set(picks(scene, 200)) == {1, 3}


def test_least_request_is_uniform_among_equals() -> None:
    has_shares(picks(Scene(hosts=4, balancer=LEAST_REQUEST)), [0.25] * 4)


def test_least_request_draws_two_with_replacement() -> None:
    """So the busier of two hosts still gets a quarter: when it is drawn twice."""
    scene = Scene(hosts=2, balancer=LEAST_REQUEST)
    scene.S.member[0].rq_active = 100
    has_shares(picks(scene), [0.25, 0.75])


def test_least_request_prefers_the_idle_host_by_its_share_of_pairs() -> None:
    scene = Scene(hosts=4, balancer=LEAST_REQUEST)
    for member, active in enumerate((0, 1, 2, 3)):
        scene.S.member[member].rq_active = active
    # host k wins against itself and those that are busier: (2 (3 - k) + 1) of 16 pairs
    has_shares(picks(scene), [7 / 16, 5 / 16, 3 / 16, 1 / 16])


def test_least_request_counts_requests_on_connections_only() -> None:
    scene = Scene(hosts=2, balancer=LEAST_REQUEST, connect=1000)
    for key in range(100):
        scene.call(scramble(9, key))
    assert scene.cluster.rq_pending == 100
    has_shares(picks(scene), [0.5, 0.5])


@pytest.mark.parametrize("balancer", [ROUND_ROBIN, LEAST_REQUEST, RANDOM])
def test_with_one_host_there_is_no_choice(balancer: int) -> None:
    scene = Scene(hosts=3, balancer=balancer)
    eject(scene, 0, 2)
    assert set(picks(scene, 100)) == {1}


@pytest.mark.parametrize("balancer", [ROUND_ROBIN, LEAST_REQUEST, RANDOM])
def test_with_no_host_there_is_no_pick(balancer: int) -> None:
    scene = Scene(hosts=2, balancer=balancer)
    eject(scene, 0, 1)
    assert picks(scene, 3) == [NONE] * 3
    assert scene.cluster.none_healthy == 3


def test_a_pick_depends_on_its_luck_alone() -> None:
    scene = Scene(hosts=7, balancer=RANDOM)
    assert picks(scene, 50) == picks(scene, 50)
