"""Files of a model or an experiment, with all they name, as checked objects.

* Manifests become part of the tree first (`manifests`). Then come the overlays of the arm, those of the
  arm it inherits from before its own; the overlays of `-S` come last, in every arm.
* Every arm is bound and checked as a whole; problems that several arms share are shown once.
* Names of files are relative to the file that names them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resilim.spec import checks, fitting
from resilim.spec.base import Finding, Steps
from resilim.spec.bind import bind, node_at
from resilim.spec.checks import Parts
from resilim.spec.experiment import Arm, Experiment, Fault, Load, Replications, Time, Trial, Window
from resilim.spec.istio import DestinationRule
from resilim.spec.manifests import MODEL_MANIFESTS, graft_all, model_manifests
from resilim.spec.model import Model, Service, System
from resilim.spec.overlay import Overlay, apply, command_line, parse_path
from resilim.spec.policy import TrafficPolicy
from resilim.spec.problems import Position, Problem, SpecError, nearest
from resilim.spec.reader import Reader, file_named
from resilim.spec.route import Route
from resilim.spec.tree import Entry, Node, documents, show_path
from resilim.spec.units import quoted

AnyPath = str | os.PathLike[str]

_SYSTEM_KEYS = tuple(System.keys())
_TRIAL_KEYS = tuple(Trial.keys())
_SHARED_BY_ARMS = ("time", "replications")
_KEYED_BY_SERVICE = ("trafficPolicies", "subsets", "routes", "envoy")


class Root(System, Trial):
    """What overlays change: the model and the experiment in one tree."""


@dataclass(frozen=True)
class ResolvedArm:
    """One arm with everything that it needs."""

    name: str
    model: Model
    load: Load
    time: Time
    faults: tuple[Fault, ...]
    entry: str
    """The service that gets the load."""
    mix: Mapping[str, float]
    """Share of the requests by endpoint of `entry`; 1 together."""

    def policy(self, service: str, subset: str | None = None) -> TrafficPolicy:
        """The traffic policy towards a service or a subset: from a manifest, from the model, or empty."""
        return self.model.policy(service, subset)

    def route(self, service: str) -> Route:
        """How calls to a service are made: from the model, or Istio's defaults."""
        return self.model.route(service)

    def resolved(self) -> dict[str, Any]:
        """Plain data, with every default written out."""
        return {
            "name": self.name,
            "entry": self.entry,
            "mix": dict(self.mix),
            "load": _written(self.load),
            "faults": [_written(fault) for fault in self.faults],
            "model": _written(self.model),
        }


@dataclass(frozen=True)
class LoadedExperiment:
    """An experiment, its arms ready to run."""

    path: str
    experiment: Experiment
    arms: tuple[ResolvedArm, ...]
    files: tuple[str, ...]
    """Every file that was read, in order, each once."""

    def windows(self) -> tuple[Window, ...]:
        """The windows that exist, (name, start, end) in nanoseconds from the simulation's start."""
        return self.experiment.time.windows()

    def resolved(self) -> dict[str, Any]:
        """Plain data that JSON can hold: the experiment, and every arm without references."""
        header = _written(self.experiment)
        for key in ("load", "faults", "arms", "model"):
            header.pop(key, None)
        return {**header, "arms": [arm.resolved() for arm in self.arms]}


def load_model(path: AnyPath) -> Model:
    """The model in a file, its manifests included; SpecError with every problem."""
    reader = Reader()
    tree = reader.read(os.fspath(path))
    model = _bind_model(reader, tree) if tree else None
    if model is None or reader.problems:
        raise SpecError(reader.problems)
    return model


def load_experiment(path: AnyPath, overrides: Sequence[str] = ()) -> LoadedExperiment:
    """The experiment in a file, changed by `-S path=value` texts; SpecError with every problem."""
    reader = Reader()
    overlays, problems = command_line(overrides)
    reader.problems += problems
    tree = reader.read(os.fspath(path))
    loaded = _bind_experiment(reader, tree, overlays) if tree else None
    if loaded is None or reader.problems:
        raise SpecError(reader.problems)
    return loaded


def load_any(path: AnyPath) -> str:
    """Check a file of whatever kind; what it is, in words. SpecError with every problem."""
    name = os.fspath(path)
    first = documents(name)[0]
    kind = first.child("kind")
    if kind is not None and kind.value == "Experiment":
        loaded = load_experiment(name)
        arms = ", ".join(arm.name for arm in loaded.arms)
        return f"experiment {loaded.experiment.name}, arms {arms}"
    if kind is not None and kind.value == "Model":
        model = load_model(name)
        hosts = sum(len(service.host_versions) for service in model.services.values())
        return f"model {model.name}, {len(model.services)} services, {hosts} hosts"
    return _check_manifest(name, first)


