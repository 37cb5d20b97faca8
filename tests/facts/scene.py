"""A proxy, its upstream hosts and a hand on the clock: the plane's own functions, without an engine.

* One cluster (index 0), and one host and one member for each upstream host, with a pool for each worker.
* The endpoint that is called does one piece of work (law 1), then answers.
* Events wait in a plain heap; `Scene.until` handles them in order.
"""

from __future__ import annotations

from heapq import heappop
from itertools import count
from typing import Any

from resilim.plane import balance, host, luck, outlier, pool, timers
from resilim.plane.balance_space import space_for
from resilim.plane.events import HANDLERS
from resilim.plane.filters import CLIENT
from resilim.plane.flags import UT
from resilim.plane.machine import SUPPLIED, TABLES, VECTORS, State
from resilim.plane.proxy import begin_call
from resilim.plane.records import (
    NONE,
    UNLIMITED,
    Attempt,
    Checker,
    Cluster,
    Connection,
    Detector,
    Gauge,
    Host,
    HostSet,
    Law,
    Member,
    Pool,
    Route,
    Row,
    Source,
    Step,
    Supply,
    TimerQueue,
    World,
)
from resilim.plane.telemetry import BUCKETS

MS = 1_000_000
SECOND = 1000 * MS

INSTANT, WORK, CONNECT = range(3)  # laws


