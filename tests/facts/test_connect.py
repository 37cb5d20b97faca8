"""Connections are made, fail, grow old and drain as Envoy's (conn_pool_base.cc and its tests)."""

from __future__ import annotations

from typing import Any

import pytest

from resilim.plane import balance, pool
from resilim.plane.ejection import CONSECUTIVE_5XX, eject
from resilim.plane.flags import NO_FLAG, UF, UO, URX, UT
from resilim.plane.gate import REFUSING, SILENT, UP
from resilim.plane.health import WRONG_STATUS, check
from resilim.plane.records import NONE, UNLIMITED
from resilim.plane.retry import ON_5XX, ON_CONNECT_FAILURE, ON_GATEWAY_ERROR, ON_REFUSED_STREAM, ON_RESET

from .scene import MS, SECOND, Scene, ejected, in_use, states

HTTP2 = UNLIMITED


def failing(**more: int) -> Scene:
    """A host that lets no connection be made: it refuses after 5 ms."""
    scene = Scene(connect=5, **more)
    scene.S.host[0].link = REFUSING
    return scene


# ---------------------------------------------------------------- set-up that fails


@pytest.mark.parametrize("streams", [1, HTTP2])
@pytest.mark.parametrize("link", [UP, SILENT])
def test_a_connect_timeout_is_a_503_uf_never_a_504(link: int, streams: int) -> None:
    scene = Scene(connect=50, connect_timeout=20 * MS, streams=streams)
    scene.S.host[0].link = link
    scene.call()
    scene.until(19)
    assert (scene.cluster.cx_connect_fail, scene.cluster.rq_pending) == (0, 1)
    scene.until(20)
    assert scene.outcomes() == [(503, UF)]
    assert scene.latencies() == [20.0]
    cluster = scene.cluster
    assert (cluster.cx_connect_fail, cluster.cx_connect_timeout) == (1, 1)
    assert (cluster.rq_pending_failure_eject, cluster.rq_timeout, cluster.rq_total) == (1, 0, 0)
    assert (cluster.rq_503, cluster.rq_504) == (1, 0)
    assert in_use(scene) == {}


def test_the_handshake_is_part_of_the_connect_timeout() -> None:
    scene = Scene(connect=15, handshake=1, connect_timeout=20 * MS)  # law 1: 10 ms
    scene.call()
    scene.until(20)
    assert scene.outcomes() == [(503, UF)]


def test_set_up_that_takes_as_long_as_the_timeout_fails() -> None:
    for timeout, outcome in [(20 * MS, (503, UF)), (20 * MS + 1, (200, NO_FLAG))]:
        scene = Scene(connect=20, connect_timeout=timeout)
        scene.call()
        scene.until(100)
        assert scene.outcomes() == [outcome]


def test_a_refusal_takes_no_handshake_and_is_no_timeout() -> None:
    scene = failing(handshake=1, connect_timeout=1 * SECOND)
    scene.call()
    scene.until(5)
    assert scene.outcomes() == [(503, UF)]
    assert (scene.cluster.cx_connect_fail, scene.cluster.cx_connect_timeout) == (1, 0)
    assert (scene.cluster.cx_destroy_remote, scene.cluster.cx_destroy_local) == (1, 0)


def test_a_silent_host_is_asked_again_after_one_and_three_seconds() -> None:
    """As Linux does: the connection is there 3 s after the first try, not as soon as the host is back."""
    scene = Scene(connect=5, connect_timeout=10 * SECOND)
    scene.S.host[0].link = SILENT
    scene.call()
    scene.until(1500)
    scene.S.host[0].link = UP
    scene.until(3004)
    assert states(scene) == ["connecting"]
    scene.until(3100)
    assert scene.outcomes() == [(200, NO_FLAG)]
    assert scene.latencies() == [3015.0]


