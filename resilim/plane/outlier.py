"""Outlier detection of one cluster (Envoy 1.40, outlier_detection_impl.cc).

* Each answer is counted at its host: a 5xx, a timeout (as 504) or a reset (as 503) lengthens the streak of
  errors, anything else ends it. What the caller's own pool refused is not counted: no host was at fault.
* The streak ejects when it *equals* the threshold, at once, not at the next sweep; then it starts again.
* Ejecting is refused when 100 * (ejected + 1) / members exceeds `max_ejection_percent`: with the default
  10 % nothing is ever ejected below ten members.
* The k-th ejection lasts base * k, at most `max_ejection_time`, rounded *up* to the next sweep, because
  only a sweep ends it. A sweep that finds a host in service for an interval lets k decay by one.
* Each proxy decides for itself.
"""

from __future__ import annotations

from resilim.plane.balance import line_up
from resilim.plane.changes import note_change
from resilim.plane.kinds import EJECTED, EJECTION_REFUSED, UNEJECTED
from resilim.plane.machine import State, plane
from resilim.plane.records import Detector


@plane
def report(S: State, cluster_index: int, member_index: int, code: int, now: int) -> None:
    """Count one answer of a member; it may eject it."""
    detector = S.detector[cluster_index]
    if detector.interval == 0:
        return
    member = S.member[member_index]
    if code < 500:
        member.consecutive_5xx = 0
        return
    member.consecutive_5xx += 1
    if member.consecutive_5xx != detector.consecutive_5xx_errors or member.ejected:
        return
    eject(S, cluster_index, member_index, now)
    member.consecutive_5xx = 0


@plane
def eject(S: State, cluster_index: int, member_index: int, now: int) -> None:
    """Eject a member unless too many are out already."""
    detector = S.detector[cluster_index]
    cluster = S.cluster[cluster_index]
    if 100 * (detector.active + 1) > detector.max_ejection_percent * cluster.members:
        detector.overflow += 1
        note_change(S, now, EJECTION_REFUSED, member_index)
        return
    member = S.member[member_index]
    detector.active += 1
    detector.enforced_total += 1
    member.ejected = 1
    member.ejected_at = now
    longest = detector.max_ejection_time + detector.base_ejection_time
    if member.multiplier * detector.base_ejection_time < longest:
        member.multiplier += 1
    line_up(S, cluster)
    note_change(S, now, EJECTED, member_index)


@plane
def sweep(S: State, cluster_index: int, now: int) -> None:
    """The interval timer: end the ejections that are over, let multipliers decay."""
    detector = S.detector[cluster_index]
    cluster = S.cluster[cluster_index]
    for index in range(cluster.first_member, cluster.first_member + cluster.members):
        member = S.member[index]
        if member.ejected:
            if ejection_time(detector, member.multiplier) <= now - member.ejected_at:
                uneject(S, cluster_index, index, now)
        elif member.unejected_at >= 0 and now - member.unejected_at >= detector.interval:
            member.multiplier = max(0, member.multiplier - 1)


@plane
def uneject(S: State, cluster_index: int, member_index: int, now: int) -> None:
    """Return a member to service."""
    member = S.member[member_index]
    S.detector[cluster_index].active -= 1
    member.ejected = 0
    member.unejected_at = now
    member.consecutive_5xx = 0
    line_up(S, S.cluster[cluster_index])
    note_change(S, now, UNEJECTED, member_index)


@plane
def ejection_time(detector: Detector, multiplier: int) -> int:
    """How long the ejection lasts at least, ns."""
    return min(detector.base_ejection_time * multiplier, detector.max_ejection_time)
