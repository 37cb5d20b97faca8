"""Routes: what a call passes, where it goes, and when it is tried again."""

from __future__ import annotations

from typing import Any

from resilim.plane import filters, flags, retry
from resilim.plane.records import NONE

from .everything import block, planned, records

SECOND = 1_000_000_000
CALLS = ("cart", "stock", "pay")  # in the order of the call sites


def route_to(service: str) -> Any:
    """The route of the calls to a service."""
    return records("route")[records("site")[CALLS.index(service)].route]


def test_sites_point_at_the_own_block_of_their_route() -> None:
    own = [block("cart", "v1")[0], block("stock")[0], block("pay")[0]]
    assert [site.first_cluster for site in records("site")] == own
    (mix,) = records("mix")
    assert mix.cluster == len(records("cluster")) - 1


def test_filters_say_what_acts() -> None:
    has = filters
    assert route_to("cart").filters == has.HAS_FAULT | has.HAS_SPLIT | has.HAS_MIRROR | has.HAS_DROP
    assert route_to("stock").filters == has.HAS_MIRROR
    assert route_to("pay").filters == has.HAS_REPLY
    assert records("route")[records("mix")[0].route].filters == 0


def test_fault_filter() -> None:
    route = route_to("cart")
    assert (route.delay_share, route.delay) == (0.1, SECOND)
    assert (route.abort_share, route.abort_code, route.drop_share) == (0.05, 418, 0.05)


def test_a_subset_that_does_not_exist_is_no_cluster() -> None:
    route = route_to("pay")
    assert (route.reply_code, route.reply_flag) == (503, flags.NC)


def test_retries() -> None:
    route = route_to("cart")
    assert (route.retries, route.per_try_timeout, route.hedges) == (3, SECOND // 2, 1)
    assert route.retry_on == retry.ON_CONNECT_FAILURE | retry.ON_RESET | retry.ON_CANCELLED
    assert planned().run.vectors["code"][route.first_code : route.first_code + route.codes].tolist() == [503]
    assert (route.backoff, route.max_backoff) == (SECOND // 100, SECOND // 25)
    assert (route.reselections, route.max_stream_duration) == (5, 3 * SECOND)
    none = route_to("stock")
    assert (none.retries, none.retry_on, none.reselections, none.max_backoff) == (0, 0, 0, 0)
    default = route_to("pay")
    on = retry.ON_CONNECT_FAILURE | retry.ON_REFUSED_STREAM | retry.ON_UNAVAILABLE | retry.ON_CANCELLED
    assert (default.retries, default.retry_on, default.codes, default.reselections) == (2, on, 0, 5)


def test_destinations_are_told_by_their_distance_from_the_own_block() -> None:
    route = route_to("cart")
    found = records("destination")[route.first_destination : route.first_destination + route.destinations]
    distance = block("cart", "v2")[0] - block("cart", "v1")[0]
    assert [(one.upto, one.offset) for one in found] == [(0.9, 0), (1.0, distance)]
    assert route_to("stock").destinations == route_to("pay").destinations == 0


def test_mirrors_have_a_route_with_nothing_but_the_timeout() -> None:
    route = route_to("cart")
    found = records("destination")[route.first_mirror : route.first_mirror + route.mirrors]
    own = block("cart", "v1")[0]
    distances = [block("cart", "none")[0] - own, block("cart")[0] - own]
    assert [(one.upto, one.offset) for one in found] == [(0.5, distances[0]), (1.0, distances[1])]
    assert len({one.salt for one in found} | {0}) == 3
    copy = records("route")[found[0].route]
    assert (copy.timeout, copy.timeout_flag, copy.retries, copy.filters) == (2 * SECOND, flags.UT, 0, 0)
    (half,) = records("destination")[route_to("stock").first_mirror :]
    assert (half.upto, half.offset) == (0.005, 0)
    assert records("route")[half.route].timeout == 0


def test_timer_queues() -> None:
    for route in records("route"):
        for time, index in (
            (route.timeout, route.timeout_queue),
            (route.per_try_timeout, route.per_try_queue),
        ):
            queue = records("timer_queue")[index] if index != NONE else None
            assert (queue.duration if queue else 0) == time


def test_a_client_outside_has_its_patience_only() -> None:
    route = records("route")[records("mix")[0].route]
    assert (route.timeout, route.timeout_flag, route.retries) == (3 * SECOND, flags.DC, 0)
    inside = records("route", 1)[records("mix", 1)[0].route]
    assert (inside.timeout, inside.retries) == (0, 2)
