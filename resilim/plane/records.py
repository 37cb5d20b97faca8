"""Records of the data plane: what there is, field by field.

* A record type is declared once, here. The decorated class *is* the slotted Python object of the
  interpreted engine; `dtype_of` gives the numpy record of the compiled one, from the same fields.
* `int` fields are int64, `float` fields are float64. Nothing else: no strings, no objects.
* Times are integer nanoseconds. An index field that points nowhere holds `NONE`.
* A default is the value of a fresh record; `plan.py` fills in the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_type_hints

import numpy as np

NONE = -1
UNLIMITED = (1 << 32) - 1  # Istio's default for every integer limit

R = TypeVar("R")


class Column:
    """One field of a record: its initial value and one line of documentation."""

    __slots__ = ("default", "doc")

    def __init__(self, default: float, doc: str) -> None:
        self.default = default
        self.doc = doc


def column(doc: str, default: float = 0) -> Any:
    """Declare a field; `doc` says what it is, with its unit."""
    return Column(default, doc)


class Record:
    """What all record types have: a constructor that takes the fields in order, all of them optional."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __init__(self, *values: float, **fields: float) -> None: ...


def record(cls: type[R]) -> type[R]:
    """Turn a class of `name: int = column(...)` lines into a slotted record type."""
    hints = get_type_hints(cls)
    columns: dict[str, Column] = {name: vars(cls)[name] for name in hints}
    wrong = [name for name, kind in hints.items() if kind not in (int, float)]
    if wrong:
        raise TypeError(f"{cls.__name__}: only int and float fields, not {wrong}")
    defaults = [hints[name](c.default) for name, c in columns.items()]
    arguments = ", ".join(f"{n}={d!r}" for n, d in zip(columns, defaults, strict=True))
    body = "\n".join(f"    self.{n} = {n}" for n in columns)
    # A generated constructor, as dataclasses and namedtuple do: it is on the path of every request.
    scope: dict[str, Any] = {}
    exec(f"def __init__(self, {arguments}):\n{body}", scope)
    return cast(
        "type[R]",
        type(
            cls.__name__,
            (Record,),
            {
                "__slots__": tuple(columns),
                "__init__": scope["__init__"],
                "__repr__": _show,
                "__doc__": cls.__doc__,
                "__module__": cls.__module__,
                "columns": columns,
                "kinds": hints,
            },
        ),
    )


def _show(self: Any) -> str:
    fields = ", ".join(f"{name}={getattr(self, name)}" for name in self.__slots__)
    return f"{type(self).__name__}({fields})"


def dtype_of(cls: type) -> np.dtype[Any]:
    """The numpy record type of a record class: int64 and float64 fields in declared order."""
    kinds: dict[str, type] = cast(Any, cls).kinds
    return np.dtype([(name, np.int64 if kind is int else np.float64) for name, kind in kinds.items()])


def fresh(cls: type, n: int) -> np.ndarray[Any, Any]:
    """A numpy record array of `n` fresh records."""
    return np.repeat(to_array(cls, [cls()]), n)


def to_array(cls: type[R], records: Sequence[R]) -> np.ndarray[Any, Any]:
    """A numpy record array with the values of `records`."""
    names: tuple[str, ...] = cast(Any, cls).__slots__
    rows = [tuple(getattr(item, name) for name in names) for item in records]
    return np.array(rows, dtype=dtype_of(cls))


def to_records(cls: type[R], array: np.ndarray[Any, Any]) -> list[R]:
    """Slotted records with the values of a numpy record array."""
    rows: Iterable[tuple[Any, ...]] = array.tolist()
    return [cls(*row) for row in rows]


# ---------------------------------------------------------------- what is decided before a run


@record
class Law(Record):
    """A distribution of durations, sampled by inverse transform (`luck.draw`)."""

    kind: int = column("one of luck.CONSTANT, UNIFORM, ...")
    a: float = column("first parameter (ns, or log-ns)")
    b: float = column("second parameter")


@record
class Endpoint(Record):
    """One operation of a service: where its steps begin."""

    service: int = column("index of the service")
    first_step: int = column("index of its first step")


