"""From an experiment to a result: same numbers whatever the engine and the number of workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resilim.spec import load_experiment
from resilim.study import conduct
from resilim.study.conduct import Progress, TooLarge, prepare, run_experiment
from resilim.study.estimate import Study
from resilim.study.result import Result

EXPERIMENT = Path(__file__).parents[2] / "experiments/cascading-failure.yaml"
SHORT = ("time.warmUp=1s", "time.before=2s", "time.fault=4s", "time.after=2s", "replications.min=3",
         "faults.slow-orders.until=fault.start + 2s", "faults.failing-orders.from=fault.start + 2s",
         "load.rate=100/s")  # fmt: skip


def _study(*changes: str) -> Study:
    return prepare(load_experiment(EXPERIMENT, (*SHORT, *changes)))


def _run(study: Study, folder: Path, **options: object) -> tuple[Result, bytes, list[str]]:
    said: list[str] = []
    result, store = run_experiment(study, folder, Progress(said.append, lambda done, total: None), **options)  # type: ignore[arg-type]
    return result, (store.folder / "summary.json").read_bytes(), said


def test_engines_and_workers_give_the_same_summary(tmp_path: Path) -> None:
    summaries = {
        _run(_study(), tmp_path / name, engine=engine, jobs=jobs)[1]
        for name, engine, jobs in (("a", "python", 1), ("b", "compiled", 1), ("c", "compiled", 2))
    }
    assert len(summaries) == 1
    summary = json.loads(summaries.pop())
    assert summary["replications"] == 3
    assert {figure["window"] for figure in summary["figures"]} == {"before", "fault", "after"}


def test_a_small_study_chooses_the_interpreted_engine_and_says_so(tmp_path: Path) -> None:
    said = _run(_study(), tmp_path, jobs=1)[2]
    assert any("engine: python, because the study is small" in line for line in said)


def test_without_numba_the_interpreted_engine_is_chosen_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conduct, "has_numba", lambda: False)
    said = _run(_study(), tmp_path, jobs=1)[2]
    assert any("numba is not installed" in line for line in said)


def test_stored_runs_are_not_computed_again(tmp_path: Path) -> None:
    _, first, _ = _run(_study(), tmp_path, engine="python", jobs=1)
    _, second, said = _run(_study(), tmp_path, engine="python", jobs=1)
    assert first == second
    assert any("stored already" in line for line in said)
    more, _, _ = _run(_study("replications.min=4"), tmp_path, engine="python", jobs=1)
    assert more.replications == 4


def test_pairing_decides_whether_arms_share_their_seed(tmp_path: Path) -> None:
    for number, (pairing, seeds) in enumerate((("common random numbers", 3), ("independent", 6))):
        study = _study(f"replications.pairing={pairing}")
        _, store = run_experiment(
            study, tmp_path / str(number), Progress(lambda line: None, lambda done, total: None), "python", 1
        )
        lines = (store.folder / "runs.jsonl").read_text().splitlines()
        assert len({json.loads(line)["seed"] for line in lines}) == seeds


def test_too_much_memory_is_said_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="GiB"):
        _run(_study("load.rate=10000000/s", "time.after=48h"), tmp_path)
    assert not any(tmp_path.iterdir())


def test_an_interruption_keeps_what_is_finished(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    result, store = run_experiment(_study(), tmp_path, Progress(lambda line: None, interrupt), "python", 1)
    assert (result.replications, result.requested) == (2, 3)
    assert len((store.folder / "runs.jsonl").read_text().splitlines()) == 4
    again, _, _ = _run(_study(), tmp_path, engine="python", jobs=1)
    assert again.replications == 3
