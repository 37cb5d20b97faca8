"""Timers: one queue for each distinct duration, one armed event for each queue.

* All timers of a queue run equally long, so the oldest is always the next one due: a FIFO replaces a heap.
* A timer that is stopped leaves its queue at once; the armed event then finds a younger head and
  is armed again for it.
* At most one timer fires in one event; a second one due at the same instant gets its own.
* The links (`timer_next`, `timer_prev`) and the deadline stand in the timed record: a call or an attempt.
"""

from __future__ import annotations

from typing import Any

from resilim.plane.kinds import TIMER
from resilim.plane.machine import State, plane, push
from resilim.plane.records import NONE, TimerQueue

# What the timed records of a queue are.
ROUTE_TIMEOUT = 0  # calls
PER_TRY_TIMEOUT = 1  # attempts


@plane
def start(S: State, queue_index: int, table: list[Any], index: int, now: int) -> None:
    """Start the timer of record `index` of `table`."""
    queue = S.timer_queue[queue_index]
    timed = table[index]
    timed.deadline = now + queue.duration
    timed.timer_next = NONE
    timed.timer_prev = queue.tail
    if queue.tail >= 0:
        table[queue.tail].timer_next = index
    else:
        queue.head = index
    queue.tail = index
    if queue.armed == 0:
        queue.armed = 1
        push(S, timed.deadline, TIMER, queue_index)


@plane
def stop(queue: TimerQueue, table: list[Any], index: int) -> None:
    """Stop the timer of record `index` of `table`; it must be running."""
    timed = table[index]
    if timed.timer_prev >= 0:
        table[timed.timer_prev].timer_next = timed.timer_next
    else:
        queue.head = timed.timer_next
    if timed.timer_next >= 0:
        table[timed.timer_next].timer_prev = timed.timer_prev
    else:
        queue.tail = timed.timer_prev


@plane
def take_due(S: State, queue_index: int, table: list[Any], now: int) -> int:
    """Stop and return the oldest timed record if it is due, and arm the queue for the one after it."""
    queue = S.timer_queue[queue_index]
    queue.armed = 0
    index = queue.head
    if index < 0:
        return NONE
    if table[index].deadline <= now:
        stop(queue, table, index)
    else:
        index = NONE
    if queue.head >= 0:
        queue.armed = 1
        push(S, table[queue.head].deadline, TIMER, queue_index)
    return index