def test_without_a_connect_timeout_linux_gives_up_on_a_silent_host() -> None:
    scene = Scene()
    scene.S.host[0].link = SILENT
    scene.call()
    scene.until(126_999)
    assert scene.outcomes() == []
    scene.until(127_000)
    assert scene.outcomes() == [(503, UF)]


def test_a_failure_fails_every_request_that_waits_newest_first() -> None:
    """Also those that wait for another connection: two are still being set up."""
    scene = failing()
    for moment in range(3):
        scene.until(moment)
        scene.call(key=moment + 1)
    scene.until(5)
    assert scene.outcomes() == [(503, UF)] * 3
    assert [row.arrived // MS for row in scene.S.row[:3]] == [2, 1, 0]
    assert (scene.cluster.rq_pending_failure_eject, scene.cluster.cx_connect_fail) == (3, 1)
    assert (scene.cluster.rq_pending, scene.S.pool[0].waiting, scene.cluster.cx_active) == (0, 0, 2)
    scene.until(10)
    assert scene.cluster.cx_connect_fail == 3
    assert in_use(scene) == {}


def test_who_waits_for_a_busy_connection_fails_too() -> None:
    scene = Scene(connect=5, work=100)
    scene.call()
    scene.until(10)
    scene.S.host[0].link = REFUSING
    waiting = scene.call()
    assert scene.attempt_of(waiting).connection == NONE
    scene.until(15)
    assert scene.outcomes() == [(503, UF)]
    scene.until(200)
    assert scene.cluster.rq_total == 1


def test_a_retry_from_inside_a_failure_stays_queued() -> None:
    """It asks for a connection of its own, which then fails by itself."""
    scene = failing(retries=1, retry_on=ON_CONNECT_FAILURE, backoff=1 * MS)  # a back-off of 0 ms
    scene.call()
    scene.until(5)
    assert (scene.cluster.rq_retry, scene.cluster.rq_pending, scene.cluster.cx_total) == (1, 1, 2)
    scene.until(10)
    assert scene.outcomes() == [(503, UF | URX)]
    assert scene.cluster.rq_pending_failure_eject == 2


@pytest.mark.parametrize(
    ("retry_on", "attempts"),
    [
        (ON_CONNECT_FAILURE, 2),
        (ON_5XX, 2),
        (ON_GATEWAY_ERROR, 2),
        (ON_RESET, 2),
        (ON_REFUSED_STREAM, 1),
    ],
)
def test_a_connect_failure_is_retried_by_its_name_and_as_a_reset(retry_on: int, attempts: int) -> None:
    scene = failing(retries=1, retry_on=retry_on)
    scene.call()
    scene.until(100)
    assert scene.S.row[0].attempts == attempts
    assert scene.outcomes() == [(503, UF | (URX if attempts == 2 else 0))]


def test_requests_are_queued_again_once_the_host_is_back() -> None:
    scene = failing()
    scene.call()
    scene.until(6)
    scene.S.host[0].link = UP
    scene.call()
    scene.until(50)
    assert scene.outcomes() == [(503, UF), (200, NO_FLAG)]


def test_a_host_that_crashes_during_the_set_up_refuses_after_all() -> None:
    scene = Scene(connect=5)
    scene.call()
    scene.until(3)
    scene.S.host[0].link = REFUSING
    scene.until(5)
    assert scene.outcomes() == [(503, UF)]


@pytest.mark.parametrize("split", [0, 1])
def test_the_detector_hears_of_each_failed_request(split: int) -> None:
    scene = failing(interval=SECOND, max_ejection_percent=100, split_external_local_origin_errors=split)
    for _ in range(4):
        scene.call()
    scene.until(5)
    member = scene.S.member[0]
    assert (member.consecutive_local, member.consecutive_5xx) == ((4, 0) if split else (0, 4))
    assert member.rq_error == 4
    scene.call()
    scene.until(10)
    assert ejected(scene) == [0]


# ---------------------------------------------------------------- timeouts of one instant


@pytest.mark.parametrize("requests", [1, 3])
def test_a_connect_timeout_comes_before_a_route_timeout_of_the_same_instant(requests: int) -> None:
    """The set-up begins before the route timer does, so its timer fires first."""
    scene = Scene(connect=50, connect_timeout=20 * MS, timeout=20 * MS)
    for _ in range(requests):
        scene.call()
    scene.until(20)
    assert scene.outcomes() == [(503, UF)] * requests
    assert (scene.cluster.rq_timeout, scene.cluster.rq_cancelled) == (0, 0)
    assert scene.cluster.rq_pending_failure_eject == requests
    assert scene.cluster.rq_pending == 0
    scene.until(100)
    assert in_use(scene) == {}


def test_the_route_timeout_then_hits_the_back_off_of_who_is_to_be_retried() -> None:
    scene = Scene(
        connect=50, connect_timeout=20 * MS, timeout=20 * MS, retries=1, retry_on=ON_CONNECT_FAILURE
    )
    scene.call()
    scene.until(20)
    assert scene.outcomes() == [(504, UT)]
    assert (scene.cluster.rq_retry, scene.cluster.rq_timeout, scene.cluster.rq_retrying) == (1, 0, 0)
    scene.until(200)
    assert (scene.cluster.cx_total, in_use(scene)) == (1, {})


def test_an_earlier_route_timeout_leaves_the_connection_to_its_fate() -> None:
    scene = Scene(connect=50, connect_timeout=20 * MS, timeout=19 * MS)
    scene.call()
    scene.until(20)
    assert scene.outcomes() == [(504, UT)]
    assert (scene.cluster.rq_cancelled, scene.cluster.cx_connect_timeout) == (1, 1)
    assert (scene.cluster.rq_pending_failure_eject, in_use(scene)) == (0, {})


# ---------------------------------------------------------------- idle timeout and age


@pytest.mark.parametrize("streams", [1, HTTP2])
def test_an_idle_connection_closes_after_the_idle_timeout(streams: int) -> None:
    scene = Scene(connect=5, idle_timeout=100 * MS, streams=streams)
    scene.call()
    scene.until(114)  # the answer came at 15 ms
    assert states(scene) == ["open"]
    scene.until(115)
    assert (states(scene), scene.cluster.cx_idle_timeout) == (["closed"], 1)
    assert (scene.cluster.cx_active, scene.cluster.cx_destroy_local, in_use(scene)) == (0, 1, {})


def test_every_stream_puts_the_idle_timeout_off_and_none_runs_while_there_is_one() -> None:
    scene = Scene(work=60, idle_timeout=100 * MS)
    for moment in (0, 150, 240):  # idle from 60, 210 and 300 ms on
        scene.until(moment)
        scene.call()
    scene.until(399)
    assert (states(scene), scene.cluster.cx_total) == (["open"], 1)
    scene.until(400)
    assert states(scene) == ["closed"]


def test_a_connection_that_nobody_ever_used_is_idle_since_it_was_made() -> None:
    scene = Scene(connect=50, timeout=20 * MS, idle_timeout=100 * MS)
    scene.call()
    scene.until(149)
    assert states(scene) == ["open"]
    scene.until(150)
    assert states(scene) == ["closed"]


def test_at_its_maximum_duration_a_connection_drains() -> None:
    """It runs from when the connection was made; an idle one closes at once."""
    scene = Scene(connect=5, max_connection_duration=100 * MS)
    scene.call()
    scene.until(104)
    assert states(scene) == ["open"]
    scene.until(105)
    assert (states(scene), scene.cluster.cx_max_duration_reached) == (["closed"], 1)


@pytest.mark.parametrize("streams", [1, HTTP2])
def test_a_busy_connection_of_age_closes_after_its_last_stream(streams: int) -> None:
    scene = Scene(work=80, max_connection_duration=100 * MS, max_connections=1, streams=streams)
    for moment in (0, 90):
        scene.until(moment)
        scene.call()
    scene.until(100)
    assert states(scene) == ["draining"]
    waiting = scene.call()
    assert scene.attempt_of(waiting).connection == NONE  # it keeps its place in max_connections
    scene.until(169)
    assert (states(scene), scene.cluster.cx_active) == (["draining"], 1)
    scene.until(300)
    assert scene.outcomes() == [(200, NO_FLAG)] * 3
    assert scene.latencies() == [80.0, 80.0, 150.0]
    assert scene.cluster.cx_total == 2


def test_the_end_of_a_young_connection_is_not_that_of_the_record_it_takes_over() -> None:
    """The first connection is lost at 30 ms; the second one, in the same record, is of age at 130 ms."""
    scene = Scene(work=200, max_connection_duration=100 * MS, timeout=30 * MS)
    scene.call()
    scene.until(30)
    assert scene.cluster.cx_active == 0
    scene.S.law[1].a = 1.0 * MS
    scene.call()
    scene.until(129)
    assert (states(scene), scene.cluster.cx_total) == (["open"], 2)
    scene.until(130)
    assert (states(scene), scene.cluster.cx_max_duration_reached) == (["closed"], 1)


# ---------------------------------------------------------------- draining


def take_out(scene: Scene, how: str) -> None:
    if how == "ejection":
        eject(scene.S, 0, 0, CONSECUTIVE_5XX, 1, scene.now)
    else:
        check(scene.S, 0, WRONG_STATUS, scene.now)


@pytest.mark.parametrize("how", ["ejection", "health check"])
def test_the_pools_of_a_host_that_is_taken_out_drain(how: str) -> None:
    """The idle connection closes at once, the busy one after its stream."""
    scene = Scene(interval=SECOND)
    scene.call()
    scene.until(5)
    scene.call()
    scene.until(10)
    assert states(scene) == ["open", "open"]
    take_out(scene, how)
    assert states(scene) == ["closed", "open"]
    assert scene.S.pool[0].ready == NONE
    scene.until(14)
    assert scene.cluster.cx_active == 1
    scene.until(15)
    assert (states(scene), scene.outcomes()) == (["closed"] * 2, [(200, NO_FLAG)] * 2)
    assert in_use(scene) == {}


def test_the_streams_of_a_draining_http2_connection_go_on() -> None:
    scene = Scene(interval=SECOND, streams=HTTP2)
    for moment in (0, 5):
        scene.until(moment)
        scene.call()
    scene.until(6)
    take_out(scene, "ejection")
    assert (states(scene), scene.cluster.rq_active) == (["draining"], 2)
    scene.until(10)
    assert scene.cluster.cx_active == 1
    scene.until(15)
    assert (scene.cluster.cx_active, scene.outcomes()) == (0, [(200, NO_FLAG)] * 2)


def test_what_waits_when_a_host_is_taken_out_is_still_served() -> None:
    """A waiting request is never moved, and the connection that is made for it is not drained."""
    scene = Scene(interval=SECOND, connect=5)
    scene.call()
    take_out(scene, "ejection")
    assert states(scene) == ["connecting"]
    scene.until(50)
    assert (scene.outcomes(), states(scene)) == ([(200, NO_FLAG)], ["open"])


def test_a_connection_that_nobody_waits_for_is_not_made_for_a_host_that_is_taken_out() -> None:
    scene = Scene(interval=SECOND, connect=50, timeout=20 * MS)
    scene.call()
    scene.until(20)
    assert states(scene) == ["connecting"]
    take_out(scene, "ejection")
    assert (states(scene), scene.cluster.cx_active, in_use(scene)) == (["closed"], 0, {})
    scene.until(100)  # nothing comes of the event that was to end the set-up
    assert scene.cluster.cx_destroy == 1


# ---------------------------------------------------------------- limits


def test_the_limit_of_one_host_is_its_own() -> None:
    scene = Scene(hosts=2, balancer=balance.ROUND_ROBIN, max_host_connections=1, connect=5)
    for _ in range(4):
        scene.call()
    assert [member.cx_active for member in scene.S.member] == [1, 1]
    assert scene.cluster.cx_overflow == 2  # counted like that of the cluster
    scene.until(100)
    assert scene.outcomes() == [(200, NO_FLAG)] * 4
    assert scene.latencies() == [15.0, 15.0, 25.0, 25.0]


def test_a_pool_too_many_is_refused() -> None:
    scene = Scene(hosts=2, balancer=balance.ROUND_ROBIN, max_pools=1)
    assert scene.call() != NONE
    assert scene.call_refused() == (503, UO)
    assert (scene.cluster.cx_pool_overflow, scene.cluster.rq_pending_overflow) == (1, 0)
    assert scene.cluster.pools_active == 1


def test_an_idle_pool_makes_way_for_another() -> None:
    scene = Scene(hosts=2, balancer=balance.ROUND_ROBIN, max_pools=1)
    first = scene.served_by(scene.call())
    scene.until(20)  # its connection is idle
    second = scene.call()
    assert scene.served_by(second) != first
    assert (scene.S.member[first].cx_active, scene.cluster.pools_active) == (0, 1)
    scene.until(50)
    assert scene.outcomes() == [(200, NO_FLAG)] * 2
    assert scene.cluster.cx_pool_overflow == 0


def test_a_pool_that_is_refused_its_request_does_not_count() -> None:
    scene = Scene(max_pools=1, max_pending=0)
    assert scene.call_refused() == (503, UO)
    assert (scene.cluster.pools_active, scene.cluster.rq_pending_overflow) == (0, 1)


# ---------------------------------------------------------------- preconnecting


def connections_after(requests: int, **more: Any) -> int:
    scene = Scene(connect=5, **more)
    for _ in range(requests):
        scene.call()
    return scene.cluster.cx_active


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (1.0, [1, 2, 3, 4]),
        (1.1, [2, 3, 4, 5]),
        (1.5, [2, 3, 5, 6]),
        (2.0, [2, 4, 6, 8]),
        (3.0, [3, 6, 9, 12]),
    ],
)
def test_the_ratio_says_how_many_connections_there_are(ratio: float, expected: list[int]) -> None:
    assert [connections_after(requests, preconnect=ratio) for requests in range(1, 5)] == expected


