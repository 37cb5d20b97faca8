"""Connection pools behave as Envoy's (conn_pool_base.cc and its tests)."""

from __future__ import annotations

import pytest

from resilim.plane import balance
from resilim.plane.flags import NO_FLAG, UO, UT
from resilim.plane.records import NONE, UNLIMITED

from .scene import MS, Scene, states

HTTP2 = UNLIMITED


@pytest.mark.parametrize("streams", [1, HTTP2])
def test_the_first_request_waits_for_its_connection(streams: int) -> None:
    scene = Scene(connect=5, streams=streams)
    scene.call()
    assert (scene.cluster.rq_pending, scene.cluster.rq_active, scene.cluster.cx_active) == (1, 0, 1)
    scene.until(5)
    assert (scene.cluster.rq_pending, scene.cluster.rq_active) == (0, 1)
    assert scene.cluster.rq_pending_total == 1
    scene.until(15)
    assert scene.outcomes() == [(200, NO_FLAG)]
    assert scene.latencies() == [15.0]


def test_the_handshake_adds_to_the_set_up() -> None:
    scene = Scene(connect=5, handshake=1)  # law 1, that of the work: 10 ms
    scene.call()
    scene.until(30)
    assert scene.latencies() == [25.0]


def test_the_life_of_two_connections() -> None:
    """Envoy's accounting: two connections and one place in the queue."""
    scene = Scene(connect=5, work=100, max_connections=2, max_pending=1)
    scene.call()
    scene.until(1)
    assert scene.call_refused() == (503, UO)  # a second connection would be allowed, but the queue is full
    scene.until(6)
    scene.call()
    assert scene.cluster.cx_active == 2
    scene.until(12)
    waiting = scene.call()
    assert scene.cluster.cx_overflow == 1
    assert scene.call_refused() == (503, UO)
    assert scene.cluster.rq_pending_overflow == 2
    scene.until(105)
    assert scene.attempt_of(waiting).connection == 0
    scene.until(300)
    assert scene.outcomes() == [(200, NO_FLAG)] * 3
    assert scene.latencies() == [105.0, 105.0, 193.0]


def test_the_pending_limit_is_not_asked_when_a_connection_is_ready() -> None:
    scene = Scene(streams=HTTP2, max_pending=1)
    scene.call()
    scene.until(1)
    for _ in range(20):
        assert scene.call() != NONE
    assert scene.cluster.rq_active == 21
    assert scene.cluster.rq_pending_overflow == 0


def test_waiting_requests_are_served_first_come_first_served() -> None:
    scene = Scene(max_connections=1)
    calls = [scene.call() for _ in range(4)]
    served = []
    for moment in (5, 15, 25, 35):
        scene.until(moment)
        served += [call for call in calls if call not in served and scene.attempt_of(call).connection >= 0]
    assert served == calls


def test_the_connection_that_became_ready_last_is_used_first() -> None:
    scene = Scene()
    scene.call()
    scene.until(3)
    scene.call()
    scene.until(50)  # the first one was free at 10 ms, the second at 13 ms
    assert scene.cluster.cx_active == 2
    assert scene.attempt_of(scene.call()).connection == 1
    assert scene.attempt_of(scene.call()).connection == 0
    assert scene.cluster.cx_total == 2


def test_a_waiting_request_is_never_moved_to_another_host() -> None:
    scene = Scene(hosts=2, balancer=balance.ROUND_ROBIN, max_connections=2)
    first, second, waiting = (scene.call() for _ in range(3))
    slow = scene.served_by(first)
    assert scene.served_by(second) != slow
    scene.S.host[slow].slowdown = 10.0
    scene.until(50)
    assert scene.latencies() == [10.0]  # the other host is free again, and nobody asks it
    assert [scene.served_by(call) for call in (first, waiting)] == [slow, slow]
    assert scene.attempt_of(waiting).connection == NONE


# ---------------------------------------------------------------- max_requests


@pytest.mark.parametrize("streams", [1, HTTP2])
def test_max_requests_is_asked_when_a_request_gets_its_connection(streams: int) -> None:
    """The second request waits for 5 ms and is refused then; the connection stays free."""
    scene = Scene(connect=5, streams=streams, max_requests=1)
    scene.call()
    assert scene.call() != NONE
    scene.until(5)
    assert scene.outcomes() == [(503, UO)]
    assert scene.latencies() == [5.0]
    assert (scene.cluster.rq_active_overflow, scene.cluster.rq_pending_overflow) == (1, 0)
    assert (scene.cluster.rq_active, scene.cluster.rq_total) == (1, 1)
    scene.until(15)
    assert scene.call() != NONE
    assert (scene.cluster.rq_active, scene.cluster.cx_total) == (1, 2 if streams == 1 else 1)


def test_with_a_ready_connection_max_requests_refuses_at_once() -> None:
    scene = Scene(streams=HTTP2, max_requests=2)
    for moment in (0, 1):
        scene.until(moment)
        scene.call()
    assert scene.call_refused() == (503, UO)
    assert scene.cluster.rq_active_overflow == 1


def test_limits_are_over_all_hosts_of_the_cluster() -> None:
    scene = Scene(hosts=3, balancer=balance.ROUND_ROBIN, max_requests=2)
    for _ in range(3):
        scene.call()
    scene.until(1)
    assert sorted(member.rq_active for member in scene.S.member) == [0, 1, 1]
    assert scene.outcomes() == [(503, UO)]


# ---------------------------------------------------------------- opening connections


