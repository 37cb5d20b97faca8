"""Earliest deadline first: a weighted round robin (Envoy 1.40, edf_scheduler.h).

* An entry that is put in is due at now + 1/weight, where now is the deadline of the last pick. The entry with
  the earliest deadline is picked, of equal ones that which was put in first, and put in again with the weight
  that it has at that moment.
* A schedule starts as if some picks had been made, so that not all workers and proxies start with the same
  member: entry i, of weight w of W, as if it had been picked floor(picks * w / W) times; the few picks that
  are left are made.
* The entries of a schedule are a binary heap by (deadline, order).
"""

from __future__ import annotations

from resilim.plane.machine import plane
from resilim.plane.records import Entry, Turn

# Most picks that are imitated at the start.
MOST_PICKS = 429_496_729
# Added to weights at the start, so that deadlines of weights that are multiples of each other come in the
# order that picks one by one would give them.
_MARGIN = 1e-13


@plane
def start(entries: list[Entry], turn: Turn, first: int, n: int, picks: int) -> None:
    """Order `n` entries, which have `who` and `weight`, as if `picks` picks had been made."""
    total = 0.0
    for place in range(first, first + n):
        total += entries[place].weight + _MARGIN
    now = 0.0
    made = 0
    for number in range(n):
        entry = entries[first + number]
        weight = entry.weight + _MARGIN
        times = int(weight * picks / total)
        if times > 0 and times / weight >= picks / total:
            times -= 1
        entry.deadline = (times + 1) / weight
        entry.order = number
        now = max(now, times / weight)
        made += times
    turn.now = now
    turn.order = n
    for number in range(n // 2 - 1, -1, -1):
        entry = entries[first + number]
        sink(entries, first, n, number, entry.deadline, entry.order, entry.who, entry.weight)
    for _ in range(picks - made):
        earliest(entries, turn, first)
        put_back(entries, turn, first, n, entries[first].weight)


@plane
def earliest(entries: list[Entry], turn: Turn, first: int) -> int:
    """Who is due; time goes on to its deadline. It has to be put back before the next one is asked for."""
    entry = entries[first]
    turn.now = entry.deadline
    return entry.who


@plane
def put_back(entries: list[Entry], turn: Turn, first: int, n: int, weight: float) -> None:
    """Put the earliest entry in again."""
    order = turn.order
    turn.order = order + 1
    sink(entries, first, n, 0, turn.now + 1.0 / weight, order, entries[first].who, weight)


@plane
def sink(
    entries: list[Entry], first: int, n: int, place: int, deadline: float, order: int, who: int, weight: float
) -> None:
    """Let an entry sink from a place of the heap to where it belongs."""
    hole = entries[first + place]
    child = 2 * place + 1
    while child < n:
        entry = entries[first + child]
        if child + 1 < n:
            other = entries[first + child + 1]
            if is_due_before(other, entry.deadline, entry.order):
                entry = other
                child += 1
        if not is_due_before(entry, deadline, order):
            break
        hole.deadline = entry.deadline
        hole.order = entry.order
        hole.who = entry.who
        hole.weight = entry.weight
        hole = entry
        child = 2 * child + 1
    hole.deadline = deadline
    hole.order = order
    hole.who = who
    hole.weight = weight


@plane
def is_due_before(entry: Entry, deadline: float, order: int) -> bool:
    """Whether an entry is due before a deadline; before one at the same time that was put in later, too."""
    return entry.deadline < deadline or (entry.deadline == deadline and entry.order < order)
