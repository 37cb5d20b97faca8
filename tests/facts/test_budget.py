"""Retry budgets: a share of all requests instead of `max_retries` (Envoy's resource_manager_impl.h)."""

from __future__ import annotations

import pytest

from resilim.plane.flags import NO_FLAG, UO, URX
from resilim.plane.records import UNLIMITED, Cluster
from resilim.plane.retry import ON_5XX, most_retries

from .scene import MS, SECOND, Scene

HTTP2 = UNLIMITED
LONG = 1000 * SECOND


@pytest.mark.parametrize(
    ("percent", "least", "active", "pending", "limit"),
    [
        (20.0, 3, 0, 0, 3),  # Envoy's defaults
        (20.0, 3, 19, 0, 3),
        (20.0, 3, 20, 0, 4),
        (20.0, 3, 12, 7, 3),
        (20.0, 3, 12, 8, 4),
        (20.0, 3, 24, 0, 4),
        (20.0, 3, 1, 24, 5),
        (20.0, 0, 4, 0, 0),
        (100.0, 0, 7, 4, 11),
        (0.0, 2, 1000, 1000, 2),
        (0.0, 0, 1000, 1000, 0),
        (12.5, 0, 7, 0, 0),
        (12.5, 0, 4, 4, 1),
    ],
)
def test_the_limit(percent: float, least: int, active: int, pending: int, limit: int) -> None:
    cluster = Cluster(
        budget_percent=percent, budget_least=least, rq_active=active, rq_pending=pending, max_retries=1
    )
    assert most_retries(cluster) == limit


def test_without_a_budget_max_retries_is_the_limit() -> None:
    assert most_retries(Cluster(rq_active=1000, max_retries=7)) == 7


def in_back_off(requests: int, percent: float, least: int, **more: int) -> Scene:
    """Requests that all fail at 10 ms and would be retried after seconds."""
    scene = Scene(
        retries=1,
        retry_on=ON_5XX,
        backoff=LONG,
        max_backoff=LONG,
        streams=HTTP2,
        budget_percent=percent,
        budget_least=least,
        **more,
    )
    scene.fail()
    for key in range(1, requests + 1):
        scene.call(key * 0x1234_5678_9ABC_DEF1 & ((1 << 63) - 1))
    scene.until(10)
    return scene


def test_at_least_so_many_retries_are_allowed() -> None:
    scene = in_back_off(requests=5, percent=0.0, least=3)
    assert (scene.cluster.rq_retry, scene.cluster.rq_retry_overflow) == (3, 2)
    assert scene.outcomes() == [(503, UO)] * 2


def test_what_waits_in_its_back_off_counts_as_a_retry_and_in_nothing_else() -> None:
    """The answers come one by one, and those before are neither active nor pending any more.

    Of 10 requests the n-th to fail finds n - 1 retries and 11 - n requests, itself included: the first five
    are below half of twice as many.
    """
    scene = in_back_off(requests=10, percent=100.0, least=0)
    assert (scene.cluster.rq_retry, scene.cluster.rq_retry_overflow) == (5, 5)
    assert (scene.cluster.rq_active, scene.cluster.rq_pending, scene.cluster.rq_retrying) == (0, 0, 5)


def test_a_request_counts_until_its_own_retry_is_decided() -> None:
    scene = in_back_off(requests=1, percent=100.0, least=0)
    assert (scene.cluster.rq_retry, scene.cluster.rq_retry_overflow) == (1, 0)


def test_requests_that_wait_for_a_connection_count() -> None:
    """One fails at 10 ms; nine are pending: 20 % of ten are two."""
    for percent, retries in [(20.0, 1), (9.9, 0)]:
        scene = in_back_off(requests=0, percent=percent, least=0, max_connections=1)
        scene.cluster.streams, scene.cluster.multiplexed = 1, 0
        for _ in range(10):
            scene.call()
        scene.until(20)
        assert scene.cluster.rq_retry == retries


def test_a_retry_that_is_served_counts_as_a_request_and_as_a_retry() -> None:
    """With 50 % and no minimum: a request and a retry leave no room for another retry."""
    scene = Scene(
        retries=1, retry_on=ON_5XX, backoff=1 * MS, streams=HTTP2, budget_percent=50.0, budget_least=0
    )
    slow = scene.add_route()
    scene.fail()
    scene.S.law[1].a = 100.0 * MS
    scene.call(route=slow)
    scene.until(1)
    scene.S.law[1].a = 10.0 * MS
    scene.call()
    scene.until(5)
    scene.call()
    scene.until(11)  # the first one has failed: there were three requests, and there was no retry
    assert (scene.cluster.rq_retry, scene.cluster.rq_retrying, scene.cluster.rq_active) == (1, 1, 3)
    scene.until(15)  # the second one has failed: three requests, and one retry; half of three is one
    assert (scene.cluster.rq_retry, scene.cluster.rq_retry_overflow) == (1, 1)
    scene.until(50)
    assert scene.outcomes() == [(503, UO), (503, URX)]


def test_the_budget_replaces_max_retries() -> None:
    scene = in_back_off(requests=5, percent=0.0, least=4, max_retries=1)
    assert scene.cluster.rq_retry == 4


def test_a_success_leaves_room_again() -> None:
    scene = in_back_off(requests=2, percent=0.0, least=1)
    assert scene.outcomes() == [(503, UO)]
    scene.S.host[0].failing = 0.0
    scene.until(2 * LONG / MS)
    assert scene.outcomes() == [(503, UO), (200, NO_FLAG)]
    assert (scene.cluster.rq_retrying, scene.cluster.rq_retry_success) == (0, 1)
