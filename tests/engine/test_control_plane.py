"""A user's own SimPy processes run under both engines, and their failures are not swallowed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from resilim.engine.environment import SECOND
from resilim.engine.mesh import Mesh, StateChange
from resilim.engine.simulate import simulate
from resilim.plan import Plan, plan
from resilim.plane.kinds import EJECTED, FAULT_BEGINS
from resilim.spec import load_experiment

ROOT = Path(__file__).parents[2]
ENGINES = ("python", "compiled")


@pytest.fixture(scope="module")
def planned() -> Plan:
    overrides = ("time.warmUp=1s", "time.before=1s", "time.fault=4s", "time.after=1s", "load.rate=200/s",
                 "faults.slow-orders.until=fault.start + 1s",
                 "faults.failing-orders.from=fault.start + 1s")  # fmt: skip
    return plan(load_experiment(ROOT / "experiments/cascading-failure.yaml", overrides).arms[1])


def _services(planned: Plan) -> dict[str, int]:
    return {name: index for index, name in enumerate(planned.names.services)}


def test_a_custom_fault_acts_the_same_under_both_engines(planned: Plan) -> None:
    def blackout(mesh: Mesh) -> Generator[Any, Any, None]:
        yield mesh.env.timeout(SECOND)
        for host in mesh.hosts("payment"):
            host.failing = 1.0
        yield mesh.env.timeout(SECOND // 2)
        for host in mesh.hosts("payment"):
            host.failing = 0.0

    run = planned.run.with_seed(5)
    with_fault = [simulate(run, engine, [blackout], _services(planned)) for engine in ENGINES]
    assert with_fault[0].digest() == with_fault[1].digest()
    assert with_fault[0].digest() != simulate(run, "compiled").digest()


def test_a_process_that_waits_gets_each_change_in_its_instant(planned: Plan) -> None:
    def listen(seen: list[tuple[int, StateChange]]) -> Any:
        def process(mesh: Mesh) -> Generator[Any, Any, None]:
            while True:
                change = yield mesh.change()
                seen.append((int(mesh.env.now), change))

        return process

    run = planned.run.with_seed(6)
    heard: list[list[tuple[int, StateChange]]] = []
    digests = set()
    for engine in ENGINES:
        seen: list[tuple[int, StateChange]] = []
        digests.add(simulate(run, engine, [listen(seen)]).digest())
        heard.append(seen)
    assert len(digests) == 1
    assert heard[0] == heard[1]
    kinds = {change.kind for _, change in heard[0]}
    assert {EJECTED, FAULT_BEGINS} <= kinds
    assert all(now == change.at for now, change in heard[0])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_failing_process_ends_the_run(planned: Plan, engine: str) -> None:
    def broken(mesh: Mesh) -> Generator[Any, Any, None]:
        yield mesh.env.timeout(SECOND)
        raise ZeroDivisionError("in a user's process")

    with pytest.raises(ZeroDivisionError, match="user's process"):
        simulate(planned.run, engine, [broken])


@pytest.mark.parametrize("engine", ENGINES)
def test_time_is_whole_nanoseconds(planned: Plan, engine: str) -> None:
    def sloppy(mesh: Mesh) -> Generator[Any, Any, None]:
        yield mesh.env.timeout(0.5)

    with pytest.raises(ValueError, match="integer number of nanoseconds"):
        simulate(planned.run, engine, [sloppy])


def test_an_unknown_engine_is_named(planned: Plan) -> None:
    with pytest.raises(ValueError, match="unknown engine 'fast'"):
        simulate(planned.run, "fast")


@pytest.mark.slow
def test_compiled_code_is_cached_across_processes(tmp_path: Path) -> None:
    code = (
        "import time; from resilim.engine import compiled;"
        "cached = compiled.is_cached(); begin = time.time();"
        "compiled.functions(); print(cached, time.time() - begin)"
    )
    environment = {**os.environ, "RESILIM_CACHE_DIR": str(tmp_path)}

    def load() -> tuple[str, float]:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        cached, seconds = done.stdout.split()
        return cached, float(seconds)

    first, cold = load()
    second, warm = load()
    assert (first, second) == ("False", "True")
    assert warm < cold / 3
