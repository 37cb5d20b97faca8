"""Ring hash, maglev and bounded loads act as Envoy's do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilim.plane.balance import MAGLEV, RING_HASH
from resilim.plane.records import NONE

from .balance_scene import BalanceScene, hash_of, hosts, one_set
from .test_balance import has_shares

KEYS = [hash_of(number) for number in range(4000)]
BOTH = [RING_HASH, MAGLEV]


def hashing(
    balancer: int, sets: Sequence[Sequence[Sequence[int]]], size: int = 0, **fields: Any
) -> BalanceScene:
    size = size or (1024 if balancer == RING_HASH else 5003)
    return BalanceScene(sets, balancer=balancer, table_size=size, **fields)


def owners(scene: BalanceScene) -> list[int]:
    return [scene.pick(key) for key in KEYS]


def table_shares(scene: BalanceScene) -> dict[int, int]:
    """Number of entries of each host in the table of the first priority."""
    scene.pick()
    mask = (1 << 20) - 1
    entries = scene.S.hash_table[: scene.S.host_set[0].table_entries]
    return dict(Counter(scene.S.entry[entry & mask].who for entry in entries))


# ---------------------------------------------------------------- both


@pytest.mark.parametrize("balancer", BOTH)
def test_a_hash_always_leads_to_the_same_host(balancer: int) -> None:
    scene = hashing(balancer, hosts(5))
    assert owners(scene) == owners(scene)
    assert set(owners(scene)) == set(range(5))


@pytest.mark.parametrize("balancer", BOTH)
def test_all_callers_agree(balancer: int) -> None:
    assert owners(hashing(balancer, hosts(5), luck=1)) == owners(hashing(balancer, hosts(5), luck=2))


@pytest.mark.parametrize("balancer", BOTH)
def test_without_a_hash_the_pick_is_random(balancer: int) -> None:
    scene = hashing(balancer, hosts(4))
    table = table_shares(scene)
    total = sum(table.values())
    drawn = scene.picks(4000)
    assert len(set(drawn[:50])) > 1
    for host, number in Counter(drawn).items():
        # a host's share is that of its arcs on the ring, or of its places in the table
        assert number / 4000 == pytest.approx(table[host] / total, abs=0.05)


@pytest.mark.parametrize("balancer", BOTH)
def test_the_keys_of_an_ejected_host_go_to_the_others_and_come_back(balancer: int) -> None:
    scene = hashing(balancer, hosts(5))
    before = owners(scene)
    scene.eject(2)
    during = owners(scene)
    moved = Counter(new for old, new in zip(before, during, strict=True) if old == 2)
    assert set(moved) == {0, 1, 3, 4}
    scene.set("ejected", 0, 2)
    assert owners(scene) == before


@pytest.mark.parametrize("balancer", BOTH)
def test_nobody_is_left(balancer: int) -> None:
    scene = hashing(balancer, hosts(2))
    scene.eject(0, 1)
    assert scene.pick(KEYS[0]) == NONE
    assert scene.cluster.none_healthy == 1


@pytest.mark.parametrize("balancer", BOTH)
def test_panic_uses_all_and_is_counted_once_a_request(balancer: int) -> None:
    scene = hashing(balancer, hosts(4), panic_threshold=50, fail_on_panic=1)
    before = owners(scene)
    scene.eject(0, 1, 2)
    assert owners(scene) == before
    assert scene.cluster.healthy_panic == len(KEYS)
    scene.pick(KEYS[0], try_number=1)
    assert scene.cluster.healthy_panic == len(KEYS)


@pytest.mark.parametrize("balancer", BOTH)
def test_the_hash_chooses_the_priority(balancer: int) -> None:
    scene = hashing(balancer, hosts(4, 4))
    scene.eject(0, 1)
    assert scene.loads()[:2] == [70, 30]
    for key, owner in zip(KEYS, owners(scene), strict=True):
        assert (owner >= 4) == (key % 100 >= 70)


@pytest.mark.parametrize("balancer", BOTH)
def test_a_priority_in_panic_because_of_another_changes_its_table(balancer: int) -> None:
    scene = hashing(balancer, hosts(4, 4), panic_threshold=50)
    scene.eject(0, 1, 2)
    assert scene.in_panic() == [0, 0]
    assert set(owners(scene)) == {3, 4, 5, 6, 7}
    scene.eject(4, 5)
    assert scene.in_panic() == [0, 0]
    scene.eject(6)
    assert scene.in_panic() == [1, 1]
    assert set(owners(scene)) == set(range(8))


@pytest.mark.parametrize("balancer", BOTH)
def test_degraded_hosts_are_in_no_table(balancer: int) -> None:
    scene = hashing(balancer, hosts(4))
    scene.set("degraded", 1, 0, 1, 2, 3)
    assert scene.pick(KEYS[0]) == NONE


@pytest.mark.parametrize("balancer", BOTH)
def test_rejected_picks_lead_elsewhere(balancer: int) -> None:
    scene = hashing(balancer, hosts(4))
    others = [scene.pick(key, try_number=1) for key in KEYS]
    same = sum(one == other for one, other in zip(owners(scene), others, strict=True)) / len(KEYS)
    assert same == pytest.approx(0.25, abs=0.12)
    reached = {scene.pick(KEYS[0], try_number=number) for number in range(30)}
    assert reached == {0, 1, 2, 3}


@pytest.mark.parametrize("balancer", BOTH)
def test_localities_share_the_table_by_weight(balancer: int) -> None:
    scene = BalanceScene(
        [[[1, 1], [1, 1, 1]]],
        locality_weights=[3, 1],
        locality_weighted=1,
        balancer=balancer,
        table_size=1200 if balancer == RING_HASH else 1201,
    )
    table = table_shares(scene)
    assert table == pytest.approx({0: 450, 1: 450, 2: 100, 3: 100, 4: 100}, abs=1)
    # what a locality loses goes to its own other hosts
    scene.eject(0)
    assert table_shares(scene)[1] / sum(table_shares(scene).values()) == pytest.approx(0.75, abs=0.001)


# ---------------------------------------------------------------- ring hash


@pytest.mark.parametrize(("number", "each"), [(1, 1024), (2, 512), (3, 342), (4, 256), (2000, 1)])
def test_every_host_gets_so_many_points(number: int, each: int) -> None:
    assert set(table_shares(hashing(RING_HASH, hosts(number))).values()) == {each}


def test_points_go_by_weight() -> None:
    assert table_shares(hashing(RING_HASH, one_set(1, 2, 5))) == {0: 128, 1: 256, 2: 640}
    # the lightest has ceil(1024 / 6) = 171
    assert table_shares(hashing(RING_HASH, one_set(1, 2, 3))) == {0: 171, 1: 342, 2: 513}


def test_the_ring_is_sorted_and_a_hash_belongs_to_the_next_point() -> None:
    scene = hashing(RING_HASH, hosts(3), size=30)
    scene.pick()
    ring = scene.S.hash_table[: scene.S.host_set[0].table_entries]
    assert len(ring) == 30
    assert ring == sorted(ring)
    mask = (1 << 20) - 1
    for key in KEYS:
        after = [point for point in ring if point >= key] or ring
        assert scene.pick(key) == scene.S.entry[after[0] & mask].who
        place = ring.index(after[0])
        assert scene.pick(key, try_number=2) == scene.S.entry[ring[(place + 2) % 30] & mask].who


def test_shares_of_keys_vary_with_the_arcs() -> None:
    """With 256 points a host's share has a standard deviation of about 6 percent of it."""
    counts = Counter(owners(hashing(RING_HASH, hosts(4))))
    assert all(0.2 < counts[host] / len(KEYS) < 0.3 for host in range(4))


