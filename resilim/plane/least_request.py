"""Least request among equal weights (Envoy 1.40, least_request_lb.cc).

* `choices` members are drawn independently, with replacement; the one with the fewest requests on
  connections wins, a tie keeps the one that was drawn first. Requests that wait for a connection do not
  count.
* `choices` 0 looks at all members; ties are broken at random.
* Two choices, which is nearly always, are drawn in `balance.pick` with the same numbers as here.
"""

from __future__ import annotations

from resilim.plane.luck import BALANCE, MORE_CHOICES, SECOND_CHOICE, below
from resilim.plane.machine import State, plane, scramble
from resilim.plane.records import Cluster


@plane
def choose(S: State, cluster: Cluster, start: int, n: int, key: int) -> int:
    """The member to take of the `n` that stand at `start` in the lineup table."""
    if cluster.choices == 0:
        return scan(S, start, n, key)
    best = S.lineup[start + below(key, BALANCE, n)]
    bits = scramble(key, SECOND_CHOICE)
    for _ in range(cluster.choices - 1):
        drawn = S.lineup[start + ((bits >> 32) * n >> 31)]
        if S.member[drawn].rq_active < S.member[best].rq_active:
            best = drawn
        bits = scramble(bits, MORE_CHOICES)
    return best


@plane
def scan(S: State, start: int, n: int, key: int) -> int:
    """The member with the fewest requests of all; each of those that tie is as likely."""
    best = S.lineup[start]
    ties = 1
    bits = key
    for offset in range(1, n):
        index = S.lineup[start + offset]
        active = S.member[index].rq_active
        least = S.member[best].rq_active
        if active < least:
            best = index
            ties = 1
        elif active == least:
            ties += 1
            bits = scramble(bits, MORE_CHOICES)
            if (bits >> 32) * ties >> 31 == 0:
                best = index
    return best