def test_a_pool_without_a_connection_may_always_open_one() -> None:
    """And the overflow is counted all the same."""
    scene = Scene(hosts=3, balancer=balance.ROUND_ROBIN, max_connections=1)
    for _ in range(3):
        scene.call()
    assert (scene.cluster.cx_active, scene.cluster.cx_overflow) == (3, 2)
    for _ in range(3):
        scene.call()
    assert (scene.cluster.cx_active, scene.cluster.cx_overflow) == (3, 5)


def test_at_most_three_connections_are_opened_at_once() -> None:
    scene = Scene(max_connections=1)
    for _ in range(10):
        scene.call()
    scene.until(5)
    scene.cluster.max_connections = 100
    scene.until(9)
    assert scene.cluster.cx_active == 1
    scene.now = 10 * MS
    scene.S.law[2].a = 50.0 * MS  # connecting takes longer from now on
    scene.until(10)
    assert scene.cluster.cx_active == 4


def test_as_many_connections_as_requests_wait() -> None:
    scene = Scene(connect=5)
    for expected in range(1, 6):
        scene.call()
        assert scene.cluster.cx_active == expected


def test_one_http2_connection_serves_a_burst() -> None:
    scene = Scene(connect=5, streams=HTTP2)
    for _ in range(50):
        scene.call()
    assert scene.cluster.cx_active == 1
    scene.until(5)
    assert (scene.cluster.rq_active, scene.cluster.cx_total) == (50, 1)


def test_an_http2_connection_offers_what_its_request_limit_leaves() -> None:
    scene = Scene(connect=5, streams=HTTP2, requests_per_connection=2)
    for _ in range(5):
        scene.call()
    assert scene.cluster.cx_active == 3
    scene.until(30)
    assert scene.outcomes() == [(200, NO_FLAG)] * 5


# ---------------------------------------------------------------- closing connections


def test_an_http1_connection_closes_after_its_last_permitted_request() -> None:
    scene = Scene(requests_per_connection=2)
    for moment in (0, 20):
        scene.until(moment)
        scene.call()
    scene.until(29)
    assert states(scene) == ["draining"]
    scene.until(30)
    assert scene.cluster.cx_active == 0
    scene.call()
    assert (scene.cluster.cx_active, scene.cluster.cx_total) == (1, 2)


def test_a_draining_connection_keeps_its_place_until_its_last_stream_ends() -> None:
    scene = Scene(streams=HTTP2, requests_per_connection=2, max_connections=1)
    scene.call()
    scene.until(5)
    scene.call()
    assert states(scene) == ["draining"]
    third = scene.call()
    assert (scene.cluster.cx_active, scene.cluster.cx_overflow) == (1, 1)
    scene.until(14)  # the first stream has ended
    assert scene.attempt_of(third).connection == NONE
    scene.until(30)
    assert scene.latencies() == [10.0, 10.0, 20.0]
    assert scene.cluster.cx_total == 2


@pytest.mark.parametrize(("streams", "left"), [(1, 0), (HTTP2, 1)])
@pytest.mark.parametrize("timer", ["timeout", "per_try_timeout"])
def test_a_timeout_closes_an_http1_connection_only(streams: int, left: int, timer: str) -> None:
    scene = Scene(work=100, streams=streams, **{timer: 20 * MS})
    scene.call()
    scene.until(20)
    assert scene.outcomes() == [(504, UT)]
    assert scene.cluster.cx_active == left
    assert scene.cluster.rq_active == 0
    scene.until(200)
    assert scene.cluster.cx_active == left
    assert scene.S.host[0].wasted == 1


def test_a_timeout_makes_room_for_who_waits() -> None:
    scene = Scene(work=100, max_connections=1, timeout=20 * MS)
    scene.call()
    scene.until(10)
    second = scene.call()
    scene.until(20)
    assert scene.attempt_of(second).connection >= 0
    assert (scene.cluster.cx_active, scene.cluster.cx_total) == (1, 2)


def test_who_leaves_the_queue_leaves_the_connection_behind() -> None:
    scene = Scene(connect=50, timeout=20 * MS)
    scene.call()
    scene.until(20)
    assert scene.outcomes() == [(504, UT)]
    assert (scene.cluster.rq_cancelled, scene.cluster.rq_timeout, scene.cluster.rq_total) == (1, 1, 0)
    assert scene.S.member[0].rq_timeout == 0  # it had no host yet
    scene.until(60)
    assert (scene.cluster.cx_active, scene.cluster.rq_pending) == (1, 0)
    assert states(scene) == ["open"]


def test_who_leaves_from_the_middle_of_the_queue_leaves_the_others_in_order() -> None:
    scene = Scene(connect=5, max_connections=1, timeout=26 * MS)
    calls = [scene.call() for _ in range(2)]
    scene.until(3)
    calls += [scene.call() for _ in range(2)]
    scene.until(26)  # the first one is served by 15 ms, the second by 25 ms
    assert scene.outcomes() == [(200, NO_FLAG)] * 2
    scene.until(29)  # the third one is being served, the fourth waits
    assert scene.outcomes()[2:] == [(504, UT)] * 2
    assert (scene.cluster.rq_cancelled, scene.cluster.rq_timeout) == (1, 2)
    assert scene.S.member[0].rq_timeout == 1  # only the one that was being served
    assert (scene.cluster.rq_pending, scene.S.pool[0].head, scene.S.pool[0].tail) == (0, NONE, NONE)


def test_the_connection_is_held_until_the_answer_has_passed_both_sidecars() -> None:
    scene = Scene(hop=1, upstream_hop=1)  # law 1: 10 ms each
    scene.call()
    scene.until(29)
    assert scene.cluster.rq_active == 1
    scene.until(30)
    assert scene.cluster.rq_active == 0
    assert scene.latencies() == [30.0]
