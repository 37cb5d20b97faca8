"""Changes of health reach the balancer as they do in Envoy (cluster_manager_impl.cc and its tests)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resilim.plane import updates

from .detector_scene import MS, SECOND, DetectorScene, detector_scene


@pytest.fixture
def scene() -> Iterator[DetectorScene]:
    with detector_scene(hosts=4, merge_window=SECOND) as scene:
        yield scene


def change_at(scene: DetectorScene, *moments: float) -> None:
    """A change of health at each moment (s)."""
    for moment in moments:
        scene.at(moment)
        updates.health_changed(scene.S, 0, scene.now)


def heard(scene: DetectorScene) -> list[float]:
    """When the balancer heard of something (s), so far."""
    return [now / SECOND for now, _ in scene.refreshed]


def test_the_first_change_is_heard_at_once(scene: DetectorScene) -> None:
    change_at(scene, 0.0)
    assert heard(scene) == [0.0]
    assert not scene.S.heap


def test_a_change_within_the_window_waits_a_full_window_from_its_own_time(scene: DetectorScene) -> None:
    change_at(scene, 5.0, 5.4)
    scene.at(6.399)
    assert heard(scene) == [5.0]
    scene.at(6.4)
    assert heard(scene) == [5.0, 6.4]


def test_changes_that_come_while_one_waits_are_merged_with_it(scene: DetectorScene) -> None:
    change_at(scene, 5.0, 5.4, 5.5, 6.0)
    scene.at(20)
    assert heard(scene) == [5.0, 6.4]
    assert scene.cluster.health_changes == 2


def test_the_window_runs_from_what_was_heard_last(scene: DetectorScene) -> None:
    change_at(scene, 5.0, 5.4, 6.9)  # the second is heard at 6.4
    scene.at(20)
    assert heard(scene) == [5.0, 6.4, 7.9]


@pytest.mark.parametrize(
    ("gap_ms", "second_is_heard"),
    [(999.0, 1.999), (1000.0, 2.0), (1000.999, 2.000999), (1001.0, 1.001), (1500.0, 1.5)],
)
def test_the_window_is_over_after_more_than_its_whole_milliseconds(
    scene: DetectorScene, gap_ms: float, second_is_heard: float
) -> None:
    change_at(scene, 0.0, gap_ms / 1000)
    scene.at(20)
    assert heard(scene) == [0.0, second_is_heard]


def test_what_is_heard_at_once_cancels_what_waits(scene: DetectorScene) -> None:
    change_at(scene, 0.0, 0.5, 1.2)  # the second would be heard at 1.5
    scene.at(20)
    assert heard(scene) == [0.0, 1.2]


def test_what_was_cancelled_does_not_stand_in_the_way_of_the_next(scene: DetectorScene) -> None:
    change_at(scene, 0.0, 0.5, 1.2, 1.4)  # 0.5 is cancelled at 1.2, but its event still comes at 1.5
    scene.at(2.39)
    assert heard(scene) == [0.0, 1.2]
    scene.at(20)
    assert heard(scene) == [0.0, 1.2, 2.4]


def test_members_that_come_or_go_are_never_merged(scene: DetectorScene) -> None:
    change_at(scene, 0.0, 0.5)
    scene.at(0.7)
    updates.members_changed(scene.S, 0, scene.now)
    change_at(scene, 0.8)
    scene.at(20)
    assert heard(scene) == [0.0, 0.7, 1.8]
    assert scene.cluster.health_changes == 2


def test_without_a_window_everything_is_heard_at_once() -> None:
    with detector_scene(hosts=4) as scene:
        change_at(scene, 0.0, 0.0, 0.001)
        assert heard(scene) == [0.0, 0.0, 0.001]


def test_a_change_is_an_update_of_every_priority() -> None:
    with detector_scene(hosts=3, priorities=[0, 1, 1], merge_window=SECOND) as scene:
        change_at(scene, 0.0, 0.5)
        scene.at(20)
        assert scene.refreshed == [(0, 0), (0, 1), (1_500 * MS, 0), (1_500 * MS, 1)]


def test_the_second_of_two_hosts_ejected_together_keeps_its_traffic_for_the_window() -> None:
    with detector_scene(hosts=4, max_ejection_percent=50, consecutive_5xx=1, merge_window=SECOND) as scene:
        scene.answer(503, member=0)
        scene.answer(503, member=1)
        assert scene.ejected() == [0, 1]
        assert scene.lineup == [1, 2, 3]
        scene.at(1)
        assert scene.lineup == [2, 3]


def share_of_the_bad_host(window: int, phase: int) -> float:
    """Percent of 30 s of 40 requests/s that go to a host of four that always fails (5 ms for an answer)."""
    with detector_scene(hosts=4, merge_window=window, max_ejection_percent=100) as scene:
        scene.detector.interval, scene.detector.base_ejection_time = SECOND, 2 * SECOND
        sent = 0
        arrivals = [(number * 25 * MS, "arrival") for number in range(1200)]
        sweeps = [(phase + number * SECOND, "sweep") for number in range(30)]
        for moment, what in sorted(arrivals + sweeps):
            scene.until(moment)
            if what == "sweep":
                scene.sweep()
                continue
            member = scene.lineup[(moment // (25 * MS)) % len(scene.lineup)]
            sent += member == 0
            scene.until(moment + 5 * MS)
            scene.answer(503 if member == 0 else 200, member=member)
        return 100 * sent / 1200


@pytest.mark.parametrize(("window", "share"), [(SECOND, 5.42), (0, 2.08)])
def test_the_window_doubles_the_share_of_a_bad_host(window: int, share: float) -> None:
    """As measured at an Envoy 1.40; the mean over phases of the interval timer."""
    phases = range(7 * MS, SECOND, 48 * MS)
    shares = [share_of_the_bad_host(window, phase) for phase in phases]
    assert sum(shares) / len(shares) == pytest.approx(share, abs=0.15)
