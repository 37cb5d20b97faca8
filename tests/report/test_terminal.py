"""The terminal's tables fit, say everything, and take names for what they are."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from resilim.report import units
from resilim.report.terminal import render
from resilim.study.result import Metric, Result

from .results import of_size, small, with_names


def printed(result: Result, width: int, terminal: bool = False) -> str:
    file = io.StringIO()
    render(result, Console(file=file, width=width, force_terminal=terminal, color_system="auto"))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize(
    "arms", [("only",), ("without", "with"), ("today", "eject", "retry", "both", "breaker")]
)
def test_no_line_is_broken(width: int, arms: tuple[str, ...]) -> None:
    text = printed(small(arms), width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "…" not in text


@pytest.mark.parametrize("width", [80, 100])
def test_every_figure_of_the_clients_stands_with_its_interval(width: int) -> None:
    result = small()
    text = printed(result, width)
    for figure in result.figures:
        if figure.of == "":
            assert units.estimate(figure.estimate, result.metric(figure.metric).unit) in text
    for difference in result.differences:
        if difference.of == "":
            assert units.difference(difference.estimate, result.metric(difference.metric).unit) in text


def test_the_answer_comes_last_with_its_verdict_as_a_word() -> None:
    result = small()
    end = " ".join(printed(result, 100).split())
    assert end.endswith(f"{result.question} Partly: {result.answer.sentence}")


def test_names_are_not_markup_and_do_not_steer_the_terminal() -> None:
    text = printed(with_names("[red]x[/red]\x1b[2J\x07[/]"), 100)
    assert "[red]x[/red]" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_colour_only_where_there_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in printed(small(), 100, terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in printed(small(), 100, terminal=True)


def test_an_unknown_metric_is_shown_by_its_label() -> None:
    result = small()
    strange = Metric("queue_age", "age of the queue", "seconds", "lower", "")
    figures = tuple(
        replace(f, metric="queue_age") for f in result.figures if f.metric in ("latency_mean", "latency_p50")
    )
    text = printed(replace(result, metrics=(*result.metrics, strange), figures=figures), 100)
    assert "age of the queue" in text
    assert "order-service age of the queue" in text


def test_long_names_are_clipped() -> None:
    name = "a-service-with-a-name-that-nobody-should-have-to-read-to-the-end-" * 3
    text = printed(with_names(name), 80)
    assert max(map(cell_len, text.splitlines())) <= 80


def test_a_thousand_services_say_what_is_left_out() -> None:
    text = printed(of_size(1000), 100)
    assert "988 more services" in text
    assert len(text.splitlines()) < 200