@record
class Step(Record):
    """One step of an endpoint: own work, or calls made at the same time."""

    kind: int = column("WORK, CALLS_OUT or END of host.py")
    endpoint: int = column("endpoint that the step belongs to")
    law: int = column("WORK: index of the law of its duration")
    salt: int = column("WORK: the luck of this step")
    first_site: int = column("CALLS: index of the first call site")
    sites: int = column("CALLS: number of call sites; the slowest branch decides")


@record
class Site(Record):
    """One place in the code of a service from which another service is called."""

    first_step: int = column("first step of the endpoint that is called")
    first_cluster: int = column("cluster of the caller's first host; other hosts follow")
    probability: float = column("share of passes that make the call, 0..1", 1.0)
    optional: int = column("1: a failed call does not fail the caller")
    salt: int = column("the luck of this site")


@record
class Route(Record):
    """How a proxy treats a call to one upstream service (Envoy's route action)."""

    timeout: int = column("route timeout, ns; 0 = off")
    timeout_queue: int = column("timer queue of that duration", NONE)
    timeout_flag: int = column("response flag when it fires: UT, or DC for a client that leaves")
    per_try_timeout: int = column("ns; 0 = off")
    per_try_queue: int = column("timer queue of that duration", NONE)
    retry_on: int = column("bit set of retry.ON_...")
    retries: int = column("retries after the first attempt")
    first_code: int = column("index of the first retriable status code")
    codes: int = column("number of retriable status codes")
    backoff: int = column("base interval of the back-off, ns")


# ---------------------------------------------------------------- what lives through a run


@record
class World(Record):
    """What there is one of."""

    seed: int = column("luck of this replication, 63 bits")
    started: int = column("client requests that arrived")
    ended: int = column("client requests that have their outcome")
    rows: int = column("filled rows of the outcome table")
    changes: int = column("filled rows of the change table")
    listening: int = column("1: a control-plane process waits for state changes")
    signalled: int = column("number of changes up to the first one that is still to be told; 0: none")
    code: int = column("status of the call that ended last")
    flags: int = column("its response flags")
    origin: int = column("service at which its failure began")


@record
class Supply(Record):
    """Book-keeping of a table whose records come and go (`lists.py`)."""

    free: int = column("head of the list of returned records", NONE)
    used: int = column("records ever in use at once: the table's high-water mark")


@record
class Source(Record):
    """A stream of client requests: open load, users do not wait for each other."""

    rate: float = column("arrivals per ns")
    even: int = column("1: equal gaps; 0: Poisson")
    serial: int = column("number of the next request: its identity")
    key: int = column("salt of this source; from the first instant on, its luck")
    due: int = column("time of the next arrival, ns")
    first_mix: int = column("index of its first mix entry")
    mixes: int = column("number of mix entries")


@record
class Mix(Record):
    """One kind of request of a source."""

    upto: float = column("cumulated share, last one 1.0")
    first_step: int = column("first step of the endpoint that is asked for")
    cluster: int = column("the client's cluster for that endpoint's service")


@record
class Host(Record):
    """One machine of a service: workers and a bounded queue before them."""

    service: int = column("index of its service")
    rank: int = column("its number within the service")
    workers: int = column("requests served at once")
    places: int = column("places in the queue; none left means 503")
    busy: int = column("workers in use; a synchronous caller keeps its own while it waits")
    waiting: int = column("requests in the queue")
    head: int = column("first attempt in the queue", NONE)
    tail: int = column("last attempt in the queue", NONE)
    slowdown: float = column("own work takes that many times longer (fault)", 1.0)
    failing: float = column("share of requests answered with fail_code (fault)")
    fail_code: int = column("status of such an answer", 503)
    refused: int = column("requests refused because the queue was full")
    wasted: int = column("answers that nobody waited for any more")
    wasted_time: int = column("time that workers spent on them, ns")


