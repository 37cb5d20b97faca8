"""A caller's proxy, one cluster and its hosts; nothing happens by itself.

* The functions are those of the data plane. What they do in further events of the same instant is done at
  once; a connection is set up, a host answers, a timer fires and a back-off ends only when the scene is told.
* `PlaneScene.at` moves the clock: idle connections and those of age are closed on the way.
* Connections have names, c1, c2, ... in the order in which the plane begins them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from heapq import heapify
from itertools import count
from typing import Any, NamedTuple
from unittest.mock import patch

from resilim.plane import (
    balance,
    calls,
    connections,
    host,
    kinds,
    luck,
    outcome,
    pool,
    proxy,
    streams,
    timeouts,
    timers,
)
from resilim.plane.balance_space import space_for
from resilim.plane.events import HANDLERS
from resilim.plane.filters import CLIENT
from resilim.plane.flags import UT
from resilim.plane.machine import CALLS, SUPPLIED, TABLES, VECTORS, State
from resilim.plane.records import (
    NONE,
    UNLIMITED,
    Attempt,
    Call,
    Cluster,
    Connection,
    Detector,
    Group,
    Host,
    HostSet,
    Law,
    Member,
    Pool,
    Route,
    Row,
    Step,
    Supply,
    TimerQueue,
    Turn,
    World,
)
from resilim.plane.telemetry import BUCKETS
from tests.conformance.checks import Wrong

MS = 1_000_000
SECOND = 1000 * MS

# What the plane does at once when it comes to it; everything else waits for the scene.
_AT_ONCE = {kinds.SERVE, kinds.FAIL_WAITING, kinds.CUT, kinds.AGE, kinds.IDLE}


class Outcome(NamedTuple):
    """How a call ended."""

    code: int
    flags: int
    attempts: int


class PlaneScene:
    """One cluster behind one proxy."""

    def __init__(self, hosts: int = 1, **fields: float) -> None:
        """`fields`: of the cluster or of the route."""
        S = State()
        for name in TABLES:
            setattr(S, name, [TABLES[name]()])
        for name in VECTORS:
            setattr(S, name, [])
        S.world = [World(seed=1)]
        S.law = [Law(luck.CONSTANT)]
        S.step = [Step(host.WORK), Step(host.END)]
        S.host = [Host(rank=rank, workers=UNLIMITED) for rank in range(hosts)]
        S.member = [Member(host=rank, cluster=0, healthy_since=-SECOND) for rank in range(hosts)]
        S.pool = [Pool(cluster=0, member=rank) for rank in range(hosts)]
        S.cluster = [Cluster(members=hosts, hop=0, upstream_hop=0, streams=1, balancer=balance.ROUND_ROBIN)]
        S.host_set = [HostSet(members=hosts)]
        S.locality = []
        S.route = [Route(timeout_flag=UT, backoff=25 * MS)]
        S.detector = [Detector()]
        S.timer_queue = []
        S.supply = [Supply() for _ in SUPPLIED]
        S.row = [Row() for _ in range(64)]
        S.histogram = [0] * BUCKETS
        S.heap = []
        S.next_order = count().__next__
        S.signal = lambda change: None
        S.move_rows = lambda: S.row.extend(Row() for _ in range(64))
        self.S = S
        self.now = 0
        self.member = NONE  # that the next attempts go to; NONE: the balancer says
        self.outcomes: dict[int, Outcome] = {}  # by the key of the call, in the order of their ends
        self.resets: dict[int, int] = {}  # the last reset of a call, by its key
        self.connections: dict[str, int] = {}  # the record of those that are there, by name
        self.created: list[str] = []
        self.born: dict[str, int] = {}
        self.last: dict[str, float] = {}  # the last sample of a histogram, ms
        self.given_up: list[int] = []  # attempts that the proxy let go of
        self.on_end: Callable[[int], None] = lambda key: None  # told the key of a call that has its outcome
        for name, value in fields.items():
            setattr(self.cluster if hasattr(self.cluster, name) else self.route, name, value)
        self._queue("timeout", timers.ROUTE_TIMEOUT)
        self._queue("per_try", timers.PER_TRY_TIMEOUT)
        self._line_up()

    def _queue(self, name: str, kind: int) -> None:
        duration = self.route.timeout if kind == timers.ROUTE_TIMEOUT else self.route.per_try_timeout
        if duration > 0:
            setattr(self.route, f"{name}_queue", len(self.S.timer_queue))
            self.S.timer_queue.append(TimerQueue(kind, duration))

    def _line_up(self) -> None:
        S, cluster = self.S, self.cluster
        space = space_for(cluster, S.host_set, S.member, S.locality)
        S.group = [Group() for _ in range(space.groups)]
        S.turn = [Turn() for _ in range(space.turns)]
        S.lineup = [NONE] * (2 * len(S.member))
        cluster.first_group = cluster.first_turn = 0
        balance.begin(S, cluster, 0, self.now)

    # ------------------------------------------------------------ what there is

    @property
    def cluster(self) -> Cluster:
        return self.S.cluster[0]

    @property
    def route(self) -> Route:
        return self.S.route[0]

    def call(self, key: int) -> Call:
        """The call with a key, which must be there still."""
        return self.S.call[self.call_index(key)]

    def call_index(self, key: int) -> int:
        """Index of the record of a call that has no outcome yet."""
        if key not in self.outcomes:
            for index, call in enumerate(self.S.call):
                if call.key == key and call.parent == CLIENT:
                    return index
        raise Wrong("the call is over")

    def attempt(self, key: int) -> Attempt:
        """The newest attempt in flight of a call."""
        index = self.call(key).attempt
        if index < 0:
            raise Wrong("the call has no attempt in flight")
        return self.S.attempt[index]

    def connection(self, name: str) -> tuple[int, Connection]:
        """Index and record of a connection."""
        if name not in self.connections:
            raise Wrong(f"no connection {name}")
        return self.connections[name], self.S.connection[self.connections[name]]

    def name_of(self, index: int) -> str | None:
        """The name of the connection with an index."""
        return next((name for name, its in self.connections.items() if its == index), None)

    # ------------------------------------------------------------ the clock

    def at(self, moment: int) -> None:
        """Move the clock to a moment (ns)."""
        if moment < self.now:
            raise Wrong("time goes back")
        while event := self._next(moment):
            self._handle(event)
        self.now = moment

    def settle(self) -> None:
        """Let everything happen that the plane left for further events of this instant."""
        self.at(self.now)

    def _next(self, until: int) -> tuple[int, int, int, Any] | None:
        due = [event for event in self.S.heap if event[0] <= until and event[2] in _AT_ONCE]
        return min(due, default=None)

    def _take(self, event: tuple[int, int, int, Any]) -> None:
        self.S.heap.remove(event)
        heapify(self.S.heap)

    def _handle(self, event: tuple[int, int, int, Any]) -> None:
        self._take(event)
        self.now = max(self.now, event[0])
        HANDLERS[event[2]](self.S, self.now, event[3])

    # ------------------------------------------------------------ calls

    def begin(self, key: int) -> None:
        """Begin a call now."""
        index = proxy.begin_call(self.S, CLIENT, 0, 0, 0, 0, key, self.now)
        if index == NONE:
            world = self.S.world[0]
            attempts = self.S.call[self.S.supply[CALLS].free].attempts
            self.outcomes[key] = Outcome(world.code, world.flags, attempts)
        self.settle()

    def again(self, key: int) -> None:
        """The back-off of a call is over."""
        index = self.call_index(key)
        event = next((event for event in self.S.heap if event[2:] == (kinds.CALL_AGAIN, index)), None)
        if event is None:
            raise Wrong("no retry is scheduled")
        self._take(event)
        outcome.on_call_again(self.S, self.now, index)
        self.settle()

    def answer(self, index: int, code: int) -> None:
        """The answer, or the reset, of a bound attempt is back."""
        self.S.attempt[index].code = code
        outcome.on_reply(self.S, self.now, index)
        self.settle()

    def give_up(self, key: int) -> None:
        """The client leaves, or the route timeout fires."""
        index = self.call_index(key)
        call = self.S.call[index]
        if call.timer >= 0:
            timers.stop(self.S.timer_queue[call.timer], self.S.call, index)
        timeouts.route_timeout(self.S, index, self.now)
        self.settle()

    def per_try_timeout(self, index: int) -> None:
        """The per-try timeout of an attempt fires."""
        if self.S.attempt[index].timed == 0:
            raise Wrong("the attempt has no running per-try timer")
        timers.stop(self.S.timer_queue[self.route.per_try_queue], self.S.attempt, index)
        timeouts.per_try_timeout(self.S, index, self.now)
        self.settle()

    # ------------------------------------------------------------ connections

    def connected(self, name: str) -> None:
        """The set-up of a connection succeeds."""
        index, connection = self._connecting(name)
        self.last["upstream_cx_connect_ms"] = (self.now - self.born[name]) / MS
        connection.since, connection.fails = self.now, 0
        connections.on_connected(self.S, self.now, index)
        self.settle()

    def connect_failed(self, name: str, reset: int, by: int) -> None:
        """The set-up of a connection fails."""
        index, _ = self._connecting(name)
        connections.connect_failed(self.S, index, reset, by, self.now)
        self.settle()

    def _connecting(self, name: str) -> tuple[int, Connection]:
        index, connection = self.connection(name)
        if connection.state != pool.CONNECTING:
            raise Wrong(f"connection {name} is not being set up")
        return index, connection

    def close(self, name: str, by: int, reset: int) -> None:
        """An established connection is closed; its streams are reset."""
        index, connection = self.connection(name)
        if connection.state == pool.CONNECTING:
            raise Wrong(f"connection {name} is not established")
        if connection.active == 0:
            pool.close(self.S, self.cluster, index, by)
            pool.open_connections(self.S, self.cluster, connection.pool, self.now)
        else:
            bound = [number for number, each in enumerate(self.S.attempt) if each.connection == index]
            # The plane knows no local end of a connection in use; it differs in what is counted only.
            with patch.object(pool, "REMOTE", by):
                outcome.upstream_reset(self.S, bound[0], reset, self.now)
                self.settle()
        self.settle()

    # ------------------------------------------------------------ what is watched

    def _tell(self, original: Any, S: State, call: Call, code: int, flags: int, *rest: int) -> None:
        self.outcomes[call.key] = Outcome(code, flags, call.attempts)
        original(S, call, code, flags, *rest)
        self.on_end(call.key)

    def _failed(self, original: Any, S: State, call_index: int, call: Call, *rest: int) -> None:
        self.resets[call.key] = rest[1]
        original(S, call_index, call, *rest)

    def _connect(self, original: Any, S: State, cluster: Cluster, pool_index: int, now: int) -> None:
        original(S, cluster, pool_index, now)
        name = f"c{len(self.created) + 1}"
        self.created.append(name)
        self.connections[name] = S.pool[pool_index].connecting
        self.born[name] = now

    def _close(self, original: Any, S: State, cluster: Cluster, index: int, by: int) -> None:
        name = self.name_of(index)
        assert name is not None
        del self.connections[name]
        self.last["upstream_cx_length_ms"] = (self.now - self.born[name]) / MS
        original(S, cluster, index, by)

    def _give_up(self, original: Any, S: State, cluster: Cluster, index: int, now: int) -> None:
        self.given_up.append(index)
        original(S, cluster, index, now)

    def _pick(self, original: Any, *question: Any) -> int:
        return self.member if self.member != NONE else int(original(*question))

    @contextmanager
    def playing(self) -> Iterator[None]:
        """Watch what the plane does, for as long as it lasts."""
        watched: list[tuple[Any, str, Callable[..., Any]]] = [
            (calls, "tell_client", self._tell),
            (connections, "failed", self._failed),
            (outcome, "failed", self._failed),
            (timeouts, "failed", self._failed),
            (pool, "connect", self._connect),
            (pool, "close", self._close),
            (timeouts, "give_up", self._give_up),
            (streams, "give_up", self._give_up),
            (proxy, "pick", self._pick),
        ]
        with ExitStack() as stack:
            for module, name, watch in watched:
                original = getattr(module, name)
                stack.enter_context(patch.object(module, name, partial(watch, original)))
            yield