def test_hosts_keep_their_points() -> None:
    """Where no host gets more points, only the keys of the one that left move."""
    scene = hashing(RING_HASH, hosts(50), size=40)
    before = owners(scene)
    scene.eject(7)
    assert all(new == old for old, new in zip(before, owners(scene), strict=True) if old != 7)


# ---------------------------------------------------------------- maglev


@pytest.mark.parametrize("number", [1, 2, 7, 100])
def test_the_table_is_shared_evenly(number: int) -> None:
    table = table_shares(hashing(MAGLEV, hosts(number)))
    assert sum(table.values()) == 5003
    assert max(table.values()) - min(table.values()) <= 1


def test_the_table_is_shared_by_weight() -> None:
    table = table_shares(hashing(MAGLEV, one_set(1, 2, 5)))
    assert table == pytest.approx({0: 5003 / 8, 1: 5003 / 4, 2: 5003 * 5 / 8}, abs=2)


def test_keys_spread_as_the_table_does() -> None:
    has_shares(owners(hashing(MAGLEV, hosts(4))), [0.25] * 4)


def test_few_other_keys_move() -> None:
    scene = hashing(MAGLEV, hosts(10))
    before = owners(scene)
    scene.eject(7)
    kept = [old == new for old, new in zip(before, owners(scene), strict=True) if old != 7]
    assert sum(kept) / len(kept) > 0.9


