"""Both engines give the same recording, bit for bit, on every experiment of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilim.engine.simulate import simulate
from resilim.plan import plan, replication_seed
from resilim.spec import load_experiment

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(
    [
        *(ROOT / "experiments").rglob("*.yaml"),
        *(ROOT / "tests/published/experiments").rglob("*.yaml"),
        ROOT / "benchmarks/chain.yaml",
        ROOT / "benchmarks/everything.yaml",
    ]
)

# The same system and faults in less time, so that the interpreted engine can keep up.
SHORT = ("time.warmUp=2s", "time.before=3s", "time.fault=6s", "time.after=4s")
SHORT_FAULTS = {
    "cascading-failure": (
        "faults.slow-orders.until=fault.start + 3s",
        "faults.failing-orders.from=fault.start + 3s",
    )
}


def _overrides(path: Path) -> tuple[str, ...]:
    for name, changes in SHORT_FAULTS.items():
        if path.stem.startswith(name):
            return SHORT + changes
    return () if "published" in path.parts else ("time.before=3s",)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_short_runs_of_every_experiment(path: Path) -> None:
    for arm in load_experiment(path, _overrides(path)).arms:
        run = plan(arm).run.with_seed(replication_seed(7, 0))
        interpreted, compiled = simulate(run, "python"), simulate(run, "compiled")
        assert interpreted.started > 0
        assert interpreted.digest() == compiled.digest(), arm.name


@pytest.mark.slow
def test_the_shipped_experiment_as_it_is() -> None:
    for arm in load_experiment(ROOT / "experiments/cascading-failure.yaml").arms:
        run = plan(arm).run.with_seed(replication_seed(20261123, 0))
        assert simulate(run, "python").digest() == simulate(run, "compiled").digest(), arm.name
