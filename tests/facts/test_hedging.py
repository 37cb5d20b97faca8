"""Hedging: a per-try timeout sends another attempt beside the slow one (Envoy's router.cc)."""

from __future__ import annotations

import pytest

from resilim.plane.flags import NO_FLAG, UC, UMSDR, UO, URX, UT
from resilim.plane.records import NONE, UNLIMITED
from resilim.plane.resets import REMOTE_RESET, TERMINATION
from resilim.plane.retry import ON_5XX, ON_CONNECT_FAILURE, ON_RESET

from .scene import MS, SECOND, Scene, in_use

HTTP2 = UNLIMITED
WORK = 1


def hedging(**more: int) -> Scene:
    """Work of 100 ms; after 20 ms another attempt, without back-off."""
    policy = {"work": 100, "per_try_timeout": 20 * MS, "hedges": 1, "retries": 1, "retry_on": ON_5XX}
    return Scene(**(policy | {"backoff": 1 * MS, "streams": HTTP2} | more))


def works_for(scene: Scene, ms: int) -> None:
    """What is sent to a host from now on takes so long."""
    scene.S.law[WORK].a = float(ms * MS)


def test_the_slow_attempt_goes_on_and_may_win() -> None:
    scene = hedging()
    scene.call()
    scene.until(19)
    assert scene.cluster.rq_total == 1
    scene.until(20)
    assert (scene.cluster.rq_active, scene.cluster.rq_retry, scene.cluster.rq_retrying) == (2, 1, 1)
    assert (scene.cluster.rq_per_try_timeout, scene.S.member[0].rq_timeout) == (0, 0)
    scene.until(100)
    assert scene.outcomes() == [(200, URX)]  # the second attempt was slow too, and there was no third
    assert (scene.latencies(), scene.S.row[0].attempts) == ([100.0], 2)
    assert (scene.cluster.rq_active, scene.cluster.rq_tx_reset, scene.cluster.rq_retrying) == (0, 1, 0)
    scene.until(200)
    assert (scene.S.host[0].wasted, in_use(scene)) == (1, {"connection": 1})


def test_the_second_attempt_may_win() -> None:
    scene = hedging()
    scene.call()
    scene.until(10)
    works_for(scene, 10)
    scene.until(30)
    assert (scene.outcomes(), scene.latencies()) == ([(200, NO_FLAG)], [30.0])
    assert (scene.cluster.rq_active, scene.cluster.rq_tx_reset) == (0, 1)
    scene.until(200)
    assert (scene.S.host[0].wasted, in_use(scene)) == (1, {"connection": 1})


def test_resetting_the_loser_costs_an_http1_connection() -> None:
    scene = hedging(streams=1)
    scene.call()
    scene.until(100)
    assert (scene.cluster.cx_total, scene.cluster.cx_active, scene.cluster.rq_tx_reset) == (2, 1, 0)


def test_every_attempt_has_a_timeout_of_its_own() -> None:
    scene = hedging(retries=3)
    scene.call()
    for moment, attempts in [(19, 1), (20, 2), (39, 2)]:
        scene.until(moment)
        assert scene.cluster.rq_active == attempts
    scene.until(99)
    # back-offs of 0, 0..1 and 0..3 ms
    assert scene.cluster.rq_active == 4
    scene.until(100)
    assert (scene.outcomes(), scene.S.row[0].attempts) == ([(200, NO_FLAG | URX)], 4)
    assert scene.cluster.rq_active == 0


def test_the_back_off_comes_first() -> None:
    scene = hedging(backoff=1000 * MS)
    scene.call()
    scene.until(21)
    assert (scene.cluster.rq_active, scene.cluster.rq_retrying) == (1, 1)


@pytest.mark.parametrize(("retry_on", "attempts"), [(ON_CONNECT_FAILURE, 2), (0, 1)])
def test_any_retry_policy_will_do_but_there_must_be_one(retry_on: int, attempts: int) -> None:
    scene = hedging(work=40, retry_on=retry_on)
    scene.call()
    scene.until(200)
    assert (scene.S.row[0].code, scene.S.row[0].attempts) == (200, attempts)
    assert scene.latencies() == [40.0]


# ---------------------------------------------------------------- bad answers


def test_a_bad_answer_is_dropped_while_another_attempt_is_in_flight() -> None:
    scene = hedging(work=30, retries=2)
    scene.fail()
    scene.call()
    scene.until(1)
    scene.S.host[0].failing = 0.0
    works_for(scene, 19)
    scene.until(30)
    assert scene.outcomes() == []
    assert (scene.cluster.rq_active, scene.S.member[0].rq_error) == (1, 1)
    scene.until(39)
    assert (scene.outcomes(), scene.latencies()) == ([(200, NO_FLAG)], [39.0])
    assert scene.cluster.retried_5xx == 0


