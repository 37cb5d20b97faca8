"""The compiled twins of the data plane's primitives: event heap, hash, room.

* The heap is a binary heap in a record array, ordered by (at, order); `order` counts pushes, so
  events of one instant come in the order in which they were scheduled, as on SimPy's heap.
* Kind and record index share one word.
* Nothing here checks bounds: `advance` guarantees room before each event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba.core import types
from numba.core.types.misc import unliteral
from numba.extending import intrinsic

KIND_BITS = 5
_KIND_MASK = (1 << KIND_BITS) - 1

# Names in `resilim.plane.machine` that are bound to their twins here.
PRIMITIVES = ("push", "scramble", "make_room", "see_to_rows", "announce")

_compile_part = numba.njit(error_model="numpy", nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
entry = numba.njit(cache=True, error_model="numpy", nogil=True)


def jit(function: Callable[..., Any]) -> Any:
    """Compile a function of the data plane once for each combination of types.

    numba makes a version of its own for every constant that is passed; there are hundreds of them.
    """
    dispatcher = _compile_part(function)
    resolve = dispatcher.get_call_template

    def resolve_types(arguments: Any, keywords: Any) -> Any:
        return resolve(tuple(unliteral(argument) for argument in arguments), keywords)

    dispatcher.get_call_template = resolve_types
    return dispatcher


@intrinsic  # type: ignore[untyped-decorator]
def fold_product(typing_context: Any, a: Any, b: Any) -> Any:
    """(a * b) xor (a * b >> 63), lowest 63 bits, for two non-negative int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide, word = ir.IntType(128), ir.IntType(64)
        x, y = (builder.zext(argument, wide) for argument in arguments)
        product = builder.mul(x, y)
        folded = builder.xor(product, builder.lshr(product, ir.Constant(wide, 63)))
        return builder.trunc(builder.and_(folded, ir.Constant(wide, (1 << 63) - 1)), word)

    return types.int64(types.int64, types.int64), generate


_SPREAD = 0x67037ED1A0B428DB


@jit
def scramble(key, salt):  # type: ignore[no-untyped-def]
    """Twin of `machine.scramble`."""
    x = key ^ salt
    return fold_product(x, x ^ _SPREAD)


@jit
def push(S, at, kind, who):  # type: ignore[no-untyped-def]
    """Twin of `machine.push`."""
    heap = S.heap
    clock = S.clock[0]
    order = clock.order
    clock.order = order + 1
    i = clock.events
    clock.events = i + 1
    while i > 0:
        parent = (i - 1) >> 1
        if heap[parent].at <= at:
            break
        heap[i].at = heap[parent].at
        heap[i].order = heap[parent].order
        heap[i].what = heap[parent].what
        i = parent
    heap[i].at = at
    heap[i].order = order
    heap[i].what = (who << KIND_BITS) | kind


@jit
def pop(S):  # type: ignore[no-untyped-def]
    """Take the earliest event off the heap: (at, kind, who)."""
    heap = S.heap
    clock = S.clock[0]
    n = clock.events - 1
    clock.events = n
    first_at = heap[0].at
    first_what = heap[0].what
    at = heap[n].at
    order = heap[n].order
    what = heap[n].what
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        other = child + 1
        if other < n and (
            heap[other].at < heap[child].at
            or (heap[other].at == heap[child].at and heap[other].order < heap[child].order)
        ):
            child = other
        if at < heap[child].at or (at == heap[child].at and order < heap[child].order):
            break
        heap[i].at = heap[child].at
        heap[i].order = heap[child].order
        heap[i].what = heap[child].what
        i = child
    heap[i].at = at
    heap[i].order = order
    heap[i].what = what
    return first_at, first_what & _KIND_MASK, first_what >> KIND_BITS


@jit
def make_room(table, index):  # type: ignore[no-untyped-def]
    """Twin of `machine.make_room`: `advance` has seen to it."""


@jit
def see_to_rows(S, filled):  # type: ignore[no-untyped-def]
    """Twin of `machine.see_to_rows`: `advance` has seen to it."""


@jit
def announce(S, change):  # type: ignore[no-untyped-def]
    """Twin of `machine.announce`: `advance` stops after the event that is being handled."""
    world = S.world[0]
    if world.signalled == 0:
        world.signalled = world.changes
