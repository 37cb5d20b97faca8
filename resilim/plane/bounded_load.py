"""Consistent hashing with bounded loads (Envoy 1.40, thread_aware_lb_impl.cc).

* With A requests of the cluster on connections, a factor of b percent, and w the host's share of the weight,
  a host has max(1, ceil(floor(((A + 1) b + 99) / 100) w)) slots. Its load is its requests / slots.
* The host that the hash leads to serves the request when its load is at most 1. Otherwise the others are
  asked in an order that the hash shuffles, and the first with a load of at most 1 serves it.
* When there is none, the one with the least load does.
"""

from __future__ import annotations

from math import ceil

from resilim.plane.luck import SHUFFLE
from resilim.plane.machine import State, plane, scramble
from resilim.plane.records import Cluster


@plane
def choose(S: State, cluster: Cluster, first: int, hosts: int, hashed_host: int, hashed: int) -> int:
    """Number of the host that serves a request whose hash leads to `hashed_host`."""
    best = hashed_host
    least = load_of(S, cluster, first + hashed_host)
    if least <= 1.0:
        return best
    for number in range(hosts):
        S.entry[first + number].order = number
    bits = hashed
    for number in range(hosts):
        bits = scramble(bits, SHUFFLE)
        drawn = first + number + ((bits >> 32) * (hosts - number) >> 31)
        other = S.entry[drawn].order
        S.entry[drawn].order = S.entry[first + number].order
        S.entry[first + number].order = other
        load = load_of(S, cluster, first + other)
        if load <= 1.0:
            return other
        if load < least:
            best = other
            least = load
    return best


@plane
def load_of(S: State, cluster: Cluster, place: int) -> float:
    """Requests of a host by the slots that it has now."""
    entry = S.entry[place]
    total = ((cluster.rq_active + 1) * cluster.hash_balance_factor + 99) // 100
    slots = max(1, ceil(total * entry.weight))
    return S.member[entry.who].rq_active / slots
