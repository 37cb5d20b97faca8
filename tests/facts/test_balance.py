"""Load balancing behaves as Envoy's: whom it picks among equals, and what health does to that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import stats

from resilim.plane import balance
from resilim.plane.balance import LEAST_REQUEST, RANDOM, ROUND_ROBIN
from resilim.plane.records import NONE

from .balance_scene import BalanceScene, hash_of, hosts

N = 20_000
PLAIN = [ROUND_ROBIN, LEAST_REQUEST, RANDOM]


def has_shares(drawn: list[int], shares: Sequence[float]) -> None:
    counts = Counter(drawn)
    observed = [counts[index] for index, share in enumerate(shares) if share > 0]
    expected = [share * len(drawn) for share in shares if share > 0]
    assert sum(observed) == len(drawn)
    assert stats.chisquare(observed, expected).pvalue > 0.001


def unhealthy(scene: BalanceScene, first: int, number: int) -> None:
    scene.set("check_failed", 1, *range(first, first + number))


def with_healthy(healthy: Sequence[int], of: int, **fields: Any) -> BalanceScene:
    """Priorities of `of` hosts each, so many of which are healthy."""
    scene = BalanceScene(hosts(*[of] * len(healthy)), **fields)
    for priority, number in enumerate(healthy):
        unhealthy(scene, priority * of + number, of - number)
    return scene


# ---------------------------------------------------------------- round robin


def test_round_robin_goes_round() -> None:
    picks = BalanceScene(hosts(3), balancer=ROUND_ROBIN).picks(7)
    assert [(later - earlier) % 3 for earlier, later in pairwise(picks)] == [1] * 6


def test_round_robin_starts_anywhere() -> None:
    starts = [BalanceScene(hosts(4), balancer=ROUND_ROBIN, luck=luck).pick() for luck in range(400)]
    has_shares(starts, [0.25] * 4)


def test_round_robin_goes_on_counting_when_the_lineup_changes() -> None:
    scene = BalanceScene(hosts(4), balancer=ROUND_ROBIN)
    start = scene.S.turn[0].turn
    scene.picks(5)
    scene.eject(1)
    assert scene.picks(4) == [[0, 2, 3][(start + number) % 3] for number in (5, 6, 7, 8)]
    scene.set("ejected", 0, 1)
    assert scene.picks(3) == [(start + number) % 4 for number in (9, 10, 11)]


def test_workers_go_round_each_for_itself() -> None:
    scene = BalanceScene(hosts(5), balancer=ROUND_ROBIN, workers=3)
    first = [scene.pick(worker=worker) for worker in range(3)]
    scene.picks(7, worker=0)
    assert [scene.pick(worker=worker) for worker in (1, 2)] == [(index + 1) % 5 for index in first[1:]]


def test_the_starts_of_workers_differ() -> None:
    scene = BalanceScene(hosts(7), balancer=ROUND_ROBIN, workers=8)
    assert len({scene.pick(worker=worker) for worker in range(8)}) > 3


# ---------------------------------------------------------------- random, least request


def test_random_is_uniform() -> None:
    has_shares(BalanceScene(hosts(5), balancer=RANDOM).picks(N), [0.2] * 5)


def test_random_among_those_in_service() -> None:
    scene = BalanceScene(hosts(4), balancer=RANDOM)
    scene.eject(0, 2)
    assert set(scene.picks(200)) == {1, 3}


def test_a_pick_depends_on_its_luck_alone() -> None:
    one, other = BalanceScene(hosts(7), balancer=RANDOM), BalanceScene(hosts(7), balancer=RANDOM)
    assert one.picks(50) == other.picks(50)


def test_least_request_is_uniform_among_equals() -> None:
    has_shares(BalanceScene(hosts(4), balancer=LEAST_REQUEST).picks(N), [0.25] * 4)


def with_active(active: Sequence[int], **fields: Any) -> BalanceScene:
    scene = BalanceScene(hosts(len(active)), balancer=LEAST_REQUEST, **fields)
    for member, number in zip(scene.S.member, active, strict=True):
        member.rq_active = number
    return scene


def test_least_request_draws_two_with_replacement() -> None:
    """So the busier of two hosts still gets a quarter: when it is drawn twice."""
    has_shares(with_active([100, 0]).picks(N), [0.25, 0.75])


def test_least_request_prefers_the_idle_host_by_its_share_of_pairs() -> None:
    # host k wins against itself and those that are busier: 2 (3 - k) + 1 of 16 pairs
    has_shares(with_active([0, 1, 2, 3]).picks(N), [7 / 16, 5 / 16, 3 / 16, 1 / 16])


def test_least_request_can_draw_more() -> None:
    # host k is the best of three when all are at least as busy, but not all busier
    shares = [(64 - 27) / 64, (27 - 8) / 64, (8 - 1) / 64, 1 / 64]
    has_shares(with_active([0, 1, 2, 3], choices=3).picks(N), shares)


def test_least_request_can_look_at_all() -> None:
    has_shares(with_active([3, 1, 5, 1, 1], choices=0).picks(N), [0, 1 / 3, 0, 1 / 3, 1 / 3])


def stationary_share_of_the_slow_host(rate: float, fast: float, slow: float) -> float:
    """Two M/M/inf hosts behind least request: share of the arrivals that the second gets, exactly."""
    most = 40
    n = most + 1
    flow = np.zeros((n * n, n * n))
    to_slow = np.zeros(n * n)
    for a in range(n):
        for b in range(n):
            here = a * n + b
            # of the four pairs: both times the slow one, slow first and no busier, fast first and busier
            to_slow[here] = (1 + (b <= a) + (b < a)) / 4
            for more_a, more_b, speed in (
                (1, 0, rate * (1 - to_slow[here])),
                (0, 1, rate * to_slow[here]),
                (-1, 0, a / fast),
                (0, -1, b / slow),
            ):
                if 0 <= a + more_a <= most and 0 <= b + more_b <= most:
                    flow[here, (a + more_a) * n + b + more_b] += speed
                    flow[here, here] -= speed
    flow[:, 0] = 1.0
    return float(np.linalg.solve(flow.T, np.eye(n * n)[0]) @ to_slow)


def test_a_slow_host_gets_the_share_that_least_request_gives_it() -> None:
    """An event simulation of picks against the stationary law of the two hosts' requests."""
    rate, times = 4.0, (1.0, 5.0)
    expected = stationary_share_of_the_slow_host(rate, *times)
    rng = np.random.default_rng(3)
    scene = BalanceScene(hosts(2), balancer=LEAST_REQUEST)
    members = scene.S.member
    ends: tuple[list[float], list[float]] = ([], [])
    picked = [0, 0]
    now = 0.0
    for _ in range(60_000):
        now += rng.exponential(1 / rate)
        for index in (0, 1):
            ends[index][:] = [end for end in ends[index] if end > now]
            members[index].rq_active = len(ends[index])
        index = scene.pick()
        picked[index] += 1
        ends[index].append(now + rng.exponential(times[index]))
    assert picked[1] / sum(picked) == pytest.approx(expected, abs=0.01)
    assert expected < 0.4


