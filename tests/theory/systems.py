"""Small systems whose behaviour theory knows, their replications, and the test that compares the two."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from resilim.engine.simulate import simulate
from resilim.plan import plan, replication_seed
from resilim.run import Array, Recording, Run
from resilim.spec import load_experiment

SECOND = 1_000_000_000
UNBOUNDED = 1_000_000  # workers, or places of a queue, that are never all taken
SEED = 20261123
REPLICATIONS = 20
WARM_UP = 0.1  # share of a run whose arrivals are not looked at: the system is still too empty
COOL_DOWN = 0.02  # and at its end: faults are over when the load is

# A correct simulator fails a test once in a thousand seeds; the seed is fixed.
LEAST_P = 0.001
# A theory that is wrong by so much must be refused, or the test has no power.
WRONG = 0.03


def service(work: Any, **more: Any) -> dict[str, Any]:
    """A service of one host with one endpoint `GET /` that does `work`."""
    steps = more.pop("steps", [{"work": work}])
    return {"hosts": 1, "workers": UNBOUNDED, "queue": 0, "endpoints": {"GET /": {"steps": steps}}} | more


def system(folder: Path, services: Mapping[str, Any], rate: float, seconds: float, **more: Any) -> Run:
    """The run of a system without sidecar latency; the first of `services` gets the load.

    `more`: keys of the model (mesh, routes, trafficPolicies) and `client`, `faults` of the experiment.
    """
    instant = {"hop": "0ms", "connect": "0ms", "tlsHandshake": "0ms"}
    model = {
        "kind": "Model",
        "name": "theory",
        "mesh": more.get("mesh", {"sidecar": instant}),
        "services": services,
        "routes": more.get("routes", {}),
        "trafficPolicies": more.get("trafficPolicies", {}),
    }
    experiment = {
        "kind": "Experiment",
        "name": "theory",
        "model": "model.yaml",
        "load": {"rate": f"{rate}/s", "entry": next(iter(services)), "client": more.get("client", {})},
        "time": {"warmUp": "0s", "before": "0s", "fault": f"{seconds}s", "after": "0s"},
        "faults": more.get("faults", []),
        "arms": [{"name": "only"}],
    }
    (folder / "model.yaml").write_text(_yaml(model))
    (folder / "experiment.yaml").write_text(_yaml(experiment))
    return plan(load_experiment(folder / "experiment.yaml").arms[0]).run


def _yaml(tree: Any) -> str:
    """JSON is YAML, once every scalar is the text that people would write."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {_yaml(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(_yaml, tree)) + "]"
    return json.dumps(tree)


def failing(probability: float, of: str) -> list[dict[str, Any]]:
    """The fault that all hosts of a service fail with a probability during the whole run."""
    share = f"{100 * probability:g}%"
    return [{"name": "failing", "kind": "failing-host", "service": of, "probability": share}]


def measured(recording: Recording) -> Array:
    """The outcomes of requests that arrived between warm-up and cool-down."""
    arrived = recording.rows["arrived"]
    last = arrived.max()
    rows: Array = recording.rows[(arrived >= WARM_UP * last) & (arrived <= (1.0 - COOL_DOWN) * last)]
    return rows


def replicate(run: Run, figure: Callable[[Recording], float], replications: int = REPLICATIONS) -> Array:
    """`figure` of independent replications."""
    seeds = (replication_seed(SEED, number) for number in range(replications))
    return np.array([figure(simulate(run.with_seed(seed), "compiled")) for seed in seeds])


def mean_latency(recording: Recording) -> float:
    """Mean latency of the requests that succeeded, seconds."""
    rows = measured(recording)
    return float(rows["latency"][rows["code"] == 200].mean()) / SECOND


def share_of(condition: Callable[[Array], Array]) -> Callable[[Recording], float]:
    """The figure "share of the requests for which `condition(rows)` holds"."""
    return lambda recording: float(condition(measured(recording)).mean())


def p_value(values: Array, theory: float) -> float:
    """Two-sided p value of replication values whose mean should be `theory` (t test)."""
    return float(stats.ttest_1samp(values, theory).pvalue)


def agree(values: Array, theory: float, wrong: float = WRONG) -> None:
    """Assert that replication values have mean `theory`, and would not pass for a wrong theory."""
    error = values.std(ddof=1) / math.sqrt(len(values))
    shown = f"{values.mean():.6g} +- {error:.2g}, theory says {theory:.6g}"
    assert error < 0.01 * theory, f"too uncertain to mean anything: {shown}"
    assert p_value(values, theory) >= LEAST_P, shown
    for factor in (1.0 - wrong, 1.0 + wrong):
        assert p_value(values, factor * theory) < LEAST_P, f"{factor:g} times the theory would pass: {shown}"
