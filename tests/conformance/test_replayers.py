"""Cases of our own for pools, retries and the router; and what their replay says of a case that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.cases import FAILED, PASSED, SKIPPED, Case, judge, load

FOLDER = Path(__file__).parent.parent / "facts" / "cases"
CASES = [case for path in sorted(FOLDER.glob("more-*.json")) for case in load(path)]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case(case: Case) -> None:
    verdict = judge(case)
    if verdict.state == SKIPPED:
        pytest.skip(verdict.reasons[0])
    assert not verdict.reasons


def test_names_are_told_apart() -> None:
    assert len({case["id"] for case in CASES}) == len(CASES)


# ---------------------------------------------------------------- what is wrong is said

CONNECTED = {"t": 1, "connected": "c1"}
POOL: dict[str, Any] = {
    "id": "pool",
    "config": {"protocol": "http1", "max_connections": 1},
    "hosts": 1,
    "events": [{"t": 0, "request": "r1", "host": 0}, CONNECTED],
    "expect": [{"after": 1, "request": "r1", "state": "active", "connection": "c1"}],
}
LIMITS: dict[str, Any] = {
    "id": "limits",
    "kind": "resource-manager",
    "config": {"max_retries": 2, "track_remaining": True},
    "events": [{"t": 0, "resource": "retries", "op": "inc"}],
    "expect": [{"after": 0, "stat": "remaining_retries", "value": 1}],
}
DECISION: dict[str, Any] = {
    "id": "decision",
    "kind": "retry-state",
    "config": {"retry_on": "5xx"},
    "events": [{"response": 503}],
    "expect": [{"after": 0, "decision": "retry"}],
}
ROUTER: dict[str, Any] = {
    "id": "router",
    "kind": "router",
    "config": {"route_timeout": 10.0},
    "events": [{"t": 0, "attempt": 1, "bound": True}, {"t": 1, "attempt": 1, "response": 503}],
    "expect": [{"final": {"client_status": 503}}, {"outlier_reports": [503]}],
}


@pytest.mark.parametrize("case", [POOL, LIMITS, DECISION, ROUTER], ids=lambda case: case["id"])
def test_the_good_cases_pass(case: Case) -> None:
    assert judge(case).state == PASSED


@pytest.mark.parametrize(
    ("good", "change", "message"),
    [
        (POOL, {"expect": [{"after": 1, "request": "r1", "state": "pending"}]}, "pending"),
        (POOL, {"expect": [{"after": 1, "request": "r1"}]}, "nothing"),
        (POOL, {"expect": [{"after": 1, "request": "r9", "state": "done"}]}, "r9"),
        (POOL, {"expect": [{"after": 1, "stat": "upstream_cx_total", "value": 2}]}, "upstream_cx_total is 1"),
        (POOL, {"expect": [{"after": 1, "stat": "upstream_cx_totals", "value": 1}]}, "upstream_cx_totals"),
        (POOL, {"expect": [{"after": 1, "open_connections": 2}]}, "open_connections is 1"),
        (POOL, {"expect": [{"after": 1, "closed_connections": 0}]}, "closed_connections"),
        (POOL, {"expect": [{"after": 2, "open_connections": 1}]}, "after no event"),
        (POOL, {"expect": []}, "nothing"),
        (POOL, {"expect": [{"after": 0, "histogram": "upstream_cx_connect_ms", "last": 1}]}, "None"),
        (POOL, {"config": {"protocol": "http4"}}, "http4"),
        (POOL, {"config": {"protocol": "http1", "max_streams": 1}}, "max_streams"),
        (POOL, {"config": {"protocol": "http1", "preload": {"cookies": 1}}}, "cookies"),
        (POOL, {"events": [{"t": 0, "ask": "r1"}, CONNECTED]}, "unknown event"),
        (POOL, {"events": [{"t": 0, "request": "r1", "hosts": 0}, CONNECTED]}, "hosts"),
        (POOL, {"events": [{"t": 0, "request": "r1", "host": 1}, CONNECTED]}, "no such host"),
        (POOL, {"events": [{"t": 1, "request": "r1"}, {"t": 0, "connected": "c1"}]}, "back"),
        (POOL, {"events": [{"t": 0, "request": "r1"}, {"t": 0, "connected": "c2"}]}, "c2"),
        (POOL, {"events": [{"t": 0, "request": "r1"}, {"t": 0, "complete": "r1"}]}, "not on a connection"),
        (POOL, {"events": [{"t": 0, "request": "r1"}, {"t": 0, "connect_failed": "c1", "how": "x"}]}, "how"),
        (POOL, {"colour": 1}, "colour"),
        (LIMITS, {"expect": [{"after": 0, "limit": "retries", "value": 3}]}, "retries is 2"),
        (LIMITS, {"events": [{"t": 0, "resource": "retries", "op": "double"}]}, "double"),
        (LIMITS, {"events": [{"t": 0, "resource": "cookies", "op": "inc"}]}, "cookies"),
        (DECISION, {"expect": [{"after": 0, "decision": "no"}]}, "decision is retry"),
        (DECISION, {"expect": [{"after": 0, "backoff_ms": 3}]}, "backoff_ms"),
        (DECISION, {"expect": [{"after": 0, "mood": "good"}]}, "mood"),
        (DECISION, {"config": {}}, "without a retry policy"),
        (DECISION, {"config": {"retry_on": "5xx", "num_retry": 1}}, "num_retry"),
        (DECISION, {"config": {"retry_on": "5xx", "runtime": {"moon": 1}}}, "moon"),
        (DECISION, {"request_headers": {"x-envoy-moon": "full"}}, "x-envoy-moon"),
        (DECISION, {"events": [{"reset": "tea_break"}]}, "tea_break"),
        (ROUTER, {"expect": [{"final": {"client_status": 504}}]}, "client_status is 503"),
        (ROUTER, {"expect": [{"final": {"flag": "UC"}}]}, "flag"),
        (ROUTER, {"expect": [{"final": {"colour": "red"}}]}, "colour"),
        (ROUTER, {"expect": [{"final_stat": "host.rq_success", "value": 1}]}, "host.rq_success is 0"),
        (ROUTER, {"expect": [{"outlier_reports": [200]}]}, "outlier_reports"),
        (ROUTER, {"config": {"route_timeouts": 1}}, "route_timeouts"),
        (ROUTER, {"events": [{"t": 0, "attempt": 1, "bound": True}]}, "no outcome"),
        (ROUTER, {"events": [{"t": 0, "attempt": 2, "bound": True}]}, "attempt 2"),
        (ROUTER, {"events": [{"t": 0, "bound": True}]}, "no attempt"),
        (ROUTER, {"events": [{"t": 0, "attempt": 1, "bind": True}]}, "unknown event"),
        (ROUTER, {"events": [*ROUTER["events"], {"t": 2, "attempt": 2, "bound": True}]}, "attempt 2"),
        (ROUTER, {"events": [ROUTER["events"][0], {"t": 2, "per_try_timeout": True}]}, "no running"),
    ],
)
def test_a_case_that_is_not_as_it_should_be_fails(
    good: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    verdict = judge({**good, **change})
    assert verdict.state == FAILED
    assert message in "; ".join(verdict.reasons)


@pytest.mark.parametrize(
    ("good", "change", "message"),
    [
        (
            POOL,
            {"config": {"protocol": "http1", "runtime": {"envoy.reloadable_features.old": False}}},
            "runtime guard",
        ),
        (DECISION, {"config": {"retry_on": "retriable-headers"}}, "headers"),
        (DECISION, {"request_headers": {"x-envoy-retriable-header-names": "x"}}, "headers"),
        (ROUTER, {"events": [ROUTER["events"][0], {"t": 1, "body_bytes": 9}]}, "bodies"),
        (
            ROUTER,
            {
                "events": [
                    ROUTER["events"][0],
                    {"t": 1, "attempt": 1, "response_headers": 200},
                    {"t": 2, "attempt": 1, "reset": "remote_reset"},
                ]
            },
            "one event",
        ),
    ],
)
def test_what_cannot_be_replayed_is_skipped_by_name(
    good: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    verdict = judge({**good, **change})
    assert verdict.state == SKIPPED
    assert message in verdict.reasons[0]
