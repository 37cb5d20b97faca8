"""Arms share their luck: the paired difference varies less than with independent seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resilim.engine.simulate import simulate
from resilim.plan import plan, replication_seed
from resilim.run import Run
from resilim.spec import load_experiment

EXPERIMENT = Path(__file__).parents[2] / "experiments/cascading-failure.yaml"
REPLICATIONS = 10


def _mean_latency(run: Run, seed: int) -> float:
    rows = simulate(run.with_seed(seed), "compiled").rows
    measured = rows["arrived"] >= run.windows[0][0]
    return float(rows["latency"][measured].mean())


@pytest.mark.slow
def test_pairing_reduces_the_variance_of_the_difference_in_mean_latency_at_least_four_times() -> None:
    without, with_rule = (plan(arm).run for arm in load_experiment(EXPERIMENT).arms)
    seeds = [replication_seed(1, r) for r in range(REPLICATIONS)]
    others = [replication_seed(2, r) for r in range(REPLICATIONS)]
    reference = np.array([_mean_latency(without, seed) for seed in seeds])
    paired = np.array([_mean_latency(with_rule, seed) for seed in seeds]) - reference
    independent = np.array([_mean_latency(with_rule, seed) for seed in others]) - reference
    assert independent.var(ddof=1) >= 4 * paired.var(ddof=1)


def test_arms_that_do_not_differ_in_effect_have_equal_recordings() -> None:
    # a limit that nothing reaches changes no luck and no outcome
    short = ("time.before=2s", "time.fault=0s", "time.after=0s", "faults=[]", "time.warmUp=0s")
    wide = (*short, "trafficPolicies.cart.connectionPool.tcp.maxConnections=100000")
    runs = [plan(load_experiment(EXPERIMENT, changes).arms[0]).run for changes in (short, wide)]
    assert runs[0].digest() != runs[1].digest()
    assert len({simulate(run.with_seed(3), "compiled").rows.tobytes() for run in runs}) == 1
