"""What the two engines supply differently, and the state that both share.

* The data plane is written once. Interpreted, it calls the primitives below as they stand; for the
  compiled engine `resilim.engine.compiled` rebinds their names to compiled twins of the same meaning.
* `@plane` marks a function as part of the data plane: restricted Python that numba compiles.
* `State` holds every table. Interpreted: lists of slotted records. Compiled: numpy record arrays
  under the same names.
* Nothing here knows SimPy: the interpreted engine puts SimPy's own heap into `State.heap`.
"""

from __future__ import annotations

from collections.abc import Callable, MutableSequence
from heapq import heappush
from typing import Any, TypeVar

from resilim.plane.records import (
    Attempt,
    Bucket,
    Call,
    Change,
    Checker,
    Cluster,
    Connection,
    Destination,
    Detector,
    Entry,
    Gauge,
    Group,
    Host,
    HostSet,
    Law,
    Locality,
    Member,
    Mix,
    Pool,
    Route,
    Row,
    Site,
    Source,
    Step,
    Supply,
    TimerQueue,
    Tried,
    Turn,
    World,
)

F = TypeVar("F", bound=Callable[..., Any])

# Room that the compiled engine guarantees in every growing table before it handles one event.
# No event handler takes more; the largest is a fan-out of MAX_FAN_OUT calls.
ROOM = 1024
MAX_FAN_OUT = 64

# Records of the interpreted engine's outcome and change tables before they are moved away.
CHUNK = 1 << 14

PLANE_FUNCTIONS: dict[str, Callable[..., Any]] = {}

# Every table of the state, by name, with its record type; the order is that of the compiled tuple.
TABLES: dict[str, type] = {
    "world": World,
    "law": Law,
    "step": Step,
    "site": Site,
    "route": Route,
    "destination": Destination,
    "source": Source,
    "mix": Mix,
    "host": Host,
    "bucket": Bucket,
    "cluster": Cluster,
    "member": Member,
    "host_set": HostSet,
    "group": Group,
    "locality": Locality,
    "entry": Entry,
    "turn": Turn,
    "detector": Detector,
    "checker": Checker,
    "pool": Pool,
    "timer_queue": TimerQueue,
    "supply": Supply,
    "call": Call,
    "attempt": Attempt,
    "connection": Connection,
    "tried": Tried,
    "row": Row,
    "change": Change,
    "gauge": Gauge,
}
# Tables of bare int64 numbers.
VECTORS = ("code", "lineup", "hash_table", "histogram")

# Index of a growing table's book-keeping in `State.supply`.
CALLS, ATTEMPTS, CONNECTIONS, TRIED = range(4)
SUPPLIED = ("call", "attempt", "connection", "tried")


class State:
    """Every table of one run, and the interpreted engine's heap."""

    __slots__ = (*TABLES, *VECTORS, "heap", "next_order", "signal", "move_rows")

    world: list[World]
    law: list[Law]
    step: list[Step]
    site: list[Site]
    route: list[Route]
    destination: list[Destination]
    source: list[Source]
    mix: list[Mix]
    host: list[Host]
    bucket: list[Bucket]
    cluster: list[Cluster]
    member: list[Member]
    host_set: list[HostSet]
    group: list[Group]
    locality: list[Locality]
    entry: list[Entry]
    turn: list[Turn]
    detector: list[Detector]
    checker: list[Checker]
    pool: list[Pool]
    timer_queue: list[TimerQueue]
    supply: list[Supply]
    call: list[Call]
    attempt: list[Attempt]
    connection: list[Connection]
    tried: list[Tried]
    row: list[Row]
    change: list[Change]
    gauge: list[Gauge]
    code: list[int]
    lineup: list[int]
    hash_table: list[int]
    histogram: MutableSequence[int]
    heap: list[tuple[int, int, int, Any]]
    next_order: Callable[[], int]
    signal: Callable[[Change], None]
    move_rows: Callable[[], None]


def plane(function: F) -> F:
    """Mark a function of the data plane; both engines run it."""
    PLANE_FUNCTIONS[f"{function.__module__}.{function.__name__}"] = function
    return function


# ---------------------------------------------------------------- primitives, interpreted

_MASK = (1 << 63) - 1
_SPREAD = 0x67037ED1A0B428DB


def push(S: State, at: int, kind: int, who: int) -> None:
    """Schedule event `kind` of record `who` at time `at` (ns), after all events already due then."""
    heappush(S.heap, (at, S.next_order(), kind, who))


def scramble(key: int, salt: int) -> int:
    """A 63-bit hash of two 63-bit numbers: both halves of one 126-bit product, xored.

    The multiply-and-fold step of wyhash (Wang Yi, public domain).
    """
    x = key ^ salt
    product = x * (x ^ _SPREAD)
    return (product ^ (product >> 63)) & _MASK


def make_room(table: list[Any], index: int) -> None:
    """See to it that `table` has a record at `index`, which is at most one past its end."""
    if index == len(table):
        table.append(type(table[0])())


def announce(S: State, change: Change) -> None:
    """Hand a state change to the control-plane processes that wait for one, at once."""
    S.signal(change)


def see_to_rows(S: State, filled: int) -> None:
    """See to it that the outcome table has a record at index `filled`."""
    if filled == len(S.row):
        S.move_rows()
