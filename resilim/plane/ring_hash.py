"""Ring hash: each host has points on a ring, a hash belongs to the next point (Envoy 1.40, ring_hash_lb.cc).

* The host with the least weight w gets ceil(w * table_size) points, the others in proportion, 8 M at most;
  what is not whole carries over from host to host.
* The points of a host are its first ones, so more or less weight adds or takes away points and moves none.
* A hash belongs to the first point that is not below it, after the last one to the first again. A pick that
  is rejected is followed by the next points, whoever has them.
* A point is a number of 63 bits; its last 20 bits are the number of its host.
"""

from __future__ import annotations

from math import ceil

from resilim.plane.luck import RING
from resilim.plane.machine import State, plane, scramble
from resilim.plane.records import Cluster

MOST_POINTS = 1 << 23
_HOST = (1 << 20) - 1
_POINT = ((1 << 63) - 1) ^ _HOST


@plane
def build(S: State, cluster: Cluster, first: int, hosts: int, table: int) -> int:
    """Make the ring of some hosts: number of its points."""
    least = 1.0
    for place in range(first, first + hosts):
        least = min(least, S.entry[place].weight)
    scale = min(ceil(least * cluster.table_size) / least, float(MOST_POINTS))
    target = 0.0
    points = 0
    for number in range(hosts):
        entry = S.entry[first + number]
        target += scale * entry.weight
        point = S.member[entry.who].identity
        # Rounding must not lead beyond the room that there is.
        while points < target and points < cluster.table_room:
            point = scramble(point, RING)
            S.hash_table[table + points] = (point & _POINT) | number
            points += 1
    sort(S, table, points)
    return points


@plane
def look_up(S: State, table: int, points: int, hashed: int, try_number: int) -> int:
    """Number of the host that a hash belongs to, or of one of the points after it."""
    low = 0
    high = points
    while low < high:
        middle = (low + high) // 2
        if S.hash_table[table + middle] < hashed:
            low = middle + 1
        else:
            high = middle
    return S.hash_table[table + (low + try_number) % points] & _HOST


@plane
def sort(S: State, first: int, n: int) -> None:
    """Sort a part of the table, smallest first (heapsort)."""
    for place in range(n // 2 - 1, -1, -1):
        sink(S, first, n, place, S.hash_table[first + place])
    for last in range(n - 1, 0, -1):
        value = S.hash_table[first + last]
        S.hash_table[first + last] = S.hash_table[first]
        sink(S, first, last, 0, value)


@plane
def sink(S: State, first: int, n: int, place: int, value: int) -> None:
    """Let a value sink from a place of a heap, largest first, to where it belongs."""
    while True:
        child = 2 * place + 1
        if child >= n:
            break
        if child + 1 < n and S.hash_table[first + child + 1] > S.hash_table[first + child]:
            child += 1
        if S.hash_table[first + child] <= value:
            break
        S.hash_table[first + place] = S.hash_table[first + child]
        place = child
    S.hash_table[first + place] = value
