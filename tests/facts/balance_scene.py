"""One cluster and its balancer, built by hand; no proxies, no events."""

from __future__ import annotations

from collections.abc import Sequence

from resilim.plane import balance
from resilim.plane.balance_space import space_for
from resilim.plane.machine import TABLES, VECTORS, State, scramble
from resilim.plane.records import NONE, Cluster, Entry, Group, HostSet, Locality, Member, Turn

MS = 1_000_000
SECOND = 1000 * MS


class BalanceScene:
    """A balancer whose members' health the test sets."""

    def __init__(
        self,
        sets: Sequence[Sequence[Sequence[int]]],
        locality_weights: Sequence[int] = (),
        callers: Sequence[int] = (),
        luck: int = 5,
        **fields: float,
    ) -> None:
        """`sets`: weights of the members, set by set, locality by locality.

        Localities are looked at when there are weights, or callers, one for each; set after set.
        `luck` is the seed; `fields` are those of the cluster.
        """
        S = State()
        for name in TABLES:
            setattr(S, name, [])
        for name in VECTORS:
            setattr(S, name, [])
        self.S = S
        looked_at = list(locality_weights) or [0] * len(callers)
        self.cluster = Cluster(first_set=0, sets=len(sets), key=scramble(luck, 77), **fields)
        S.cluster = [self.cluster]
        S.locality = [Locality(weight) for weight in looked_at]
        for locality, number in zip(S.locality, callers, strict=False):
            locality.callers = number
        localities = 0
        for priority, parts in enumerate(sets):
            host_set = HostSet(priority=priority, first_member=len(S.member), first_locality=localities)
            host_set.localities = len(parts) if looked_at else 0
            for number, weights in enumerate(parts):
                S.member += [Member(weight=weight, priority=priority, locality=number) for weight in weights]
            host_set.members = len(S.member) - host_set.first_member
            S.host_set.append(host_set)
            localities += len(parts)
        for index, member in enumerate(S.member):
            member.identity = hash_of(index)
        self.cluster.members = len(S.member)
        self._give_space()
        self._keys = hash_of(luck)
        self.now = 0
        self.begin()

    def _give_space(self) -> None:
        S, cluster = self.S, self.cluster
        space = space_for(cluster, S.host_set, S.member, S.locality)
        S.group = [Group() for _ in range(space.groups)]
        S.turn = [Turn() for _ in range(space.turns)]
        S.entry = [Entry() for _ in range(space.entries)]
        S.lineup = [NONE] * (2 * len(S.member))
        S.hash_table = [0] * space.places
        cluster.first_group = cluster.first_turn = cluster.first_locality = 0
        cluster.first_entry = 0 if space.entries else NONE
        cluster.table = 0 if space.places else NONE
        cluster.table_room = space.room

    def begin(self) -> None:
        """The first instant of a run, once more."""
        balance.begin(self.S, self.cluster, 0, self.now)

    # ------------------------------------------------------------ what the test does

    def pick(self, hashed: int = NONE, try_number: int = 0, worker: int = 0) -> int:
        """One pick, with new luck."""
        self._keys = hash_of(self._keys)
        return balance.pick(self.S, self.cluster, worker, self._keys, hashed, try_number, self.now)

    def picks(self, number: int, worker: int = 0) -> list[int]:
        """Picks of requests without a hash."""
        return [self.pick(worker=worker) for _ in range(number)]

    def set(self, name: str, value: int, *members: int) -> None:
        """Set a field of some members, and tell the balancer."""
        for index in members:
            setattr(self.S.member[index], name, value)
        balance.line_up(self.S, self.cluster, self.now)

    def eject(self, *members: int) -> None:
        """Take members out."""
        self.set("ejected", 1, *members)

    def loads(self) -> list[int]:
        """Loads of the priorities: healthy ones, then degraded ones."""
        sets = self.S.host_set
        return [each.load for each in sets] + [each.degraded_load for each in sets]

    def in_panic(self) -> list[int]:
        """Which priorities are in panic."""
        return [each.in_panic for each in self.S.host_set]


def hash_of(number: int) -> int:
    """A number of 63 bits that looks random."""
    return scramble(scramble(number, 0x123456789ABCDEF), 0x71D67FFFEDA60000)


def one_set(*weights: int) -> list[list[list[int]]]:
    """One priority with one locality, whose hosts have these weights."""
    return [[list(weights)]]


def hosts(*numbers: int) -> list[list[list[int]]]:
    """Priorities with so many hosts of weight 1."""
    return [[[1] * number] for number in numbers]
