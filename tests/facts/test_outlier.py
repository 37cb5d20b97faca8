"""Outlier detection behaves as Envoy's (outlier_detection_impl.cc and its tests)."""

from __future__ import annotations

import pytest

from resilim.plane import balance
from resilim.plane.flags import DC, UH
from resilim.plane.kinds import EJECTED, EJECTION_REFUSED, UNEJECTED
from resilim.plane.outlier import sweep

from .scene import MS, SECOND, Scene, ejected, report_codes


def watched(hosts: int = 1, percent: int = 100, errors: int = 5, **more: int) -> Scene:
    """A cluster with outlier detection: sweeps every 10 s, 30 s for a first ejection."""
    own = {"interval": 10 * SECOND, "consecutive_5xx_errors": errors, "max_ejection_percent": percent}
    return Scene(hosts, **own, **more)


def sweep_at(scene: Scene, seconds: float) -> None:
    scene.now = int(seconds * SECOND)
    sweep(scene.S, 0, scene.now)


def test_the_streak_ejects_at_exactly_the_threshold_and_at_once() -> None:
    scene = watched()
    report_codes(scene, [503] * 4)
    assert ejected(scene) == []
    report_codes(scene, [500])
    assert ejected(scene) == [0]
    assert scene.changes() == [(EJECTED, 0)]
    assert (scene.detector.active, scene.detector.enforced_total) == (1, 1)


@pytest.mark.parametrize("good", [200, 302, 404, 499])
def test_anything_but_a_5xx_ends_the_streak(good: int) -> None:
    scene = watched()
    report_codes(scene, [503] * 4 + [good] + [503] * 4)
    assert ejected(scene) == []
    report_codes(scene, [504])
    assert ejected(scene) == [0]


def test_streaks_belong_to_a_host() -> None:
    scene = watched(hosts=2)
    for _ in range(4):
        report_codes(scene, [503], member=0)
        report_codes(scene, [503], member=1)
    assert ejected(scene) == []
    report_codes(scene, [503], member=1)
    assert ejected(scene) == [1]


def test_a_threshold_of_zero_never_fires() -> None:
    scene = watched(errors=0)
    report_codes(scene, [503] * 100)
    assert ejected(scene) == []


def test_without_a_detector_nothing_is_counted() -> None:
    scene = Scene(consecutive_5xx_errors=1, max_ejection_percent=100)
    report_codes(scene, [503] * 10)
    assert ejected(scene) == []


@pytest.mark.parametrize(
    ("hosts", "percent", "allowed"),
    [
        *[(4, 10, 0), (4, 50, 2), (9, 10, 0), (10, 10, 1), (19, 10, 1), (20, 10, 2)],
        *[(1, 99, 0), (1, 100, 1), (2, 49, 0), (2, 50, 1), (3, 33, 0), (3, 34, 1), (5, 100, 5)],
    ],
)
def test_the_cap(hosts: int, percent: int, allowed: int) -> None:
    scene = watched(hosts, percent, errors=1)
    for member in range(hosts):
        report_codes(scene, [503], member)
    assert ejected(scene) == list(range(allowed))
    assert scene.detector.overflow == hosts - allowed
    assert scene.changes()[allowed:] == [(EJECTION_REFUSED, member) for member in range(allowed, hosts)]


def test_a_capped_detector_fires_again_after_as_many_errors() -> None:
    scene = watched(hosts=4, percent=10)
    report_codes(scene, [503] * 14)
    assert scene.detector.overflow == 2
    assert scene.S.member[0].consecutive_5xx == 4


def test_the_cap_counts_who_is_out_now() -> None:
    scene = watched(hosts=4, percent=25, errors=1)
    report_codes(scene, [503], member=0)
    report_codes(scene, [503], member=1)
    assert ejected(scene) == [0]
    sweep_at(scene, 30)
    report_codes(scene, [503], member=1)
    assert ejected(scene) == [1]


# ---------------------------------------------------------------- the end of an ejection


def test_only_a_sweep_ends_an_ejection() -> None:
    """Ejected at 1 s for 30 s, with sweeps at 10, 20, ..: back at 40 s."""
    scene = watched(errors=1)
    scene.now = 1 * SECOND
    report_codes(scene, [503])
    for seconds in (10, 20, 30):
        sweep_at(scene, seconds)
        assert ejected(scene) == [0]
    scene.until(39_999)
    assert ejected(scene) == [0]
    sweep_at(scene, 40)
    assert ejected(scene) == []
    assert scene.changes() == [(EJECTED, 0), (UNEJECTED, 0)]
    assert scene.detector.active == 0
    assert scene.S.member[0].unejected_at == 40 * SECOND


def test_a_sweep_at_the_very_end_of_the_time_ends_it() -> None:
    scene = watched(errors=1)
    report_codes(scene, [503])
    sweep_at(scene, 30)
    assert ejected(scene) == []


def time_out(scene: Scene, begin: float) -> float:
    """Eject member 0 at `begin` s; the seconds until the sweep that returns it, with one sweep a second."""
    scene.now = int(begin * SECOND)
    report_codes(scene, [503])
    assert ejected(scene) == [0]
    seconds = begin
    while ejected(scene):
        seconds += 1
        sweep_at(scene, seconds)
    return seconds - begin


def test_each_further_ejection_is_longer_up_to_the_longest() -> None:
    scene = watched(errors=1, base_ejection_time=10 * SECOND, max_ejection_time=35 * SECOND)
    begin, ladder = 0.0, []
    for _ in range(6):
        ladder.append(time_out(scene, begin))
        begin += ladder[-1]
    assert ladder == [10, 20, 30, 35, 35, 35]
    # the multiplier stops one above what the longest time needs
    assert scene.S.member[0].multiplier == 5


