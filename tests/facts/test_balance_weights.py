"""Weights, slow start, localities and zones act as Envoy's do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from resilim.plane import edf, slow_start
from resilim.plane.balance import LEAST_REQUEST, RANDOM, ROUND_ROBIN
from resilim.plane.records import Cluster, Entry, Member, Turn

from .balance_scene import MS, SECOND, BalanceScene, hosts, one_set
from .test_balance import N, has_shares

MINUTE = 60 * SECOND


def shares(drawn: Sequence[int]) -> dict[int, float]:
    return {index: number / len(drawn) for index, number in sorted(Counter(drawn).items())}


# ---------------------------------------------------------------- earliest deadline first


@pytest.mark.parametrize("balancer", [ROUND_ROBIN, LEAST_REQUEST])
@pytest.mark.parametrize("weights", [(1, 2, 3, 4), (5, 1), (1, 1, 1, 7), (100, 25, 25)])
def test_every_round_gives_each_its_weight(balancer: int, weights: tuple[int, ...]) -> None:
    scene = BalanceScene(one_set(*weights), balancer=balancer)
    total = sum(weights)
    drawn = scene.picks(20 * total)
    counts = Counter(drawn)
    assert all(abs(counts[index] - 20 * weight) <= 1 for index, weight in enumerate(weights))


def test_the_heavy_one_is_spread_over_the_round() -> None:
    drawn = BalanceScene(one_set(1, 3), balancer=ROUND_ROBIN).picks(400)
    gaps = [later - earlier for earlier, later in pairwise(i for i, index in enumerate(drawn) if index == 0)]
    assert set(gaps) == {4}


def test_random_ignores_weights() -> None:
    has_shares(BalanceScene(one_set(1, 9), balancer=RANDOM).picks(N), [0.5, 0.5])


def test_one_host_left_needs_no_schedule() -> None:
    scene = BalanceScene(one_set(1, 9), balancer=ROUND_ROBIN)
    scene.eject(1)
    assert set(scene.picks(10)) == {0}
    assert scene.cluster.lineup == 1


def test_weights_hold_among_those_in_service() -> None:
    scene = BalanceScene(one_set(1, 2, 3, 4), balancer=ROUND_ROBIN)
    scene.eject(3)
    assert shares(scene.picks(600)) == pytest.approx({0: 1 / 6, 1: 2 / 6, 2: 3 / 6}, abs=0.002)


def test_weights_hold_in_panic() -> None:
    scene = BalanceScene(one_set(1, 1, 2), balancer=ROUND_ROBIN, panic_threshold=50)
    scene.eject(1, 2)
    assert shares(scene.picks(400)) == pytest.approx({0: 0.25, 1: 0.25, 2: 0.5}, abs=0.003)


def test_schedules_start_at_random_phases() -> None:
    firsts = [BalanceScene(one_set(1, 1, 2), balancer=ROUND_ROBIN, luck=luck).pick() for luck in range(800)]
    has_shares(firsts, [0.25, 0.25, 0.5])


def test_workers_have_schedules_of_their_own() -> None:
    scene = BalanceScene(one_set(1, 1, 2), balancer=ROUND_ROBIN, workers=3)
    alone = [BalanceScene(one_set(1, 1, 2), balancer=ROUND_ROBIN, workers=3) for _ in range(3)]
    mixed = [scene.pick(worker=number % 3) for number in range(60)]
    for worker in range(3):
        assert mixed[worker::3] == alone[worker].picks(20, worker=worker)


def test_a_refresh_starts_the_schedule_anew() -> None:
    scene = BalanceScene(one_set(1, 2, 5), balancer=ROUND_ROBIN)
    first = scene.picks(5)
    scene.eject()
    assert scene.picks(5) == first


def scheduled(weights: Sequence[float], picks: int) -> tuple[list[Entry], Turn]:
    entries, turn = [Entry(who=who, weight=weight) for who, weight in enumerate(weights)], Turn()
    edf.start(entries, turn, 0, len(entries), picks)
    return entries, turn


def go_on(entries: list[Entry], turn: Turn, weights: Sequence[float], picks: int) -> list[int]:
    drawn = []
    for _ in range(picks):
        who = edf.earliest(entries, turn, 0)
        edf.put_back(entries, turn, 0, len(entries), weights[who])
        drawn.append(who)
    return drawn


@pytest.mark.parametrize("weights", [(1.0, 3.0), (2.5, 7.4), (1.0, 2.0, 4.0, 0.3), (0.1, 7.0, 7.3)])
@pytest.mark.parametrize("picks", [1, 7, 23, 1000])
def test_a_start_after_picks_is_that_of_picks_one_by_one(weights: tuple[float, ...], picks: int) -> None:
    one_by_one, turn = scheduled(weights, 0)
    go_on(one_by_one, turn, weights, picks)
    at_once, other = scheduled(weights, picks)
    assert go_on(at_once, other, weights, 50) == go_on(one_by_one, turn, weights, 50)


def test_those_that_are_due_together_come_in_the_order_in_which_they_were_put_in() -> None:
    weights = [1.0] * 5
    entries, turn = scheduled(weights, 0)
    assert go_on(entries, turn, weights, 15) == [0, 1, 2, 3, 4] * 3


def test_least_request_weighs_members_by_their_requests() -> None:
    scene = BalanceScene(one_set(2, 1, 1), balancer=LEAST_REQUEST)
    for member, active in zip(scene.S.member, (0, 0, 3), strict=True):
        member.rq_active = active
    scene.picks(50)
    # weight / (active + 1): 2, 1 and 1/4
    assert shares(scene.picks(1300)) == pytest.approx({0: 8 / 13, 1: 4 / 13, 2: 1 / 13}, abs=0.003)


# ---------------------------------------------------------------- slow start


@pytest.mark.parametrize(
    ("seconds", "aggression", "factor"),
    [(0, 1.0, 0.1), (0.5, 1.0, 0.1), (5, 1.0, 0.5), (10, 1.0, 1.0), (60, 1.0, 1.0), (2.5, 2.0, 0.5)],
)
def test_the_factor_of_slow_start(seconds: float, aggression: float, factor: float) -> None:
    cluster = Cluster(slow_start=10 * SECOND, slow_start_aggression=aggression)
    member = Member(healthy_since=7 * SECOND)
    now = 7 * SECOND + int(seconds * SECOND)
    assert slow_start.factor(cluster, member, now) == pytest.approx(factor)


def test_the_factor_has_a_floor_of_one_millisecond() -> None:
    cluster = Cluster(slow_start=10 * SECOND, slow_start_least=0.0)
    assert slow_start.factor(cluster, Member(healthy_since=5), 6) == pytest.approx(1e-4)


def warming(balancer: int, **fields: Any) -> BalanceScene:
    """Three hosts that are long in service, and one that joins now."""
    scene = BalanceScene(hosts(4), balancer=balancer, slow_start=10 * SECOND, **fields)
    for member in scene.S.member:
        member.healthy_since = -MINUTE
    scene.S.member[3].removed = 1
    scene.begin()
    assert scene.cluster.lineup == 3
    scene.now = 30 * SECOND
    scene.S.member[3].removed = 0
    scene.set("healthy_since", scene.now, 3)
    return scene


@pytest.mark.parametrize("balancer", [ROUND_ROBIN, LEAST_REQUEST])
@pytest.mark.parametrize(("after", "factor"), [(0, 0.1), (3, 0.3), (5, 0.5), (9, 0.9), (12, 1.0)])
def test_a_new_host_gets_its_share_little_by_little(balancer: int, after: int, factor: float) -> None:
    scene = warming(balancer)
    scene.now += after * SECOND
    scene.picks(200)
    share = shares(scene.picks(3000))[3]
    assert share == pytest.approx(factor / (3 + factor), abs=0.003)


@pytest.mark.parametrize("balancer", [ROUND_ROBIN, LEAST_REQUEST])
def test_a_schedule_stays_until_a_refresh_after_the_window(balancer: int) -> None:
    scene = warming(balancer)
    scene.now += 11 * SECOND
    assert scene.cluster.lineup == 0
    scene.eject()
    assert scene.cluster.lineup == 4


def test_new_hosts_only_are_all_equal() -> None:
    scene = BalanceScene(hosts(4), balancer=ROUND_ROBIN, slow_start=10 * SECOND)
    scene.now = SECOND
    assert shares(scene.picks(400)) == dict.fromkeys(range(4), 0.25)


def test_the_end_of_an_ejection_is_no_slow_start() -> None:
    scene = warming(ROUND_ROBIN)
    scene.now += MINUTE
    scene.eject(0)
    scene.now += MINUTE
    scene.set("ejected", 0, 0)
    assert scene.cluster.lineup == 4


def test_degraded_hosts_do_not_start_slowly() -> None:
    cluster = Cluster(slow_start=10 * SECOND)
    assert slow_start.factor(cluster, Member(healthy_since=0, degraded=1), MS) == 1.0


# ---------------------------------------------------------------- localities by weight


def by_locality(
    weights: Sequence[int], sets: Sequence[Sequence[Sequence[int]]], **fields: Any
) -> BalanceScene:
    return BalanceScene(sets, locality_weights=weights, locality_weighted=1, **fields)


TWO = [[[1] * 4, [1] * 4]]


@pytest.mark.parametrize("balancer", [ROUND_ROBIN, LEAST_REQUEST, RANDOM])
def test_localities_share_by_weight_whatever_their_size(balancer: int) -> None:
    scene = by_locality([80, 20], [[[1] * 2, [1] * 6]], balancer=balancer)
    drawn = scene.picks(N)
    has_shares(drawn, [0.4] * 2 + [0.2 / 6] * 6)


@pytest.mark.parametrize(
    ("ejected", "share"),
    [(0, 80 / 100), (1, 80 / 100), (2, 56 / 76), (3, 28 / 48), (4, 0.0)],
)
def test_a_locality_loses_what_it_cannot_serve(ejected: int, share: float) -> None:
    scene = by_locality([80, 20], TWO, balancer=ROUND_ROBIN)
    scene.eject(*range(ejected))
    drawn = [index // 4 for index in scene.picks(7600)]
    assert shares(drawn).get(0, 0.0) == pytest.approx(share, abs=0.001)


def test_excluded_members_are_no_part_of_their_locality() -> None:
    scene = by_locality([50, 50], TWO, balancer=ROUND_ROBIN)
    scene.set("excluded", 1, 0, 1, 2)
    assert shares(scene.picks(800))[3] == pytest.approx(0.5, abs=0.01)


def test_a_locality_without_weight_gets_nothing() -> None:
    scene = by_locality([0, 1], TWO, balancer=RANDOM)
    assert set(scene.picks(300)) == {4, 5, 6, 7}


def test_without_any_weight_the_whole_set_is_used() -> None:
    scene = by_locality([0, 0], [[[1, 3], [2, 2]]], balancer=ROUND_ROBIN)
    assert shares(scene.picks(800)) == pytest.approx({0: 1 / 8, 1: 3 / 8, 2: 2 / 8, 3: 2 / 8}, abs=0.002)


def test_weights_of_hosts_hold_within_their_locality() -> None:
    scene = by_locality([3, 1], [[[1, 3], [1, 1]]], balancer=ROUND_ROBIN, workers=2)
    for worker in range(2):
        drawn = scene.picks(1600, worker=worker)
        assert shares(drawn) == pytest.approx({0: 3 / 16, 1: 9 / 16, 2: 1 / 8, 3: 1 / 8}, abs=0.002)


def test_panic_does_not_look_at_localities() -> None:
    scene = by_locality([80, 20], TWO, balancer=RANDOM, panic_threshold=50)
    scene.eject(0, 1, 4, 5, 6)
    has_shares(scene.picks(N), [1 / 8] * 8)


def test_degraded_members_have_localities_too() -> None:
    scene = by_locality([3, 1], TWO, balancer=RANDOM)
    scene.eject(0, 4)
    scene.set("degraded", 1, 1, 2, 3, 5, 6, 7)
    drawn = [index // 4 for index in scene.picks(N)]
    has_shares(drawn, [0.75, 0.25])


def test_each_priority_has_its_localities() -> None:
    sets = [[[1, 1], [1, 1]], [[1, 1], [1, 1]]]
    scene = by_locality([1, 1, 9, 1], sets, balancer=RANDOM)
    scene.eject(0, 1, 2, 3)
    has_shares([index // 2 for index in scene.picks(N)], [0, 0, 0.9, 0.1])


# ---------------------------------------------------------------- zones


def zoned(members: Sequence[int], callers: Sequence[int], zone: int = 0, **fields: Any) -> BalanceScene:
    return BalanceScene(
        [[[1] * number for number in members]],
        callers=callers,
        balancer=RANDOM,
        zone_aware=1,
        zone=zone,
        zone_callers=sum(callers),
        zones=sum(number > 0 for number in callers),
        **fields,
    )


def zones_of(scene: BalanceScene, picks: list[int]) -> list[int]:
    return [scene.S.member[index].locality for index in picks]


def test_all_stay_in_a_zone_that_has_enough() -> None:
    scene = zoned([4, 4], callers=[1, 1])
    assert set(zones_of(scene, scene.picks(300))) == {0}


def test_what_a_zone_cannot_take_goes_to_those_with_room() -> None:
    # callers 40, 40, 20 percent, members 25, 50, 25: 62.5 percent stay, 10 : 5 is the room of the others
    scene = zoned([2, 4, 2], callers=[2, 2, 1])
    has_shares(zones_of(scene, scene.picks(N)), [0.625, 0.25, 0.125])


def test_without_members_in_the_zone_all_go_elsewhere() -> None:
    scene = zoned([4, 4], callers=[1, 1], zone=-1)
    drawn = zones_of(scene, scene.picks(N))
    has_shares(drawn, [0.5, 0.5])


@pytest.mark.parametrize(("ejected", "zones"), [(2, {0}), (3, {0, 1})])
def test_small_clusters_do_not_look_at_zones(ejected: int, zones: set[int]) -> None:
    scene = zoned([4, 4], callers=[1, 1])
    scene.eject(*range(4, 4 + ejected))
    assert set(zones_of(scene, scene.picks(300))) == zones


def test_callers_in_one_zone_only_do_not_look_at_zones() -> None:
    scene = zoned([4, 4], callers=[2, 0])
    assert set(zones_of(scene, scene.picks(300))) == {0, 1}