def test_a_bad_answer_is_dropped_while_another_attempt_is_scheduled() -> None:
    scene = hedging(work=21, backoff=1000 * MS)
    scene.fail()
    scene.call()
    scene.until(21)
    assert (scene.outcomes(), scene.cluster.rq_active, scene.cluster.rq_retrying) == ([], 0, 1)
    scene.S.host[0].failing = 0.0
    works_for(scene, 10)
    scene.until(1100)
    assert scene.outcomes() == [(200, NO_FLAG)]
    assert scene.S.row[0].attempts == 2


def test_an_answer_that_would_not_be_retried_ends_the_call_good_or_bad() -> None:
    scene = hedging(work=30)
    scene.fail(code=404)
    scene.call()
    scene.until(1)
    scene.S.host[0].failing = 0.0
    scene.until(30)
    assert scene.outcomes() == [(404, NO_FLAG)]
    assert scene.cluster.rq_active == 0


def test_the_last_bad_answer_is_passed_on() -> None:
    """No retry was left when it was slow at 40 ms, nor when it was bad."""
    scene = hedging(work=30)
    scene.fail()
    scene.call()
    scene.until(49)
    assert scene.outcomes() == []
    scene.until(50)
    assert scene.outcomes() == [(503, URX)]
    assert scene.cluster.rq_retry_limit_exceeded == 2
    assert in_use(scene) == {"connection": 1}


def test_a_fresh_attempts_bad_answer_may_be_retried_beside_the_slow_one() -> None:
    scene = hedging(retries=2)
    scene.call()
    scene.until(19)
    scene.fail()
    works_for(scene, 10)
    scene.until(30)  # the second attempt has failed
    scene.S.host[0].failing = 0.0
    assert (scene.cluster.rq_retry, scene.cluster.retried_5xx) == (2, 1)
    scene.until(45)
    assert (scene.outcomes(), scene.S.row[0].attempts) == ([(200, NO_FLAG)], 3)
    assert scene.latencies()[0] in (40.0, 41.0)


def test_a_reset_of_one_attempt_is_borne_while_there_is_another() -> None:
    scene = hedging(work=30, retry_on=ON_RESET)
    scene.fail(code=REMOTE_RESET)
    scene.call()
    scene.until(1)
    scene.S.host[0].failing = 0.0
    works_for(scene, 19)
    scene.until(30)
    assert (scene.outcomes(), scene.cluster.rq_rx_reset) == ([], 1)
    scene.until(39)
    assert scene.outcomes() == [(200, NO_FLAG)]


def test_a_connection_that_both_attempts_are_on_takes_both_along() -> None:
    scene = hedging(work=30, retry_on=ON_RESET)
    scene.fail(code=TERMINATION)
    scene.call()
    scene.until(30)
    assert scene.outcomes() == [(503, UC | URX)]
    assert (scene.cluster.rq_active, scene.cluster.cx_active, scene.cluster.rq_retrying) == (0, 0, 0)
    scene.until(100)
    assert in_use(scene) == {}


# ---------------------------------------------------------------- limits


def test_no_retries_left_the_slow_attempt_goes_on_alone() -> None:
    scene = hedging(retries=0)
    scene.call()
    scene.until(200)
    assert scene.outcomes() == [(200, URX)]
    assert (scene.cluster.rq_retry_limit_exceeded, scene.cluster.rq_total) == (1, 1)


def test_max_retries_applies() -> None:
    scene = hedging(max_retries=1)
    scene.call(1)
    scene.call(2)
    scene.until(20)
    assert (scene.cluster.rq_retry, scene.cluster.rq_retry_overflow, scene.cluster.rq_active) == (1, 1, 3)
    scene.until(39)
    assert scene.cluster.rq_retrying == 1
    scene.until(40)  # the second attempt is slow too: the next decision gives the place back
    assert (scene.cluster.rq_retrying, scene.cluster.rq_retry_limit_exceeded) == (0, 1)
    scene.until(100)
    assert scene.outcomes() == [(200, URX), (200, UO)]


