"""What is finished is kept: torn and damaged lines, runs that are there already, whole files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from resilim.engine.simulate import simulate
from resilim.plan import plan
from resilim.spec import load_experiment
from resilim.study.observation import Observation, observe, pack, unpack
from resilim.study.store import Store, StoreError

EXPERIMENT = Path(__file__).parents[2] / "experiments/cascading-failure.yaml"


@pytest.fixture(scope="module")
def observation() -> Observation:
    short = ("time.before=500ms", "time.fault=0s", "time.after=0s", "faults=[]", "time.warmUp=0s")
    planned = plan(load_experiment(EXPERIMENT, short).arms[0])
    return observe(planned.run, planned.names, simulate(planned.run, "python"), None)


def test_an_observation_survives_json(observation: Observation) -> None:
    again = unpack(json.loads(json.dumps(pack(observation))))
    assert again.recording == observation.recording
    assert again.failures == observation.failures
    assert np.array_equal(again.requests, observation.requests)
    assert np.array_equal(again.call_histograms, observation.call_histograms)
    assert np.array_equal(again.service_series, observation.service_series.astype(np.float32), equal_nan=True)


def test_a_torn_last_line_is_dropped(tmp_path: Path, observation: Observation) -> None:
    store = Store(tmp_path)
    store.append("a", 0, 1, observation)
    store.append("a", 1, 2, observation)
    runs = tmp_path / "runs.jsonl"
    whole = runs.read_bytes()
    runs.write_bytes(whole[:-100])
    assert list(store.load()) == [("a", 0)]
    store.append("a", 1, 2, observation)
    assert runs.read_bytes() == whole


def test_a_damaged_line_is_told_with_its_place(tmp_path: Path, observation: Observation) -> None:
    store = Store(tmp_path)
    store.append("a", 0, 1, observation)
    with (tmp_path / "runs.jsonl").open("a") as file:
        file.write('{"arm": "a"}\n')
    with pytest.raises(StoreError, match=r"runs.jsonl:2: damaged .* --fresh"):
        store.load()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="--results"):
        Store(tmp_path / "file" / "result").begin({}, fresh=False)
