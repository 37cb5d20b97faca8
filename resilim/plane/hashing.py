"""Consistent hashing: the request's hash decides on the member (Envoy 1.40, thread_aware_lb_impl.cc).

* The hash chooses the priority, by hash mod 100, and the place in that priority's table. A request without a
  hash gets a random one.
* A table (`ring_hash.py`, `maglev.py`) is made of the healthy members of the priority, in panic of all.
  Degraded ones are not in it, even if the priority was chosen for them. Panic does not fail, whatever
  `fail_on_panic` says.
* A member's weight is its share of its set. Where localities are weighted it is its share of its locality
  times the locality's share, which does not shrink with its health.
* A pick that is rejected is followed by another place of the table; panic is counted once.
* Where a host is in the table depends on its identity alone, so all callers agree. The hash is resilim's
  own, not xxHash64: the law is Envoy's, not the very host that a given header leads to.
* A table is made when it is first asked for after a change, from the lists of that change.
"""

from __future__ import annotations

from resilim.plane import bounded_load, maglev, priority, ring_hash
from resilim.plane.balancers import EVERYBODY, HEALTHY, MAGLEV
from resilim.plane.groups import stretch
from resilim.plane.luck import UNHASHED
from resilim.plane.machine import State, plane, scramble
from resilim.plane.records import NONE, Cluster, HostSet


@plane
def pick_hashed(S: State, cluster: Cluster, key: int, hashed: int, try_number: int) -> int:
    """The member for a request's hash, which may be NONE; NONE when there is nobody."""
    if hashed == NONE:
        hashed = scramble(key, UNHASHED)
    set_index = S.group[priority.choose(S, cluster, hashed % 100)].host_set
    host_set = S.host_set[set_index]
    if host_set.in_panic and try_number == 0:
        cluster.healthy_panic += 1
    table = cluster.table + (set_index - cluster.first_set) * cluster.table_room
    first = cluster.first_entry + host_set.first_member - cluster.first_member
    if host_set.table_built == 0:
        build(S, cluster, host_set, table, first)
    if host_set.table_entries == 0:
        return NONE
    if cluster.balancer == MAGLEV:
        number = maglev.look_up(S, table, host_set.table_entries, hashed, try_number)
    else:
        number = ring_hash.look_up(S, table, host_set.table_entries, hashed, try_number)
    if cluster.hash_balance_factor:
        number = bounded_load.choose(S, cluster, first, host_set.table_hosts, number, hashed)
    return S.entry[first + number].who


@plane
def build(S: State, cluster: Cluster, host_set: HostSet, table: int, first: int) -> None:
    """Make the table of a host set."""
    hosts = weigh_hosts(S, cluster, host_set, first)
    host_set.table_hosts = hosts
    host_set.table_built = 1
    if hosts == 0:
        host_set.table_entries = 0
    elif cluster.balancer == MAGLEV:
        host_set.table_entries = maglev.build(S, cluster, first, hosts, table)
    else:
        host_set.table_entries = ring_hash.build(S, cluster, first, hosts, table)


@plane
def weigh_hosts(S: State, cluster: Cluster, host_set: HostSet, first: int) -> int:
    """Make entries of the hosts of a table, with their shares of the weight: how many."""
    number = EVERYBODY if host_set.in_panic else HEALTHY
    group = S.group[host_set.first_group + number]
    if cluster.locality_weighted == 0 or host_set.localities == 0:
        return weigh_stretch(S, group.first, group.size, 1.0, first)
    total = 0
    for number in range(host_set.localities):
        total += S.locality[host_set.first_locality + number].weight
    place = group.first
    hosts = 0
    for number in range(host_set.localities):
        weight = S.locality[host_set.first_locality + number].weight
        size = stretch(S, place, group.first + group.size, number)
        if weight > 0:
            hosts += weigh_stretch(S, place, size, weight / total, first + hosts)
        place += size
    return hosts


@plane
def weigh_stretch(S: State, place: int, size: int, share: float, first: int) -> int:
    """Make entries of a part of the lineup table that has a share of all weight: how many."""
    total = 0
    for offset in range(size):
        total += S.member[S.lineup[place + offset]].weight
    for offset in range(size):
        index = S.lineup[place + offset]
        S.entry[first + offset].who = index
        S.entry[first + offset].weight = S.member[index].weight * share / total
    return size
