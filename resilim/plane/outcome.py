"""How attempts end: an answer, a reset, a refusal; then a retry or the end of the call.

* Order at an answer: detector, retry decision, stream, waiting requests, then the call itself.
* A call may have several attempts in flight (hedging): the first answer that would not be retried wins, and
  the others are reset; a bad one is dropped while another attempt is in flight or scheduled.
* A connection that the upstream closes resets all its streams, a few in one event.
"""

from __future__ import annotations

from resilim.plane import outlier, pool, retry
from resilim.plane.calls import end_call
from resilim.plane.flags import NO_FLAG, UMSDR, UO, UT
from resilim.plane.host import waste
from resilim.plane.kinds import CALL_AGAIN, CUT
from resilim.plane.lists import give_back
from resilim.plane.machine import ATTEMPTS, CALLS, State, plane, push
from resilim.plane.proxy import begin_attempt, enter_router, remember
from resilim.plane.records import NONE, Call, Cluster, Route
from resilim.plane.resets import (
    CONNECT_FAILURE,
    CONNECT_TIMEOUT,
    GRPC,
    INFORMED_TERMINATION,
    PROTOCOL_ERROR,
    REMOTE_RESET,
    TERMINATION,
    flag_of,
    status_of,
)
from resilim.plane.streams import end_stream, forget, reset_others, serve, stop_timer

# Attempt.hedged: its per-try timeout is over and it goes on; and another attempt is sent for it.
TIMED_OUT = 1
HEDGED = 2


@plane
def on_reply(S: State, now: int, index: int) -> None:
    """An answer, or a reset, is back at the caller."""
    attempt = S.attempt[index]
    call_index = attempt.call
    code = attempt.code
    if call_index < 0:
        waste(S, S.host[attempt.host], attempt, index, now - attempt.way_back)
        return
    if code < 0:
        upstream_reset(S, index, code, now)
        give_back(S.supply[ATTEMPTS], S.attempt, index)
        return
    call = S.call[call_index]
    cluster = S.cluster[call.cluster]
    if cluster.watched:
        outlier.response(S, call.cluster, attempt.member, code, now)
    if code < 400 and call.soiled == 0 and S.route[call.route].codes == 0:
        end_stream(S, cluster, attempt, index, now)
        S.member[attempt.member].rq_success += 1
        call.attempt = NONE
        give_back(S.supply[ATTEMPTS], S.attempt, index)
        end_call(S, call_index, call, cluster, code, NO_FLAG, NONE, now)
        return
    answered(S, index, call_index, code, now)


@plane
def answered(S: State, index: int, call_index: int, code: int, now: int) -> None:
    """An attempt of a call has its answer: repeat it, drop it, or end the call with it.

    While that is decided its stream still counts among the active requests.
    """
    attempt = S.attempt[index]
    call = S.call[call_index]
    cluster = S.cluster[call.cluster]
    route = S.route[call.route]
    member_index = attempt.member
    member = S.member[member_index]
    flags = attempt.flags
    origin = attempt.origin
    wanted = route.retry_on + route.codes > 0 and retry.qualifies(S, route, code, 1, 0)
    verdict = NO_FLAG
    if attempt.hedged != HEDGED and call.forwarded == 0:
        verdict = retry.decide(S, call, cluster, route, wanted)
    attempt.hedged = 0
    forget(S, call, index)
    is_last = verdict != retry.RETRY_NOW and not (wanted and (call.attempt >= 0 or call.scheduled))
    if is_last:
        reset_others(S, call, cluster, now)
    end_stream(S, cluster, attempt, index, now)
    give_back(S.supply[ATTEMPTS], S.attempt, index)
    if verdict == retry.RETRY_NOW:
        call.sent = 1
        member.rq_error += 1
        if code >= 500:
            cluster.retried_5xx += 1
        try_again(S, call_index, call, cluster, route, member_index, now)
        return
    if verdict != NO_FLAG:
        call.soiled = 1
        call.flags = call.flags | verdict
    if not is_last:
        member.rq_error += 1
        return
    status = code if code < GRPC else outlier.http_status(code - GRPC)
    if 500 <= status < 600:
        member.rq_error += 1
    else:
        member.rq_success += 1
    end_call(S, call_index, call, cluster, code, flags, origin, now)


