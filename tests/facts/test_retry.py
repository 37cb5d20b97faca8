"""Retries behave as Envoy's (retry_state_impl.cc and its tests)."""

from __future__ import annotations

import pytest

from resilim.plane import balance
from resilim.plane.ejection import CONSECUTIVE_5XX, eject
from resilim.plane.flags import NO_FLAG, UH, UO, URX, UT
from resilim.plane.machine import scramble
from resilim.plane.records import NONE, UNLIMITED, Call, Route
from resilim.plane.resets import GRPC, LOCAL_RESET
from resilim.plane.retry import (
    ON_5XX,
    ON_ENVOY_RATELIMITED,
    ON_GATEWAY_ERROR,
    ON_RESET,
    ON_RETRIABLE_4XX,
    TOKENS,
    backoff,
    qualifies,
)

from .scene import MS, SECOND, Scene, in_use

LISTED = 0  # no bit of `retry_on`: 504 is among the listed codes


def retrying(retries: int = 2, retry_on: int = ON_5XX, **more: int) -> Scene:
    """A client whose only host fails; work of 10 ms, back-offs of 0..24, 0..49, .. ms."""
    scene = Scene(retries=retries, retry_on=retry_on, **more)
    scene.fail()
    return scene


@pytest.mark.parametrize(
    ("code", "by"),
    [
        (200, set()),
        (404, set()),
        (409, {ON_RETRIABLE_4XX}),
        (500, {ON_5XX}),
        (501, {ON_5XX}),
        (502, {ON_5XX, ON_GATEWAY_ERROR}),
        (503, {ON_5XX, ON_GATEWAY_ERROR}),
        (504, {ON_5XX, ON_GATEWAY_ERROR, LISTED}),
        (505, {ON_5XX}),
        (599, {ON_5XX}),
        (600, set()),
    ],
)
def test_which_answers_qualify(code: int, by: set[int]) -> None:
    scene = Scene()
    scene.S.code = [504]
    for condition in (*TOKENS.values(), LISTED):
        route = Route(retry_on=condition, codes=int(condition == LISTED))
        assert qualifies(scene.S, route, code, sent=1, rate_limited=0) == (condition in by), condition


def test_a_reset_qualifies_by_condition_never_by_listed_code() -> None:
    scene = Scene()
    scene.S.code = [504]
    for condition, expected in [
        (ON_5XX, True),
        (ON_GATEWAY_ERROR, True),
        (ON_RESET, True),
        (ON_RETRIABLE_4XX, False),
        (0, False),
    ]:
        route = Route(retry_on=condition, codes=1)
        assert qualifies(scene.S, route, LOCAL_RESET, sent=1, rate_limited=0) == expected


@pytest.mark.parametrize(
    ("status", "by"),
    [
        (0, set()),
        (1, {"cancelled"}),
        (2, set()),
        (4, {"deadline-exceeded"}),
        (8, {"resource-exhausted"}),
        (13, {"internal"}),
        (14, {"unavailable"}),
    ],
)
def test_which_grpc_answers_qualify(status: int, by: set[str]) -> None:
    """By their names alone: their HTTP status is 200."""
    for name, bit in TOKENS.items():
        expected = name in by
        assert qualifies(Scene().S, Route(retry_on=bit), GRPC + status, 1, 0) == expected, name


def test_an_answer_that_says_it_was_rate_limited_qualifies_only_by_that() -> None:
    scene = Scene()
    scene.S.code = [503]
    for bit in TOKENS.values():
        route = Route(retry_on=bit, codes=1)
        assert qualifies(scene.S, route, 503, 1, rate_limited=1) == (bit == ON_ENVOY_RATELIMITED)


def test_a_listed_code_qualifies_on_the_first_attempt_as_on_later_ones() -> None:
    """Envoy's `retriable_status_codes` may list any code, a success too."""
    scene = Scene(retries=2, codes=1)
    scene.S.code = [200]
    scene.call()
    scene.until(1000)
    assert scene.cluster.rq_retry == 2


