"""Load balancing: which member of a cluster serves the next attempt (Envoy 1.40).

* The balancer sees the lineup: the members that are not ejected, in order. Each caller's proxy has its own.
* ROUND_ROBIN counts picks from a random start; the count goes on when the lineup changes.
* LEAST_REQUEST draws two members independently, with replacement; the one with fewer requests on
  connections wins, a tie keeps the first. Requests that wait for a connection do not count.
* RANDOM is uniform.
* Panic: when less than `panic_threshold` percent are healthy (and fewer than 1/1.4 of all), all members
  are used, ejected or not. Threshold 0: never; with no healthy member the pick fails (503 UH).
"""

from __future__ import annotations

from resilim.plane.luck import BALANCE, SECOND_CHOICE, below
from resilim.plane.machine import State, plane
from resilim.plane.records import NONE, Cluster

ROUND_ROBIN = 0
LEAST_REQUEST = 1
RANDOM = 2

# Envoy's overprovisioning factor in percent: with 100/1.4 = 71 % healthy a cluster counts as whole.
_OVERPROVISIONING = 140


@plane
def pick(S: State, cluster: Cluster, key: int) -> int:
    """Index of the member that serves an attempt with luck `key`; NONE when there is no healthy one."""
    n = cluster.lineup
    if n == 0:
        cluster.none_healthy += 1
        return NONE
    if cluster.in_panic:
        cluster.healthy_panic += 1
    base = cluster.first_member
    if cluster.balancer == ROUND_ROBIN:
        turn = cluster.turn
        cluster.turn = turn + 1
        return S.lineup[base + turn % n]
    first = S.lineup[base + below(key, BALANCE, n)]
    if cluster.balancer == RANDOM:
        return first
    second = S.lineup[base + below(key, SECOND_CHOICE, n)]
    if S.member[second].rq_active < S.member[first].rq_active:
        return second
    return first


@plane
def line_up(S: State, cluster: Cluster) -> None:
    """Rebuild the lineup after a change of health."""
    base = cluster.first_member
    end = base + cluster.members
    healthy = 0
    for index in range(base, end):
        if S.member[index].ejected == 0:
            S.lineup[base + healthy] = index
            healthy += 1
    cluster.lineup = healthy
    cluster.in_panic = int(is_panic(cluster, healthy))
    if cluster.in_panic:
        cluster.lineup = cluster.members
        for index in range(base, end):
            S.lineup[index] = index


@plane
def is_panic(cluster: Cluster, healthy: int) -> bool:
    """Whether so few healthy members put the cluster into panic."""
    enough = _OVERPROVISIONING * healthy // cluster.members >= 100
    return not enough and 100 * healthy // cluster.members < cluster.panic_threshold
