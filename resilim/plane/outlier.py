"""Outlier detection of one cluster: what is reported of its hosts, and the sweep.

Envoy 1.40, outlier_detection_impl.cc; what is reported and when: router.cc, upstream_request.cc.

* Each attempt counts. An answer is its status, or for gRPC the HTTP status that stands for its grpc-status; a
  5xx lengthens the streak of errors, 502 to 504 that of gateway failures too, which a 500 ends; anything else
  ends both. What the caller's own pool refused is not reported: no host was at fault.
* Under an error matcher the listed statuses are failures (500 if they are none by themselves), all others
  are successes.
* Without split errors a reset counts as 503, a timeout as 504; that a connection is there counts for nothing.
* With split errors, resets and timeouts are failures of local origin, with a streak of their own, and each
  connection that an attempt gets ends that streak. So timeouts on live connections, one after the other,
  never add up. An answer counts as its own status, and is no success of local origin (measured, Envoy 1.40).
* A streak fires when it *equals* its threshold, at once, not at the next sweep; so 0 never fires. Then it
  starts again, whether its host was ejected, let off, or over the cap. Of a host that is out streaks fire
  nothing, and are not cleared before it is back.
* A sweep first lets back in who was out long enough, then judges the interval (`success_rate`), then lets the
  multipliers decay: by one, of hosts that have been back for at least an interval.
* A host that leaves the cluster takes all that is known of it along. Each proxy decides for itself.
"""

from __future__ import annotations

from resilim.plane import success_rate
from resilim.plane.ejection import (
    CONSECUTIVE_5XX,
    CONSECUTIVE_GATEWAY_FAILURE,
    CONSECUTIVE_LOCAL_ORIGIN_FAILURE,
    detect,
    is_over,
    uneject,
)
from resilim.plane.machine import State, plane
from resilim.plane.records import NONE, Detector
from resilim.plane.resets import GRPC

# Results that are no answer, as Envoy's put_result takes them.
CONNECT_SUCCESS = 0  # an attempt got its connection
CONNECT_SUCCESS_FINAL = 1  # and nothing else will be reported of it (TCP)
CONNECT_FAILURE = 2  # reset, or no connection
TIMEOUT = 3
EXT_SUCCESS = 4  # the host itself succeeded
EXT_FAILURE = 5  # the host itself failed


# ---------------------------------------------------------------- reports


@plane
def response(S: State, cluster_index: int, member_index: int, code: int, now: int) -> None:
    """Count one answer of a member, with status `code`, or GRPC plus a grpc-status; it may eject it."""
    member = S.member[member_index]
    member.external_total += 1
    if code >= 500:
        status = code if code < GRPC else http_status(code - GRPC)
        if 500 <= status <= 599:
            failed_response(S, cluster_index, member_index, status, now)
            return
    member.consecutive_5xx = 0
    member.consecutive_gateway = 0


@plane
def failed_response(S: State, cluster_index: int, member_index: int, status: int, now: int) -> None:
    """Lengthen the streaks of a member whose answer was a 5xx."""
    detector = S.detector[cluster_index]
    member = S.member[member_index]
    member.external_failed += 1
    if 502 <= status <= 504:
        member.consecutive_gateway += 1
        if member.consecutive_gateway == detector.consecutive_gateway_failure:
            fire(S, cluster_index, member_index, CONSECUTIVE_GATEWAY_FAILURE, now)
    else:
        member.consecutive_gateway = 0
    member.consecutive_5xx += 1
    if member.consecutive_5xx == detector.consecutive_5xx:
        fire(S, cluster_index, member_index, CONSECUTIVE_5XX, now)


@plane
def matched_response(S: State, cluster_index: int, member_index: int, code: int, now: int) -> None:
    """Count one answer of a member of a cluster with an error matcher."""
    status = matched_status(S, S.detector[cluster_index], code)
    response(S, cluster_index, member_index, status, now)


@plane
def matched_status(S: State, detector: Detector, code: int) -> int:
    """The status that counts for an answer, by the error matcher."""
    status = code if code < GRPC else 200
    for index in range(detector.first_error_code, detector.first_error_code + detector.error_codes):
        if S.code[index] == status:
            return status if 500 <= status <= 599 else 500
    return 200


