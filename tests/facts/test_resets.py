"""How upstreams break off, and what the proxy makes of it (Envoy's router.cc, retry_state_impl.cc)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from resilim.plane.flags import NO_FLAG, UC, UMSDR, UO, UPE, UR, URX, UT
from resilim.plane.records import NONE, UNLIMITED
from resilim.plane.resets import (
    INFORMED_TERMINATION,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    REMOTE_RESET,
    TERMINATION,
)
from resilim.plane.retry import (
    ON_5XX,
    ON_CONNECT_FAILURE,
    ON_ENVOY_RATELIMITED,
    ON_GATEWAY_ERROR,
    ON_REFUSED_STREAM,
    ON_RESET,
    ON_RESET_BEFORE_REQUEST,
    ON_RETRIABLE_4XX,
)

from .scene import MS, SECOND, Scene, in_use, states

HTTP2 = UNLIMITED
RESETS = {REMOTE_RESET: UR, REFUSED_STREAM: UR, TERMINATION: UC, PROTOCOL_ERROR: UPE}


def breaking(reset: int, **more: int) -> Scene:
    """A host that breaks off every request after 10 ms of work."""
    scene = Scene(**more)
    scene.fail(code=reset)
    return scene


@pytest.mark.parametrize("streams", [1, HTTP2])
@pytest.mark.parametrize("reset", RESETS)
def test_status_and_flag_of_a_reset(reset: int, streams: int) -> None:
    scene = breaking(reset, streams=streams, hop=1, upstream_hop=1)  # 20 ms of sidecars, both ways
    scene.call()
    scene.until(29)
    assert scene.outcomes() == []
    scene.until(30)
    assert scene.outcomes() == [(502 if reset == PROTOCOL_ERROR else 503, RESETS[reset])]
    assert scene.S.row[0].origin == 0
    assert (scene.cluster.rq_active, scene.S.member[0].rq_active, scene.S.member[0].rq_error) == (0, 0, 1)


@pytest.mark.parametrize("reset", RESETS)
def test_any_reset_costs_an_http1_connection(reset: int) -> None:
    scene = breaking(reset)
    scene.call()
    scene.until(50)
    cluster = scene.cluster
    assert (states(scene), cluster.cx_destroy_remote) == (["closed"], 1)
    assert (cluster.cx_destroy_with_active_rq, cluster.cx_destroy_remote_with_active_rq) == (1, 1)
    assert (cluster.rq_rx_reset, cluster.rq_tx_reset) == (0, 0)  # of HTTP/2 alone
    assert in_use(scene) == {}


@pytest.mark.parametrize("reset", [REMOTE_RESET, REFUSED_STREAM])
def test_a_reset_stream_leaves_an_http2_connection_open(reset: int) -> None:
    scene = breaking(reset, streams=HTTP2)
    scene.call()
    scene.until(5)
    scene.S.host[0].failing = 0.0
    scene.call()
    scene.until(50)
    assert scene.outcomes() == [(503, UR), (200, NO_FLAG)]
    assert (states(scene), scene.cluster.cx_destroy_with_active_rq) == (["open"], 0)
    assert scene.cluster.rq_rx_reset == (1 if reset == REMOTE_RESET else 0)


@pytest.mark.parametrize("reset", [TERMINATION, PROTOCOL_ERROR])
def test_all_streams_of_a_lost_http2_connection_are_reset_in_that_instant(reset: int) -> None:
    """30 of them, whose work would take longer; only the first one was answered so badly."""
    scene = breaking(reset, streams=HTTP2)
    scene.call()
    scene.until(1)
    scene.S.host[0].failing, scene.S.law[1].a = 0.0, 100.0 * MS
    for _ in range(30):
        scene.call()
    scene.until(9)
    assert scene.cluster.rq_active == 31
    scene.until(10)
    first = (502, UPE) if reset == PROTOCOL_ERROR else (503, UC)
    assert scene.outcomes() == [first] + [(503, UC)] * 30
    cluster = scene.cluster
    assert (states(scene), cluster.rq_active, cluster.cx_destroy_remote) == (["closed"], 0, 1)
    assert cluster.cx_destroy_remote_with_active_rq == 1
    assert cluster.rq_pending_failure_eject == 31  # what an HTTP/2 pool counts for each of them
    scene.until(200)
    assert (scene.S.host[0].wasted, in_use(scene)) == (30, {})


def test_streams_of_another_connection_go_on() -> None:
    scene = breaking(TERMINATION, streams=2)
    for _ in range(4):
        scene.call()
    scene.until(0)
    assert [connection.active for connection in scene.connections] == [2, 2]
    scene.S.host[0].failing = 0.0
    lost, kept = 0, 0
    for attempt in scene.S.attempt[:4]:
        if attempt.connection == 0:
            lost += 1
        else:
            attempt.code, kept = 0, kept + 1
    assert (lost, kept) == (2, 2)
    scene.until(50)
    assert sorted(scene.outcomes()) == [(200, NO_FLAG)] * 2 + [(503, UC)] * 2


def test_what_waits_when_a_connection_is_lost_gets_a_new_one() -> None:
    scene = breaking(TERMINATION, connect=5, max_connections=1)
    scene.call()
    scene.until(6)
    waiting = scene.call()
    scene.until(15)
    scene.S.host[0].failing = 0.0
    assert (scene.cluster.rq_pending, states(scene)) == (1, ["connecting"])
    assert scene.attempt_of(waiting).connection == NONE
    scene.until(50)
    assert scene.outcomes() == [(503, UC), (200, NO_FLAG)]
    assert scene.latencies()[1] == 24.0


# ---------------------------------------------------------------- what is retried


POLICIES = {
    ON_5XX: set(RESETS),
    ON_GATEWAY_ERROR: set(RESETS),
    ON_RESET: set(RESETS),
    ON_REFUSED_STREAM: {REFUSED_STREAM},
    ON_CONNECT_FAILURE: set(),
    ON_RESET_BEFORE_REQUEST: set(),  # the request was sent
    ON_RETRIABLE_4XX: set(),
    ON_ENVOY_RATELIMITED: set(),
}


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("policy", POLICIES)
def test_which_policy_retries_which_reset(policy: int, reset: int) -> None:
    scene = breaking(reset, retries=1, retry_on=policy)
    scene.call()
    scene.until(100)
    is_retried = reset in POLICIES[policy]
    assert scene.S.row[0].attempts == (2 if is_retried else 1)
    assert scene.cluster.rq_retry == int(is_retried)
    flag = RESETS[reset] | (URX if is_retried else NO_FLAG)
    assert scene.outcomes() == [(502 if reset == PROTOCOL_ERROR else 503, flag)]


def test_a_listed_status_does_not_retry_the_reset_that_looks_like_it() -> None:
    scene = breaking(TERMINATION, retries=1, codes=1)
    scene.S.code = [503]
    scene.call()
    scene.until(100)
    assert scene.outcomes() == [(503, UC)]


def test_a_reset_before_the_request_is_none_any_more_after_an_attempt_that_was_sent() -> None:
    """The first attempt is answered badly; the second one gets no connection."""
    scene = Scene(connect=5, retries=2, retry_on=ON_RESET_BEFORE_REQUEST, codes=1)
    scene.S.code = [503]
    scene.fail()
    scene.call()
    scene.until(14)
    scene.S.host[0].link = 1  # refuses connections from now on
    scene.drain()
    scene.until(200)
    assert (scene.cluster.rq_retry, scene.S.row[0].attempts) == (1, 2)


def test_a_reset_before_the_request_is_retried_while_nothing_was_sent() -> None:
    scene = Scene(connect=5, retries=2, retry_on=ON_RESET_BEFORE_REQUEST)
    scene.S.host[0].link = 1
    scene.call()
    scene.until(200)
    assert (scene.cluster.rq_retry, scene.S.row[0].attempts) == (2, 3)


def test_a_refused_retry_adds_its_flag_to_that_of_the_reset() -> None:
    scene = breaking(TERMINATION, retries=1, retry_on=ON_RESET, max_retries=0)
    scene.call()
    scene.until(100)
    assert scene.outcomes() == [(503, UC | UO)]
    assert scene.cluster.rq_retry_overflow == 1


@pytest.mark.parametrize("streams", [1, HTTP2])
def test_nothing_is_retried_once_the_caller_has_a_100_continue(streams: int) -> None:
    scene = breaking(INFORMED_TERMINATION, streams=streams, retries=2, retry_on=ON_5XX)
    scene.call()
    scene.until(100)
    assert scene.outcomes() == [(503, UC)]
    assert (scene.cluster.rq_retry, scene.cluster.rq_retry_limit_exceeded) == (0, 0)
    assert in_use(scene) == {}


def test_a_reset_may_be_followed_by_an_answer() -> None:
    scene = breaking(TERMINATION, retries=1, retry_on=ON_RESET)
    scene.call()
    scene.until(10)
    scene.S.host[0].failing = 0.0
    scene.until(100)
    assert scene.outcomes() == [(200, NO_FLAG)]
    assert (scene.cluster.rq_retry_success, scene.cluster.rq_retrying) == (1, 0)


# ---------------------------------------------------------------- what the detector hears


@pytest.mark.parametrize("reset", RESETS)
def test_a_reset_counts_as_a_503_of_its_host(reset: int) -> None:
    scene = breaking(reset, interval=SECOND)
    scene.call()
    scene.until(50)
    member = scene.S.member[0]
    assert (member.consecutive_5xx, member.consecutive_gateway, member.consecutive_local) == (1, 1, 0)
    assert (member.external_total, member.external_failed) == (1, 1)


@pytest.mark.parametrize("reset", RESETS)
def test_a_reset_is_of_local_origin_where_that_is_told_apart(reset: int) -> None:
    scene = breaking(reset, interval=SECOND, split_external_local_origin_errors=1)
    scene.call()
    scene.until(50)
    member = scene.S.member[0]
    assert (member.consecutive_5xx, member.consecutive_local, member.external_total) == (0, 1, 0)
    assert (member.local_total, member.local_failed) == (2, 1)  # it had got its connection


def test_every_stream_of_a_lost_connection_is_reported() -> None:
    scene = breaking(TERMINATION, interval=SECOND, streams=HTTP2, consecutive_5xx=0)
    for _ in range(20):
        scene.call()
    scene.until(10)
    assert (scene.S.member[0].external_total, scene.S.member[0].external_failed) == (20, 20)


# ---------------------------------------------------------------- resets by the proxy itself


@pytest.mark.parametrize(("streams", "resets"), [(1, 0), (HTTP2, 1)])
@pytest.mark.parametrize("timer", ["timeout", "per_try_timeout", "max_stream_duration"])
def test_a_reset_by_the_proxy_is_counted_for_http2(timer: str, streams: int, resets: int) -> None:
    scene = Scene(work=100, streams=streams, **{timer: 20 * MS})
    scene.call()
    scene.until(20)
    assert scene.outcomes() == [(504, UMSDR if timer == "max_stream_duration" else UT)]
    cluster = scene.cluster
    assert (cluster.rq_tx_reset, cluster.rq_rx_reset, cluster.cx_active) == (resets, 0, resets)
    assert cluster.cx_destroy_local_with_active_rq == 1 - resets


def test_the_maximum_stream_duration_runs_for_each_attempt_and_is_a_reset() -> None:
    """From when it has a connection; its host is not blamed."""
    scene = Scene(
        work=100, connect=5, max_stream_duration=20 * MS, retries=1, retry_on=ON_RESET, backoff=1 * MS
    )
    scene.detector.interval = scene.cluster.watched = 1
    scene.call()
    scene.until(49)  # 5 + 20, and once more
    assert scene.outcomes() == []
    scene.until(50)
    assert scene.outcomes() == [(504, UMSDR | URX)]
    assert scene.cluster.rq_max_duration_reached == 2
    assert (scene.S.member[0].external_total, scene.S.member[0].rq_timeout) == (0, 0)
    scene.until(300)
    assert in_use(scene) == {}


def test_the_end_of_a_stream_is_not_that_of_the_record_it_takes_over() -> None:
    """The first answer is there after 10 ms, the second attempt takes its record; at 20 ms nothing ends."""
    scene = Scene(max_stream_duration=20 * MS)
    slow = scene.add_route()
    scene.call()
    scene.until(15)
    scene.call(route=slow)
    scene.until(50)
    assert scene.outcomes() == [(200, NO_FLAG)] * 2
    assert scene.cluster.rq_max_duration_reached == 0


def test_attempts_follow_each_other_and_hold_one_connection_at_a_time() -> None:
    """Four attempts on HTTP/1 that all lose their connection: four connections, never two at once."""
    scene = breaking(TERMINATION, retries=3, retry_on=ON_RESET, connect=5, backoff=1 * MS)
    scene.call()
    most = 0
    for moment in range(200):
        scene.until(moment)
        most = max(most, scene.cluster.cx_active)
    assert (most, scene.cluster.cx_total, scene.S.row[0].attempts) == (1, 4, 4)
    assert all(one <= other for one, other in pairwise(scene.latencies()))
