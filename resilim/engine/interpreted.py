"""The interpreted engine: the data plane's functions as they are, every event an event of SimPy."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np

from resilim.engine.environment import InterpretedEnvironment
from resilim.engine.limits import TooManyInFlight
from resilim.plane import changes, crash, outlier, source, start, telemetry
from resilim.plane.machine import CHUNK, TABLES, VECTORS, State
from resilim.plane.record import to_array, to_records
from resilim.run import ROW_DTYPE, Array, Run, joined_rows

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sweep": outlier.sweep,
    "set_rate": source.set_rate,
    "begin": start.begin,
    "set_link": crash.set_link,
    "note_change": changes.note_change,
    "take_sample": telemetry.take_sample,
}


class InterpretedPlane:
    """The data plane of one run as slotted records and plain functions."""

    name = "python"

    def __init__(self, run: Run, env: InterpretedEnvironment) -> None:
        self._env = env
        self._most_in_flight = run.most_in_flight
        self._moved_rows: list[Array] = []
        self.on_change: Callable[[Any], None] = lambda change: None
        state = State()
        for name, kind in TABLES.items():
            setattr(state, name, to_records(kind, run.tables[name]) if name in run.tables else [kind()])
        state.row = [TABLES["row"]() for _ in range(CHUNK)]
        for name in VECTORS:
            setattr(state, name, run.vectors[name].tolist())
        state.histogram = array("q", state.histogram)
        state.heap = env.heap
        state.next_order = env.next_plane_order
        state.signal = self._tell
        state.move_rows = self._move_rows
        self.state = state

    def _tell(self, change: Any) -> None:
        self._env.happened(change.at)
        self.on_change(change)

    def records(self, name: str) -> Any:
        """The records of a table: read and write their fields by name."""
        return getattr(self.state, name)

    def check_limit(self) -> None:
        """Raise `TooManyInFlight` when more calls and attempts were in flight than the run may hold."""
        if len(self.state.call) + len(self.state.attempt) > 2 * self._most_in_flight:
            raise TooManyInFlight(self._most_in_flight)

    def vector(self, name: str) -> Array:
        """A table of bare numbers."""
        return np.array(getattr(self.state, name), dtype=np.int64)

    def call(self, name: str, *arguments: Any) -> Any:
        """Call one of FUNCTIONS with the state and `arguments`."""
        self.check_limit()
        return FUNCTIONS[name](self.state, *arguments)

    def _move_rows(self) -> None:
        """Move a full chunk of outcomes into a numpy array."""
        self._moved_rows.append(to_array(TABLES["row"], self.state.row).astype(ROW_DTYPE))
        self.state.world[0].rows = 0

    def table(self, name: str) -> Array:
        """A copy of a table as it is now."""
        return to_array(TABLES[name], getattr(self.state, name))

    def rows(self) -> Array:
        """All outcomes so far."""
        filled = self.state.world[0].rows
        last = to_array(TABLES["row"], self.state.row[:filled]).astype(ROW_DTYPE)
        return joined_rows([*self._moved_rows, last])

    def changes(self) -> Array:
        """All state changes so far."""
        return to_array(TABLES["change"], self.state.change[: self.state.world[0].changes])