def test_an_attempt_whose_hedge_was_refused_may_still_be_retried() -> None:
    """Only an attempt for which another one was sent is not asked again."""
    scene = hedging(work=30, max_retries=0)
    scene.fail()
    scene.call()
    scene.until(29)
    assert scene.cluster.rq_retry_overflow == 1
    scene.cluster.max_retries, scene.route.retries = 1, 2
    scene.S.host[0].failing = 0.0
    scene.until(31)
    assert (scene.cluster.rq_retry, scene.cluster.rq_active, scene.outcomes()) == (1, 1, [])
    scene.until(100)
    assert (scene.outcomes(), scene.S.row[0].attempts) == ([(200, UO | URX)], 2)


def test_who_wins_takes_the_other_attempt_out_of_the_queue() -> None:
    scene = hedging(streams=1, max_connections=1)
    scene.call()
    scene.until(50)
    assert (scene.cluster.rq_pending, scene.cluster.rq_active) == (1, 1)
    scene.until(100)
    assert scene.outcomes() == [(200, NO_FLAG)]
    assert (scene.cluster.rq_cancelled, scene.cluster.rq_pending) == (1, 0)
    assert (scene.cluster.rq_total, scene.cluster.rq_active, scene.cluster.cx_active) == (1, 0, 1)


def test_an_answer_during_the_back_off_cancels_the_other_attempt() -> None:
    scene = hedging(work=21, backoff=1000 * MS)
    scene.call()
    scene.until(21)
    assert (scene.outcomes(), scene.cluster.rq_retrying) == ([(200, NO_FLAG)], 0)
    scene.until(1100)
    assert (scene.cluster.rq_total, in_use(scene)) == (1, {"connection": 1})


@pytest.mark.parametrize("backoff", [1, 1000])
def test_the_maximum_duration_of_an_attempt_that_was_hedged_ends_the_call(backoff: int) -> None:
    """It is not retried again, and what is in flight or scheduled for it is not waited for."""
    scene = hedging(max_stream_duration=30 * MS, retries=5, backoff=backoff * MS)
    scene.call()
    scene.until(29)
    assert (scene.cluster.rq_retry, scene.cluster.rq_active) == (1, 2 if backoff == 1 else 1)
    scene.until(30)
    assert scene.outcomes() == [(504, UMSDR)]
    assert (scene.cluster.rq_retry, scene.cluster.rq_active, scene.cluster.rq_retrying) == (1, 0, 0)
    scene.until(2_000)
    assert in_use(scene) == {"connection": 1}


def test_a_record_that_was_hedged_is_as_new_for_the_next_attempt() -> None:
    """The answer came during the back-off; the attempt of the next call stands in the same record."""
    scene = hedging(work=21, backoff=1000 * MS)
    scene.call()
    scene.until(25)
    plain = scene.add_route(retries=1, retry_on=ON_5XX)
    scene.fail()
    scene.call(route=plain)
    scene.until(2_000)
    assert (scene.S.row[1].code, scene.S.row[1].attempts) == (503, 2)


# ---------------------------------------------------------------- what the detector hears


def test_the_detector_hears_of_a_timeout_once() -> None:
    """At 20 and at 40 ms, when they are slow; the route timeout says nothing new of either."""
    scene = hedging(timeout=50 * MS, interval=SECOND)
    scene.call()
    member = scene.S.member[0]
    heard = []
    for moment in (19, 20, 39, 40, 49, 50, 300):
        scene.until(moment)
        heard.append(member.external_total)
    assert heard == [0, 1, 1, 2, 2, 2, 2]
    assert scene.outcomes() == [(504, UT | URX)]
    assert (scene.cluster.rq_timeout, member.rq_timeout, member.consecutive_gateway) == (2, 2, 2)
    assert in_use(scene) == {"connection": 1}


def test_an_attempt_that_is_not_slow_yet_is_reported_by_the_route_timeout() -> None:
    scene = hedging(timeout=30 * MS, interval=SECOND)
    scene.call()
    scene.until(30)
    assert scene.S.member[0].external_total == 2


def test_a_late_answer_counts_beside_the_timeout() -> None:
    scene = hedging(interval=SECOND, retries=0)
    scene.call()
    scene.until(100)
    member = scene.S.member[0]
    assert (member.external_total, member.external_failed, member.consecutive_5xx) == (2, 1, 0)


def test_without_hedging_the_slow_attempt_is_reset() -> None:
    scene = hedging(hedges=0)
    scene.call()
    scene.until(20)
    assert (scene.cluster.rq_active, scene.cluster.rq_per_try_timeout, scene.cluster.rq_tx_reset) == (1, 1, 1)
    assert scene.S.call[0].attempt != NONE
    scene.until(40)
    assert scene.outcomes() == [(504, UT | URX)]