@record
class Cluster(Record):
    """One upstream service as one caller's proxy sees it: limits, gauges, Envoy's counters."""

    service: int = column("upstream service")
    route: int = column("index of the route")
    first_member: int = column("its members and pools stand together in their tables")
    members: int = column("number of members")
    lineup: int = column("members that the balancer may pick, listed first in the lineup table")
    balancer: int = column("ROUND_ROBIN, LEAST_REQUEST or RANDOM of balance.py")
    turn: int = column("round robin: number of picks so far, from a random start")
    panic_threshold: int = column("percent; fewer healthy members means panic; 0 = never")
    hop: int = column("law of the caller's sidecar hop", NONE)
    upstream_hop: int = column("law of the callee's sidecar hop", NONE)
    connect: int = column("law of the connection set-up time")
    handshake: int = column("law of the TLS handshake that follows", NONE)
    key: int = column("salt of this cluster; from the first instant on, its luck")
    streams: int = column("streams of one connection: 1 for HTTP/1.1")
    requests_per_connection: int = column("then the connection closes; 0 = no limit")
    max_connections: int = column("limit", UNLIMITED)
    max_pending: int = column("limit of requests without a connection", UNLIMITED)
    max_requests: int = column("limit of requests on connections", UNLIMITED)
    max_retries: int = column("limit of retries outstanding", UNLIMITED)
    cx_active: int = column("connections: connecting, ready, busy, draining")
    rq_pending: int = column("requests that wait for a connection")
    rq_active: int = column("requests on a connection")
    rq_retrying: int = column("retries outstanding, back-off included")
    calls_ended: int = column("calls that have their outcome")
    calls_failed: int = column("of those: with a 5xx, or left by the client")
    cx_total: int = column("upstream_cx_total")
    cx_overflow: int = column("upstream_cx_overflow")
    rq_total: int = column("upstream_rq_total: attempts on a connection")
    rq_pending_total: int = column("upstream_rq_pending_total")
    rq_pending_overflow: int = column("upstream_rq_pending_overflow")
    rq_active_overflow: int = column("upstream_rq_active_overflow")
    rq_cancelled: int = column("upstream_rq_cancelled: left while pending")
    rq_timeout: int = column("upstream_rq_timeout")
    rq_per_try_timeout: int = column("upstream_rq_per_try_timeout")
    rq_retry: int = column("upstream_rq_retry")
    rq_retry_overflow: int = column("upstream_rq_retry_overflow")
    rq_retry_limit_exceeded: int = column("upstream_rq_retry_limit_exceeded")
    none_healthy: int = column("upstream_cx_none_healthy")
    healthy_panic: int = column("lb_healthy_panic")
    in_panic: int = column("1: all members are used, ejected or not")


@record
class Member(Record):
    """One upstream host in one cluster: what the balancer and the detector know of it."""

    host: int = column("index of the host")
    rq_active: int = column("this proxy's requests on connections to it")
    ejected: int = column("1 while ejected")
    consecutive_5xx: int = column("errors in a row")
    multiplier: int = column("ejections that lengthen the next one")
    ejected_at: int = column("start of the last ejection, ns", NONE)
    unejected_at: int = column("end of the last ejection, ns", NONE)


@record
class Detector(Record):
    """Outlier detection of one cluster; `interval` 0 means that there is none."""

    interval: int = column("time between sweeps, ns; 0 = no detector")
    consecutive_5xx_errors: int = column("errors in a row that eject; 0 = never")
    base_ejection_time: int = column("ns")
    max_ejection_time: int = column("ns")
    max_ejection_percent: int = column("of the cluster's members")
    active: int = column("members ejected now")
    enforced_total: int = column("ejections_enforced_total")
    overflow: int = column("ejections_overflow")


@record
class Pool(Record):
    """Connections of one caller's proxy to one upstream host, and the requests that wait."""

    cluster: int = column("index of the cluster")
    connections: int = column("connections of this pool")
    ready: int = column("connection that became ready last, head of a stack", NONE)
    connecting_capacity: int = column("streams that connections being set up will have")
    waiting: int = column("attempts in the pending queue")
    head: int = column("first of them", NONE)
    tail: int = column("last of them", NONE)


@record
class Connection(Record):
    """One upstream connection."""

    pool: int = column("index of the pool")
    state: int = column("CONNECTING, OPEN or DRAINING of pool.py")
    active: int = column("streams in use")
    left: int = column("requests it may still take; 0 = no limit")
    is_ready: int = column("1 while in the pool's ready stack")
    next: int = column("link of the ready stack, or of the free list", NONE)
    prev: int = column("link of the ready stack", NONE)


