"""One cluster of a proxy whose hosts are watched: its detector, its health checks, and a hand on the clock.

* The balancer is left out: when it hears of a change is written down in `refreshed`, by time (ns) and host
  set, and whom it would take then in `lineup`.
* Time stands still until `at` moves it; events that were scheduled wait in a plain heap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from heapq import heappop
from itertools import count
from types import SimpleNamespace
from typing import NamedTuple
from unittest.mock import patch

from resilim.plane import health, outlier, updates
from resilim.plane.kinds import UPDATE
from resilim.plane.machine import SUPPLIED, TABLES, VECTORS, State
from resilim.plane.records import (
    Checker,
    Cluster,
    Detector,
    HostSet,
    Member,
    Pool,
    Supply,
    World,
)

MS = 1_000_000
SECOND = 1000 * MS


class Note(NamedTuple):
    """A state change of a member, and the detector that had fired last for it."""

    kind: int
    member: int
    by: int


class DetectorScene:
    """A cluster with a detector in Envoy's default settings; its interval timer fires when it is told to."""

    def __init__(self, hosts: int = 1, priorities: Iterable[int] = (), **settings: int) -> None:
        """`priorities`: of each host, default 0; `settings`: fields of the detector, checker or cluster."""
        S = State()
        for name in TABLES:
            setattr(S, name, [TABLES[name]()])
        for name in VECTORS:
            setattr(S, name, [])
        levels = [*priorities] or [0] * hosts
        S.world = [World(seed=1)]
        S.member = [Member(host=rank, cluster=0, priority=level) for rank, level in enumerate(levels)]
        S.pool = [Pool(cluster=0, member=rank) for rank in range(hosts)]
        S.host_set = [HostSet(cluster=0, priority=level) for level in range(max(levels, default=0) + 1)]
        S.cluster = [Cluster(members=hosts, sets=len(S.host_set), watched=1, key=0x1234_5678_9ABC_DEF0)]
        S.detector = [Detector(10 * SECOND, 30 * SECOND, 300 * SECOND)]
        S.checker = [Checker()]
        S.supply = [Supply() for _ in SUPPLIED]
        S.heap = []
        S.next_order = count().__next__
        S.signal = lambda change: None
        self.S = S
        self.now = 0
        self.refreshed: list[tuple[int, int]] = []
        self.lineup = list(range(hosts))
        for name, value in settings.items():
            self._set(name, value)
        self.cluster.splits = self.detector.split_external_local_origin_errors

    def _set(self, name: str, value: int) -> None:
        owners = (self.detector, self.checker, self.cluster)
        setattr(next(owner for owner in owners if hasattr(owner, name)), name, value)

    @property
    def notes(self) -> list[Note]:
        """The changes that were recorded."""
        changes = self.S.change[: self.S.world[0].changes]
        return [Note(change.kind, change.who, change.why) for change in changes]

    # ------------------------------------------------------------ what there is

    @property
    def detector(self) -> Detector:
        return self.S.detector[0]

    @property
    def cluster(self) -> Cluster:
        return self.S.cluster[0]

    @property
    def checker(self) -> Checker:
        return self.S.checker[0]

    @property
    def members(self) -> list[Member]:
        return self.S.member

    def ejected(self) -> list[int]:
        """Members that are out now."""
        return [index for index, member in enumerate(self.members) if member.ejected]

    def changes(self) -> list[tuple[int, int]]:
        """Kind and member of the state changes so far."""
        return [(note.kind, note.member) for note in self.notes]

    # ------------------------------------------------------------ what happens

    def at(self, seconds: float) -> None:
        """Let everything up to and including a moment (s) happen."""
        self.until(round(seconds * SECOND))

    def until(self, end: int) -> None:
        """The same in ns."""
        while self.S.heap and self.S.heap[0][0] <= end:
            self.now, _, kind, who = heappop(self.S.heap)
            assert kind == UPDATE
            updates.on_update(self.S, self.now, who)
        self.now = end

    def answer(self, *codes: int, member: int = 0) -> None:
        """Answers of a member, all now."""
        for code in codes:
            if self.cluster.watched:
                outlier.response(self.S, 0, member, code, self.now)

    def report(self, *results: int, member: int = 0, code: int = 0) -> None:
        """Results of a member that are no answers, all now."""
        for result in results:
            if self.cluster.watched:
                outlier.report(self.S, 0, member, result, code, self.now)

    def check(self, *results: int, member: int = 0) -> None:
        """Results of active health checks of a member, all now."""
        for result in results:
            health.check(self.S, member, result, self.now)

    def sweep(self) -> None:
        """The interval timer fires now."""
        outlier.sweep(self.S, 0, self.now)

    def sweep_at(self, seconds: float) -> None:
        self.at(seconds)
        self.sweep()

    def remove(self, *members: int) -> None:
        """Members leave the cluster."""
        for member in members:
            self.members[member].removed = 1
            outlier.remove_member(self.S, 0, member)

    def _refresh(self, S: State, set_index: int, now: int) -> None:
        self.refreshed.append((now, set_index))
        self.lineup = [
            index for index, member in enumerate(S.member) if not (member.ejected or member.check_failed)
        ]


@contextmanager
def detector_scene(
    hosts: int = 1, priorities: Iterable[int] = (), **settings: int
) -> Iterator[DetectorScene]:
    """A scene, for as long as its stand-in for the balancer is in place."""
    scene = DetectorScene(hosts, priorities, **settings)
    with (
        patch.object(updates, "balance", SimpleNamespace(refresh=scene._refresh)),
    ):
        yield scene
