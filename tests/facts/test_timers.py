"""Timer queues: one armed event serves all timers of one duration."""

from __future__ import annotations

from heapq import heappop

from resilim.plane import timers
from resilim.plane.flags import NO_FLAG, UT
from resilim.plane.kinds import TIMER
from resilim.plane.records import NONE, Call, TimerQueue

from .scene import MS, Scene


def queue_of(starts: list[int]) -> Scene:
    """Calls 0, 1, .. with a timer of 10 ms each, started at those moments (ms)."""
    scene = Scene(timeout=10 * MS)
    scene.S.call = [Call() for _ in starts]
    for index, start in enumerate(starts):
        timers.start(scene.S, 0, scene.S.call, index, start * MS)
    return scene


def queue(scene: Scene) -> TimerQueue:
    return scene.S.timer_queue[0]


def running(scene: Scene) -> list[int]:
    """The queue from head to tail; the links back must say the same."""
    forward, index = [], queue(scene).head
    while index != NONE:
        forward.append(index)
        index = scene.S.call[index].timer_next
    backward, index = [], queue(scene).tail
    while index != NONE:
        backward.append(index)
        index = scene.S.call[index].timer_prev
    assert forward == backward[::-1]
    return forward


def stop(scene: Scene, index: int) -> None:
    timers.stop(queue(scene), scene.S.call, index)


def armed_for(scene: Scene) -> list[float]:
    """Moments (ms) of the timer events on the heap."""
    return sorted(at / MS for at, _, kind, _ in scene.S.heap if kind == TIMER)


def due(scene: Scene) -> tuple[float, int]:
    """Handle the next event: its moment (ms), and the call that it takes."""
    at, *_ = heappop(scene.S.heap)
    return at / MS, timers.take_due(scene.S, 0, scene.S.call, at)


def test_timers_of_one_duration_stand_in_the_order_of_their_start() -> None:
    scene = queue_of([0, 1, 1, 5])
    assert running(scene) == [0, 1, 2, 3]
    assert armed_for(scene) == [10.0]


def test_the_oldest_fires_and_the_next_one_is_armed() -> None:
    scene = queue_of([0, 1, 5])
    assert due(scene) == (10.0, 0)
    assert running(scene) == [1, 2]
    assert armed_for(scene) == [11.0]
    assert [due(scene), due(scene)] == [(11.0, 1), (15.0, 2)]
    assert running(scene) == armed_for(scene) == []


def test_timers_that_are_due_at_once_fire_one_by_one_in_order() -> None:
    scene = queue_of([3, 3, 3])
    assert [due(scene) for _ in range(3)] == [(13.0, 0), (13.0, 1), (13.0, 2)]
    assert scene.S.heap == []


def test_a_timer_can_be_stopped_anywhere() -> None:
    for stopped in range(3):
        scene = queue_of([0, 1, 2])
        stop(scene, stopped)
        assert running(scene) == [index for index in range(3) if index != stopped]


def test_the_event_of_a_stopped_timer_arms_the_next_one() -> None:
    scene = queue_of([0, 4])
    stop(scene, 0)
    assert due(scene) == (10.0, NONE)
    assert armed_for(scene) == [14.0]
    assert due(scene) == (14.0, 1)


def test_an_empty_queue_is_disarmed_by_its_event() -> None:
    scene = queue_of([0])
    stop(scene, 0)
    assert due(scene) == (10.0, NONE)
    assert (queue(scene).armed, armed_for(scene)) == (0, [])
    timers.start(scene.S, 0, scene.S.call, 0, 20 * MS)
    assert due(scene) == (30.0, 0)


def test_one_event_is_enough_however_often_timers_start_and_stop() -> None:
    scene = queue_of([0])
    for moment in range(1, 9):
        stop(scene, 0)
        timers.start(scene.S, 0, scene.S.call, 0, moment * MS)
    assert armed_for(scene) == [10.0]
    assert due(scene) == (10.0, NONE)
    assert due(scene) == (18.0, 0)


def test_an_answer_in_time_stops_the_timer() -> None:
    scene = Scene(work=10, timeout=30 * MS)
    scene.call()
    scene.until(100)
    assert scene.outcomes() == [(200, NO_FLAG)]
    assert (queue(scene).head, queue(scene).armed) == (NONE, 0)


def test_an_answer_and_a_timeout_of_one_instant_happen_in_the_order_of_their_scheduling() -> None:
    """The timer was armed first, so it fires first; the answer comes to nothing."""
    scene = Scene(work=10, timeout=10 * MS)
    scene.call()
    scene.until(100)
    assert scene.outcomes() == [(504, UT)]
    assert scene.S.host[0].wasted == 1