class Scene:
    """One cluster, ready for calls. Times in ms where a name says so, else ns."""

    def __init__(self, hosts: int = 1, work: int = 10, connect: int = 0, **limits: float) -> None:
        """`work`, `connect`: ms; `limits`: fields of the cluster, its route, or its detector."""
        S = State()
        for name in TABLES:
            setattr(S, name, [])
        for name in VECTORS:
            setattr(S, name, [])
        for name in (*SUPPLIED, "change"):
            setattr(S, name, [TABLES[name]()])
        S.law = [Law(luck.CONSTANT, float(time * MS)) for time in (0, work, connect)]
        S.step = [Step(host.WORK, law=WORK, salt=1), Step(host.END)]
        S.host = [Host(rank=rank, workers=UNLIMITED) for rank in range(hosts)]
        S.source = [Source()]
        S.route = [Route(timeout_flag=UT, backoff=25 * MS)]
        S.supply = [Supply() for _ in SUPPLIED]
        S.world, S.gauge = [World()], [Gauge()]
        S.row = [Row() for _ in range(1 << 12)]
        S.histogram = []
        S.heap = []
        S.next_order = count().__next__
        S.signal = lambda change: None
        S.move_rows = lambda: None
        self.S = S
        self.now = 0
        of_cluster = {name: value for name, value in limits.items() if name in Cluster.__slots__}
        self.add_cluster(list(range(hosts)), **of_cluster)
        for name in limits.keys() - of_cluster.keys():
            self._set(name, limits[name])
        self.cluster.watched = int(self.detector.interval > 0)
        self.cluster.splits = self.detector.split_external_local_origin_errors
        self._give_timer_queues(self.route)

    def add_cluster(self, hosts: list[int], **fields: Any) -> Cluster:
        """One more cluster, of these hosts, with pools for all of them; HTTP/2 with several `streams`."""
        S = self.S
        index = len(S.cluster)
        cluster = Cluster(
            **{
                "first_member": len(S.member),
                "members": len(hosts),
                "first_pool": len(S.pool),
                "first_set": len(S.host_set),
                "connect": CONNECT,
                "streams": 1,
                "hop": INSTANT,
                "upstream_hop": INSTANT,
            }
            | fields
        )
        cluster.pool_shift = cluster.first_pool - cluster.first_member
        cluster.multiplexed = int(cluster.streams > 1)
        members = [Member(host=number, cluster=index, healthy_since=-SECOND) for number in hosts]
        host_set = HostSet(first_member=cluster.first_member, members=len(hosts))
        space = space_for(cluster, [host_set], members, [])
        cluster.first_group, cluster.first_turn = len(S.group), len(S.turn)
        S.group += [TABLES["group"]() for _ in range(space.groups)]
        S.turn += [TABLES["turn"]() for _ in range(space.turns)]
        for _ in range(cluster.workers):
            S.pool += [Pool(cluster=index, member=len(S.member) + number) for number in range(len(hosts))]
        S.member += members
        S.host_set.append(host_set)
        S.lineup += [0] * (2 * len(hosts))
        S.detector.append(Detector(max_ejection_time=300 * SECOND, base_ejection_time=30 * SECOND))
        S.checker.append(Checker())
        S.cluster.append(cluster)
        S.histogram = [0] * ((1 + max(each.service for each in S.cluster)) * BUCKETS)
        balance.begin(S, cluster, index, 0)
        self.line_up()
        return cluster

    def add_host(self, **fields: float) -> int:
        """One more host, which is in no cluster yet: its index."""
        self.S.host.append(Host(**({"workers": UNLIMITED} | fields)))
        return len(self.S.host) - 1

    def add_route(self, **fields: float) -> int:
        """One more route: its index."""
        self.S.route.append(Route(**({"timeout_flag": UT, "backoff": 25 * MS} | fields)))
        self._give_timer_queues(self.S.route[-1])
        return len(self.S.route) - 1

    def line_up(self) -> None:
        """Let the balancers see the health of their members as it is now."""
        for cluster in self.S.cluster:
            balance.line_up(self.S, cluster, self.now)

    def _set(self, name: str, value: float) -> None:
        owners = (self.route, self.detector, self.S.host[0])
        setattr(next(owner for owner in owners if hasattr(owner, name)), name, value)

    def _give_timer_queues(self, route: Route) -> None:
        if route.timeout:
            route.timeout_queue = len(self.S.timer_queue)
            self.S.timer_queue.append(TimerQueue(timers.ROUTE_TIMEOUT, route.timeout))
        if route.per_try_timeout:
            route.per_try_queue = len(self.S.timer_queue)
            self.S.timer_queue.append(TimerQueue(timers.PER_TRY_TIMEOUT, route.per_try_timeout))

    # ------------------------------------------------------------ what there is

    @property
    def cluster(self) -> Cluster:
        return self.S.cluster[0]

    @property
    def route(self) -> Route:
        return self.S.route[0]

    @property
    def detector(self) -> Detector:
        return self.S.detector[0]

    @property
    def connections(self) -> list[Connection]:
        """Every connection record that was ever in use."""
        return self.S.connection[: self.S.supply[2].used]

    def outcomes(self) -> list[tuple[int, int]]:
        """Code and flags of the calls that ended, in order."""
        return [(row.code, row.flags) for row in self.S.row[: self.S.world[0].rows]]

    def latencies(self) -> list[float]:
        """Their latencies, ms."""
        return [row.latency / MS for row in self.S.row[: self.S.world[0].rows]]

    def served_by(self, call: int) -> int:
        """The member that the attempt of a call in flight is for."""
        return self.attempt_of(call).member

    def attempt_of(self, call: int) -> Attempt:
        return self.S.attempt[self.S.call[call].attempt]

    def changes(self) -> list[tuple[int, int]]:
        """Kind and member of the state changes so far."""
        return [(change.kind, change.who) for change in self.S.change[: self.S.world[0].changes]]

    # ------------------------------------------------------------ what happens

    def call(self, key: int = 1, route: int = 0, cluster: int = 0, first_step: int = 0) -> int:
        """Begin a client's call now: its index, or NONE when it failed at once."""
        return begin_call(self.S, CLIENT, route, cluster, first_step, 0, key, self.now)

    def call_refused(self, key: int = 1) -> tuple[int, int]:
        """Begin a call that must fail at once: its code and flags."""
        assert self.call(key) == NONE
        return self.S.world[0].code, self.S.world[0].flags

    def until(self, ms: float) -> None:
        """Let everything up to and including a moment (ms) happen."""
        end = int(ms * MS)
        while self.S.heap and self.S.heap[0][0] <= end:
            self.now, _, kind, who = heappop(self.S.heap)
            HANDLERS[kind](self.S, self.now, who)
        self.now = end

    def fail(self, host: int = 0, code: int = 503) -> None:
        """Make a host fail every request; a negative code is a reset."""
        self.S.host[host].failing, self.S.host[host].fail_code = 1.0, code

    def drain(self) -> None:
        """The first host's idle connections close."""
        pool.drain_member(self.S, self.cluster, 0, self.now)

    def connect_in(self, ms: int) -> None:
        """Connections that are begun from now on take so long to set up."""
        self.S.law[CONNECT].a = float(ms * MS)


def states(scene: Scene) -> list[str]:
    """The states of all connections ever used, in the order of their records."""
    names = {
        pool.CONNECTING: "connecting",
        pool.OPEN: "open",
        pool.DRAINING: "draining",
        pool.CLOSED: "closed",
    }
    return [names[connection.state] for connection in scene.connections]


def report_codes(scene: Scene, codes: list[int], member: int = 0) -> None:
    """Let the detector see answers of a member, all now."""
    for code in codes:
        outlier.response(scene.S, 0, member, code, scene.now)


def in_use(scene: Scene) -> dict[str, int]:
    """Records in use, of each table whose records come and go; tables without any are left out."""
    used = {}
    for name, supply in zip(SUPPLIED, scene.S.supply, strict=True):
        free, index = 0, supply.free
        while index != NONE:
            free, index = free + 1, getattr(scene.S, name)[index].next
        used[name] = supply.used - free
    return {name: number for name, number in used.items() if number}


def ejected(scene: Scene) -> list[int]:
    """Members that are out now."""
    return [index for index, member in enumerate(scene.S.member) if member.ejected]