def _check_manifest(path: str, first: Node) -> str:
    """The same for a file of Istio objects."""
    kinds = ("Experiment", "Model", "DestinationRule")
    kind = first.child("kind")
    if kind is None or not isinstance(kind.value, str):
        message = f'"kind" is missing: one of {", ".join(kinds)}'
        raise SpecError([Problem.at(first.at, "kind", message)])
    problems: list[Problem] = []
    hosts: list[str] = []
    for document in documents(path):
        found = document.child("kind")
        if found is None or found.value != "DestinationRule":
            at = found.at if found else document.at
            shown = str(found.value) if found else "nothing"
            message = f"{quoted(shown)} is not supported; {', '.join(kinds)} are"
            problems.append(Problem.at(at, "kind", message, nearest(shown, kinds)))
            continue
        rule, wrong = bind(DestinationRule, document)
        problems += wrong
        hosts += [rule.spec.service] if rule else []
    if problems:
        raise SpecError(problems)
    return f"DestinationRule for {', '.join(hosts)}"


def _bind_model(reader: Reader, tree: Node) -> Model | None:
    tree = graft_all(reader, tree, model_manifests(tree), MODEL_MANIFESTS)
    model, problems = bind(Model, tree)
    reader.problems += problems
    broken = checks.model_findings(_parts(tree, model))
    reader.add(tree, broken)
    if model is not None and not broken:
        reader.add(tree, fitting.system_findings(model))
    return model


def _bind_experiment(reader: Reader, tree: Node, overlays: list[Overlay]) -> LoadedExperiment | None:
    overlays = _known(reader, overlays)
    own = [overlay for overlay in overlays if overlay.steps[0] not in _SYSTEM_KEYS]
    tree, problems = _apply_all(tree, own, Experiment)
    reader.problems += problems
    experiment, problems = bind(Experiment, tree)
    reader.problems += problems
    model_tree = _model_tree(reader, tree)
    if model_tree is None:
        return None
    model = _bind_model(reader, model_tree)
    arms: list[ResolvedArm] = []
    for chain in _chains(tree):
        root = _arm_tree(reader, model_tree, tree, chain, overlays)
        arm = _bind_arm(reader, root, chain[-1], model)
        arms += [arm] if arm else []
    if experiment is None or reader.problems:
        return None
    return LoadedExperiment(tree.at.file, experiment, tuple(arms), tuple(reader.trees))


def _known(reader: Reader, overlays: Iterable[Overlay]) -> list[Overlay]:
    """The overlays whose first step is a key of the model or of the experiment."""
    keys = (*_SYSTEM_KEYS, *Experiment.keys())
    known: list[Overlay] = []
    for overlay in overlays:
        if overlay.steps[0] in keys:
            known.append(overlay)
            continue
        first = str(overlay.steps[0])
        message = f"nothing is called {quoted(first)}"
        path = show_path(overlay.steps)
        reader.problems.append(Problem.at(overlay.at, path, message, nearest(first, keys)))
    return known


def _model_tree(reader: Reader, tree: Node) -> Node | None:
    name = tree.child("model")
    if name is None or not isinstance(name.value, str):
        return None
    path = file_named(reader, name, name.value, ("model",))
    return reader.read(path) if path is not None else None


# Arms


def _chains(tree: Node) -> Iterator[list[Node]]:
    """Every arm that could be read, after the arms it inherits from."""
    arms = tree.child("arms")
    chains: dict[str, list[Node]] = {}
    for node in arms.items() if arms else ():
        arm, _ = bind(Arm, node)
        if arm is None or (arm.from_ is not None and arm.from_ not in chains):
            continue
        inherited = chains[arm.from_] if arm.from_ is not None else []
        chains[arm.name] = [*inherited, node]
        yield chains[arm.name]


def _arm_tree(reader: Reader, model: Node, tree: Node, chain: list[Node], overlays: list[Overlay]) -> Node:
    entries = {key: entry for key, entry in model.entries().items() if key in _SYSTEM_KEYS}
    entries |= {key: entry for key, entry in tree.entries().items() if key in _TRIAL_KEYS}
    root = Node(model.at, entries)
    root = graft_all(reader, root, model_manifests(model), MODEL_MANIFESTS)
    for arm in chain:
        manifests = arm.child("manifests")
        files = manifests.items() if manifests else ()
        root = graft_all(reader, root, files, (*_steps_to(tree, arm), "manifests"))
        root, problems = _apply_all(root, _set_overlays(reader, arm), Root)
        reader.problems += problems
    # once more what is in the experiment's tree already, because the arm may have set it since
    again = [overlay for overlay in overlays if overlay.steps[0] in _TRIAL_KEYS]
    root, _ = _apply_all(root, again, Root)
    changes = [overlay for overlay in overlays if overlay.steps[0] in _SYSTEM_KEYS]
    root, problems = _apply_all(root, changes, Root)
    reader.problems += problems
    late = node_at(root, MODEL_MANIFESTS)
    if late is not None and node_at(model, MODEL_MANIFESTS) is not late:
        message = "name the manifests in the model, or in the arm's own manifests"
        reader.add(root, [Finding(MODEL_MANIFESTS, message)])
    return root


