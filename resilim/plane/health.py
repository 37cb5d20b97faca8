"""Active health checks of one cluster (Envoy 1.40, health_checker_base_impl.cc).

* A wrong status makes a host unhealthy at once; timeouts and network errors when there are
  `unhealthy_threshold` of them in a row. `healthy_threshold` passes in a row make it healthy again; the very
  first check of a host does so alone.
* A pass begins the count of failures anew, and the other way round.
* A passed check also ends an ejection by outlier detection, even when it changed nothing else, unless
  `successful_active_health_check_uneject_host` is off.
* The pools of a host that fails drain; its new state reaches the balancer like an ejection (`updates`).
* The next check begins an interval after the *result* of the last one. Which interval: `next_interval`.
"""

from __future__ import annotations

from resilim.plane import pool, updates
from resilim.plane.changes import note_change
from resilim.plane.ejection import uneject
from resilim.plane.kinds import CHECK_FAILED, CHECK_PASSED
from resilim.plane.luck import CHECK_JITTER, CHECK_JITTER_PERCENT
from resilim.plane.machine import State, plane, scramble
from resilim.plane.records import Checker, Cluster, Member

# Results of a check.
PASSED = 0
WRONG_STATUS = 1
TIMED_OUT = 2
NETWORK_ERROR = 3

_MILLISECOND = 1_000_000


@plane
def check(S: State, member_index: int, result: int, now: int) -> None:
    """The result of one check of a member."""
    member = S.member[member_index]
    if member.removed:
        return
    cluster = S.cluster[member.cluster]
    count(S.checker[member.cluster], result)
    was_failed = member.check_failed
    was_excluded = member.excluded
    judge(S.checker[member.cluster], member, result, now)
    member.excluded = 0
    member.checks_done += 1
    if member.check_failed != was_failed or was_excluded:
        updates.health_changed(S, member_index, now)
    if result == PASSED:
        end_ejection(S, member_index, now)
    if member.check_failed > was_failed:
        pool.drain_member(S, cluster, member_index, now)
        note_change(S, now, CHECK_FAILED, member_index, 0)
    elif member.check_failed < was_failed:
        note_change(S, now, CHECK_PASSED, member_index, 0)


@plane
def count(checker: Checker, result: int) -> None:
    """Count a result."""
    checker.attempt += 1
    if result == PASSED:
        checker.success += 1
        return
    checker.failure += 1
    if result != WRONG_STATUS:
        checker.network_failure += 1


@plane
def judge(checker: Checker, member: Member, result: int, now: int) -> None:
    """Draw the conclusion from a result: is the host healthy?"""
    if result == PASSED:
        member.checks_missed = 0
        member.checks_passed += 1
        enough = member.checks_done == 0 or member.checks_passed == checker.healthy_threshold
        if member.check_failed and enough:
            member.check_failed = 0
            member.healthy_since = now
        return
    member.checks_passed = 0
    member.checks_missed += 1
    if result == WRONG_STATUS or member.checks_missed == checker.unhealthy_threshold:
        member.check_failed = 1


@plane
def end_ejection(S: State, member_index: int, now: int) -> None:
    """A passed check takes back an ejected host, if it is healthy by the checks."""
    member = S.member[member_index]
    if member.ejected and member.check_failed == 0:
        is_watched = S.cluster[member.cluster].watched
        if is_watched and S.detector[member.cluster].successful_active_health_check_uneject_host:
            uneject(S, member.cluster, member_index, now)


@plane
def next_interval(checker: Checker, cluster: Cluster, member: Member, key: int) -> int:
    """Time from the last result of a member to its next check, ns, whole ms, with the luck `key`."""
    base = base_interval(checker, cluster, member) // _MILLISECOND
    spread = checker.interval_jitter_percent * base // 100
    if spread > 0:
        base += scramble(key, CHECK_JITTER_PERCENT) % spread
    jitter = checker.interval_jitter // _MILLISECOND
    if jitter > 0:
        base += scramble(key, CHECK_JITTER) % jitter
    return max(base, 1) * _MILLISECOND


@plane
def base_interval(checker: Checker, cluster: Cluster, member: Member) -> int:
    """The same without its jitters: it depends on the last result, and on whether more of it will tell."""
    if cluster.cx_total == 0:
        return checker.no_traffic_interval
    passed = member.checks_passed > 0
    pending = passed == (member.check_failed == 1)
    if passed:
        if pending and checker.healthy_edge_interval:
            return checker.healthy_edge_interval
        return checker.interval
    if pending and checker.unhealthy_edge_interval:
        return checker.unhealthy_edge_interval
    return checker.unhealthy_interval if checker.unhealthy_interval else checker.interval
