"""Hosts: workers, a bounded queue, calls of their own, and work that nobody waits for."""

from __future__ import annotations

import pytest

from resilim.plane import host
from resilim.plane.filters import CLIENT
from resilim.plane.flags import DC, NO_FLAG, UO, UT
from resilim.plane.proxy import begin_call
from resilim.plane.records import UNLIMITED, Site, Step

from .scene import MS, WORK, Scene

CALLER_STEP = 2  # an endpoint that calls the other one: see `caller`


def small(workers: int, places: int = 0, **more: int) -> Scene:
    """A host with so many workers, and places in its queue."""
    scene = Scene(places=places, **more)
    scene.S.host[0].workers = workers
    return scene


def test_workers_then_queue_then_503() -> None:
    scene = small(workers=2, places=1)
    for _ in range(4):
        scene.call()
    scene.until(1)
    upstream = scene.S.host[0]
    assert (upstream.busy, upstream.waiting, upstream.refused) == (2, 1, 1)
    assert scene.outcomes() == [(503, NO_FLAG)]  # the host's own answer: no flag
    assert scene.S.row[0].origin == 0
    scene.until(30)
    assert scene.outcomes()[1:] == [(200, NO_FLAG)] * 3
    assert scene.latencies() == [0.0, 10.0, 10.0, 20.0]
    assert (upstream.busy, upstream.waiting) == (0, 0)


def test_the_queue_is_first_come_first_served() -> None:
    scene = small(workers=1, places=5)
    for moment in range(3):
        scene.until(moment)
        scene.call()
    scene.until(100)
    assert [row.arrived // MS for row in scene.S.row[:3]] == [0, 1, 2]
    assert scene.latencies() == [10.0, 19.0, 28.0]


def test_a_slow_host_works_longer_from_then_on() -> None:
    scene = Scene()
    scene.call()
    scene.until(1)
    scene.S.host[0].slowdown = 3.0
    scene.call()
    scene.until(100)
    assert scene.latencies() == [10.0, 30.0]


@pytest.mark.parametrize("code", [500, 503, 504])
def test_a_failing_host_answers_after_its_work(code: int) -> None:
    scene = Scene()
    scene.fail(code=code)
    scene.call()
    scene.until(100)
    assert scene.outcomes() == [(code, NO_FLAG)]
    assert scene.latencies() == [10.0]
    assert scene.S.row[0].origin == 0


def test_a_host_works_on_for_who_has_given_up() -> None:
    scene = small(workers=1, work=100, timeout=20 * MS)
    scene.call()
    scene.until(50)
    upstream = scene.S.host[0]
    assert (scene.cluster.rq_active, upstream.busy, upstream.wasted) == (0, 1, 0)
    scene.until(100)
    assert (upstream.busy, upstream.wasted, upstream.wasted_time) == (0, 1, 100 * MS)


def test_who_has_given_up_still_gets_the_worker_when_it_is_his_turn() -> None:
    scene = small(workers=1, places=5, work=15, timeout=20 * MS)
    scene.call()
    scene.call()
    scene.until(50)
    assert scene.outcomes() == [(200, NO_FLAG), (504, UT)]
    assert scene.S.host[0].wasted_time == 15 * MS


def test_an_answer_on_its_way_back_can_come_too_late() -> None:
    """The time of the worker is counted, not that of the way back."""
    scene = Scene(work=10, hop=1, upstream_hop=1, timeout=25 * MS)
    scene.call()
    scene.until(100)
    assert scene.outcomes() == [(504, UT)]
    assert (scene.S.host[0].wasted, scene.S.host[0].wasted_time) == (1, 10 * MS)


# ---------------------------------------------------------------- calls of a host


def caller(sites: int = 1, optional: int = 0, **limits: int) -> Scene:
    """Host 1 calls host 0, `sites` times at once; `limits` are those of the host's own proxy (cluster 0).

    The client's cluster for host 1 is number 1.
    """
    scene = Scene(**limits)
    S = scene.S
    S.step += [Step(host.CALLS_OUT, sites=sites), Step(host.WORK, law=WORK, salt=2), Step(host.END)]
    S.site = [Site(optional=optional, salt=100 + number) for number in range(sites)]
    scene.add_host(service=1, workers=1, places=10)
    scene.add_cluster([1], service=1, streams=UNLIMITED)
    scene.add_route(timeout_flag=DC)
    return scene


def ask(scene: Scene, key: int = 77) -> int:
    return begin_call(scene.S, CLIENT, 1, 1, CALLER_STEP, 0, key + scene.now, scene.now)


def test_the_worker_is_kept_while_the_host_waits_for_its_calls() -> None:
    scene = caller()
    ask(scene)
    ask(scene)
    scene.until(5)
    front = scene.S.host[1]
    assert (front.busy, front.waiting) == (1, 1)
    assert scene.S.host[0].busy == 1
    scene.until(100)
    assert scene.latencies() == [20.0, 40.0]


def test_the_slowest_branch_decides() -> None:
    scene = caller(sites=3, max_connections=1)  # HTTP/1.1: one after the other
    ask(scene)
    scene.until(29)
    attempt = scene.attempt_of(0)
    assert attempt.awaiting == 1
    scene.until(100)
    assert scene.latencies() == [40.0]


def test_a_failed_call_fails_the_caller_without_further_steps() -> None:
    scene = caller()
    scene.fail(0, code=503)
    ask(scene)
    scene.until(100)
    assert scene.outcomes() == [(500, NO_FLAG)]
    assert scene.latencies() == [10.0]
    assert scene.S.row[0].origin == 0


def test_the_origin_of_a_failure_and_its_flags_are_kept_on_the_way_up() -> None:
    scene = caller(timeout=4 * MS)
    ask(scene)
    scene.until(100)
    assert scene.outcomes() == [(500, UT)]
    assert scene.S.row[0].origin == 0


def test_the_other_branches_are_awaited_after_a_failure() -> None:
    scene = caller(sites=2, connect=5, max_pending=1)
    ask(scene)
    scene.until(100)
    # the second branch was refused at once; the first one takes 5 + 10 ms
    assert scene.outcomes() == [(500, UO)]
    assert scene.latencies() == [20.0]


def test_a_failed_optional_call_does_not_fail_the_caller() -> None:
    scene = caller(optional=1)
    scene.fail(0, code=503)
    ask(scene)
    scene.until(100)
    assert scene.outcomes() == [(200, NO_FLAG)]
    assert scene.latencies() == [20.0]


def test_an_optional_call_that_fails_at_once_does_not_hold_the_caller_up() -> None:
    scene = caller(optional=1, max_pending=0)
    ask(scene)
    scene.until(100)
    assert scene.outcomes() == [(200, NO_FLAG)]
    assert scene.latencies() == [10.0]
    assert scene.cluster.calls_failed == 1


def test_a_caller_whose_calls_all_fail_at_once_frees_its_worker() -> None:
    scene = caller(sites=2, max_pending=0)
    ask(scene)
    ask(scene)
    scene.until(100)
    assert scene.outcomes() == [(500, UO)] * 2
    assert scene.latencies() == [0.0, 0.0]
    assert scene.S.host[1].busy == 0


def test_a_call_is_not_made_when_luck_says_so() -> None:
    scene = caller()
    scene.S.site[0].probability = 0.3
    number = 1000
    scene.S.host[1].workers = number
    for key in range(number):
        ask(scene, (key * 0x9E3779B97F4A7C15) >> 2 & (1 << 62) - 1)
    scene.until(100)
    assert 0.25 * number < scene.cluster.calls_ended < 0.35 * number
    assert len(scene.outcomes()) == number