def test_the_multiplier_decays_at_sweeps_an_interval_after_the_return() -> None:
    scene = watched(errors=1)
    member = scene.S.member[0]
    report_codes(scene, [503])
    sweep_at(scene, 30)
    scene.now += 1
    report_codes(scene, [503])
    assert member.multiplier == 2
    sweep_at(scene, 91)
    assert (member.ejected, member.multiplier) == (0, 2)  # not at the sweep that returns it
    sweep_at(scene, 100)
    assert member.multiplier == 2  # 9 s since the return
    sweep_at(scene, 101)
    assert member.multiplier == 1
    sweep_at(scene, 111)
    sweep_at(scene, 121)
    assert member.multiplier == 0
    report_codes(scene, [503])
    assert member.multiplier == 1


def test_a_host_that_was_never_out_has_nothing_to_decay() -> None:
    scene = watched(hosts=2, errors=1)
    for seconds in range(10, 60, 10):
        sweep_at(scene, seconds)
    assert [member.multiplier for member in scene.S.member] == [0, 0]


def test_results_of_an_ejected_host_are_counted_but_fire_nothing() -> None:
    scene = watched(errors=3)
    report_codes(scene, [503] * 3)
    report_codes(scene, [503] * 10)
    assert scene.detector.enforced_total == 1
    assert scene.changes() == [(EJECTED, 0)]
    sweep_at(scene, 30)
    assert scene.S.member[0].consecutive_5xx == 0
    report_codes(scene, [503] * 2)
    assert ejected(scene) == []


# ---------------------------------------------------------------- panic


def eject_first(scene: Scene, number: int) -> None:
    for member in range(number):
        report_codes(scene, [503] * scene.detector.consecutive_5xx_errors, member)


@pytest.mark.parametrize(
    ("hosts", "threshold", "out", "panic"),
    [
        *[
            (4, 50, 2, 0),
            (4, 50, 3, 1),
            (4, 51, 2, 1),
            (3, 34, 2, 1),
            (3, 33, 2, 0),
            (4, 0, 4, 0),
            (4, 1, 4, 1),
        ],
        # 75 % healthy, times the overprovisioning factor 1.4, is enough whatever the threshold; 70 % is not
        *[(4, 100, 1, 0), (10, 100, 3, 1), (10, 100, 2, 0)],
    ],
)
def test_panic_is_strictly_below_the_threshold(hosts: int, threshold: int, out: int, panic: int) -> None:
    scene = watched(hosts, errors=1, panic_threshold=threshold)
    eject_first(scene, out)
    assert len(ejected(scene)) == out
    assert scene.cluster.in_panic == panic
    assert scene.cluster.lineup == (hosts if panic else hosts - out)


def test_in_panic_ejected_hosts_get_requests_and_are_counted() -> None:
    scene = watched(4, errors=1, panic_threshold=50, balancer=balance.ROUND_ROBIN)
    eject_first(scene, 3)
    assert [scene.served_by(scene.call()) for _ in range(4)] == [0, 1, 2, 3]
    assert scene.cluster.healthy_panic == 4
    sweep_at(scene, 30)
    assert scene.cluster.in_panic == 0


def test_without_panic_and_hosts_there_is_no_healthy_upstream() -> None:
    scene = watched(2, errors=1)
    eject_first(scene, 2)
    assert scene.call_refused() == (503, UH)
    assert scene.cluster.none_healthy == 1
    sweep_at(scene, 30)
    assert scene.call() >= 0


# ---------------------------------------------------------------- what is reported


def test_answers_of_the_host_are_reported() -> None:
    scene = watched(errors=3)
    scene.fail(code=500)
    for _ in range(3):
        scene.call()
    scene.until(50)
    assert ejected(scene) == [0]


@pytest.mark.parametrize("timer", ["timeout", "per_try_timeout"])
def test_timeouts_count_as_errors(timer: str) -> None:
    scene = watched(errors=2, work=100, **{timer: 20 * MS})
    scene.call()
    scene.call()
    scene.until(19)
    assert ejected(scene) == []
    scene.until(20)
    assert ejected(scene) == [0]
    scene.until(500)  # the late answers are not counted any more
    assert scene.S.member[0].consecutive_5xx == 0


def test_a_timeout_in_the_queue_blames_no_host() -> None:
    scene = watched(errors=1, connect=100, timeout=20 * MS)
    scene.call()
    scene.until(50)
    assert ejected(scene) == []


def test_a_client_that_leaves_blames_no_host() -> None:
    scene = watched(errors=1, work=100, timeout=20 * MS, timeout_flag=DC)
    scene.call()
    scene.until(50)
    assert scene.outcomes() == [(0, DC)]
    assert ejected(scene) == []


def test_what_the_pool_refuses_blames_no_host() -> None:
    scene = watched(errors=1, connect=5, max_pending=1, max_requests=1)
    scene.call()
    scene.call()
    scene.until(200)
    scene.call()
    scene.until(201)
    scene.call()
    scene.until(300)
    assert scene.cluster.rq_pending_overflow + scene.cluster.rq_active_overflow == 2
    assert ejected(scene) == []


def test_every_attempt_counts_retries_included() -> None:
    scene = watched(errors=3, retries=2, retry_on=1)
    scene.fail()
    scene.call()
    scene.until(1000)
    assert len(scene.outcomes()) == 1
    assert ejected(scene) == [0]
