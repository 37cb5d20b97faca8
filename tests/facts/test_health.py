"""Active health checks behave as Envoy's (health_checker_base_impl.cc and its tests)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resilim.plane import pool
from resilim.plane.health import NETWORK_ERROR, PASSED, TIMED_OUT, WRONG_STATUS, next_interval
from resilim.plane.kinds import CHECK_FAILED, CHECK_PASSED, EJECTED, UNEJECTED
from resilim.plane.machine import scramble

from .detector_scene import MS, SECOND, DetectorScene, detector_scene


@pytest.fixture
def scene() -> Iterator[DetectorScene]:
    """A cluster of two healthy hosts."""
    with detector_scene(2, max_ejection_percent=100) as scene:
        scene.checker.interval = 10 * SECOND
        scene.checker.unhealthy_threshold = 3
        scene.checker.healthy_threshold = 2
        scene.check(PASSED)
        yield scene


def failed(scene: DetectorScene) -> list[int]:
    return [index for index, member in enumerate(scene.members) if member.check_failed]


# ---------------------------------------------------------------- thresholds


@pytest.mark.parametrize("result", [TIMED_OUT, NETWORK_ERROR])
def test_timeouts_and_network_errors_must_come_in_a_row(scene: DetectorScene, result: int) -> None:
    scene.check(result, result, PASSED, result, result)
    assert failed(scene) == []
    scene.check(NETWORK_ERROR + TIMED_OUT - result)  # either of them counts
    assert failed(scene) == [0]
    assert scene.changes() == [(CHECK_FAILED, 0)]


def test_a_wrong_status_fails_at_once(scene: DetectorScene) -> None:
    scene.check(WRONG_STATUS)
    assert failed(scene) == [0]


def test_a_failed_host_must_pass_in_a_row(scene: DetectorScene) -> None:
    scene.check(WRONG_STATUS, PASSED, TIMED_OUT, PASSED)
    assert failed(scene) == [0]
    scene.at(7)
    scene.check(PASSED)
    assert failed(scene) == []
    assert scene.changes() == [(CHECK_FAILED, 0), (CHECK_PASSED, 0)]
    assert scene.members[0].healthy_since == 7 * SECOND


def test_the_very_first_pass_is_enough(scene: DetectorScene) -> None:
    scene.members[1].check_failed = 1
    scene.check(PASSED, member=1)
    assert failed(scene) == []


def test_the_first_check_is_not_the_first_pass(scene: DetectorScene) -> None:
    scene.members[1].check_failed = 1
    scene.check(TIMED_OUT, PASSED, member=1)
    assert failed(scene) == [1]
    scene.check(PASSED, member=1)
    assert failed(scene) == []


def test_the_counters(scene: DetectorScene) -> None:
    scene.check(PASSED, WRONG_STATUS, TIMED_OUT, NETWORK_ERROR)
    checker = scene.checker
    assert (checker.attempt, checker.success, checker.failure, checker.network_failure) == (5, 2, 3, 2)
    assert scene.members[0].checks_done == 5


def test_a_member_that_left_is_not_checked(scene: DetectorScene) -> None:
    scene.remove(0)
    scene.check(WRONG_STATUS)
    assert (failed(scene), scene.checker.attempt) == ([], 1)


# ---------------------------------------------------------------- who hears of it


def test_the_balancer_hears_of_changes_only(scene: DetectorScene) -> None:
    scene.check(TIMED_OUT, PASSED)
    assert scene.refreshed == []
    scene.at(1)
    scene.check(WRONG_STATUS, TIMED_OUT, PASSED)
    assert scene.refreshed == [(SECOND, 0)]
    assert scene.lineup == [1]
    scene.check(PASSED)
    assert scene.lineup == [0, 1]


def test_the_pools_of_a_host_that_fails_drain(scene: DetectorScene, monkeypatch: pytest.MonkeyPatch) -> None:
    drained: list[int] = []
    monkeypatch.setattr(pool, "drain_member", lambda S, cluster, member, now: drained.append(member))
    scene.check(WRONG_STATUS, WRONG_STATUS, member=1)
    assert drained == [1]
    scene.check(PASSED, PASSED, member=1)
    assert drained == [1]


@pytest.mark.parametrize("result", [PASSED, TIMED_OUT])
def test_a_new_host_that_was_left_out_counts_from_its_first_check_on(
    scene: DetectorScene, result: int
) -> None:
    member = scene.members[1]
    member.check_failed = member.excluded = 1
    scene.check(result, member=1)
    assert (member.excluded, member.check_failed) == (0, int(result != PASSED))
    assert len(scene.refreshed) == 1
    scene.check(result, member=1)
    assert len(scene.refreshed) == 1


# ---------------------------------------------------------------- ejections


def test_a_passed_check_ends_an_ejection_even_if_it_changes_nothing_else(scene: DetectorScene) -> None:
    scene.answer(*[500] * 5)
    scene.at(1)
    scene.check(PASSED)
    assert scene.changes() == [(EJECTED, 0), (UNEJECTED, 0)]
    assert scene.members[0].unejected_at == SECOND
    assert scene.detector.active == 0


def test_it_does_not_as_long_as_the_host_is_failed_by_checks(scene: DetectorScene) -> None:
    scene.answer(*[500] * 5)
    scene.check(WRONG_STATUS, PASSED)
    assert scene.ejected() == [0]
    scene.check(PASSED)
    assert scene.ejected() == []


def test_it_does_not_if_that_is_switched_off(scene: DetectorScene) -> None:
    scene.detector.successful_active_health_check_uneject_host = 0
    scene.answer(*[500] * 5)
    scene.check(PASSED)
    assert scene.ejected() == [0]


def test_a_failed_check_ends_no_ejection(scene: DetectorScene) -> None:
    scene.answer(*[500] * 5)
    scene.check(TIMED_OUT)
    assert scene.ejected() == [0]


# ---------------------------------------------------------------- the next check


def interval(scene: DetectorScene, key: int = 1) -> float:
    """Seconds until the next check of member 0."""
    return next_interval(scene.checker, scene.cluster, scene.members[0], key) / SECOND


@pytest.fixture
def timed(scene: DetectorScene) -> DetectorScene:
    """With a different interval for every state."""
    scene.checker.unhealthy_interval = 20 * SECOND
    scene.checker.healthy_edge_interval = 1 * SECOND
    scene.checker.unhealthy_edge_interval = 2 * SECOND
    scene.cluster.cx_total = 1
    return scene


def test_which_interval(timed: DetectorScene) -> None:
    steps = [(PASSED, 10), (TIMED_OUT, 2), (TIMED_OUT, 2), (TIMED_OUT, 20), (TIMED_OUT, 20)]
    steps += [(PASSED, 1), (TIMED_OUT, 20), (PASSED, 1), (PASSED, 10), (PASSED, 10), (WRONG_STATUS, 20)]
    for result, seconds in steps:
        timed.check(result)
        assert interval(timed) == seconds


def test_intervals_that_are_not_set(scene: DetectorScene) -> None:
    scene.cluster.cx_total = 1
    for result in (PASSED, TIMED_OUT, TIMED_OUT, TIMED_OUT, PASSED, PASSED):
        scene.check(result)
        assert interval(scene) == 10
    scene.checker.unhealthy_interval = 20 * SECOND
    scene.check(TIMED_OUT)
    assert interval(scene) == 20  # the edge too


def test_without_traffic_so_far_checks_are_rare(timed: DetectorScene) -> None:
    timed.cluster.cx_total = 0
    for result in (PASSED, TIMED_OUT, WRONG_STATUS, PASSED):
        timed.check(result)
        assert interval(timed) == 60


def test_jitters_are_added(timed: DetectorScene) -> None:
    timed.check(PASSED)
    timed.checker.interval_jitter_percent = 10  # of 10 s
    timed.checker.interval_jitter = 500 * MS
    drawn = [interval(timed, scramble(7, number << 40)) for number in range(2000)]
    assert 10 <= min(drawn) < 10.1
    assert 11.4 < max(drawn) < 11.499
    assert sum(drawn) / len(drawn) == pytest.approx(10.75, abs=0.03)
    assert all(round(seconds * 1000) == seconds * 1000 for seconds in drawn)


def test_an_interval_is_never_nothing(timed: DetectorScene) -> None:
    timed.checker.interval = 1
    timed.check(PASSED)
    assert interval(timed) == 0.001
