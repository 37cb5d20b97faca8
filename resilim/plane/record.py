"""What a record is: fields declared once, a slotted Python object and a numpy record made from them.

* The decorated class *is* the slotted Python object of the interpreted engine; `dtype_of` gives the numpy
  record of the compiled one, from the same fields.
* `int` fields are int64, `float` fields are float64. Nothing else: no strings, no objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_type_hints

import numpy as np

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
    rows = list(map(attrgetter(*names), records))
    return np.array(rows, dtype=dtype_of(cls))


def to_records(cls: type[R], array: np.ndarray[Any, Any]) -> list[R]:
    """Slotted records with the values of a numpy record array."""
    rows: Iterable[tuple[Any, ...]] = array.tolist()
    return [cls(*row) for row in rows]