# ---------------------------------------------------------------- few hosts, or none


@pytest.mark.parametrize("balancer", PLAIN)
def test_with_one_host_there_is_no_choice(balancer: int) -> None:
    scene = BalanceScene(hosts(3), balancer=balancer)
    scene.eject(0, 2)
    assert set(scene.picks(100)) == {1}


@pytest.mark.parametrize("balancer", PLAIN)
def test_with_no_host_there_is_no_pick(balancer: int) -> None:
    scene = BalanceScene(hosts(2), balancer=balancer)
    scene.eject(0, 1)
    assert scene.picks(3) == [NONE] * 3
    assert scene.cluster.none_healthy == 3
    assert scene.cluster.healthy_panic == 0


@pytest.mark.parametrize("flag", ["ejected", "check_failed", "removed", "excluded"])
def test_unavailable_members_are_not_picked(flag: str) -> None:
    scene = BalanceScene(hosts(4), balancer=ROUND_ROBIN)
    scene.set(flag, 1, 2)
    assert set(scene.picks(30)) == {0, 1, 3}


def test_a_change_is_not_seen_before_it_reaches_the_balancer() -> None:
    scene = BalanceScene(hosts(2), balancer=ROUND_ROBIN)
    scene.S.member[0].ejected = 1
    assert set(scene.picks(10)) == {0, 1}
    balance.refresh(scene.S, 0, scene.now)
    assert set(scene.picks(10)) == {1}


def test_one_priority_does_not_see_what_has_not_reached_another() -> None:
    scene = BalanceScene(hosts(4, 4), balancer=ROUND_ROBIN, panic_threshold=50)
    for member in scene.S.member[:6]:
        member.ejected = 1
    balance.refresh(scene.S, 0, scene.now)
    assert scene.loads()[:2] == [0, 100]
    assert set(scene.picks(10)) == {4, 5, 6, 7}


