"""When active health checks happen, and what comes of one (Envoy 1.40, health_checker_base_impl.cc).

* A run begins with a mesh that is there already: a proxy does not check its hosts at the first instant, but
  all of them at one moment of the first interval, apart by their initial jitter.
* A check asks for the state of the host at that moment. It takes no worker; a slow host answers it slowly, a
  failing one as often with its error. A host that refuses connections fails it at once, one that does not
  answer after the timeout.
"""

from __future__ import annotations

from resilim.plane.gate import REFUSING, SILENT
from resilim.plane.health import (
    NETWORK_ERROR,
    PASSED,
    TIMED_OUT,
    WRONG_STATUS,
    check,
    next_interval,
)
from resilim.plane.kinds import CHECK_BEGINS, CHECK_ENDS
from resilim.plane.luck import (
    CHECK_FAILING,
    CHECK_PHASE,
    CHECK_RESPONSE,
    CHECK_START,
    PHASE,
    duration,
    uniform,
)
from resilim.plane.machine import State, plane, push, scramble
from resilim.plane.records import Checker, Cluster, Host, Law


@plane
def begin_checks(S: State, cluster: Cluster, cluster_index: int) -> None:
    """Plan the first check of every member of a cluster."""
    checker = S.checker[cluster_index]
    if checker.interval == 0:
        return
    phase = int(checker.interval * uniform(scramble(cluster.key, CHECK_PHASE), PHASE))
    for index in range(cluster.first_member, cluster.first_member + cluster.members):
        jitter = int(checker.initial_jitter * uniform(own_key(cluster, index), CHECK_START))
        push(S, phase + jitter, CHECK_BEGINS, index)


@plane
def own_key(cluster: Cluster, member_index: int) -> int:
    """The luck of the checks of one member."""
    key = scramble(cluster.key, CHECK_PHASE)
    return scramble(scramble(key, member_index - cluster.first_member), CHECK_START)


@plane
def on_check(S: State, now: int, member_index: int) -> None:
    """A check begins: what will come of it, and when."""
    member = S.member[member_index]
    checker = S.checker[member.cluster]
    host = S.host[member.host]
    key = scramble(own_key(S.cluster[member.cluster], member_index), member.checks_begun)
    member.checks_begun += 1
    luck = scramble(key, CHECK_RESPONSE)
    time = answer_time(checker, host, S.law[checker.response], luck)
    member.check_result = result_of(checker, host, time, luck)
    push(S, now + min(time, checker.timeout), CHECK_ENDS, member_index)


@plane
def answer_time(checker: Checker, host: Host, law: Law, luck: int) -> int:
    """Time until a host answers a check, ns; more than the timeout: it does not."""
    if host.link == REFUSING:
        return 0
    if host.link == SILENT:
        return checker.timeout + 1
    return int(duration(law, scramble(luck, CHECK_RESPONSE)) * host.slowdown)


@plane
def result_of(checker: Checker, host: Host, time: int, luck: int) -> int:
    """The result of a check that is answered after so long."""
    if host.link == REFUSING:
        return NETWORK_ERROR
    if time > checker.timeout:
        return TIMED_OUT
    if uniform(luck, CHECK_FAILING) < host.failing:
        return NETWORK_ERROR if host.fail_code < 0 else WRONG_STATUS
    return PASSED


@plane
def on_checked(S: State, now: int, member_index: int) -> None:
    """The result of a check is known; the next one follows."""
    member = S.member[member_index]
    check(S, member_index, member.check_result, now)
    cluster = S.cluster[member.cluster]
    key = scramble(scramble(own_key(cluster, member_index), member.checks_begun), CHECK_RESPONSE)
    push(S, now + next_interval(S.checker[member.cluster], cluster, member, key), CHECK_BEGINS, member_index)
