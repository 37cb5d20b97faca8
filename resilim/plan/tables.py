"""The tables of one run while they are filled: records, and what equal things share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from resilim.plane import luck, telemetry
from resilim.plane.machine import SUPPLIED, TABLES, VECTORS
from resilim.plane.record import to_array
from resilim.plane.records import Gauge, Law, Supply, TimerQueue, World
from resilim.run import Array
from resilim.spec import law as spec_law

_LINEUP_PLACES = 2  # of a member (`balance_space.py`)
_GROWING = (*SUPPLIED, "row", "change")

_LAW_KINDS = {
    "constant": luck.CONSTANT,
    "uniform": luck.UNIFORM,
    "exponential": luck.EXPONENTIAL,
    "lognormal": luck.LOGNORMAL,
    "pareto": luck.PARETO,
}


@dataclass
class Tables:
    """The tables of `machine.TABLES` and `machine.VECTORS`, as lists."""

    records: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in TABLES})
    codes: list[int] = field(default_factory=list)
    hash_room: int = 0  # places of `hash_table`
    laws: dict[tuple[int, float, float], int] = field(default_factory=dict)
    queues: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, table: str, record: Any) -> int:
        """Append a record; its index."""
        self.records[table].append(record)
        return len(self.records[table]) - 1

    def size(self, table: str) -> int:
        """Number of records so far: the index of the next one."""
        return len(self.records[table])

    def add_fresh(self, table: str, kind: type, number: int) -> int:
        """Append so many fresh records; index of the first."""
        first = self.size(table)
        self.records[table] += [kind() for _ in range(number)]
        return first

    def law(self, law: spec_law.Law) -> int:
        """Index of the record of a law; equal laws share one."""
        key = _law_numbers(law)
        if key not in self.laws:
            self.laws[key] = self.add("law", Law(*key))
        return self.laws[key]

    def timer_queue(self, kind: int, duration: int) -> int:
        """Index of the queue of timers of one kind and duration."""
        key = kind, duration
        if key not in self.queues:
            self.queues[key] = self.add("timer_queue", TimerQueue(kind, duration))
        return self.queues[key]

    def status_codes(self, codes: Iterable[int]) -> tuple[int, int]:
        """Put down a list of status codes; index of the first, and their number."""
        first = len(self.codes)
        self.codes += codes
        return first, len(self.codes) - first

    def arrays(self, services: int) -> dict[str, Array]:
        """The tables of the run; those that grow are made by the engine."""
        self.records["world"] = [World()]
        self.records["supply"] = [Supply() for _ in SUPPLIED]
        self.records["gauge"] = [Gauge() for _ in range(services)]
        return {
            name: to_array(kind, self.records[name]) for name, kind in TABLES.items() if name not in _GROWING
        }

    def vectors(self, services: int) -> dict[str, Array]:
        """The tables of bare numbers."""
        vectors = {
            "code": np.array(self.codes, dtype=np.int64),
            "lineup": np.zeros(_LINEUP_PLACES * self.size("member"), dtype=np.int64),
            "hash_table": np.zeros(self.hash_room, dtype=np.int64),
            "histogram": np.zeros(services * telemetry.BUCKETS, dtype=np.int64),
        }
        return {name: vectors[name] for name in VECTORS}


def _law_numbers(law: spec_law.Law) -> tuple[int, float, float]:
    """Kind and parameters of a law as `luck.duration` wants them."""
    kind = _LAW_KINDS[law.kind]
    first, *rest = law.parameters
    if kind == luck.UNIFORM:
        return kind, float(first), float(rest[0] - first)
    if kind == luck.PARETO:
        return kind, float(first), -1.0 / rest[0]
    return kind, float(first), float(rest[0]) if rest else 0.0