# ---------------------------------------------------------------- priorities


@pytest.mark.parametrize(
    ("healthy", "loads"),
    [
        ([50, 60], [70, 30]),  # healths 70 and 84
        ([71, 100], [99, 1]),
        ([72, 100], [100, 0]),
        ([25, 100], [35, 65]),
        ([0, 100], [0, 100]),
        ([100, 100], [100, 0]),
        ([20, 20], [50, 50]),  # 28 and 28 of 56: what is missing is missing everywhere
        ([10, 20], [34, 66]),  # 14 and 28 of 42; rounding leaves 1 over for the first
        ([0, 30, 50], [0, 42, 58]),
    ],
)
def test_loads_of_the_priorities(healthy: list[int], loads: list[int]) -> None:
    scene = with_healthy(healthy, of=100)
    assert scene.loads() == loads + [0] * len(loads)


def test_picks_follow_the_loads() -> None:
    scene = with_healthy([5, 6], of=10, balancer=RANDOM)
    drawn = [index // 10 for index in scene.picks(N)]
    has_shares(drawn, [0.7, 0.3])


@pytest.mark.parametrize("balancer", PLAIN)
def test_all_goes_to_the_second_priority_when_the_first_is_down(balancer: int) -> None:
    scene = BalanceScene(hosts(3, 2), balancer=balancer, panic_threshold=50)
    assert set(scene.picks(100)) == {0, 1, 2}
    scene.eject(0, 1, 2)
    assert set(scene.picks(100)) == {3, 4}
    scene.set("ejected", 0, 0, 1, 2)
    assert set(scene.picks(100)) == {0, 1, 2}


def test_degraded_members_get_what_healthy_ones_cannot_take() -> None:
    scene = BalanceScene(hosts(10), balancer=RANDOM, panic_threshold=50)
    scene.set("degraded", 1, *range(5))
    assert scene.loads() == [70, 30]
    has_shares(scene.picks(N), [0.06] * 5 + [0.14] * 5)


def test_loads_of_healthy_and_degraded_members() -> None:
    """Healths of 10, 20, 10 and degraded healths of 20, 10, 0 are scaled to 16, 28, 14 and 28, 14, 0."""
    scene = BalanceScene(hosts(14, 14, 14))
    for priority, (healthy, degraded) in enumerate([(1, 2), (2, 1), (1, 0)]):
        first = 14 * priority
        scene.set("degraded", 1, *range(first + healthy, first + healthy + degraded))
        unhealthy(scene, first + healthy + degraded, 14 - healthy - degraded)
    assert scene.loads() == [16, 28, 14, 28, 14, 0]


def test_excluded_members_are_in_no_denominator() -> None:
    scene = BalanceScene(hosts(10, 10), balancer=RANDOM)
    scene.set("excluded", 1, *range(5))
    assert scene.loads()[:2] == [100, 0]
    assert set(scene.picks(200)) == {5, 6, 7, 8, 9}


def test_removed_members_are_gone() -> None:
    scene = BalanceScene(hosts(10, 10), balancer=RANDOM, panic_threshold=50)
    scene.set("removed", 1, *range(8))
    assert scene.loads()[:2] == [100, 0]
    assert scene.in_panic() == [0, 0]


def test_health_can_be_a_share_of_weight() -> None:
    sets = [[[9, 1]], [[1, 1]]]
    for weighted, loads in ((0, [70, 30]), (1, [14, 86])):
        scene = BalanceScene(sets, weighted_health=weighted)
        scene.eject(0)
        assert scene.loads()[:2] == loads


def test_random_takes_one_number_for_the_priority_and_the_host() -> None:
    """As Envoy does: below 70 of 100 means hosts 0..49 and then 0..19 again."""
    scene = with_healthy([50, 100], of=100, balancer=RANDOM)
    drawn = [index for index in scene.picks(2 * N) if index < 50]
    has_shares(drawn, [2 / 70] * 20 + [1 / 70] * 30)


# ---------------------------------------------------------------- panic


@pytest.mark.parametrize("balancer", PLAIN)
def test_exactly_the_threshold_is_no_panic(balancer: int) -> None:
    scene = BalanceScene(hosts(4), balancer=balancer, panic_threshold=50)
    scene.eject(0, 1)
    assert set(scene.picks(100)) == {2, 3}
    assert scene.cluster.healthy_panic == 0


@pytest.mark.parametrize("balancer", PLAIN)
def test_panic_uses_all_members(balancer: int) -> None:
    scene = BalanceScene(hosts(4), balancer=balancer, panic_threshold=50)
    scene.eject(0, 1, 2)
    has_shares(scene.picks(N), [0.25] * 4)
    assert scene.cluster.healthy_panic == N
    scene.set("ejected", 0, 0)
    assert set(scene.picks(100)) == {0, 3}
    assert scene.cluster.healthy_panic == N


def test_panic_leaves_removed_members_alone() -> None:
    scene = BalanceScene(hosts(5), balancer=RANDOM, panic_threshold=50)
    scene.set("removed", 1, 4)
    scene.eject(0, 1, 2)
    assert set(scene.picks(200)) == {0, 1, 2, 3}


def test_no_panic_while_71_percent_are_healthy() -> None:
    for healthy, panics in ((71, 1), (72, 0)):
        scene = with_healthy([healthy], of=100, panic_threshold=90)
        assert scene.in_panic() == [panics]


def test_degraded_members_keep_panic_away() -> None:
    scene = BalanceScene(hosts(10), balancer=RANDOM, panic_threshold=50)
    unhealthy(scene, 0, 5)
    scene.set("degraded", 1, 5, 6, 7, 8)
    assert scene.in_panic() == [0]
    unhealthy(scene, 5, 1)
    assert scene.in_panic() == [1]


def test_no_panic_while_the_priorities_together_suffice() -> None:
    scene = with_healthy([10, 80], of=100, panic_threshold=50)
    assert scene.loads()[:2] == [14, 86]
    assert scene.in_panic() == [0, 0]


def test_only_the_priority_that_is_short_is_in_panic() -> None:
    scene = with_healthy([10, 55], of=100, balancer=RANDOM, panic_threshold=50)
    # healths 14 and 77 of 91
    assert scene.loads()[:2] == [16, 84]
    assert scene.in_panic() == [1, 0]
    scene.picks(N)
    assert scene.cluster.healthy_panic / N == pytest.approx(0.16, abs=0.01)


def test_when_all_panic_load_goes_by_number_of_hosts() -> None:
    scene = BalanceScene(hosts(3, 6), balancer=RANDOM, panic_threshold=50)
    unhealthy(scene, 0, 2)
    unhealthy(scene, 3, 5)
    assert scene.in_panic() == [1, 1]
    assert scene.loads() == [34, 66, 0, 0]
    assert set(scene.picks(500)) == set(range(9))


def test_when_all_are_down_the_threshold_decides() -> None:
    for threshold, picked in ((0, {NONE}), (1, {0, 1, 2})):
        scene = BalanceScene(hosts(2, 1), balancer=RANDOM, panic_threshold=threshold)
        scene.eject(0, 1, 2)
        assert set(scene.picks(200)) == picked


def test_in_panic_picks_can_be_made_to_fail() -> None:
    scene = BalanceScene(hosts(4), balancer=RANDOM, panic_threshold=50, fail_on_panic=1)
    scene.eject(0, 1, 2)
    assert scene.picks(3) == [NONE] * 3
    assert (scene.cluster.healthy_panic, scene.cluster.none_healthy) == (3, 3)


def test_a_cluster_without_members_has_no_pick() -> None:
    scene = BalanceScene(hosts(1), balancer=ROUND_ROBIN, panic_threshold=50)
    scene.set("removed", 1, 0)
    assert scene.pick() == NONE


# ---------------------------------------------------------------- plain picks


def test_a_pick_among_equals_is_plain_and_others_are_not() -> None:
    assert BalanceScene(hosts(3)).cluster.lineup == 3
    assert BalanceScene(hosts(3, 2)).cluster.lineup == 3
    assert BalanceScene([[[1, 2]]], balancer=RANDOM).cluster.lineup == 2
    assert BalanceScene([[[1, 2]]], balancer=ROUND_ROBIN).cluster.lineup == 0
    assert with_healthy([1], of=4, panic_threshold=50).cluster.lineup == 0
    assert with_healthy([5, 10], of=10).cluster.lineup == 0


@pytest.mark.parametrize("balancer", [ROUND_ROBIN, LEAST_REQUEST])
def test_plain_picks_are_those_of_the_long_way(balancer: int) -> None:
    plain, closely = (BalanceScene(hosts(6), balancer=balancer) for _ in range(2))
    for number in range(200):
        for scene in (plain, closely):
            scene.S.member[number % 6].rq_active = hash_of(number) % 5
        closely.cluster.lineup = 0
        assert plain.pick() == closely.pick()