@plane
def report(S: State, cluster_index: int, member_index: int, result: int, code: int, now: int) -> None:
    """Count what is no answer: a `result` of the list above, with the status it stands for; 0: its own."""
    if S.detector[cluster_index].split_external_local_origin_errors == 0:
        status = code if code else plain_status(result)
        if status:
            response(S, cluster_index, member_index, status, now)
        return
    if result in (CONNECT_FAILURE, TIMEOUT):
        local_failure(S, cluster_index, member_index, now)
        return
    if result == EXT_FAILURE:
        response(S, cluster_index, member_index, code if code else 503, now)
        return
    if result == EXT_SUCCESS:
        response(S, cluster_index, member_index, code if code else 200, now)
    local_success(S, member_index)


@plane
def local_success(S: State, member_index: int) -> None:
    """Split errors: an attempt got its connection."""
    member = S.member[member_index]
    member.local_total += 1
    member.consecutive_local = 0


@plane
def local_failure(S: State, cluster_index: int, member_index: int, now: int) -> None:
    """Split errors: no connection, a reset or a timeout."""
    member = S.member[member_index]
    member.local_total += 1
    member.local_failed += 1
    member.consecutive_local += 1
    if member.consecutive_local == S.detector[cluster_index].consecutive_local_origin_failure:
        fire(S, cluster_index, member_index, CONSECUTIVE_LOCAL_ORIGIN_FAILURE, now)


@plane
def plain_status(result: int) -> int:
    """The status that a result stands for when errors are not split; 0: none."""
    if result == CONNECT_FAILURE:
        return 503
    if result == TIMEOUT:
        return 504
    if result == EXT_FAILURE:
        return 500
    if result == CONNECT_SUCCESS:
        return 0
    return 200


@plane
def http_status(grpc_status: int) -> int:
    """The HTTP status that stands for a grpc-status; one below 500 is as good as another, and is 400."""
    if grpc_status == 14:  # unavailable
        return 503
    if grpc_status == 4:  # deadline exceeded
        return 504
    if grpc_status == 12:  # unimplemented
        return 501
    if grpc_status in (2, 13, 15) or grpc_status > 16:  # unknown, internal, data loss; none of gRPC's
        return 500
    return 200 if grpc_status == 0 else 400


@plane
def fire(S: State, cluster_index: int, member_index: int, by: int, now: int) -> None:
    """The streak of the detector `by` has reached its threshold."""
    member = S.member[member_index]
    if member.ejected or member.removed:
        return
    detect(S, cluster_index, member_index, by, now)
    if by == CONSECUTIVE_5XX:
        member.consecutive_5xx = 0
    elif by == CONSECUTIVE_GATEWAY_FAILURE:
        member.consecutive_gateway = 0
    else:
        member.consecutive_local = 0


# ---------------------------------------------------------------- the interval timer


@plane
def sweep(S: State, cluster_index: int, now: int) -> None:
    """The interval timer: end the ejections that are over, judge the interval, let multipliers decay."""
    detector = S.detector[cluster_index]
    cluster = S.cluster[cluster_index]
    if cluster.watched == 0:
        return
    for index in range(cluster.first_member, cluster.first_member + cluster.members):
        member = S.member[index]
        if member.ejected and is_over(detector, member, now):
            uneject(S, cluster_index, index, now)
        member.external_rate = success_rate.NOT_KNOWN
        member.local_rate = success_rate.NOT_KNOWN
    success_rate.judge(S, cluster_index, success_rate.EXTERNAL, now)
    if detector.split_external_local_origin_errors:
        success_rate.judge(S, cluster_index, success_rate.LOCAL, now)
    for index in range(cluster.first_member, cluster.first_member + cluster.members):
        member = S.member[index]
        success_rate.begin_windows(member)
        is_back = member.ejected == 0 and member.unejected_at >= 0
        if is_back and member.multiplier > 0 and now - member.unejected_at >= detector.interval:
            member.multiplier -= 1


# ---------------------------------------------------------------- what comes to an end


@plane
def remove_member(S: State, cluster_index: int, member_index: int) -> None:
    """Forget a member that has left the cluster: should it come back, it starts anew."""
    member = S.member[member_index]
    if member.ejected:
        S.detector[cluster_index].active -= 1
    member.ejected = 0
    member.ejections = 0
    member.multiplier = 0
    member.jitter = 0
    member.ejected_at = NONE
    member.unejected_at = NONE
    member.consecutive_5xx = 0
    member.consecutive_gateway = 0
    member.consecutive_local = 0
    member.external_rate = success_rate.NOT_KNOWN
    member.local_rate = success_rate.NOT_KNOWN
    success_rate.begin_windows(member)


@plane
def destroy(S: State, cluster_index: int) -> None:
    """End a detector with its cluster: nothing is reported any more, no host counts as ejected by it."""
    S.cluster[cluster_index].watched = 0
    S.cluster[cluster_index].splits = 0
    S.detector[cluster_index].active = 0
