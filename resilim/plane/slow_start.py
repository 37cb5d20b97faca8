"""Slow start: a new host gets its share little by little (Envoy 1.40, load_balancer_impl.cc).

* For round robin and least request. A healthy member counts with weight * max(least, share^(1/aggression)),
  share = max(1 ms, time since it became healthy) / window, until the window is over. Times are whole ms.
* What counts is the last time at which active checks found it healthy, or else the moment at which it
  joined. An ejection and its end change nothing.
* While any member of the cluster is in its window, a balancer that is refreshed keeps a schedule, also when
  all weights are equal; it keeps it until it is refreshed after the window.
"""

from __future__ import annotations

from math import exp, log

from resilim.plane.balancers import HEALTHY
from resilim.plane.groups import is_healthy
from resilim.plane.machine import State, plane
from resilim.plane.records import Cluster, HostSet, Member

MS = 1_000_000


@plane
def note_newest(S: State, cluster: Cluster, host_set: HostSet, now: int) -> None:
    """Note when the newest healthy member became healthy, if it is still in its window."""
    group = S.group[host_set.first_group + HEALTHY]
    for place in range(group.first, group.first + group.size):
        since = S.member[S.lineup[place]].healthy_since
        if since > cluster.newest and is_within(cluster, since, now):
            cluster.newest = since


@plane
def is_within(cluster: Cluster, since: int, now: int) -> bool:
    """Whether the slow-start window of a host that became healthy at `since` is not over."""
    return (now - since) // MS <= cluster.slow_start // MS


@plane
def factor(cluster: Cluster, member: Member, now: int) -> float:
    """What the weight of a member is multiplied with, 0..1."""
    age = (now - member.healthy_since) // MS
    window = cluster.slow_start // MS
    if age >= window or not is_healthy(member):
        return 1.0
    share = max(1, age) / window
    if cluster.slow_start_aggression != 1.0:
        share = exp(log(share) / cluster.slow_start_aggression)
    return max(share, cluster.slow_start_least)
