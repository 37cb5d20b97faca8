"""Active health checks: when they happen, and what comes of one."""

from __future__ import annotations

from heapq import heappop
from itertools import pairwise

import pytest

from resilim.plane import checks, luck
from resilim.plane.gate import REFUSING, SILENT, UP
from resilim.plane.health import NETWORK_ERROR, PASSED, TIMED_OUT, WRONG_STATUS
from resilim.plane.kinds import CHECK_BEGINS, CHECK_ENDS
from resilim.plane.records import Host, Law
from tests.facts.detector_scene import MS, SECOND, DetectorScene


class Checked:
    """A cluster whose hosts are checked every 10 s, and answer a check after 5 ms."""

    def __init__(self, hosts: int = 1, **settings: int) -> None:
        self.scene = DetectorScene(hosts, cx_total=1)
        self.S = self.scene.S
        self.S.host = [Host(rank=rank) for rank in range(hosts)]
        self.S.law = [Law(luck.CONSTANT, 5.0 * MS)]
        checker = self.scene.checker
        checker.interval, checker.timeout, checker.response = 10 * SECOND, SECOND, 0
        checker.unhealthy_threshold = checker.healthy_threshold = 1 << 30
        for name, value in settings.items():
            setattr(checker, name, value)

    def run(self, seconds: int) -> list[tuple[int, int, int]]:
        """Time (ns), member and result of the checks of so many seconds."""
        checks.begin_checks(self.S, self.scene.cluster, 0)
        results: list[tuple[int, int, int]] = []
        handlers = {CHECK_BEGINS: checks.on_check, CHECK_ENDS: checks.on_checked}
        while self.S.heap and self.S.heap[0][0] < seconds * SECOND:
            now, _, kind, who = heappop(self.S.heap)
            if kind == CHECK_ENDS:
                results.append((now, who, self.S.member[who].check_result))
            if kind in handlers:
                handlers[kind](self.S, now, who)
        return results

    def outcome(self) -> tuple[int, int]:
        """Result of a check that begins now, and the time until it is known (ns)."""
        checks.on_check(self.S, 0, 0)
        return self.S.member[0].check_result, self.S.heap[0][0]


@pytest.fixture(autouse=True)
def _no_balancer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resilim.plane.balance.refresh", lambda S, set_index, now: None)


def test_the_next_check_begins_an_interval_after_the_last_result() -> None:
    times = [now for now, _, result in Checked().run(100) if result == PASSED]
    assert len(times) == 10
    assert 5 * MS <= times[0] < 10 * SECOND + 5 * MS
    assert {later - sooner for sooner, later in pairwise(times)} == {10_005 * MS}


def test_a_proxy_checks_its_hosts_together_and_another_one_at_its_own_time() -> None:
    checked = Checked(hosts=3)
    first = checked.run(12)[:3]
    assert [member for _, member, _ in first] == [0, 1, 2]
    assert len({now for now, _, _ in first}) == 1
    other = Checked(hosts=3)
    other.scene.cluster.key = 99
    assert other.run(12)[0][0] != first[0][0]


def test_the_initial_jitter_takes_them_apart() -> None:
    first = Checked(hosts=3, initial_jitter=2 * SECOND).run(13)[:3]
    assert len({now for now, _, _ in first}) == 3
    assert max(first)[0] - min(first)[0] < 2 * SECOND


def test_the_interval_jitter_is_drawn_for_each_check() -> None:
    times = [now for now, _, _ in Checked(interval_jitter=SECOND).run(300)]
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert len(set(gaps)) == len(gaps)
    assert all(10_005 * MS <= gap < 11_005 * MS for gap in gaps)


def test_without_checks_nothing_happens() -> None:
    checked = Checked(interval=0)
    assert checked.run(100) == []


@pytest.mark.parametrize(
    ("host", "outcome"),
    [
        ({"link": UP}, (PASSED, 5 * MS)),
        ({"link": REFUSING}, (NETWORK_ERROR, 0)),
        ({"link": SILENT}, (TIMED_OUT, SECOND)),
        ({"slowdown": 200.0}, (PASSED, SECOND)),
        ({"slowdown": 201.0}, (TIMED_OUT, SECOND)),
        ({"failing": 1.0}, (WRONG_STATUS, 5 * MS)),
        ({"failing": 1.0, "fail_code": -2, "slowdown": 2.0}, (NETWORK_ERROR, 10 * MS)),
        ({"failing": 1.0, "slowdown": 999.0}, (TIMED_OUT, SECOND)),
    ],
)
def test_what_comes_of_a_check(host: dict[str, float], outcome: tuple[int, int]) -> None:
    checked = Checked()
    checked.S.host = [Host(**host)]
    assert checked.outcome() == outcome


def test_a_host_that_fails_a_share_of_requests_fails_that_share_of_checks() -> None:
    checked = Checked(interval=SECOND)
    checked.S.host[0].failing = 0.3
    results = [result for _, _, result in checked.run(2000)]
    assert results.count(WRONG_STATUS) / len(results) == pytest.approx(0.3, abs=0.04)