@plane
def upstream_reset(S: State, index: int, reset: int, now: int) -> None:
    """The upstream resets a bound attempt; the attempt's record stays with the one who calls this."""
    attempt = S.attempt[index]
    call_index = attempt.call
    call = S.call[call_index]
    cluster = S.cluster[call.cluster]
    waiting = S.pool[attempt.pool]
    if reset == INFORMED_TERMINATION:
        forward_informational(call)
        reset = TERMINATION
    stop_timer(S, call, attempt, index)
    hedged = attempt.hedged
    attempt.hedged = 0
    attempt.call = NONE
    forget(S, call, index)
    if cluster.multiplexed and reset not in (TERMINATION, PROTOCOL_ERROR):
        if reset == REMOTE_RESET:
            cluster.rq_rx_reset += 1
        pool.release(S, cluster, waiting, attempt, now)
    else:
        left = pool.lose(S, cluster, waiting, attempt)
        if left >= 0:
            S.connection[left].cursor = 0
            push(S, now, CUT, left)
    if waiting.head >= 0:
        serve(S, now, attempt.pool)
    if cluster.watched:
        outlier.report(S, call.cluster, attempt.member, outlier.CONNECT_FAILURE, 0, now)
    failed(S, call_index, call, attempt.member, reset, flag_of(reset), hedged, now)


@plane
def forward_informational(call: Call) -> None:
    """The caller gets a 1xx answer: from now on nothing of the call is retried."""
    call.forwarded = 1
    call.soiled = 1


@plane
def failed(
    S: State, call_index: int, call: Call, member_index: int, reset: int, flag: int, hedged: int, now: int
) -> None:
    """An attempt of a call was reset, or had no connection: repeat it, or end the call."""
    cluster = S.cluster[call.cluster]
    route = S.route[call.route]
    if reset not in (CONNECT_FAILURE, CONNECT_TIMEOUT):
        call.soiled = 1
        call.sent = 1
    wanted = route.retry_on > 0 and retry.reset_qualifies(route.retry_on, reset, call.sent)
    verdict = NO_FLAG
    if hedged != HEDGED and call.forwarded == 0:
        verdict = retry.decide(S, call, cluster, route, wanted)
    S.member[member_index].rq_error += 1
    if verdict == retry.RETRY_NOW:
        try_again(S, call_index, call, cluster, route, member_index, now)
    elif flag == UMSDR or (call.attempt < 0 and call.scheduled == 0):
        reset_others(S, call, cluster, now)
        code = route.timeout_code if flag in (UT, UMSDR) else status_of(reset)
        end_call(S, call_index, call, cluster, code, flag | verdict, cluster.service, now)
    elif verdict != NO_FLAG:
        call.soiled = 1
        call.flags = call.flags | verdict


@plane
def try_again(
    S: State, call_index: int, call: Call, cluster: Cluster, route: Route, member_index: int, now: int
) -> None:
    """Let the back-off before a retry begin."""
    if route.reselections > 0:
        remember(S, call, member_index)
    call.scheduled = 1
    push(S, now + retry.backoff(route, call), CALL_AGAIN, call_index)


@plane
def on_call_again(S: State, now: int, call_index: int) -> None:
    """The back-off before a retry is over, or the delay before the first attempt."""
    call = S.call[call_index]
    call.scheduled = 0
    if call.ended:
        call.ended = 0
        give_back(S.supply[CALLS], S.call, call_index)
        return
    cluster = S.cluster[call.cluster]
    route = S.route[call.route]
    if call.attempts == 0:
        code = enter_router(S, route, call, cluster, call_index, now)
        if code != 0:
            end_call(S, call_index, call, cluster, code, NO_FLAG, cluster.service, now)
        return
    failure = begin_attempt(S, call_index, call, cluster, route, now)
    if failure == UO:
        retry.decide(S, call, cluster, route, False)
    if failure != NO_FLAG and call.attempt < 0:
        end_call(S, call_index, call, cluster, 503, failure, cluster.service, now)
