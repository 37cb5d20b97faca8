"""What happens when time is over: route timeout, per-try timeout, maximum stream duration.

* The route timeout ends the call, whatever its attempts do; it is never retried. The client's patience is
  one too, with another flag, and blames nobody. A connect timeout of the same instant comes first, because
  its timer was started first.
* The per-try timeout resets its attempt, which may be retried; with hedging the attempt goes on, and another
  one is sent beside it if there are retries left.
* The maximum stream duration resets its attempt, which may be retried; if not, it ends the call, also when
  another attempt is in flight.
"""

from __future__ import annotations

from resilim.plane import outlier, retry, timers
from resilim.plane.calls import end_call
from resilim.plane.flags import DC, UMSDR, UT
from resilim.plane.kinds import TIMER
from resilim.plane.machine import State, plane, push
from resilim.plane.outcome import HEDGED, TIMED_OUT, failed, try_again
from resilim.plane.pool import ASIDE
from resilim.plane.records import NONE, Attempt, Call, Cluster
from resilim.plane.resets import LOCAL_RESET
from resilim.plane.streams import forget, give_up
from resilim.plane.telemetry import uncharge


@plane
def on_timer(S: State, now: int, queue_index: int) -> None:
    """The oldest timer of a queue may be due."""
    queue = S.timer_queue[queue_index]
    if queue.kind == timers.ROUTE_TIMEOUT:
        if is_set_aside(S, queue.head):
            push(S, now, TIMER, queue_index)
            return
        index = timers.take_due(S, queue_index, S.call, now)
        if index >= 0:
            route_timeout(S, index, now)
    else:
        index = timers.take_due(S, queue_index, S.attempt, now)
        if index >= 0:
            per_try_timeout(S, index, now)


@plane
def is_set_aside(S: State, call_index: int) -> bool:
    """Whether a call is to hear in a moment that its connection could not be made: that comes first."""
    if call_index < 0:
        return False
    index = S.call[call_index].attempt
    return index >= 0 and S.attempt[index].connection == ASIDE


@plane
def route_timeout(S: State, call_index: int, now: int) -> None:
    """The route timeout of a call, or the client's patience, is over."""
    call = S.call[call_index]
    call.timer = NONE
    cluster = S.cluster[call.cluster]
    route = S.route[call.route]
    hits_nothing = call.attempt < 0
    while call.attempt >= 0:
        index = call.attempt
        attempt = S.attempt[index]
        call.attempt = attempt.older
        if route.timeout_flag == UT:
            cluster.rq_timeout += 1
            if attempt.connection >= 0:
                blame(S, call, cluster, attempt, route.timeout_code, now)
        give_up(S, cluster, index, now)
    code = 0 if route.timeout_flag == DC else route.timeout_code
    end_call(S, call_index, call, cluster, code, route.timeout_flag, cluster.service, now)
    if hits_nothing and code >= 500:
        uncharge(cluster, code)


@plane
def blame(S: State, call: Call, cluster: Cluster, attempt: Attempt, code: int, now: int) -> None:
    """Count a route timeout against the host of an attempt; its detector hears of a hedged one only once."""
    member = S.member[attempt.member]
    member.rq_timeout += 1
    member.rq_error += 1
    if cluster.watched and attempt.hedged == 0:
        outlier.report(S, call.cluster, attempt.member, outlier.TIMEOUT, code, now)


@plane
def per_try_timeout(S: State, index: int, now: int) -> None:
    """The per-try timeout of an attempt is over: a local reset, or with hedging one attempt more."""
    attempt = S.attempt[index]
    attempt.timed = 0
    call_index = attempt.call
    call = S.call[call_index]
    cluster = S.cluster[call.cluster]
    route = S.route[call.route]
    if cluster.watched:
        outlier.report(S, call.cluster, attempt.member, outlier.TIMEOUT, route.timeout_code, now)
    if route.hedges:
        hedge(S, call_index, call, cluster, attempt, now)
        return
    cluster.rq_per_try_timeout += 1
    S.member[attempt.member].rq_timeout += 1
    forget(S, call, index)
    give_up(S, cluster, index, now)
    failed(S, call_index, call, attempt.member, LOCAL_RESET, UT, 0, now)


@plane
def hedge(S: State, call_index: int, call: Call, cluster: Cluster, attempt: Attempt, now: int) -> None:
    """Send another attempt beside a slow one, if there is a retry policy and retries are left."""
    route = S.route[call.route]
    attempt.hedged = TIMED_OUT
    call.soiled = 1
    if route.retry_on + route.codes == 0:
        return
    verdict = retry.decide(S, call, cluster, route, True)
    if verdict == retry.RETRY_NOW:
        attempt.hedged = HEDGED
        call.sent = 1
        try_again(S, call_index, call, cluster, route, attempt.member, now)
    else:
        call.flags = call.flags | verdict


@plane
def on_stream_end(S: State, now: int, index: int) -> None:
    """The maximum stream duration of an attempt may be over."""
    attempt = S.attempt[index]
    if attempt.connection < 0 or attempt.stream_end != now:
        return
    call_index = attempt.call
    call = S.call[call_index]
    if S.route[call.route].max_stream_duration == 0:
        return
    cluster = S.cluster[call.cluster]
    cluster.rq_max_duration_reached += 1
    hedged = attempt.hedged
    forget(S, call, index)
    give_up(S, cluster, index, now)
    failed(S, call_index, call, attempt.member, LOCAL_RESET, UMSDR, hedged, now)