def _steps_to(tree: Node, arm: Node) -> Steps:
    arms = tree.child("arms")
    places = (index for index, node in enumerate(arms.items() if arms else ()) if node is arm)
    return ("arms", next(places))


def _set_overlays(reader: Reader, arm: Node) -> list[Overlay]:
    changes = arm.child("set")
    overlays = []
    for key, entry in (changes.entries() if changes else {}).items():
        try:
            steps = parse_path(key, entry.at)
        except SpecError as error:
            reader.problems += error.problems
            continue
        overlay = Overlay(steps, entry.at, entry.node)
        problem = _misplaced(overlay)
        reader.problems += [problem] if problem else []
        overlays += [] if problem else [overlay]
    return overlays


def _misplaced(overlay: Overlay) -> Problem | None:
    first = overlay.steps[0]
    if first in _SHARED_BY_ARMS:
        message = f"{first} is the same in every arm, or they could not be compared"
        return Problem.at(overlay.at, show_path(overlay.steps), message)
    keys = (*_SYSTEM_KEYS, *(key for key in _TRIAL_KEYS if key not in _SHARED_BY_ARMS))
    if first in keys:
        return None
    message = f"an arm cannot set {quoted(first)}; it can set {', '.join(keys)}"
    return Problem.at(overlay.at, show_path(overlay.steps), message, nearest(str(first), keys))


def _apply_all(root: Node, overlays: Iterable[Overlay], kind: Any) -> tuple[Node, list[Problem]]:
    problems: list[Problem] = []
    for overlay in overlays:
        try:
            root = apply(root, overlay, kind)
        except SpecError as error:
            problems += error.problems
    return root, problems


def _bind_arm(reader: Reader, root: Node, arm: Node, model: Model | None) -> ResolvedArm | None:
    bound, problems = bind(Root, root)
    reader.problems += problems
    parts = _parts(root, bound)
    broken = checks.model_findings(parts)
    reader.add(root, broken)
    load, time, faults = _trial_parts(root)
    entry, mix, found = checks.target_of_load(parts, load, sound=not broken)
    reader.add(root, found)
    reached = None
    if entry is not None and parts.complete and not broken and not found:
        reached = checks.reachable(parts, [(entry, name) for name in mix])
    for index, fault in faults:
        reader.add(root, checks.fault_findings(parts, index, fault, time, reached))
    if bound is not None and not broken:
        reader.add(root, fitting.system_findings(bound))
        reader.add(root, fitting.trial_findings(bound, bound.load, bound.faults))
    if bound is None or model is None or entry is None:
        return None
    parts_of_model = {name: getattr(bound, name) for name in System.model_fields}
    name = arm.child("name")
    return ResolvedArm(
        name=str(name.value) if name else "",
        model=model.model_copy(update=parts_of_model),
        load=bound.load,
        time=bound.time,
        faults=bound.faults,
        entry=entry,
        mix=mix,
    )


# What could be read


def _parts(root: Node, bound: System | None) -> Parts:
    services = root.child("services")
    written = services.entries() if services else {}
    names = {name: tuple(_keys(entry.node.child("endpoints"))) for name, entry in written.items()}
    readable = bound.services if bound else _readable_services(written)
    return Parts(readable, names, {key: _keys(root.child(key)) for key in _KEYED_BY_SERVICE})


def _readable_services(written: Mapping[str, Entry]) -> dict[str, Service]:
    bound = {name: bind(Service, entry.node)[0] for name, entry in written.items()}
    return {name: service for name, service in bound.items() if service is not None}


def _keys(node: Node | None) -> tuple[str, ...]:
    return tuple(node.entries()) if node else ()


def _trial_parts(root: Node) -> tuple[Load | None, Time | None, list[tuple[int, Fault]]]:
    nothing = Node(Position(root.at.file))
    load, _ = bind(Load, root.child("load") or nothing)
    time, _ = bind(Time, root.child("time") or nothing)
    faults = root.child("faults")
    bound = [(index, bind(Fault, node)[0]) for index, node in enumerate(faults.items() if faults else ())]
    return load, time, [(index, fault) for index, fault in bound if fault is not None]


def _written(value: Model | Load | Fault | Experiment | Replications) -> dict[str, Any]:
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)
