"""`docs/fidelity.md`: the tables of measured and simulated numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from .cases import Row, Table
from .compare import Compared

_HEAD = """\
# How close it comes

What was measured or published, beside what resilim says. Written by
`python -m tests.published --write docs/fidelity.md`; a slow test asserts the verdicts. The experiments, with
every assumption, are in `tests/published/experiments`, the numbers that are compared in
`tests/published/cases`.

Simulated numbers are means over the replications with the half width of their 95 % interval; measured ones
have their standard deviation over the repetitions, where there is one. How two numbers are compared:

* *equal*: every replication gives the measured number.
* *interval*: the 95 % interval of the difference of the means, which has both spreads in it, includes 0.
* *within*: the means differ by no more than the tolerance that is given.
* *band*: the number, from a single run, lies between the 5th and the 95th percentile of the replications.
* *above*, *less than*: what the words say.
"""


def page(compared: Iterable[tuple[Table, list[Compared]]]) -> str:
    """The whole page."""
    parts = [_HEAD]
    every = []
    for table, rows in compared:
        parts.append("\n".join(_table(table, rows)))
        every += rows
    agreeing = sum(one.agrees for one in every)
    parts.insert(1, f"{agreeing} of {len(every)} numbers agree.\n")
    return "\n".join(parts)


def _table(table: Table, rows: list[Compared]) -> Iterator[str]:
    yield f"## {table.title}\n"
    runs = f"{table.replications} replications"
    yield f"{table.source} Simulated: `{table.experiment}`, {runs}.\n"
    for path, values in table.vary.items():
        yield f"`{path}` is {_listed(values)} in turn.\n"
    for note in table.notes:
        yield f"* {note}"
    if table.notes:
        yield ""
    yield "| case | number | measured | simulated | compared by | verdict |"
    yield "|---|---|---|---|---|---|"
    for one in rows:
        yield _line(one)
    yield ""


def _listed(values: tuple[str, ...]) -> str:
    """All values, or of many the first two and the last."""
    shown = values if len(values) <= 4 else (*values[:2], "…", values[-1])
    return ", ".join(shown)


def _line(one: Compared) -> str:
    row = one.row
    cells = (row.arm, row.metric, _measured(one), _simulated(one), _check(one), _verdict(one))
    return f"| {' | '.join(cells)} |"


def _measured(one: Compared) -> str:
    row = one.row
    if row.measured is None or row.check == "above":
        return "–"
    return _with_spread(row.measured, row.spread, one.unit)


def _simulated(one: Compared) -> str:
    if np.isnan(one.values).any():
        return "–"
    if one.row.check == "band":
        low, high = np.quantile(one.values, [0.05, 0.95])
        return f"{_number(one.mean)} ({_number(low)} to {_number(high)}){_unit(one.unit)}"
    return _with_spread(one.mean, one.half, one.unit)


def _check(one: Compared) -> str:
    row: Row = one.row
    if row.check == "within":
        unit = " of it" if row.tolerance.endswith("%") else _unit("pp" if one.unit == "%" else one.unit)
        return f"within {row.tolerance}{unit}"
    if row.check == "above":
        return f"above {_number(row.measured or 0.0)}"
    return f"{row.check} {row.against}".strip()


def _verdict(one: Compared) -> str:
    if one.agrees:
        return "agrees"
    return f"**differs**: {one.row.known}" if one.row.known else "**differs**"


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""


def _with_spread(value: float, spread: float, unit: str) -> str:
    """A number and its spread with the same places; no spread where it is below what is shown."""
    if spread <= abs(value) / 10_000:
        return f"{_number(value)}{_unit(unit)}"
    places = max(0, 1 - math.floor(math.log10(spread)))
    return f"{value:,.{places}f} ± {spread:,.{places}f}{_unit(unit)}"


def _number(value: float) -> str:
    """A number without an exponent and without places that say nothing."""
    size = abs(value)
    places = 1 if size >= 100 else 2 if size >= 1 else 3
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