def test_http2_preconnects_only_when_streams_run_out() -> None:
    assert connections_after(4, preconnect=2.0, streams=4) == 2
    assert connections_after(4, preconnect=2.0, streams=8) == 1
    assert connections_after(4, preconnect=2.0, streams=HTTP2) == 1


def test_spare_connections_count_as_what_there_is() -> None:
    """Half as many again as requests, rounded up, also when one after the other finds a spare connection."""
    scene = Scene(connect=5, work=1_000, preconnect=1.5)
    connections = []
    for moment in (0, 10, 20, 30, 40):
        scene.until(moment)
        scene.call()
        connections.append(scene.cluster.cx_active)
    assert connections == [2, 3, 5, 6, 8]


def test_nothing_is_preconnected_to_a_host_that_is_not_healthy() -> None:
    scene = Scene(connect=5, preconnect=3.0)
    scene.S.member[0].degraded = 1
    scene.call()
    assert scene.cluster.cx_active == 1


def test_preconnecting_respects_the_limit_of_connections() -> None:
    scene = Scene(connect=5, preconnect=3.0, max_connections=2)
    scene.call()
    assert (scene.cluster.cx_active, scene.cluster.cx_overflow) == (2, 1)


# ---------------------------------------------------------------- requests of one connection


def test_a_limit_of_one_request_means_a_connection_for_each() -> None:
    scene = Scene(connect=5, requests_per_connection=1)
    for moment in (0, 20, 40):
        scene.until(moment)
        scene.call()
    scene.until(100)
    assert scene.latencies() == [15.0] * 3
    assert (scene.cluster.cx_total, scene.cluster.cx_max_requests, scene.cluster.cx_active) == (3, 3, 0)


