"""Free lists and intrusive queues: the only places where records are linked by index.

* A record that can stand in a queue carries the links itself; a queue is a record with `head` and `tail`.
* `take` and `give_back` recycle the records of a growing table, so memory follows the number in flight.
* Queues of attempts use `next` and `prev`; so that a request can leave from the middle (a timeout),
  the pool's queue is doubly linked. A host's queue only loses its first.
"""

from __future__ import annotations

from typing import Any

from resilim.plane.machine import make_room, plane
from resilim.plane.records import NONE, Attempt, Connection, Host, Pool, Supply


@plane
def take(supply: Supply, table: list[Any]) -> int:
    """Index of a record that nobody uses; its old values are still in it, its flags are all down."""
    index = supply.free
    if index >= 0:
        supply.free = table[index].next
        return index
    index = supply.used
    supply.used = index + 1
    make_room(table, index)
    return index


@plane
def give_back(supply: Supply, table: list[Any], index: int) -> None:
    """Return a record to its table."""
    table[index].next = supply.free
    supply.free = index


@plane
def join_host_queue(host: Host, attempts: list[Attempt], index: int) -> None:
    """Put an attempt at the end of its host's queue."""
    attempts[index].next = NONE
    if host.waiting == 0:
        host.head = index
    else:
        attempts[host.tail].next = index
    host.tail = index
    host.waiting += 1


@plane
def leave_host_queue(host: Host, attempts: list[Attempt]) -> int:
    """Take the first attempt out of a host's queue, which must not be empty."""
    index = host.head
    host.head = attempts[index].next
    host.waiting -= 1
    return index


@plane
def join_pool_queue(pool: Pool, attempts: list[Attempt], index: int) -> None:
    """Put an attempt at the end of its pool's queue."""
    attempt = attempts[index]
    attempt.next = NONE
    attempt.prev = pool.tail
    if pool.tail >= 0:
        attempts[pool.tail].next = index
    else:
        pool.head = index
    pool.tail = index
    pool.waiting += 1


@plane
def leave_pool_queue(pool: Pool, attempts: list[Attempt], index: int) -> None:
    """Take an attempt out of its pool's queue, wherever it stands."""
    attempt = attempts[index]
    if attempt.prev >= 0:
        attempts[attempt.prev].next = attempt.next
    else:
        pool.head = attempt.next
    if attempt.next >= 0:
        attempts[attempt.next].prev = attempt.prev
    else:
        pool.tail = attempt.prev
    pool.waiting -= 1


@plane
def stack_ready(pool: Pool, connections: list[Connection], index: int) -> None:
    """Put a connection on top of its pool's ready stack."""
    connection = connections[index]
    connection.is_ready = 1
    connection.prev = NONE
    connection.next = pool.ready
    if pool.ready >= 0:
        connections[pool.ready].prev = index
    pool.ready = index


@plane
def list_connecting(pool: Pool, connections: list[Connection], index: int) -> None:
    """Put a connection into its pool's list of those that are being set up."""
    connection = connections[index]
    connection.prev = NONE
    connection.next = pool.connecting
    if pool.connecting >= 0:
        connections[pool.connecting].prev = index
    pool.connecting = index


@plane
def unlist_connecting(pool: Pool, connections: list[Connection], index: int) -> None:
    """Take a connection out of its pool's list of those that are being set up."""
    connection = connections[index]
    if connection.prev >= 0:
        connections[connection.prev].next = connection.next
    else:
        pool.connecting = connection.next
    if connection.next >= 0:
        connections[connection.next].prev = connection.prev


@plane
def unstack_ready(pool: Pool, connections: list[Connection], index: int) -> None:
    """Take a connection out of its pool's ready stack, wherever it stands."""
    connection = connections[index]
    connection.is_ready = 0
    if connection.prev >= 0:
        connections[connection.prev].next = connection.next
    else:
        pool.ready = connection.next
    if connection.next >= 0:
        connections[connection.next].prev = connection.prev
