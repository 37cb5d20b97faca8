"""Retries of one call at the caller's proxy (Envoy 1.40, retry_state_impl.cc).

* An answer qualifies by its status: `5xx` any 500..599; `gateway-error` 502, 503, 504; `retriable-4xx` 409;
  a listed status code.
* A reset qualifies with `reset`, `5xx` or `gateway-error`; a per-try timeout is a reset, whatever codes
  are listed. What the caller's own pool refused never qualifies, nor does the route timeout.
* A retry takes a place among the cluster's `max_retries`, from the decision through the back-off to the
  outcome of the attempt. No place left: the last outcome stands, with flag UO.
* No retries left: the last outcome stands, with flag URX.
* The k-th back-off is uniform over 0 .. w-1 whole ms, w = base * 2^(k-1), at most 10 * base.
"""

from __future__ import annotations

from resilim.plane.flags import NO_FLAG, UO, URX
from resilim.plane.luck import ATTEMPT, BACKOFF, below
from resilim.plane.machine import State, plane, scramble
from resilim.plane.records import Call, Cluster, Route

ON_5XX = 1
ON_GATEWAY_ERROR = 2
ON_RETRIABLE_4XX = 4
ON_RESET = 8

# The names in `retryOn` that can apply to what is simulated.
TOKENS = {
    "5xx": ON_5XX,
    "gateway-error": ON_GATEWAY_ERROR,
    "retriable-4xx": ON_RETRIABLE_4XX,
    "reset": ON_RESET,
}

MILLISECOND = 1_000_000
_MOST_BASES = 10

RETRY_NOW = -1  # instead of flags: the attempt is to be repeated


@plane
def decide(S: State, call: Call, cluster: Cluster, code: int, reset: bool) -> int:
    """Whether an attempt that ended so is repeated: RETRY_NOW, or the flags that refusing it adds."""
    if call.retrying:
        release_place(call, cluster)
    route = S.route[cluster.route]
    if route.retries == 0 or not qualifies(S, route, code, reset):
        return NO_FLAG
    if call.attempts > route.retries:
        cluster.rq_retry_limit_exceeded += 1
        return URX
    if cluster.rq_retrying >= cluster.max_retries:
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
def qualifies(S: State, route: Route, code: int, reset: bool) -> bool:
    """Whether the policy asks for a retry after this outcome."""
    on = route.retry_on
    if reset:
        return on & (ON_RESET | ON_5XX | ON_GATEWAY_ERROR) != 0
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
def backoff(route: Route, call: Call) -> int:
    """How long the next retry waits, ns."""
    widest = _MOST_BASES * route.backoff
    width = route.backoff
    for _ in range(call.attempts - 1):
        width = min(2 * width, widest)
    milliseconds = max(1, width // MILLISECOND)
    return below(scramble(call.key, ATTEMPT + call.attempts), BACKOFF, milliseconds) * MILLISECOND
