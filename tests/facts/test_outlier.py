"""Outlier detection behaves as Envoy's (outlier_detection_impl.cc and its tests)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from resilim.plane import ejection, outlier, pool, success_rate
from resilim.plane.kinds import EJECTED, EJECTION_NOT_ENFORCED, EJECTION_REFUSED, UNEJECTED
from resilim.plane.outlier import (
    CONNECT_FAILURE,
    CONNECT_SUCCESS,
    CONNECT_SUCCESS_FINAL,
    EXT_FAILURE,
    EXT_SUCCESS,
    TIMEOUT,
)
from resilim.plane.records import Member
from resilim.plane.resets import GRPC

from .detector_scene import MS, SECOND, DetectorScene, Note, detector_scene


def watched(hosts: int = 1, percent: int = 100, errors: int = 5, **more: int) -> DetectorScene:
    """A cluster with outlier detection: sweeps every 10 s, 30 s for a first ejection."""
    return DetectorScene(hosts, (), consecutive_5xx=errors, max_ejection_percent=percent, **more)


@pytest.fixture(autouse=True)
def _no_balancer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resilim.plane.balance.refresh", lambda S, set_index, now: None)


# ---------------------------------------------------------------- streaks of errors


def test_the_streak_ejects_at_exactly_the_threshold_and_at_once() -> None:
    scene = watched()
    scene.answer(*[503] * 4)
    assert scene.ejected() == []
    scene.answer(500)
    assert scene.ejected() == [0]
    assert scene.notes == [Note(EJECTED, 0, ejection.CONSECUTIVE_5XX)]
    assert (scene.detector.active, scene.detector.enforced_total) == (1, 1)


@pytest.mark.parametrize("good", [200, 302, 404, 499, 600, 999])
def test_anything_but_a_5xx_ends_the_streak(good: int) -> None:
    scene = watched()
    scene.answer(*[503] * 4, good, *[503] * 4)
    assert scene.ejected() == []
    scene.answer(504)
    assert scene.ejected() == [0]


def test_streaks_belong_to_a_host() -> None:
    scene = watched(hosts=2)
    for _ in range(4):
        scene.answer(503, member=0)
        scene.answer(503, member=1)
    assert scene.ejected() == []
    scene.answer(503, member=1)
    assert scene.ejected() == [1]


@pytest.mark.parametrize("streak", ["consecutive_5xx", "consecutive_gateway_failure"])
def test_a_threshold_of_zero_never_fires(streak: str) -> None:
    scene = watched(enforcing_consecutive_gateway_failure=100, enforcing_consecutive_5xx=0)
    setattr(scene.detector, streak, 0)
    scene.answer(*[503] * 100)
    assert scene.ejected() == ([] if streak == "consecutive_gateway_failure" else [0])


@pytest.mark.parametrize("code", [502, 503, 504])
def test_gateway_failures_have_a_streak_of_their_own(code: int) -> None:
    scene = watched(errors=0, enforcing_consecutive_gateway_failure=100)
    scene.answer(*[code] * 4, 500, *[code] * 4)
    assert scene.ejected() == []
    scene.answer(code)
    assert scene.notes == [Note(EJECTED, 0, ejection.CONSECUTIVE_GATEWAY_FAILURE)]
    assert (scene.detector.detected_gateway, scene.detector.enforced_gateway) == (1, 1)


def test_a_gateway_failure_is_detected_before_a_5xx_and_the_host_is_out_then() -> None:
    scene = watched(enforcing_consecutive_gateway_failure=100)
    scene.answer(*[503] * 5)
    assert (scene.detector.detected_gateway, scene.detector.detected_5xx) == (1, 0)
    assert scene.detector.total == 0  # Envoy's deprecated counter knows no gateway failures


@pytest.mark.parametrize(
    ("grpc_status", "http_status"),
    [(0, 200), (1, 400), (2, 500), (4, 504), (8, 400), (12, 501), (13, 500), (14, 503), (15, 500), (16, 400)],
)
def test_an_answer_of_grpc_counts_as_the_http_status_that_stands_for_it(
    grpc_status: int, http_status: int
) -> None:
    assert outlier.http_status(grpc_status) == http_status
    scene = watched(errors=1, enforcing_consecutive_gateway_failure=100, consecutive_gateway_failure=1)
    scene.answer(GRPC + grpc_status)
    by = [note.by for note in scene.notes]
    if http_status < 500:
        assert by == []
    elif http_status in (502, 503, 504):
        assert by == [ejection.CONSECUTIVE_GATEWAY_FAILURE]
    else:
        assert by == [ejection.CONSECUTIVE_5XX]


def test_results_of_an_ejected_host_are_counted_but_fire_nothing() -> None:
    scene = watched(errors=3)
    scene.answer(*[503] * 13)
    assert scene.detector.enforced_total == 1
    assert scene.changes() == [(EJECTED, 0)]
    assert scene.members[0].external_total == 13
    scene.sweep_at(30)
    assert scene.members[0].consecutive_5xx == 0
    scene.answer(503, 503)
    assert scene.ejected() == []


# ---------------------------------------------------------------- what a result counts as


@pytest.mark.parametrize(
    ("result", "code", "counts_as"),
    [
        *[(CONNECT_FAILURE, 0, 503), (TIMEOUT, 0, 504), (EXT_FAILURE, 0, 500)],
        *[(EXT_SUCCESS, 0, 200), (CONNECT_SUCCESS_FINAL, 0, 200), (CONNECT_SUCCESS, 0, 0)],
        *[(TIMEOUT, 204, 200), (TIMEOUT, 500, 500), (CONNECT_SUCCESS, 200, 200), (EXT_SUCCESS, 502, 502)],
    ],
)
def test_without_split_errors_a_result_counts_as_a_status(result: int, code: int, counts_as: int) -> None:
    member, expected = Member(), Member()
    for record, report in ((member, True), (expected, False)):
        scene = watched()
        scene.S.member[0] = record
        if report:
            scene.report(result, code=code)
        elif counts_as:
            scene.answer(counts_as)
    assert repr(member) == repr(expected)


def counted(scene: DetectorScene) -> tuple[int, int, int, int]:
    member = scene.members[0]
    return member.external_total, member.external_failed, member.local_total, member.local_failed


@pytest.mark.parametrize(
    ("result", "counts"),
    [
        *[(CONNECT_SUCCESS, (0, 0, 1, 0)), (CONNECT_SUCCESS_FINAL, (0, 0, 1, 0))],
        *[(CONNECT_FAILURE, (0, 0, 1, 1)), (TIMEOUT, (0, 0, 1, 1))],
        *[(EXT_SUCCESS, (1, 0, 1, 0)), (EXT_FAILURE, (1, 1, 0, 0))],
    ],
)
def test_split_errors_are_counted_apart(result: int, counts: tuple[int, int, int, int]) -> None:
    scene = watched(split_external_local_origin_errors=1)
    scene.report(result)
    assert counted(scene) == counts


def test_split_errors_a_status_of_the_host_itself_is_passed_on() -> None:
    scene = watched(errors=0, split_external_local_origin_errors=1, enforcing_consecutive_gateway_failure=100)
    scene.report(*[EXT_FAILURE] * 5, code=500)
    assert scene.ejected() == []
    scene.report(*[EXT_FAILURE] * 5)  # without one it is a 503
    assert scene.ejected() == [0]


def test_split_errors_of_local_origin_eject() -> None:
    scene = watched(errors=1, split_external_local_origin_errors=1)
    scene.report(CONNECT_FAILURE, TIMEOUT, CONNECT_FAILURE, TIMEOUT)
    assert scene.ejected() == []
    scene.report(CONNECT_FAILURE)
    assert scene.notes == [Note(EJECTED, 0, ejection.CONSECUTIVE_LOCAL_ORIGIN_FAILURE)]
    assert (scene.detector.detected_local, scene.detector.enforced_local) == (1, 1)


def test_split_errors_timeouts_on_live_connections_never_add_up() -> None:
    scene = watched(split_external_local_origin_errors=1)
    for _ in range(50):
        scene.report(CONNECT_SUCCESS)
        scene.report(TIMEOUT, code=504)
    assert scene.detector.detected_local == 0


@pytest.mark.parametrize(
    ("status", "counts_as"), [(503, 503), (404, 500), (GRPC + 14, 200), (500, 200), (200, 200)]
)
def test_under_an_error_matcher_only_listed_statuses_are_failures(status: int, counts_as: int) -> None:
    scene = watched(errors=1, error_codes=2, first_error_code=1)
    scene.S.code = [500, 503, 404]
    assert outlier.matched_status(scene.S, scene.detector, status) == counts_as
    outlier.matched_response(scene.S, 0, 0, status, 0)
    assert bool(scene.ejected()) == (counts_as >= 500)


# ---------------------------------------------------------------- whether it ejects


@pytest.mark.parametrize(
    ("hosts", "percent", "allowed"),
    [
        *[(4, 10, 0), (4, 50, 2), (9, 10, 0), (10, 10, 1), (19, 10, 1), (20, 10, 2)],
        *[(1, 99, 0), (1, 100, 1), (2, 49, 0), (2, 50, 1), (3, 33, 0), (3, 34, 1), (5, 100, 5), (5, 0, 0)],
    ],
)
def test_the_cap(hosts: int, percent: int, allowed: int) -> None:
    scene = watched(hosts, percent, errors=1)
    for member in range(hosts):
        scene.answer(503, member=member)
    assert scene.ejected() == list(range(allowed))
    assert scene.detector.overflow == hosts - allowed
    assert scene.changes()[allowed:] == [(EJECTION_REFUSED, member) for member in range(allowed, hosts)]
    assert scene.detector.total == allowed


def test_a_capped_detector_fires_again_after_as_many_errors() -> None:
    scene = watched(hosts=4, percent=10)
    scene.answer(*[500] * 14)
    assert (scene.detector.detected_5xx, scene.detector.overflow) == (2, 2)
    assert scene.members[0].consecutive_5xx == 4


def test_the_cap_counts_who_is_out_now() -> None:
    scene = watched(hosts=4, percent=25, errors=1)
    scene.answer(503, member=0)
    scene.answer(503, member=1)
    assert scene.ejected() == [0]
    scene.sweep_at(30)
    scene.answer(503, member=1)
    assert scene.ejected() == [1]


def test_one_host_may_always_be_ejected_if_that_is_set() -> None:
    scene = watched(hosts=3, percent=0, errors=1, always_eject_one_host=1)
    scene.answer(503, member=1)
    scene.answer(503, member=2)
    assert scene.ejected() == [1]
    assert scene.detector.overflow == 1


def test_the_cap_is_of_all_priorities_together() -> None:
    scene = DetectorScene(2, [0, 1], max_ejection_percent=50, consecutive_5xx=1)
    scene.answer(503, member=0)
    scene.answer(503, member=1)
    assert scene.ejected() == [0]


@pytest.mark.parametrize("percent", [0, 1, 30, 99, 100])
def test_the_enforcing_percentage_ejects_that_share(percent: int) -> None:
    scene = watched(1000, errors=1, enforcing_consecutive_5xx=percent)
    for member in range(1000):
        scene.answer(503, member=member)
    enforced = scene.detector.enforced_5xx
    assert enforced == len(scene.ejected()) == scene.detector.active
    assert enforced == pytest.approx(10 * percent, abs=4 * (10 * percent * (1 - percent / 100)) ** 0.5)
    assert scene.detector.detected_5xx == scene.detector.total == 1000
    let_off = Note(EJECTION_NOT_ENFORCED, 999, ejection.CONSECUTIVE_5XX)
    assert (let_off in scene.notes) == (999 not in scene.ejected())


def test_a_host_that_was_let_off_needs_as_many_errors_again() -> None:
    scene = watched(enforcing_consecutive_5xx=0)
    scene.answer(*[503] * 14)
    assert (scene.detector.detected_5xx, scene.detector.enforced_5xx) == (2, 0)
    assert scene.members[0].consecutive_5xx == 4


def test_the_balancer_hears_of_an_ejection_and_the_pools_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    drained: list[tuple[int, int]] = []
    monkeypatch.setattr(pool, "drain_member", lambda S, cluster, member, now: drained.append((member, now)))
    with detector_scene(2, max_ejection_percent=100, consecutive_5xx=1) as scene:
        scene.at(3)
        scene.answer(503, member=1)
        assert scene.refreshed == [(3 * SECOND, 0)]
        assert scene.lineup == [0]
    assert drained == [(1, 3 * SECOND)]


# ---------------------------------------------------------------- the end of an ejection


def test_only_a_sweep_ends_an_ejection() -> None:
    """Ejected at 1 s for 30 s, with sweeps at 10, 20, ..: back at 40 s."""
    scene = watched(errors=1)
    scene.at(1)
    scene.answer(503)
    for seconds in (10, 20, 30):
        scene.sweep_at(seconds)
        assert scene.ejected() == [0]
    scene.at(39.999)
    assert scene.ejected() == [0]
    scene.sweep_at(40)
    assert scene.ejected() == []
    assert scene.changes() == [(EJECTED, 0), (UNEJECTED, 0)]
    assert scene.detector.active == 0
    assert scene.members[0].unejected_at == 40 * SECOND


def test_a_sweep_at_the_very_end_of_the_time_ends_it() -> None:
    scene = watched(errors=1)
    scene.answer(503)
    scene.sweep_at(30)
    assert scene.ejected() == []


def time_out(scene: DetectorScene, begin: float) -> float:
    """Eject member 0 at `begin` s; the seconds until the sweep that returns it, with one sweep a second."""
    scene.at(begin)
    scene.answer(503)
    assert scene.ejected() == [0]
    seconds = begin
    while scene.ejected():
        seconds += 1
        scene.sweep_at(seconds)
    return seconds - begin


def test_each_further_ejection_is_longer_up_to_the_longest() -> None:
    scene = watched(errors=1, base_ejection_time=10 * SECOND, max_ejection_time=35 * SECOND)
    begin, ladder = 0.0, []
    for _ in range(6):
        ladder.append(time_out(scene, begin))
        begin += ladder[-1]
    assert ladder == [10, 20, 30, 35, 35, 35]
    assert scene.members[0].ejections == 6
    # the multiplier stops one above what the longest time needs
    assert scene.members[0].multiplier == 5


def test_the_jitter_is_added_to_the_longest_time_too() -> None:
    lasts = set()
    for key in range(20):
        scene = watched(errors=1, max_ejection_time=30 * SECOND, max_ejection_time_jitter=4 * SECOND)
        scene.cluster.key = key << 40
        lasts.add(time_out(scene, 0.0))
    assert lasts == {31, 32, 33, 34}  # 30 when the jitter is 0 of 0..4000 ms


def test_jitters_are_whole_milliseconds_up_to_the_longest() -> None:
    scene = watched(2000, errors=1, max_ejection_time_jitter=3 * MS)
    for member in range(2000):
        scene.answer(503, member=member)
    jitters = [member.jitter for member in scene.members]
    assert set(jitters) == {0, MS, 2 * MS, 3 * MS}
    assert all(430 < jitters.count(jitter) < 570 for jitter in set(jitters))


def test_the_multiplier_decays_at_sweeps_an_interval_after_the_return() -> None:
    scene = watched(errors=1)
    member = scene.members[0]
    scene.answer(503)
    scene.sweep_at(30)
    scene.at(30.000000001)
    scene.answer(503)
    assert member.multiplier == 2
    scene.sweep_at(91)
    assert (member.ejected, member.multiplier) == (0, 2)  # not at the sweep that returns it
    scene.sweep_at(100)
    assert member.multiplier == 2  # 9 s since the return
    scene.sweep_at(101)
    assert member.multiplier == 1
    scene.sweep_at(111)
    scene.sweep_at(121)
    assert member.multiplier == 0
    scene.answer(503)
    assert member.multiplier == 1


def test_a_host_that_was_never_out_has_nothing_to_decay() -> None:
    scene = watched(hosts=2, errors=1)
    for seconds in range(10, 60, 10):
        scene.sweep_at(seconds)
    assert [member.multiplier for member in scene.members] == [0, 0]


def test_a_member_that_is_removed_while_ejected_starts_anew() -> None:
    scene = watched(hosts=2, percent=50, errors=1)
    scene.answer(503, member=0)
    scene.remove(0)
    assert (scene.detector.active, scene.ejected()) == (0, [])
    assert repr(scene.members[0]) == repr(Member(host=0, removed=1))
    scene.answer(503, member=0)  # of an attempt that was on its way
    assert scene.ejected() == []
    scene.answer(503, member=1)  # now the only host: over the cap
    assert scene.detector.overflow == 1


def test_a_detector_that_is_gone_does_nothing() -> None:
    scene = watched(hosts=2, errors=1)
    scene.answer(503, member=0)
    outlier.destroy(scene.S, 0)
    assert scene.detector.active == 0
    scene.answer(503, member=1)
    scene.sweep_at(100)
    assert scene.changes() == [(EJECTED, 0)]


# ---------------------------------------------------------------- success rate


def judged(hosts: int = 5, **settings: int) -> DetectorScene:
    """Only the judgement of a whole interval."""
    streaks = {"errors": 0, "consecutive_gateway_failure": 0, "consecutive_local_origin_failure": 0}
    return watched(hosts, **{**streaks, **settings})


def load(scene: DetectorScene, *rates: int, number: int = 100) -> None:
    """Answers of each member, with these percentages of success."""
    for member, rate in enumerate(rates):
        good = rate * number // 100
        scene.answer(*[200] * good, *[500] * (number - good), member=member)


def test_the_success_rate_ejects_what_is_far_below_the_mean() -> None:
    scene = judged()
    load(scene, 100, 100, 50, 100, 100)
    scene.sweep_at(10)
    assert (scene.detector.external_average, scene.detector.external_threshold) == (90.0, 52.0)
    assert scene.notes == [Note(EJECTED, 2, ejection.SUCCESS_RATE)]
    assert [member.external_rate for member in scene.members] == [100, 100, 50, 100, 100]
    assert scene.detector.detected_success_rate == scene.detector.enforced_success_rate == 1
    assert scene.detector.total == 1


def test_a_rate_on_the_threshold_is_no_outlier() -> None:
    scene = judged(success_rate_stdev_factor=0)
    load(scene, *[100] * 5)
    scene.sweep_at(10)
    assert scene.detector.external_threshold == 100.0
    assert scene.ejected() == []


def test_one_outlier_is_never_far_enough_below_the_mean_of_few_hosts() -> None:
    """The lowest is sqrt(n - 1) standard deviations below: 1.73 of four hosts, 2 of five."""
    for hosts, out in ((4, []), (5, [0])):
        scene = judged(hosts, success_rate_minimum_hosts=1)
        load(scene, 0, *[100] * (hosts - 1))
        scene.sweep_at(10)
        assert scene.ejected() == out


@pytest.mark.parametrize("number", [99, 100])
def test_hosts_without_the_volume_are_left_out(number: int) -> None:
    scene = judged()
    load(scene, 0, *[100] * 4, number=number)
    scene.sweep_at(10)
    assert scene.ejected() == ([0] if number == 100 else [])
    assert scene.members[0].external_rate == 0.0  # 50 requests are enough for the failure percentage


def test_every_window_is_judged_once_and_nothing_is_carried_over() -> None:
    scene = judged()
    load(scene, 0, *[100] * 4, number=99)
    scene.sweep_at(10)
    load(scene, 0, *[100] * 4, number=99)
    scene.sweep_at(20)
    assert scene.ejected() == []
    scene.sweep_at(30)
    assert [member.external_rate for member in scene.members] == [-1.0] * 5
    assert scene.detector.external_average == -1.0


def test_ejected_hosts_are_not_judged() -> None:
    scene = judged()
    load(scene, 0, *[100] * 4)
    scene.sweep_at(10)
    load(scene, 0, *[100] * 4)
    scene.sweep_at(20)
    assert scene.detector.detected_success_rate == 1
    assert scene.members[0].external_rate == -1.0
    assert scene.detector.external_average == -1.0  # four hosts are not enough


def test_a_sweep_judges_those_it_has_just_let_back_in() -> None:
    scene = judged()
    load(scene, 0, *[100] * 4)
    scene.sweep_at(10)
    scene.at(30)
    load(scene, 0, *[100] * 4)
    scene.sweep_at(40)
    changes = [change for change in scene.changes() if change != (EJECTION_NOT_ENFORCED, 0)]
    assert changes == [(EJECTED, 0), (UNEJECTED, 0), (EJECTED, 0)]
    assert scene.members[0].multiplier == 2


def test_nothing_is_judged_with_fewer_hosts_than_both_minima() -> None:
    for minimum, average in ((5, -1.0), (4, -1.0), (3, 100.0)):
        scene = judged(3, success_rate_minimum_hosts=3, failure_percentage_minimum_hosts=minimum)
        scene.detector.success_rate_minimum_hosts = minimum
        load(scene, 100, 100, 100)
        scene.sweep_at(10)
        assert scene.detector.external_average == average


@pytest.mark.parametrize(("good", "ejects"), [(15, True), (16, False)])
def test_the_failure_percentage_ejects_at_the_threshold(good: int, ejects: bool) -> None:
    scene = judged(5, enforcing_success_rate=0, enforcing_failure_percentage=100)
    load(scene, good, 0, 100, 100, 100)
    scene.sweep_at(10)
    assert (0 in scene.ejected()) == ejects
    assert scene.detector.detected_failure_percentage == scene.detector.enforced_failure_percentage
    assert scene.detector.total == 0


def test_a_detection_that_is_not_enforced_is_counted_all_the_same() -> None:
    scene = judged(5, enforcing_success_rate=0)
    load(scene, 0, *[100] * 4)
    scene.sweep_at(10)
    by = [ejection.SUCCESS_RATE, ejection.FAILURE_PERCENTAGE]
    assert scene.notes == [Note(EJECTION_NOT_ENFORCED, 0, detector) for detector in by]


def test_a_host_caught_twice_in_one_sweep_is_ejected_once() -> None:
    scene = judged(5, enforcing_failure_percentage=100)
    load(scene, 0, *[100] * 4)
    scene.sweep_at(10)
    assert scene.changes() == [(EJECTED, 0)]
    assert (scene.detector.active, scene.detector.enforced_total, scene.members[0].multiplier) == (1, 1, 1)
    assert (scene.detector.detected_success_rate, scene.detector.detected_failure_percentage) == (1, 1)


def test_the_local_window_is_judged_by_its_own_percentages() -> None:
    scene = judged(5, split_external_local_origin_errors=1, enforcing_success_rate=0)
    for member in range(5):
        scene.report(*[CONNECT_SUCCESS] * 100, member=member)
    scene.report(*[CONNECT_FAILURE] * 100, member=3)
    scene.sweep_at(10)
    assert (scene.detector.local_average, scene.detector.local_threshold) == (90.0, 52.0)
    assert scene.detector.external_average == -1.0
    assert scene.notes == [Note(EJECTED, 3, ejection.SUCCESS_RATE_LOCAL_ORIGIN)]
    assert scene.detector.enforced_local_success_rate == 1


def test_the_local_failure_percentage() -> None:
    scene = judged(
        5,
        split_external_local_origin_errors=1,
        enforcing_local_origin_success_rate=0,
        enforcing_failure_percentage_local_origin=100,
    )
    for member in range(5):
        scene.report(*[CONNECT_FAILURE if member == 1 else CONNECT_SUCCESS] * 50, member=member)
    scene.sweep_at(10)
    assert scene.notes == [Note(EJECTED, 1, ejection.FAILURE_PERCENTAGE_LOCAL_ORIGIN)]
    assert scene.detector.enforced_local_failure_percentage == 1


def test_which_outlier_the_cap_lets_through_depends_on_the_cluster_only() -> None:
    def first_out(key: int) -> int:
        scene = judged(5, percent=20, enforcing_failure_percentage=100, failure_percentage_threshold=50)
        scene.cluster.key = key
        load(scene, *[50] * 5)
        scene.sweep_at(10)
        assert (len(scene.ejected()), scene.detector.overflow) == (1, 4)
        return scene.ejected()[0]

    keys = [number * 0x0123_4567_89AB_CDEF for number in range(1, 40)]
    assert {first_out(key) for key in keys} == {0, 1, 2, 3, 4}
    assert [first_out(key) for key in keys] == [first_out(key) for key in keys]


@pytest.mark.parametrize("of", [success_rate.requests, success_rate.failures, success_rate.rate])
def test_a_fresh_member_has_nothing_in_either_window(of: Callable[[Member, int], float]) -> None:
    for window in (success_rate.EXTERNAL, success_rate.LOCAL):
        assert of(Member(), window) == (-1.0 if of is success_rate.rate else 0)
