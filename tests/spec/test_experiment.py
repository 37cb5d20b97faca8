"""What an experiment means: arms, overlays, manifests, windows and moments."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resilim.spec import SpecError, load_experiment, load_model
from resilim.spec.experiment import Moment, Time, parse_moment
from resilim.spec.law import Law
from resilim.spec.policy import UNLIMITED, TrafficPolicy
from resilim.spec.route import Retries
from resilim.spec.units import SECOND

from .files import RULE, Folder

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "experiments").glob("*.yaml"))
EXPERIMENTS = [*SHIPPED, Path(__file__).parent / "everything" / "experiment.yaml"]


def test_arms_inherit(folder: Folder) -> None:
    today, eject, retry = folder.load().arms
    assert today.policy("cart").outlier_detection is None
    assert today.policy("cart").limits.requests == 20
    assert today.policy("cart").limits.pending == UNLIMITED
    assert today.policy("web") == TrafficPolicy()
    assert today.route("cart").retries == Retries()
    detector = eject.policy("cart").outlier_detection
    assert detector is not None
    assert detector.interval == 5 * SECOND
    assert detector.max_ejection_percent == 10
    assert retry.policy("cart") == eject.policy("cart")
    assert retry.route("cart").retries.attempts == 1
    assert (today.entry, today.mix) == ("web", {"GET /": 1.0})


def test_manifests_are_policies_that_arms_can_change(folder: Folder) -> None:
    folder.write("rule.yaml", RULE)
    folder.change("model.yaml", "mesh:\n", "mesh:\n  manifests: [rule.yaml]\n")
    folder.change(
        "experiment.yaml",
        "- name: today",
        "- name: today\n    set: {trafficPolicies.web.outlierDetection.maxEjectionPercent: 0}",
    )
    today, eject, _ = folder.load().arms
    for arm in (today, eject):
        detector = arm.policy("web").outlier_detection
        assert detector is not None
        assert (detector.interval, detector.max_ejection_percent) == (7 * SECOND, 10)
    assert folder.load().files == ("experiment.yaml", "model.yaml", "rule.yaml")


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("load.rate=50/min", lambda arm: arm.load.rate == 50 / 60),
        ("load.client.timeout=2s", lambda arm: arm.load.client.timeout == 2 * SECOND),
        ("faults.slow-cart.factor=1e1", lambda arm: arm.faults[0].factor == 10),
        ("faults[0].hosts=2", lambda arm: arm.faults[0].hosts == 2),
        ("faults=[]", lambda arm: arm.faults == ()),
        ("time.before=0s", lambda arm: arm.time.windows()[0].name == "fault"),
        ("mesh.sidecar.hop.uniform[1]=9ms", lambda arm: arm.model.mesh.sidecar.hop.mean == 5e6),
        (
            "mesh.sidecar.connect.constant=9ms",
            lambda arm: arm.model.mesh.sidecar.connect.mean == 9e6,
        ),
        ("mesh.sidecar.hop=9ms", lambda arm: arm.model.mesh.sidecar.hop.kind == "constant"),
        (
            "services.web.endpoints['GET /'].steps[0].work.exponential.mean=9ms",
            lambda arm: arm.model.services["web"].endpoints["GET /"].steps[0].work.mean == 9e6,
        ),
        (
            'services.web.endpoints["GET /"].steps[1].probability=25%',
            lambda arm: arm.model.services["web"].endpoints["GET /"].steps[1].calls[0].probability == 0.25,
        ),
        ("trafficPolicies.cart=null", lambda arm: arm.policy("cart") == TrafficPolicy()),
        (
            "trafficPolicies.cart.connectionPool=",
            lambda arm: not arm.policy("cart").connection_pool,
        ),
        ("routes.web.timeout=3s", lambda arm: arm.route("web").timeout == 3 * SECOND),
        (
            "services.cart={versions: {a: {hosts: 1}, b: {hosts: 2}}, workers: 1, queue: 0, "
            "endpoints: {GET /cart: {steps: [{work: 1ms}]}}}",
            lambda arm: arm.model.services["cart"].host_versions == ("a", "b", "b"),
        ),
    ],
)
def test_overrides(folder: Folder, override: str, read: Any) -> None:
    arms = folder.load([override]).arms
    assert read(arms[0])
    assert len(arms) == 3


def test_overrides_win_over_arms_and_reach_one_arm(folder: Folder) -> None:
    path = "trafficPolicies.cart.outlierDetection.interval"
    everywhere = folder.load([f"{path}=9s"]).arms
    assert [arm.policy("cart").outlier_detection.interval for arm in everywhere] == [9 * SECOND] * 3  # type: ignore[union-attr]
    one = folder.load([f'arms.eject.set["{path}"]=9s']).arms
    assert one[0].policy("cart").outlier_detection is None
    assert one[1].policy("cart").outlier_detection.interval == 9 * SECOND  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("load.rate=4", '-S:1:11: load.rate: "4" needs a unit'),
        ("load.rate", '-S:1:1: "load.rate" is not path=value, e.g. load.rate=400/s'),
        ("=3", '-S:1:1: "=3" is not path=value'),
        ("load.rate=[", "-S:1:12: YAML: "),
        ("load.rat=4/s", '-S:1:1: load: unknown key "rat" (did you mean "rate"?)'),
        ("lod.rate=4/s", '-S:1:1: lod.rate: nothing is called "lod" (did you mean "load"?)'),
        ("services.crat.hosts=4", 'services has no "crat" (did you mean "cart"?)'),
        ("services.cart.hosts=0", "-S:1:21: services.cart.hosts: 0 is too small: at least 1"),
        ("mesh.sidecar={hop: {constant: 5}}", "-S:1:31: mesh.sidecar.hop.constant: "),
        ("mesh.sidecar.tls.constant=5ms", 'mesh.sidecar has no "tls"'),
        ("mesh.sidecar.hop.uniform[2]=5ms", "mesh.sidecar.hop.uniform has no item 2: it has 2"),
        ("faults.slow.factor=3", 'nothing in faults has the name "slow" (did you mean "slow-cart"'),
        ("routes.cart=null", '-S:1:1: routes.cart: routes has no "cart"'),
        ("mesh.manifests=[a.yaml]", "-S:1:1: mesh.manifests: name the manifests in the model"),
    ],
)
def test_bad_overrides(folder: Folder, override: str, expected: str) -> None:
    folder.change("experiment.yaml", "  - name: eject and retry\n", "  - name: other\n")
    folder.change("experiment.yaml", "      routes.cart.retries: {attempts: 1}", "      {}")
    problems = folder.problems([override])
    assert len(problems) == 1, problems
    assert expected in problems[0]


def test_windows(folder: Folder) -> None:
    assert folder.load().windows() == (
        ("before", 10 * SECOND, 30 * SECOND),
        ("fault", 30 * SECOND, 60 * SECOND),
        ("after", 60 * SECOND, 100 * SECOND),
    )
    assert [name for name, _, _ in folder.load(["time.after=0s"]).windows()] == ["before", "fault"]


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("fault.start", 30),
        ("fault.start + 20s", 50),
        ("fault.end - 5s", 55),
        ("before.start-10s", 0),
        ("after.end", 100),
        ("120s", 120),
    ],
)
def test_moments(text: str, second: int) -> None:
    time = Time.model_validate({"warmUp": "10s", "before": "20s", "fault": "30s", "after": "40s"})
    moment = parse_moment(text)
    assert moment.at(time) == second * SECOND
    assert parse_moment(str(moment)) == moment


@given(st.sampled_from(["", "fault.start", "after.end"]), st.integers(-(10**15), 10**15))
def test_moments_come_back(anchor: str, offset: int) -> None:
    moment = Moment(anchor, offset if anchor else abs(offset))
    assert parse_moment(str(moment)) == moment


def test_the_destination_rule_of_the_article() -> None:
    loaded = load_experiment(ROOT / "experiments" / "cascading-failure.yaml")
    without, with_rule = loaded.arms
    assert without.policy("order-service") == TrafficPolicy()
    policy = with_rule.policy("order-service")
    assert (policy.limits.connections, policy.limits.pending, policy.limits.requests) == (
        100,
        100,
        1000,
    )
    detector = policy.outlier_detection
    assert detector is not None
    assert (detector.consecutive5xx_errors, detector.max_ejection_percent) == (5, 50)
    assert detector.interval == detector.base_ejection_time == 30 * SECOND


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_what_is_written_back_means_the_same(path: Path, tmp_path: Path) -> None:
    loaded = load_experiment(path)
    written = loaded.resolved()
    assert json.loads(json.dumps(written)) == written
    for arm, data in zip(loaded.arms, written["arms"], strict=True):
        model = tmp_path / "model.yaml"
        model.write_text(yaml.safe_dump(data["model"], sort_keys=False), encoding="utf-8")
        assert load_model(model) == arm.model
        experiment = {
            **{key: value for key, value in written.items() if key != "arms"},
            "load": data["load"],
            "faults": data["faults"],
            "model": "model.yaml",
            "arms": [{"name": arm.name}],
        }
        copy = tmp_path / "experiment.yaml"
        copy.write_text(yaml.safe_dump(experiment, sort_keys=False), encoding="utf-8")
        (again,) = load_experiment(copy).arms
        assert again == arm


SCRAPS: list[Any] = [
    None,
    "",
    "x",
    "-1",
    "5ms",
    "0s",
    "1e999",
    "100%",
    "[]",
    [],
    {},
    [[]],
    {"a": None},
    "a.b",
]


def mutated(data: Any, luck: random.Random) -> Any:
    """A copy of the data with one thing lost, replaced, doubled or renamed."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    copy = json.loads(json.dumps(data))
    walk(copy)
    node, key = luck.choice(places)
    match luck.randrange(4):
        case 0:
            del node[key]
        case 1:
            node[key] = luck.choice(SCRAPS)
        case 2 if isinstance(node, dict):
            node[luck.choice(["x", "a b", "[key]", "0", key * 2])] = node.pop(key)
        case _:
            node[key] = [node[key]] if luck.random() < 0.5 else {"a": node[key]}
    return copy


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), times=st.integers(1, 4))
def test_mutations_are_spec_errors(path: Path, tmp_path: Path, seed: int, times: int) -> None:
    luck = random.Random(seed)
    experiment = yaml.safe_load(path.read_text(encoding="utf-8"))
    model = yaml.safe_load((path.parent / experiment["model"]).read_text(encoding="utf-8"))
    for arm in experiment["arms"]:
        arm["manifests"] = [str((path.parent / name).resolve()) for name in arm.get("manifests", [])]
    experiment["model"] = "model.yaml"
    for _ in range(times):
        if luck.random() < 0.5:
            experiment = mutated(experiment, luck) if experiment else experiment
        else:
            model = mutated(model, luck) if model else model
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(model), encoding="utf-8")
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(experiment), encoding="utf-8")
    try:
        load_experiment(tmp_path / "experiment.yaml")
    except SpecError as error:
        assert all(problem.line >= 1 and problem.column >= 1 for problem in error.problems)


@settings(max_examples=150, deadline=None)
@given(st.text("abservic.[]\"'=0/ fault\n{}:") | st.text())
def test_any_override_is_a_spec_error(text: str) -> None:
    path = ROOT / "experiments" / "cascading-failure.yaml"
    try:
        load_experiment(path, [text, f"load.{text}=1", f"load.rate={text}"])
    except SpecError as error:
        assert all(problem.file for problem in error.problems)


def test_schema_names_units() -> None:
    schema = json.dumps(Law.model_json_schema()) + json.dumps(Time.model_json_schema())
    assert '"warmUp"' in schema
    assert "such as [1ms, 3ms]" in schema
