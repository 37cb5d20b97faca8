"""Simulated beside measured: means, intervals, verdicts.

* `equal`: every replication gives the measured number.
* `interval`: the 95 % interval of the difference of the two means includes 0; it has the spread of the
  measurement over its repetitions and that of the simulation over its replications (Welch).
* `within`: the means differ by no more than a tolerance that is stated with its reason.
* `band`: the number lies between the 5th and the 95th percentile of the replications; for a source that
  gives a single run.
* `above`: the mean is above the number. `less than`: the mean is below that of another arm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from resilim.plan import plan, replication_seed
from resilim.run import Array
from resilim.spec import load_experiment

from .cases import Row, Table
from .measure import Observed, metric, observe

CONFIDENCE = 0.95
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Compared:
    """One row with what was simulated, in the unit of the metric."""

    row: Row
    unit: str
    values: Array  # (replications,); nan where there was nothing to measure
    agrees: bool

    @property
    def mean(self) -> float:
        """Mean over the replications."""
        return float(np.mean(self.values))

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval of the mean."""
        return _half(self.values)


def compare(table: Table) -> list[Compared]:
    """Simulate what a table needs, and judge its rows."""
    needed = {(arm, row.metric) for row in table.rows for arm in (row.arm, row.against) if arm}
    values: dict[tuple[str, str], list[float]] = {key: [] for key in needed}
    for arm, seen in _simulated(table):
        for of_arm, name in needed:
            if of_arm == arm:
                values[arm, name].append(metric(name).of(seen))
    arrays = {key: np.array(found) for key, found in values.items()}
    return [_compared(table, row, arrays) for row in table.rows]


def _simulated(table: Table) -> Iterator[tuple[str, Observed]]:
    """Every run that a table needs."""
    watched = any(metric(row.metric).watched for row in table.rows)
    plans = {}
    seed = 0
    for replication in range(table.replications):
        changes = table.changes(replication)
        if changes not in plans:
            loaded = load_experiment(table.path, changes)
            plans[changes] = {arm.name: plan(arm) for arm in loaded.arms if arm.name in table.arms}
            seed = loaded.experiment.replications.seed
        for arm, planned in plans[changes].items():
            yield arm, observe(planned, replication_seed(seed, replication), watched)


def _compared(table: Table, row: Row, values: dict[tuple[str, str], Array]) -> Compared:
    own = values[row.arm, row.metric]
    other = values.get((row.against, row.metric))
    return Compared(row, metric(row.metric).unit, own, judge(row, own, table.repetitions, other))


def judge(row: Row, values: Array, repetitions: int, other: Array | None = None) -> bool:
    """Whether the simulated values agree with a row."""
    if np.isnan(values).any() and row.check != "band":
        return False
    if row.check == "less than":
        return other is not None and bool(values.mean() < other.mean())
    if row.measured is None:
        raise ValueError(f"{row.id}: a number is missing")
    mean = float(np.mean(values))
    match row.check:
        case "equal":
            return bool(np.all(np.abs(values - row.measured) <= _ROUNDING * max(1.0, abs(row.measured))))
        case "within":
            return abs(mean - row.measured) <= row.allowed
        case "band":
            low, high = np.nanquantile(values, [0.05, 0.95])
            return bool(low <= row.measured <= high)
        case "above":
            return mean > row.measured
        case _:
            return abs(mean - row.measured) <= _half_of_difference(row, values, repetitions)


def _half(values: Array) -> float:
    n = len(values)
    if n < 2:
        return math.inf
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * error


def _half_of_difference(row: Row, values: Array, repetitions: int) -> float:
    """Half the width of the interval of the difference of two means (Welch, Satterthwaite)."""
    simulated = float(np.var(values, ddof=1)) / len(values)
    measured = row.spread**2 / repetitions
    if simulated + measured == 0:
        return 0.0
    freedom = (simulated + measured) ** 2 / (
        simulated**2 / (len(values) - 1) + (measured**2 / (repetitions - 1) if repetitions > 1 else 0.0)
    )
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * math.sqrt(simulated + measured)
