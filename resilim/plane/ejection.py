"""Ejecting a host, and taking it back (Envoy 1.40, outlier_detection_impl.cc).

* Ejecting is refused when 100 * (ejected + 1) / hosts exceeds `max_ejection_percent`, over all priorities:
  with the default 10 % nothing is ever ejected below ten hosts, unless `always_eject_one_host` is set.
* Then the enforcing percentage of the detector that fired is rolled: a whole number from 0 to 99 below it
  ejects; else the host is let off, and that is recorded.
* The k-th ejection lasts base * k, at most `max_ejection_time`, and a jitter on top of either. k rests one
  step above what `max_ejection_time` needs.
* Only a sweep or a passed active health check ends an ejection. Its end clears the streaks of errors, so that
  it takes as many errors again; not the windows, and not k.
* The balancer learns of both through `updates`; the pools of an ejected host drain at once.
* Envoy ejects a host twice, with all that is counted then, when its success rate and its failure percentage
  catch it in the same sweep. Here the second one is detected and rolled for, but a host that is out stays out
  once: this is the only rule that is not Envoy's.
"""

from __future__ import annotations

from resilim.plane import pool, updates
from resilim.plane.changes import log_change, note_change
from resilim.plane.kinds import EJECTED, EJECTION_NOT_ENFORCED, EJECTION_REFUSED, UNEJECTED
from resilim.plane.luck import EJECTION_JITTER, ENFORCING, below
from resilim.plane.machine import State, plane, scramble
from resilim.plane.records import Cluster, Detector, Member

# What detects an outlier; `Change.why` of an ejection.
CONSECUTIVE_5XX = 1
CONSECUTIVE_GATEWAY_FAILURE = 2
CONSECUTIVE_LOCAL_ORIGIN_FAILURE = 3
SUCCESS_RATE = 4
SUCCESS_RATE_LOCAL_ORIGIN = 5
FAILURE_PERCENTAGE = 6
FAILURE_PERCENTAGE_LOCAL_ORIGIN = 7

_MILLISECOND = 1_000_000


@plane
def detect(S: State, cluster_index: int, member_index: int, by: int, now: int) -> None:
    """A detector has found an outlier: count it, and eject it if that is allowed and enforced."""
    detector = S.detector[cluster_index]
    count_detected(detector, by)
    if is_over_the_cap(S, cluster_index):
        detector.overflow += 1
        note_change(S, now, EJECTION_REFUSED, member_index, by)
        return
    if by in (CONSECUTIVE_5XX, SUCCESS_RATE):
        detector.total += 1
    key = scramble(S.cluster[cluster_index].key, detector.draws)
    detector.draws += 1
    if below(key, ENFORCING, 100) >= enforcing(detector, by):
        log_change(S, now, EJECTION_NOT_ENFORCED, member_index, by)
    elif S.member[member_index].ejected == 0:
        count_enforced(detector, by)
        eject(S, cluster_index, member_index, by, key, now)


@plane
def is_over_the_cap(S: State, cluster_index: int) -> bool:
    """Whether one more ejection is too many."""
    detector = S.detector[cluster_index]
    if detector.always_eject_one_host and detector.active == 0:
        return False
    percent = min(100, detector.max_ejection_percent)
    return 100 * (detector.active + 1) > percent * hosts(S, S.cluster[cluster_index])


@plane
def hosts(S: State, cluster: Cluster) -> int:
    """Number of hosts of a cluster, of all priorities, healthy or not."""
    number = 0
    for index in range(cluster.first_member, cluster.first_member + cluster.members):
        if S.member[index].removed == 0:
            number += 1
    return number


@plane
def eject(S: State, cluster_index: int, member_index: int, by: int, key: int, now: int) -> None:
    """Take a member out of service, with the luck `key`."""
    detector = S.detector[cluster_index]
    member = S.member[member_index]
    detector.active += 1
    member.ejected = 1
    member.ejections += 1
    member.ejected_at = now
    steps = detector.max_ejection_time_jitter // _MILLISECOND + 1
    member.jitter = scramble(key, EJECTION_JITTER) % steps * _MILLISECOND
    longest = detector.max_ejection_time + detector.base_ejection_time
    if member.multiplier * detector.base_ejection_time < longest:
        member.multiplier += 1
    updates.health_changed(S, member_index, now)
    pool.drain_member(S, S.cluster[cluster_index], member_index, now)
    note_change(S, now, EJECTED, member_index, by)


@plane
def uneject(S: State, cluster_index: int, member_index: int, now: int) -> None:
    """Return a member to service."""
    member = S.member[member_index]
    S.detector[cluster_index].active -= 1
    member.ejected = 0
    member.unejected_at = now
    member.consecutive_5xx = 0
    member.consecutive_gateway = 0
    member.consecutive_local = 0
    updates.health_changed(S, member_index, now)
    note_change(S, now, UNEJECTED, member_index, 0)


@plane
def is_over(detector: Detector, member: Member, now: int) -> bool:
    """Whether the ejection of a member has lasted long enough."""
    lasts = min(detector.base_ejection_time * member.multiplier, detector.max_ejection_time)
    return lasts + member.jitter <= now - member.ejected_at


# ---------------------------------------------------------------- what belongs to one detector


@plane
def enforcing(detector: Detector, by: int) -> int:
    """Percentage of detections that eject."""
    if by == CONSECUTIVE_5XX:
        return detector.enforcing_consecutive_5xx
    if by == CONSECUTIVE_GATEWAY_FAILURE:
        return detector.enforcing_consecutive_gateway_failure
    if by == CONSECUTIVE_LOCAL_ORIGIN_FAILURE:
        return detector.enforcing_consecutive_local_origin_failure
    if by == SUCCESS_RATE:
        return detector.enforcing_success_rate
    if by == SUCCESS_RATE_LOCAL_ORIGIN:
        return detector.enforcing_local_origin_success_rate
    if by == FAILURE_PERCENTAGE:
        return detector.enforcing_failure_percentage
    return detector.enforcing_failure_percentage_local_origin


@plane
def count_detected(detector: Detector, by: int) -> None:
    """Count a detection."""
    if by == CONSECUTIVE_5XX:
        detector.detected_5xx += 1
    elif by == CONSECUTIVE_GATEWAY_FAILURE:
        detector.detected_gateway += 1
    elif by == CONSECUTIVE_LOCAL_ORIGIN_FAILURE:
        detector.detected_local += 1
    elif by == SUCCESS_RATE:
        detector.detected_success_rate += 1
    elif by == SUCCESS_RATE_LOCAL_ORIGIN:
        detector.detected_local_success_rate += 1
    elif by == FAILURE_PERCENTAGE:
        detector.detected_failure_percentage += 1
    else:
        detector.detected_local_failure_percentage += 1


@plane
def count_enforced(detector: Detector, by: int) -> None:
    """Count an ejection."""
    detector.enforced_total += 1
    if by == CONSECUTIVE_5XX:
        detector.enforced_5xx += 1
    elif by == CONSECUTIVE_GATEWAY_FAILURE:
        detector.enforced_gateway += 1
    elif by == CONSECUTIVE_LOCAL_ORIGIN_FAILURE:
        detector.enforced_local += 1
    elif by == SUCCESS_RATE:
        detector.enforced_success_rate += 1
    elif by == SUCCESS_RATE_LOCAL_ORIGIN:
        detector.enforced_local_success_rate += 1
    elif by == FAILURE_PERCENTAGE:
        detector.enforced_failure_percentage += 1
    else:
        detector.enforced_local_failure_percentage += 1