def test_each_host_asks_for_its_places_in_its_own_order() -> None:
    """The first place of every host that nobody else asked for first is its own."""
    scene = hashing(MAGLEV, hosts(3), size=7)
    assert sorted(table_shares(scene).values()) == [2, 2, 3]


# ---------------------------------------------------------------- bounded load


def bounded(balancer: int, factor: int, *weights: int) -> BalanceScene:
    return hashing(balancer, one_set(*weights), hash_balance_factor=factor)


def load(scene: BalanceScene, *active: int) -> None:
    for member, number in zip(scene.S.member, active, strict=True):
        member.rq_active = number
    scene.cluster.rq_active = sum(active)


@pytest.mark.parametrize("balancer", BOTH)
def test_an_idle_cluster_is_plain_hashing(balancer: int) -> None:
    assert owners(bounded(balancer, 120, 1, 1, 1)) == owners(hashing(balancer, hosts(3)))


@pytest.mark.parametrize("balancer", BOTH)
def test_a_host_over_its_bound_passes_requests_on(balancer: int) -> None:
    scene = bounded(balancer, 150, 1, 1, 1, 1)
    plain = owners(scene)
    # 20 active, bound ceil(floor((21 * 150 + 99) / 100) / 4) = 8
    load(scene, 9, 8, 2, 1)
    after = owners(scene)
    assert 0 not in after
    assert all(new == old for old, new in zip(plain, after, strict=True) if old != 0)
    passed_on = Counter(new for old, new in zip(plain, after, strict=True) if old == 0)
    assert set(passed_on) == {1, 2, 3}
    assert after == owners(scene)


def test_what_is_passed_on_is_spread_evenly() -> None:
    scene = bounded(MAGLEV, 150, 1, 1, 1, 1)
    plain = owners(scene)
    load(scene, 30, 0, 0, 0)
    passed_on = [new for old, new in zip(plain, owners(scene), strict=True) if old == 0]
    has_shares(passed_on, [0, 1 / 3, 1 / 3, 1 / 3])


def test_weights_move_the_bound() -> None:
    scene = bounded(RING_HASH, 100, 1, 3)
    # 8 active: bounds ceil(9 / 4) = 3 and ceil(27 / 4) = 7
    load(scene, 3, 5)
    assert set(owners(scene)) == {0, 1}
    load(scene, 4, 4)
    assert set(owners(scene)) == {1}


def test_when_all_are_over_the_least_loaded_serves() -> None:
    scene = bounded(RING_HASH, 100, 1, 1, 1)
    load(scene, 9, 8, 7)
    scene.cluster.rq_active = 0  # the members' requests are others' than the cluster counts
    assert set(owners(scene)) == {2}


def test_loads_stay_below_the_bound() -> None:
    scene = bounded(RING_HASH, 125, *[1] * 10)
    for number in range(1, 401):
        member = scene.S.member[scene.pick(KEYS[number % 20])]
        member.rq_active += 1
        scene.cluster.rq_active = number
    assert max(member.rq_active for member in scene.S.member) <= ceil(1.25 * 400 / 10) + 1


# ---------------------------------------------------------------- room


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=6), min_size=1, max_size=4),
    weights=st.lists(st.integers(0, 20), min_size=4, max_size=4),
    size=st.integers(1, 300),
    out=st.sets(st.integers(0, 23)),
)
def test_the_planned_room_is_always_enough(
    parts: list[list[int]], weights: list[int], size: int, out: set[int]
) -> None:
    scene = BalanceScene(
        [parts],
        locality_weights=weights[: len(parts)],
        locality_weighted=1,
        balancer=RING_HASH,
        table_size=size,
    )
    scene.eject(*(index for index in out if index < len(scene.S.member)))
    scene.pick()
    assert scene.S.host_set[0].table_entries < scene.cluster.table_room or sum(weights[: len(parts)]) == 0
