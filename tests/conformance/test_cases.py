"""Every case that the project has its own copy of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance.__main__ import main
from tests.conformance.cases import FAILED, SKIPPED, Case, is_of_version, judge, load

FOLDER = Path(__file__).parent.parent / "facts" / "cases"
CASES = [case for path in sorted(FOLDER.glob("envoy-*.json")) for case in load(path)]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case(case: Case) -> None:
    verdict = judge(case)
    if verdict.state == SKIPPED:
        pytest.skip(verdict.reasons[0])
    assert not verdict.reasons


# ---------------------------------------------------------------- what is wrong is said

GOOD: dict[str, object] = {
    "id": "good",
    "source": "here",
    "evidence": "unit-test",
    "config": {"max_ejection_percent": 100},
    "hosts": 1,
    "events": [{"t": 0, "host": 0, "result": 500, "count": 5}],
    "expect": [{"after": 0, "host": 0, "ejected": True}],
}


def test_the_good_case_passes() -> None:
    assert judge(GOOD).reasons == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expect": [{"after": 0, "host": 0, "ejected": False}]}, "ejected"),
        ({"expect": [{"after": 0, "stat": "ejections_active", "value": 2}]}, "ejections_active"),
        ({"expect": [{"after": 0, "stat": "ejections_of_all_kinds", "value": 0}]}, "ejections_of_all_kinds"),
        ({"expect": [{"after": 0, "host": 0, "color": 1}]}, "color"),
        ({"expect": [{"after": 1, "host": 0, "ejected": True}]}, "after"),
        ({"expect": [{"host": 0, "ejected": True}]}, "after"),
        ({"expect": [{"after": 0, "host": 1, "ejected": True}]}, "host"),
        (
            {"expect": [{"event_log": {"host": 0, "type": "SUCCESS", "enforced": True, "times": 0}}]},
            "SUCCESS",
        ),
        ({"expect": [{"config_rejected": True}]}, "rejected"),
        ({"expect": [{"effective_config": {"interval": 11}}]}, "interval"),
        ({"expect": [{"effective_config": {"intervall": 10}}]}, "intervall"),
        ({"expect": []}, "nothing"),
        ({"config": {"max_ejection_percents": 100}}, "max_ejection_percents"),
        ({"config": {"max_ejection_percent": 101}}, "100"),
        ({"events": [{"t": 0, "host": 0, "result": "shrug"}]}, "shrug"),
        ({"events": [{"t": 0, "host": 0, "results": 500}]}, "results"),
        ({"events": [{"t": 1, "interval": True}, {"t": 0, "interval": True}]}, "back"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_case_that_is_not_as_it_should_be_fails(change: dict[str, object], message: str) -> None:
    verdict = judge({**GOOD, **change})
    assert verdict.state == FAILED
    assert message in "; ".join(verdict.reasons)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "poem"}, "unknown kind: poem"),
        ({"optional": "quirk"}, "quirk"),
        ({"optional": "threads"}, "threads"),
        ({"profile": "<1.28"}, "version"),
    ],
)
def test_what_is_skipped_is_named(change: dict[str, object], message: str) -> None:
    verdict = judge({**GOOD, **change})
    assert verdict.state == SKIPPED
    assert message in verdict.reasons[0]


@pytest.mark.parametrize(
    "profile", ["current", ">=1.28", ">= 1.38", "1.40", "1.22-1.40", ">1.27 <1.41", "1.22..1.40"]
)
def test_profiles_of_the_version(profile: str) -> None:
    assert is_of_version(profile)


@pytest.mark.parametrize("profile", ["<1.28", "<=1.27", "1.22-1.27", ">=1.41", "1.39"])
def test_profiles_of_other_versions(profile: str) -> None:
    assert not is_of_version(profile)


def test_an_unknown_profile_is_a_failure() -> None:
    assert judge({**GOOD, "profile": "new"}).state == FAILED


# ---------------------------------------------------------------- the command


def write(folder: Path, *cases: object) -> str:
    path = folder / "cases.json"
    path.write_text(json.dumps({"schema_version": 1, "about": "", "cases": cases}), encoding="utf-8")
    return str(path)


def test_the_command_tells_what_became_of_each_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([write(tmp_path, GOOD, {**GOOD, "id": "odd", "kind": "poem"})]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "passed   good",
        "skipped  odd",
        "         unknown kind: poem",
        "cases.json: 1 passed, 0 failed, 1 skipped",
    ]


def test_a_failed_case_fails_the_command(tmp_path: Path) -> None:
    assert main([write(tmp_path, {**GOOD, "events": []})]) == 1


def test_a_file_without_cases_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("[]", encoding="utf-8")
    assert main([str(path)]) == 2
    assert main([str(tmp_path / "none.json")]) == 2
    assert main([]) == 2
