"""The terminal's tables fit, say everything, and take names for what they are."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from resilim.plane.flags import MEANINGS
from resilim.report import units
from resilim.report.terminal import render
from resilim.study.result import Estimate, Metric, Outcomes, Result

from .results import of_size, same_differences, small, unrecovered, with_names


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
def test_the_figures_of_the_clients_stand_with_their_intervals(width: int) -> None:
    result = small()
    text = printed(result, width)
    for figure in result.figures:
        if figure.of == "" and figure.metric in ("success_ratio", "goodput", "latency_p50", "latency_p99"):
            assert units.estimate(figure.estimate, result.metric(figure.metric).unit) in text
    for difference in result.differences:
        if difference.of == "" and difference.metric in ("success_ratio", "goodput"):
            assert units.difference(difference.estimate, result.metric(difference.metric).unit) in text


@pytest.mark.parametrize("width", [80, 100, 120])
def test_two_arms_have_one_line_a_metric(width: int) -> None:
    lines = printed(small(), width).splitlines()
    assert any(re.search(r"success ratio +61.9 % ±0.6 +90.3 % ±0.9 +\+28 pp ±3 +better", x) for x in lines)
    assert len(lines) < 100


def test_three_arms_have_their_differences_below_them() -> None:
    text = printed(small(("without", "eject", "both")), 100)
    assert re.search(r"against without +\+28 pp ±3 better +\+19 pp ±2 better", text)


def test_no_difference_is_the_word_same() -> None:
    result = small()
    text = printed(replace(result, differences=same_differences(result, Estimate(0.0, 0.0, 0.0))), 100)
    assert re.search(r"p99 +190 ms ±2 +190 ms ±2 +same", text)
    assert "better" not in text


def test_only_what_occurs_is_explained() -> None:
    result = small()
    plain = printed(result, 100)
    assert "exactly:" not in plain
    assert "> and <" not in plain
    figures = tuple(
        replace(f, estimate=Estimate(1.0, 0.99999, 1.0)) if f.metric == "success_ratio" else f
        for f in result.figures
    )
    always = printed(replace(result, figures=figures), 100)
    assert "> 99.999 %" in always
    assert "> and <: it never failed, or never happened; that is the 95 % bound of the share." in always


def test_failures_are_explained_and_none_is_rounded_away() -> None:
    result = small()
    whole = Outcomes("with", "before", 18_000.0, 18_000.0, ())
    rare = Outcomes("without", "fault", 27_000.0, 26_999.7, (("UH,URX", "cart", 0.3),))
    text = printed(replace(result, outcomes=(whole, rare)), 100)
    assert "<1 of 27,000" in text
    assert "UH,URX at cart: <1" in text
    for flag in ("UH", "URX"):
        assert f"{flag:<4}{MEANINGS[flag]}" in text
    assert "no request failed: before with" in text
    assert MEANINGS["DC"] not in text


def test_a_missing_recovery_says_in_how_many_replications() -> None:
    text = printed(unrecovered(small()), 100)
    assert "recovery time  without: not recovered in 3 of 20 | with: 95 s ±9" in text


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
    assert re.search(r"service +without +with", text)


def test_long_names_are_clipped() -> None:
    name = "a-service-with-a-name-that-nobody-should-have-to-read-to-the-end-" * 3
    text = printed(with_names(name), 80)
    assert max(map(cell_len, text.splitlines())) <= 80


def test_a_thousand_services_say_what_is_left_out() -> None:
    text = printed(of_size(1000), 100)
    assert "988 more services" in text
    assert len(text.splitlines()) < 200
