"""Retries of one call at the caller's proxy (Envoy 1.40, retry_state_impl.cc).

* An answer qualifies by its status: `5xx` any 500..599; `gateway-error` 502, 503, 504; `retriable-4xx` 409;
  a listed status code; for gRPC the named statuses. One that says it was rate-limited qualifies only with
  `envoy-ratelimited`.
* A connection that could not be made qualifies with `connect-failure`; any reset with `reset`, `5xx` or
  `gateway-error`, and with `reset-before-request` while no attempt got as far as a connection; a refused
  stream with `refused-stream`. A per-try timeout is a reset, whatever codes are listed. What the caller's own
  pool refused never qualifies, nor does the route timeout.
* A retry takes a place among the cluster's `max_retries`, from the decision through the back-off to the
  outcome of the attempt. No place left: the last outcome stands, with flag UO.
* A retry budget replaces `max_retries`: that percentage of the requests active and pending, at least so many.
* No retries left: the last outcome stands, with flag URX.
* The k-th back-off is uniform over 0 .. w-1 whole ms, w = base * 2^(k-1), at most `max_backoff`.
"""

from __future__ import annotations

from resilim.plane.flags import NO_FLAG, UO, URX
from resilim.plane.luck import ATTEMPT, BACKOFF, below
from resilim.plane.machine import State, plane, scramble
from resilim.plane.records import Call, Cluster, Route
from resilim.plane.resets import CONNECT_FAILURE, CONNECT_TIMEOUT, GRPC, OVERFLOW, REFUSED_STREAM

ON_5XX = 1
ON_GATEWAY_ERROR = 2
ON_RETRIABLE_4XX = 4
ON_RESET = 8
ON_CONNECT_FAILURE = 16
ON_REFUSED_STREAM = 32
ON_RESET_BEFORE_REQUEST = 64
ON_ENVOY_RATELIMITED = 128
ON_CANCELLED = 256
ON_DEADLINE_EXCEEDED = 512
ON_RESOURCE_EXHAUSTED = 1024
ON_INTERNAL = 2048
ON_UNAVAILABLE = 4096

TOKENS = {
    "5xx": ON_5XX,
    "gateway-error": ON_GATEWAY_ERROR,
    "retriable-4xx": ON_RETRIABLE_4XX,
    "reset": ON_RESET,
    "connect-failure": ON_CONNECT_FAILURE,
    "refused-stream": ON_REFUSED_STREAM,
    "reset-before-request": ON_RESET_BEFORE_REQUEST,
    "envoy-ratelimited": ON_ENVOY_RATELIMITED,
    "cancelled": ON_CANCELLED,
    "deadline-exceeded": ON_DEADLINE_EXCEEDED,
    "resource-exhausted": ON_RESOURCE_EXHAUSTED,
    "internal": ON_INTERNAL,
    "unavailable": ON_UNAVAILABLE,
}

MILLISECOND = 1_000_000
_MOST_BASES = 10

RETRY_NOW = -1  # instead of flags: the attempt is to be repeated


@plane
def decide(S: State, call: Call, cluster: Cluster, route: Route, wanted: bool) -> int:
    """Whether an attempt that ended is repeated: RETRY_NOW, or the flags that refusing it adds.

    `wanted`: its outcome qualifies.
    """
    if call.retrying:
        if not wanted:
            cluster.rq_retry_success += 1
        release_place(call, cluster)
    if not wanted:
        return NO_FLAG
    if call.retried >= route.retries:
        cluster.rq_retry_limit_exceeded += 1
        return URX
    call.soiled = 1
    call.retried += 1
    if cluster.rq_retrying >= most_retries(cluster):
        cluster.rq_retry_overflow += 1
        return UO
    cluster.rq_retrying += 1
    cluster.rq_retry += 1
    call.retrying = 1
    return RETRY_NOW


@plane
def release_place(call: Call, cluster: Cluster) -> None:
    """Give back the place among the cluster's retries that the call holds."""
    call.retrying = 0
    cluster.rq_retrying -= 1


@plane
def most_retries(cluster: Cluster) -> int:
    """The limit of retries outstanding now."""
    if cluster.budget_percent < 0.0:
        return cluster.max_retries
    share = int(cluster.budget_percent / 100.0 * (cluster.rq_active + cluster.rq_pending))
    return max(share, cluster.budget_least)


@plane
def qualifies(S: State, route: Route, outcome: int, sent: int, rate_limited: int) -> bool:
    """Whether the policy asks for a retry after an outcome: a status, or a reset.

    `sent`: an attempt of the call had a connection. `rate_limited`: the answer says so.
    """
    if outcome < 0:
        return reset_qualifies(route.retry_on, outcome, sent)
    if rate_limited:
        return route.retry_on & ON_ENVOY_RATELIMITED != 0
    return answer_qualifies(S, route, outcome)


@plane
def reset_qualifies(on: int, reset: int, sent: int) -> bool:
    """Whether the policy asks for a retry after a reset."""
    if reset == OVERFLOW:
        return False
    if on & (ON_RESET | ON_5XX | ON_GATEWAY_ERROR):
        return True
    if on & ON_CONNECT_FAILURE and reset in (CONNECT_FAILURE, CONNECT_TIMEOUT):
        return True
    if on & ON_RESET_BEFORE_REQUEST and sent == 0:
        return True
    return on & ON_REFUSED_STREAM != 0 and reset == REFUSED_STREAM


@plane
def answer_qualifies(S: State, route: Route, code: int) -> bool:
    """Whether the policy asks for a retry after an answer with this status."""
    on = route.retry_on
    if code >= GRPC:
        return grpc_qualifies(on, code - GRPC)
    if on & ON_5XX and 500 <= code < 600:
        return True
    if on & ON_GATEWAY_ERROR and 502 <= code <= 504:
        return True
    if on & ON_RETRIABLE_4XX and code == 409:
        return True
    for index in range(route.first_code, route.first_code + route.codes):
        if S.code[index] == code:
            return True
    return False


@plane
def grpc_qualifies(on: int, status: int) -> bool:
    """Whether the policy asks for a retry after this grpc-status."""
    if status == 1:
        return on & ON_CANCELLED != 0
    if status == 4:
        return on & ON_DEADLINE_EXCEEDED != 0
    if status == 8:
        return on & ON_RESOURCE_EXHAUSTED != 0
    if status == 13:
        return on & ON_INTERNAL != 0
    return status == 14 and on & ON_UNAVAILABLE != 0


@plane
def backoff(route: Route, call: Call) -> int:
    """How long the next retry waits, ns."""
    bits = scramble(call.key, ATTEMPT + call.attempts)
    return below(bits, BACKOFF, backoff_window(route, call.attempts)) * MILLISECOND


@plane
def backoff_window(route: Route, number: int) -> int:
    """The n-th back-off (from 1) is uniform over so many whole ms."""
    widest = route.max_backoff if route.max_backoff > 0 else _MOST_BASES * route.backoff
    width = min(route.backoff, widest)
    for _ in range(number - 1):
        width = min(2 * width, widest)
    return max(1, width // MILLISECOND)