def test_a_reset_stream_has_used_up_its_request() -> None:
    scene = Scene(work=100, timeout=20 * MS, streams=HTTP2, requests_per_connection=2)
    for moment in (0, 30):
        scene.until(moment)
        scene.call()
    assert states(scene) == ["draining"]
    scene.until(50)
    assert (states(scene), scene.cluster.cx_max_requests) == (["closed"], 1)


def test_an_answer_that_asks_for_it_closes_the_connection() -> None:
    """GOAWAY, and `connection: close`: the streams go on, and it takes no more requests."""
    scene = Scene(streams=HTTP2)
    scene.call()
    scene.until(5)
    pool.go_away(scene.S, scene.cluster, 0)
    assert (states(scene), scene.cluster.cx_close_notify) == (["draining"], 1)
    scene.call()
    assert scene.cluster.cx_total == 2
    scene.until(10)
    assert states(scene) == ["closed", "open"]


# ---------------------------------------------------------------- workers


def keys_by_worker(scene: Scene) -> list[int]:
    """For each worker the key of a call that it handles."""
    found: dict[int, int] = {}
    for number in range(1, 100):
        key = number * 0x1234_5678_9ABC_DEF1 & ((1 << 63) - 1)
        call = Scene(workers=scene.cluster.workers)
        found.setdefault(call.S.call[call.call(key)].worker, key)
    return [found[worker] for worker in range(scene.cluster.workers)]


