"""`resilim explain`: every word is there, is found as people write it, and is not there twice."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len
from rich.console import Console

from resilim.cli import BAD_INPUT, main
from resilim.plane.flags import MEANINGS, NAMES
from resilim.report import explain
from resilim.report.explain import Unknown, find, groups, look_up, words
from resilim.spec.units import shortened
from resilim.study.envoy_stats import STATISTICS

STATS = "cluster.outbound|80||cart.default.svc.cluster.local"


def resilim(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["explain", *arguments])


def named(asked: str) -> str:
    word = find(asked)
    return word.name if word else ""


def titles(*kinds: str) -> set[str]:
    return {word.name for word in words().values() if word.kind.startswith(kinds)}


def test_every_flag_is_explained() -> None:
    simulated, *_, others = groups()
    assert {word.name for word in simulated.words} == {*NAMES.values(), "-"} == set(MEANINGS)
    assert not {word.name for word in others.words} & set(NAMES.values())


def test_the_counters_and_gauges_are_those_that_are_written() -> None:
    assert titles("counter", "gauge") == set(STATISTICS)
    for name, kind in STATISTICS.items():
        assert words()[name].kind == kind


def test_no_word_stands_twice() -> None:
    names = [word.name for group in groups() for word in group.words]
    assert len(names) == len(set(names)) == len(words())
    squashed = [re.sub("[^a-z0-9]", "", name.lower()) for w in words().values() for name in (w.name, w.also)]
    assert len([name for name in squashed if name]) == len({name for name in squashed if name})


@pytest.mark.parametrize("word", words().values(), ids=list(words()))
def test_every_word_is_explained_whole(word: explain.Word) -> None:
    for text in (word.means, word.do):
        assert re.fullmatch(r"\S.*[.]", text)
        assert "  " not in text
        assert text.isprintable()
        assert len(re.findall(r"[.](?= [A-Z1]|$)", text)) <= 4
    assert len(word.means) < 420
    assert len(word.do) < 400
    assert word.see
    assert word.name not in word.see
    assert set(word.see) <= set(words())
    assert find(word.name) == word
    assert not word.also or find(word.also) == word


@pytest.mark.parametrize("word", words().values(), ids=list(words()))
def test_what_a_text_names_in_envoys_way_exists(word: explain.Word) -> None:
    for name in re.findall(r"\b(?:upstream|membership|ejections)_[a-z0-9_]*[a-z0-9]\b", word.means + word.do):
        assert named(name), name


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("UO", "UO"),
        ("uo", "UO"),
        ("UpstreamOverflow", "UO"),
        ("upstream_overflow", "UO"),
        ("-", "-"),
        ("503", "503"),
        ("upstream_rq_pending_overflow", "upstream_rq_pending_overflow"),
        (f"{STATS}.upstream_rq_pending_overflow", "upstream_rq_pending_overflow"),
        (f"{STATS};.upstream_rq_pending_overflow: 21", "upstream_rq_pending_overflow"),
        (f"{STATS};.retry.upstream_rq_5xx: 0", "retry.upstream_rq_5xx"),
        (f"{STATS};.retry.upstream_rq_503: 4", "retry.upstream_rq_5xx"),
        (f"{STATS};.upstream_rq_503: 4", "upstream_rq_503"),
        (f"{STATS};.upstream_rq_404", "upstream_rq_4xx"),
        (f"{STATS};.circuit_breakers.default.rq_open: 1", "circuit_breakers.default.rq_open"),
        (f"{STATS};.circuit_breakers.high.rq_retry_open", "circuit_breakers.default.rq_retry_open"),
        ("circuit_breakers.default.rq_open", "circuit_breakers.default.rq_open"),
        ("rq_open", "circuit_breakers.default.rq_open"),
        ("ejections_active", "outlier_detection.ejections_active"),
        (
            "outlier_detection.ejections_enforced_failure_percentage_local_origin",
            "outlier_detection.ejections_enforced_local_origin_failure_percentage",
        ),
        (
            'envoy_cluster_upstream_rq_pending_overflow{cluster_name="outbound|80||cart, a"} 21',
            "upstream_rq_pending_overflow",
        ),
        (
            'envoy_cluster_circuit_breakers_default_cx_open{cluster_name="a"} 0',
            "circuit_breakers.default.cx_open",
        ),
        ('envoy_cluster_upstream_rq_xx{envoy_response_code_class="5"}', "upstream_rq_5xx"),
        ('envoy_cluster_upstream_rq{response_code="503",x="y"} 2', "upstream_rq_503"),
        ("http.outbound_0.0.0.0_80;.fault.aborts_injected: 3", "fault.aborts_injected"),
        ("http_local_rate_limiter.http_local_rate_limit.enforced: 3", "http_local_rate_limit.enforced"),
        ("total", ""),
        ("failure", "health_check.failure"),
        ("upstream_rq_999x", ""),
        ("", ""),
        (".", ""),
    ],
)
def test_a_word_is_found_as_people_have_it(asked: str, name: str) -> None:
    assert named(asked) == name


def test_several_flags_are_explained_one_after_the_other() -> None:
    assert [word.name for word in look_up(["UF, URX", "UF"])] == ["UF", "URX"]
    result = resilim("UF,URX")
    assert result.exit_code == 0
    assert result.stdout.index("UpstreamConnectionFailure") < result.stdout.index(
        "UpstreamRetryLimitExceeded"
    )
    assert "Several flags on one request" in result.stdout
    assert "Several flags on one request" not in resilim("UF").stdout


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("upstream_rq_pending_overflw", "upstream_rq_pending_overflow"),
        ("rq_pending_overflow", "upstream_rq_pending_overflow"),
        (f"{STATS};.ejections_activ", "outlier_detection.ejections_active"),
        ("UpstreamOverfow", "UpstreamOverflow"),
        ("URXX", "URX"),
    ],
)
def test_an_unknown_word_gets_the_nearest_one(asked: str, meant: str) -> None:
    with pytest.raises(Unknown) as unknown:
        look_up(["UO", asked])
    assert unknown.value.words == ((asked, meant),)
    result = resilim("UO", asked)
    assert result.exit_code == BAD_INPUT
    assert result.stdout == ""
    line = f'resilim: no explanation of "{shortened(asked)}" (did you mean "{meant}"?)\n'
    assert result.stderr == line


@pytest.mark.parametrize(
    "asked", ["", ",", "xyzzy", "\x1b[2J", "{", "{}", "a" * 100_000, "\u202e", "9" * 5000]
)
def test_odd_words_are_refused_on_one_line(asked: str) -> None:
    result = resilim("--", asked)
    assert result.exit_code == BAD_INPUT
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.isprintable()
    assert "resilim explain lists all words" in line


def test_without_a_word_all_are_listed() -> None:
    result = resilim()
    assert result.exit_code == 0
    for group in groups():
        assert group.title in result.stdout
    listed = set(re.findall(r"[^\s,]+", result.stdout))
    assert set(words()) <= listed


def test_json_has_what_the_terminal_shows() -> None:
    data = json.loads(resilim("--json", "UF,URX", "rq_open").stdout)
    assert [word["word"] for word in data["words"]] == ["UF", "URX", "circuit_breakers.default.rq_open"]
    assert data["words"][0]["also"] == ["UpstreamConnectionFailure"]
    assert len(data["notes"]) == 2
    everything = json.loads(resilim("--json").stdout)
    assert [name for group in everything["groups"] for name in group["words"]] == list(words())


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    file = io.StringIO()
    console = Console(file=file, width=width)
    explain.render(list(words().values()), console)
    explain.render_list(console)
    lines = file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width or width < 80  # the longest name has 67 characters
    assert "…" not in file.getvalue()


def test_nothing_heavy_is_loaded() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from resilim.cli import main;"
        "assert CliRunner().invoke(main, ['explain', 'UO']).exit_code == 0;"
        "print([m for m in ('numpy', 'scipy', 'pydantic', 'plotly', 'simpy', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
