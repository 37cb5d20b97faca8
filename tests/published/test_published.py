"""The numbers that others have measured, and the machinery that compares."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from resilim.cli import main
from resilim.spec import load_experiment

from .cases import HERE, Row, tables
from .compare import Compared, compare, judge
from .measure import METRICS, metric
from .page import page

TABLES = tables()
PAGE = HERE.parents[1] / "docs/fidelity.md"


@cache
def compared(number: int) -> list[Compared]:
    """One table, simulated once a process."""
    return compare(TABLES[number])


def row(check: str, measured: float | None = 10.0, **more: object) -> Row:
    return Row.model_validate(
        {"id": "x", "arm": "a", "metric": "requests", "measured": measured, "check": check, **more}
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(TABLES)), ids=[table.experiment for table in TABLES])
def test_what_was_measured_is_simulated(number: int) -> None:
    surprises = [
        f"{one.row.id}: measured {one.row.measured} ± {one.row.spread}, simulated {one.mean} ± {one.half}"
        for one in compared(number)
        if one.agrees == bool(one.row.known)
    ]
    assert not surprises


@pytest.mark.slow
def test_the_page_is_up_to_date() -> None:
    text = page((table, compared(number)) for number, table in enumerate(TABLES))
    assert PAGE.read_text(encoding="utf-8") == text, "python -m tests.published --write docs/fidelity.md"


@pytest.mark.parametrize("path", sorted(HERE.glob("*s/*.yaml")), ids=lambda path: path.stem)
def test_every_input_is_valid(path: Path) -> None:
    if path.parent.name != "cases":
        result = CliRunner().invoke(main, ["validate", str(path)])
        assert result.exit_code == 0, result.output


def test_every_case_names_what_there_is() -> None:
    assert len(TABLES) >= 7
    ids = [one.id for table in TABLES for one in table.rows]
    assert len(ids) == len(set(ids))
    for table in TABLES:
        for replication in range(len(next(iter(table.vary.values()), ("",)))):
            loaded = load_experiment(table.path, table.changes(replication))
            assert set(table.arms) <= {arm.name for arm in loaded.arms}
        for one in table.rows:
            metric(one.metric)
            assert (one.check == "less than") == bool(one.against)
            assert (one.check == "within") == bool(one.tolerance)
            assert one.check == "less than" or one.measured is not None


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(KeyError):
        metric("upstream_rq_total + upstream_rq_totl")
    assert metric("share of 200") is METRICS["share of 200"]


@pytest.mark.parametrize(
    ("one", "values", "agrees"),
    [
        (row("equal"), [10.0, 10.0], True),
        (row("equal"), [10.0, 10.1], False),
        (row("equal", 97.5), [97.5, 97.5 + 1e-12], True),
        (row("equal"), [10.0, math.nan], False),
        (row("within", tolerance="2 %"), [10.1, 10.3], True),
        (row("within", tolerance="2 %"), [10.3, 10.3], False),
        (row("within", tolerance="0.3"), [10.2, 10.3], True),
        (row("band"), [5.0, 12.0, 13.0], True),
        (row("band"), [11.0, 12.0, 13.0], False),
        (row("above"), [10.0, 10.1], True),
        (row("above"), [10.0, 10.0], False),
        (row("interval"), [9.0, 10.0, 11.0, 10.5], True),
        (row("interval"), [11.0, 11.1, 11.0, 11.1], False),
        (row("interval", spread=1.0), [11.0, 11.1, 11.0, 11.1], True),
        (row("interval"), [10.0, 10.0], True),
        (row("interval"), [10.1, 10.1], False),
    ],
)
def test_checks_judge_as_they_say(one: Row, values: list[float], agrees: bool) -> None:
    assert judge(one, np.array(values), repetitions=4) == agrees


def test_an_order_is_that_of_the_means() -> None:
    one = row("less than", None, against="b")
    assert judge(one, np.array([1.0, 2.0]), 1, np.array([2.0, 3.0]))
    assert not judge(one, np.array([1.0, 3.0]), 1, np.array([2.0, 2.0]))


def test_the_page_has_every_row() -> None:
    table = TABLES[0]
    rows = [Compared(one, "ms", np.array([1.0, 2.0]), index > 0) for index, one in enumerate(table.rows)]
    text = page([(table, rows)])
    assert f"{len(table.rows) - 1} of {len(table.rows)} numbers agree" in text
    assert text.count("| agrees |") == len(table.rows) - 1
    assert text.count("| **differs** |") == 1
    assert "1.5 ± 6.4 ms" in text
    assert "| 97.5 ms |" in text
