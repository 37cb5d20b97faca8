"""Maglev: a table that hosts fill in turn, each in an order of its own (Envoy 1.40, maglev_lb.cc).

* The table has M = `table_size` places, a prime. A host asks for the places offset, offset + step,
  offset + 2 step, ... modulo M, both from its identity; offset < M, 0 < step < M.
* Hosts take turns, in the order of the members; in its turn a host takes the first place of its order that is
  free. The host with the greatest weight has a turn in every round, one with a third of it in every third.
* A hash belongs to the place hash mod M. For a pick that is rejected nearly all bits of the hash are flipped.
"""

from __future__ import annotations

from resilim.plane.luck import MAGLEV_OFFSET, MAGLEV_STEP
from resilim.plane.machine import State, plane, scramble
from resilim.plane.records import NONE, Cluster

_ALL_BITS = (1 << 63) - 1


@plane
def build(S: State, cluster: Cluster, first: int, hosts: int, table: int) -> int:
    """Make the table of some hosts: number of its places."""
    size = cluster.table_size
    for place in range(table, table + size):
        S.hash_table[place] = NONE
    most = make_ready(S, first, hosts, size)
    left = size
    rounds = 0
    while left > 0:
        rounds += 1
        for number in range(hosts):
            entry = S.entry[first + number]
            if left > 0 and rounds * entry.weight >= entry.deadline:
                entry.deadline += most
                entry.order = take_place(S, table, size, entry.order, entry.step, number)
                left -= 1
    return size


@plane
def make_ready(S: State, first: int, hosts: int, size: int) -> float:
    """Give each host its order of places; the greatest weight."""
    most = 0.0
    for place in range(first, first + hosts):
        entry = S.entry[place]
        identity = S.member[entry.who].identity
        entry.order = scramble(identity, MAGLEV_OFFSET) % size
        entry.step = scramble(identity, MAGLEV_STEP) % (size - 1) + 1
        entry.deadline = 0.0
        most = max(most, entry.weight)
    return most


@plane
def take_place(S: State, table: int, size: int, place: int, step: int, number: int) -> int:
    """Take the first free place of a host's order from `place` on: the place to ask for next."""
    while S.hash_table[table + place] >= 0:
        place = (place + step) % size
    S.hash_table[table + place] = number
    return (place + step) % size


@plane
def look_up(S: State, table: int, size: int, hashed: int, try_number: int) -> int:
    """Number of the host that a hash belongs to."""
    if try_number > 0:
        hashed ^= _ALL_BITS - try_number + 1
    return S.hash_table[table + hashed % size]