@record
class TimerQueue(Record):
    """Running timers of one duration, oldest first: one armed event serves them all."""

    kind: int = column("ROUTE_TIMEOUT or PER_TRY_TIMEOUT of timers.py")
    duration: int = column("ns")
    armed: int = column("1: its event is on the heap")
    head: int = column("first record in the queue", NONE)
    tail: int = column("last record in the queue", NONE)


@record
class Call(Record):
    """One call of a service, or of the client, from its start to its outcome; one attempt or more."""

    parent: int = column("attempt on whose behalf it is made; NONE: a client request")
    cluster: int = column("index of the cluster")
    first_step: int = column("first step of the endpoint that is called")
    optional: int = column("1: a failure does not fail the caller")
    key: int = column("luck of this call")
    started: int = column("ns")
    attempt: int = column("attempt in flight", NONE)
    attempts: int = column("attempts made")
    retrying: int = column("1: holds one of the cluster's retry places")
    backing_off: int = column("1: a RETRY event is on the heap")
    ended: int = column("1: has its outcome, and is kept only until its RETRY event")
    timer: int = column("timer queue in which its route timer runs", NONE)
    deadline: int = column("of its route timeout, ns")
    timer_next: int = column("link of the timer queue", NONE)
    timer_prev: int = column("link of the timer queue", NONE)
    next: int = column("link of the free list", NONE)


@record
class Attempt(Record):
    """One try of a call: first at the caller's proxy, then at the host that serves it."""

    call: int = column("its call; NONE when the caller gave up", NONE)
    member: int = column("member that was picked; its pool has the same index")
    connection: int = column("connection it is bound to", NONE)
    host: int = column("host that serves it")
    key: int = column("luck of this attempt")
    way_back: int = column("time the answer takes through both proxies, ns")
    begun: int = column("when it got a worker, ns")
    step: int = column("index of the step that comes next")
    awaiting: int = column("calls it waits for")
    code: int = column("status of the answer; 0 while there is none")
    flags: int = column("response flags of the failure that caused it")
    origin: int = column("service at which that failure began", NONE)
    deadline: int = column("of its per-try timeout, ns")
    timed: int = column("1: its per-try timer is running")
    timer_next: int = column("link of the timer queue", NONE)
    timer_prev: int = column("link of the timer queue", NONE)
    next: int = column("link of the pool's or the host's queue, or of the free list", NONE)
    prev: int = column("link of the pool's queue", NONE)


# ---------------------------------------------------------------- what is recorded


@record
class Row(Record):
    """The outcome of one client request."""

    arrived: int = column("ns")
    latency: int = column("ns, from arrival to outcome")
    endpoint: int = column("endpoint that was asked for")
    code: int = column("HTTP status; 0 when the client left")
    flags: int = column("response flags of the failure at its origin, bit set of flags.py")
    origin: int = column("service at which the failure began; NONE for a success", NONE)
    attempts: int = column("attempts of the client's own call")


@record
class Change(Record):
    """A state change that people ask about."""

    at: int = column("ns")
    kind: int = column("one of kinds.py")
    who: int = column("index: a member for an ejection, a fault for a fault")


@record
class Gauge(Record):
    """One service at one moment: counters run from the start, gauges are of now."""

    calls_ended: int = column("calls to it that have their outcome")
    calls_failed: int = column("of those, failed")
    attempts: int = column("attempts that got a connection")
    refused_by_pool: int = column("requests that its callers' proxies refused (UO)")
    refused_by_host: int = column("requests that its hosts refused (queue full)")
    wasted: int = column("answers that nobody waited for")
    wasted_time: int = column("worker time spent on them, ns")
    busy: int = column("workers in use")
    waiting: int = column("requests in its hosts' queues")
    pending: int = column("requests in its callers' pools without a connection")
    active: int = column("requests on connections to it")
    connections: int = column("connections to it")
    ejected: int = column("members ejected, over all callers' detectors")
