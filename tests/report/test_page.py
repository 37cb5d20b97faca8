"""The page is one offline file: small, the same each time, complete, and deaf to hostile names."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from resilim.plane.flags import MEANINGS
from resilim.report import units
from resilim.report.markup import text
from resilim.report.packing import PACKED
from resilim.report.page import page, write_page
from resilim.report.view import View
from resilim.study.result import Estimate, Result

from .results import of_size, same_differences, small, unrecovered, with_names

COMMAND = "resilim run experiments/cascading-failure.yaml --seed 20261123"
LIMIT = 2_500_000
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "\"><img src=http://example.org/x onerror='alert(3)'>",
    "<!--<script>",
    "\u2028\u2029&lt;b&gt; &amp;",
    "<a href='javascript:alert(4)'>x</a> %{x} ${y}",
    "]]></style><style>@import 'http://example.org/x'",
)


class Outline(HTMLParser):
    """Tags with their attributes, the text outside scripts and styles, and the packed figures."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.figures: list[dict[str, Any]] = []
        self.inside = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.inside = str(dict(attributes).get("type", tag)) if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == PACKED and self.tags[-1][1].get("id") != "plotly":
            self.figures.append(json.loads(gzip.decompress(base64.b64decode(data))))
        elif not self.inside:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture(scope="module")
def result() -> Result:
    return small()


@pytest.fixture(scope="module")
def source(result: Result) -> str:
    return page(result, COMMAND)


def test_the_file_is_small_and_the_same_each_time(result: Result, source: str, tmp_path: Path) -> None:
    write_page(result, tmp_path / "report.html", COMMAND)
    data = (tmp_path / "report.html").read_bytes()
    assert data == source.encode()
    assert len(data) < LIMIT


@pytest.mark.parametrize("arms", [("without", "with"), ("a", "b", "c", "d", "e")])
def test_a_thousand_services_fit(arms: tuple[str, ...]) -> None:
    source = page(of_size(1000, arms), COMMAND)
    assert len(source.encode()) < LIMIT
    assert "12 of 1,000 services" in source
    assert "The other 988 services" in source


def test_nothing_is_fetched(source: str) -> None:
    for tag, attributes in Outline(source).tags:
        assert "src" not in attributes, tag
        assert (attributes.get("href") or "#").startswith("#"), tag
        assert tag not in ("link", "iframe", "object", "embed", "base")
    style = source[source.index("<style>") : source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    source = page(with_names("harmless"), COMMAND)
    hostile = page(with_names(name), name)
    outline = Outline(hostile)
    assert [tag for tag, _ in outline.tags].count("script") == [t for t, _ in Outline(source).tags].count(
        "script"
    )
    assert {tag for tag, _ in outline.tags} <= {tag for tag, _ in Outline(source).tags}
    for _, attributes in outline.tags:
        assert not [a for a in attributes if a.startswith("on")]
    assert text(name) in hostile
    assert len(outline.figures) == len(Outline(source).figures)


def test_names_in_pictures_are_escaped_for_plotly() -> None:
    figures = Outline(page(with_names("<b>x</b>"), COMMAND)).figures
    written = json.dumps([figure["layout"] for figure in figures])
    assert "&lt;b&gt;x&lt;/b&gt;" in written
    assert "<b><b>" not in written


def test_every_figure_and_difference_stands_with_its_interval(result: Result, source: str) -> None:
    words = Outline(source).text
    view = View.of(result)
    for figure in result.figures:
        if figure.metric != "recovery_time":
            assert units.estimate(figure.estimate, result.metric(figure.metric).unit) in words
    for difference in result.differences:
        metric = result.metric(difference.metric)
        assert view.compared(metric, difference.of, difference.window, difference.arm).text in words


def test_only_the_window_of_the_question_stands_open(source: str) -> None:
    folded = "".join(re.findall(r"<details>.*?</details>", source, re.S))
    for window in ("before", "after"):
        assert f"<caption>The clients' requests, {window} window" in folded
    assert "<caption>The clients' requests, fault window" in source
    assert "<caption>The clients' requests, fault window" not in folded


def test_what_is_the_same_is_said_and_not_drawn(result: Result, source: str) -> None:
    zero = Estimate(0.0, 0.0, 0.0)
    same = page(replace(result, differences=same_differences(result, zero)), COMMAND)
    assert "Nothing. The same in every arm, so not drawn:" in Outline(same).text
    assert same.count(f'<span class="muted">{units.SAME}</span>') > 10
    assert f'<span class="muted">{units.SAME}</span>' not in source


def test_a_missing_recovery_says_in_how_many_replications(result: Result) -> None:
    words = Outline(page(unrecovered(result), COMMAND)).text
    assert "not recovered in 3 of 20" in words


def test_where_requests_wait_has_the_services_where_failures_began(source: str) -> None:
    assert "<h3>order-service: 64 workers</h3>" in source
    assert "<h3>frontend: 64 workers</h3>" in source
    assert "<h3>cart: 64 workers</h3>" not in source


def test_every_picture_says_what_it_shows(source: str) -> None:
    plots = [a for tag, a in Outline(source).tags if tag == "div" and a.get("class") == "plot"]
    assert len(plots) == 7
    for plot in plots:
        assert plot["role"] == "img"
        assert re.fullmatch(r".{40,}\.", plot["aria-label"] or "")


def test_headings_are_in_order(source: str) -> None:
    levels = [int(tag[1]) for tag, _ in Outline(source).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_the_page_explains_itself(result: Result, source: str) -> None:
    words = Outline(source).text
    for wanted in (result.question, result.answer.sentence, result.digest, COMMAND, *result.notes):
        assert wanted in words
    for flag, meaning in MEANINGS.items():
        assert f"{flag}{meaning}" in words
    for metric in result.metrics:
        assert metric.doc in words
    assert "<strong>assumed</strong>" in source
    assert words.count("Resilience4j") == 1


def test_one_arm_has_no_differences() -> None:
    source = page(small(("only",)), COMMAND)
    assert "What changed" not in source


def test_no_ejection_is_said_in_words(result: Result) -> None:
    source = page(small(("only",)), COMMAND)
    assert "Outlier detection ejected no host in any arm." in source


def test_a_result_without_timelines_still_has_its_tables(result: Result) -> None:
    source = page(replace(result, timelines={}), COMMAND)
    assert "The clients&#x27; requests" in source or "The clients' requests" in source
    assert "What happened" not in source


def test_a_result_with_little_in_it(result: Result) -> None:
    bare = replace(
        result,
        faults=(),
        provenance=(),
        notes=(),
        outcomes=(),
        figures=(),
        differences=(),
        windows=result.windows[:1],
    )
    assert "The model does not say." in page(bare, COMMAND)
