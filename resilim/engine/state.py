"""The compiled state: a numba type that is one pointer to a block of table addresses.

* `S.call[i].started` reads as in the interpreted engine. `S` itself is a single machine word, so passing it
  from function to function costs nothing, and no reference is ever counted: the owner of the block keeps
  the tables alive while compiled code runs.
* The block is an int64 array with two words a table: address of the data, number of records.
* The addresses do not change while compiled code runs; only the owner moves tables, between calls.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import from_dtype
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, register_model
from numba.np.arrayobj import make_array, populate_array

from resilim.plane.machine import TABLES, VECTORS
from resilim.plane.record import dtype_of

HEAP_DTYPE = np.dtype([("at", np.int64), ("order", np.int64), ("what", np.int64)])
# One record: events on the heap, events ever pushed, time of the last event that was signalled.
CLOCK_DTYPE = np.dtype([("events", np.int64), ("order", np.int64), ("now", np.int64)])

DTYPES: dict[str, np.dtype[Any]] = {
    **{name: dtype_of(kind) for name, kind in TABLES.items()},
    **{name: np.dtype(np.int64) for name in VECTORS},
    "heap": HEAP_DTYPE,
    "clock": CLOCK_DTYPE,
}
_PLACES = {name: place for place, name in enumerate(DTYPES)}
_ARRAYS = {name: types.Array(from_dtype(dtype), 1, "C") for name, dtype in DTYPES.items()}


def address_block(tables: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """The block of a state with these tables (C-contiguous, of the types in DTYPES)."""
    words = [(tables[name].ctypes.data, len(tables[name])) for name in DTYPES]
    return np.array(words, dtype=np.int64).ravel()


class StateType(types.Type):
    """The numba type of `S`."""

    def __init__(self) -> None:
        super().__init__(name="ResilimState")


STATE = StateType()


@register_model(StateType)
class _StateModel(models.PrimitiveModel):
    """One machine word: the address of the block."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.IntType(64))


@intrinsic  # type: ignore[untyped-decorator]
def state_at(context: Any, address: Any) -> Any:
    """The state whose block is at an address (int64)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return arguments[0]

    return STATE(types.int64), generate


@infer_getattr
class _StateAttributes(AttributeTemplate):
    key = StateType

    def generic_resolve(self, kind: Any, name: str) -> Any:
        """The type of a table."""
        return _ARRAYS.get(name)


@lower_getattr_generic(StateType)
def _table(context: Any, builder: Any, kind: Any, value: Any, name: str) -> Any:
    """The table `name` as an array without an owner."""
    word = ir.IntType(64)
    block = builder.inttoptr(value, word.as_pointer())

    def fixed_word(place: int) -> Any:
        loaded = builder.load(cgutils.gep_inbounds(builder, block, place))
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return loaded

    array_type = _ARRAYS[name]
    array = make_array(array_type)(context, builder)
    size = context.get_constant(types.intp, DTYPES[name].itemsize)
    data_type = context.get_data_type(array_type.dtype).as_pointer()
    populate_array(
        array,
        data=builder.inttoptr(fixed_word(2 * _PLACES[name]), data_type),
        shape=cgutils.pack_array(builder, [fixed_word(2 * _PLACES[name] + 1)]),
        strides=cgutils.pack_array(builder, [size]),
        itemsize=size,
        meminfo=None,
    )
    return array._getvalue()