def test_the_pool_of_each_worker_may_open_one_connection_above_the_limit() -> None:
    scene = Scene(hosts=2, balancer=balance.ROUND_ROBIN, workers=2, max_connections=1, connect=5)
    first, second = keys_by_worker(scene)
    for key in (first, first, first, second, second, second):
        scene.call(key)
    assert [pool.connections for pool in scene.S.pool] == [1, 1, 1, 1]
    assert (scene.cluster.cx_active, scene.cluster.cx_overflow) == (4, 5)


def test_a_worker_does_not_use_the_idle_connection_of_another() -> None:
    scene = Scene(workers=2, connect=5)
    first, second = keys_by_worker(scene)
    scene.call(first)
    scene.until(20)
    assert scene.S.pool[0].ready >= 0
    other = scene.call(second)
    assert (scene.attempt_of(other).connection, scene.attempt_of(other).pool) == (NONE, 1)
    scene.until(50)
    assert (scene.latencies(), scene.cluster.cx_total) == ([15.0, 15.0], 2)


def test_the_limits_are_shared_by_all_workers() -> None:
    scene = Scene(workers=2, connect=5, max_pending=1)
    first, second = keys_by_worker(scene)
    scene.call(first)
    assert scene.call_refused(second) == (503, UO)
    scene.until(15)
    scene.cluster.max_requests = 1
    scene.call(first)
    assert scene.cluster.rq_active == 1
    scene.call(second)
    scene.until(20)
    assert scene.cluster.rq_active_overflow == 1


def test_all_workers_drain_their_pools_of_an_ejected_host() -> None:
    scene = Scene(workers=3, interval=SECOND)
    for key in keys_by_worker(scene):
        scene.call(key)
    scene.until(20)
    assert scene.cluster.cx_active == 3
    take_out(scene, "ejection")
    assert scene.cluster.cx_active == 0


def test_workers_have_their_own_places_in_the_rotation() -> None:
    scene = Scene(hosts=2, balancer=balance.ROUND_ROBIN, workers=2)
    first, second = keys_by_worker(scene)
    served = [scene.served_by(scene.call(key)) for key in (first, first, second, second)]
    assert sorted(served[:2]) == sorted(served[2:]) == [0, 1]