# ---------------------------------------------------------------- back-off


def test_the_windows_double_up_to_ten_bases() -> None:
    route = Route(backoff=25 * MS)
    for made, window in [(1, 25), (2, 50), (3, 100), (4, 200), (5, 250), (6, 250), (20, 250)]:
        drawn = {backoff(route, Call(key=scramble(77, key), attempts=made)) for key in range(12_000)}
        assert drawn == {ms * MS for ms in range(window)}


def test_a_base_of_one_ms_is_no_pause_at_first() -> None:
    route = Route(backoff=1 * MS)
    drawn = [{backoff(route, Call(key=key, attempts=made)) // MS for key in range(500)} for made in (1, 2)]
    assert drawn == [{0}, {0, 1}]


# ---------------------------------------------------------------- decisions


def test_the_last_outcome_stands_when_no_retry_is_left() -> None:
    scene = retrying()
    scene.call()
    scene.until(1000)
    assert scene.outcomes() == [(503, URX)]
    assert scene.S.row[0].attempts == 3
    assert (scene.cluster.rq_retry, scene.cluster.rq_retry_limit_exceeded) == (2, 1)
    assert (scene.cluster.rq_total, scene.cluster.rq_active, scene.cluster.rq_retrying) == (3, 0, 0)
    assert (scene.cluster.cx_total, in_use(scene)) == (1, {"connection": 1})


def test_a_success_ends_the_retries() -> None:
    scene = retrying(retries=5)
    scene.call()
    scene.until(10)
    scene.S.host[0].failing = 0.0
    scene.until(1000)
    assert scene.outcomes() == [(200, NO_FLAG)]
    assert scene.S.row[0].attempts == 2
    assert scene.S.row[0].origin == NONE
    assert scene.cluster.rq_retrying == 0


def test_what_does_not_qualify_is_passed_on_without_a_flag() -> None:
    scene = retrying(retry_on=ON_GATEWAY_ERROR)
    scene.fail(code=500)
    scene.call()
    scene.until(100)
    assert scene.outcomes() == [(500, NO_FLAG)]
    assert scene.cluster.rq_retry_limit_exceeded == 0


def test_a_retry_holds_its_place_through_back_off_and_attempt() -> None:
    """max_retries = 1: one call of the cluster retries at a time; another one keeps its outcome, with UO."""
    scene = retrying(retries=1, max_retries=1, backoff=1 * MS)
    scene.call()
    scene.until(5)
    scene.call()
    scene.until(10)
    assert (scene.cluster.rq_retrying, scene.cluster.rq_retry) == (1, 1)
    scene.until(15)  # the back-off is over, the retry is being served
    assert scene.outcomes() == [(503, UO)]
    assert (scene.cluster.rq_retrying, scene.cluster.rq_retry_overflow) == (1, 1)
    scene.until(20)
    assert scene.outcomes()[1] == (503, URX)
    assert scene.cluster.rq_retrying == 0


def test_the_next_decision_gives_the_place_back_first() -> None:
    """So a call whose retry has failed can have the only place again."""
    scene = retrying(retries=4, max_retries=1)
    scene.call()
    scene.until(3000)
    assert scene.cluster.rq_retry == 4
    assert scene.cluster.rq_retry_overflow == 0


@pytest.mark.parametrize("retry_on", [ON_5XX, ON_GATEWAY_ERROR, ON_RESET])
def test_a_per_try_timeout_is_a_reset(retry_on: int) -> None:
    scene = Scene(work=100, retries=1, retry_on=retry_on, per_try_timeout=20 * MS, backoff=1 * MS)
    scene.call()
    scene.until(39)
    assert scene.cluster.rq_retry == 1
    scene.until(40)
    assert scene.outcomes() == [(504, UT | URX)]
    assert scene.cluster.rq_per_try_timeout == 2


def test_a_per_try_timeout_is_not_retried_by_its_code() -> None:
    scene = Scene(work=100, retries=1, codes=1, per_try_timeout=20 * MS)
    scene.S.code = [504]
    scene.call()
    scene.until(100)
    assert scene.outcomes() == [(504, UT)]


def test_the_per_try_timeout_runs_anew_for_every_attempt_and_not_in_the_queue() -> None:
    scene = Scene(work=10, connect=50, retries=1, retry_on=ON_5XX, per_try_timeout=20 * MS)
    scene.call()
    scene.until(100)
    assert scene.outcomes() == [(200, NO_FLAG)]
    assert scene.latencies() == [60.0]


def test_what_the_pool_refuses_is_never_retried() -> None:
    scene = Scene(connect=5, retries=3, retry_on=ON_5XX | ON_RESET, max_pending=1, max_requests=1)
    scene.call()
    assert scene.call_refused() == (503, UO)
    scene.cluster.max_pending = UNLIMITED
    scene.call()
    scene.until(5)  # this one has waited first
    assert scene.outcomes() == [(503, UO)]
    assert scene.cluster.rq_retry == 0


def test_the_route_timeout_is_never_retried() -> None:
    scene = Scene(work=100, retries=3, retry_on=ON_5XX | ON_RESET, timeout=20 * MS)
    scene.call()
    scene.until(500)
    assert scene.outcomes() == [(504, UT)]
    assert scene.cluster.rq_retry == 0


def test_the_route_timeout_covers_attempts_and_back_offs() -> None:
    scene = retrying(retries=20, timeout=75 * MS, backoff=1 * SECOND)
    scene.call()
    scene.until(5000)
    assert scene.outcomes() == [(504, UT)]
    assert scene.latencies() == [75.0]
    # it fired during the back-off: there was no attempt to time out
    assert (scene.cluster.rq_timeout, scene.cluster.rq_retrying) == (0, 0)
    assert scene.S.supply[0].free >= 0  # the call's record is back, after its RETRY event


def test_a_retry_asks_the_balancer_again() -> None:
    scene = Scene(hosts=2, balancer=balance.ROUND_ROBIN, retries=1, retry_on=ON_5XX)
    scene.fail(scene.served_by(scene.call()))
    scene.until(1000)
    assert scene.outcomes() == [(200, NO_FLAG)]
    assert scene.S.row[0].attempts == 2


def test_a_retry_that_finds_no_host_ends_with_uh() -> None:
    scene = retrying(interval=1, max_ejection_percent=100)
    scene.call()
    scene.until(10)
    eject(scene.S, 0, 0, CONSECUTIVE_5XX, 1, scene.now)
    scene.until(1000)
    assert scene.outcomes() == [(503, UH)]
    assert (scene.cluster.rq_retrying, scene.cluster.rq_retry_success) == (0, 0)


@pytest.mark.parametrize("streams", [1, UNLIMITED])
def test_a_retry_that_the_pool_refuses_ends_with_uo(streams: int) -> None:
    """At once, or after it has waited for a connection; it counts as a success, as it is not retried."""
    scene = retrying(streams=streams, connect=5)
    scene.call()
    scene.until(15)
    scene.drain()
    scene.cluster.max_requests = 0
    scene.until(1000)
    assert scene.outcomes() == [(503, UO)]
    assert (scene.cluster.rq_retry, scene.cluster.rq_retry_success, scene.cluster.rq_retrying) == (1, 1, 0)


def test_a_retry_that_finds_the_queue_full_ends_with_uo() -> None:
    scene = retrying()
    scene.call()
    scene.until(10)
    scene.drain()
    scene.cluster.max_pending = 0
    scene.until(1000)
    assert scene.outcomes() == [(503, UO)]
    assert (scene.cluster.rq_retry, scene.cluster.rq_retry_success, scene.cluster.rq_retrying) == (1, 1, 0)


def test_retries_that_end_well_count_as_successes() -> None:
    scene = retrying(retries=5)
    scene.call()
    scene.until(10)
    scene.S.host[0].failing = 0.0
    scene.until(1000)
    assert (scene.cluster.rq_retry, scene.cluster.rq_retry_success) == (1, 1)
