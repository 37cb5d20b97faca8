"""Istio objects become part of the tree of a model.

A DestinationRule is the traffic policy of its service, and its subsets are the subsets of the service. Two
sources of one policy are an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from resilim.spec import checks
from resilim.spec.base import Finding, Steps
from resilim.spec.bind import bind, locate, node_at
from resilim.spec.istio import DestinationRule
from resilim.spec.problems import Problem, nearest
from resilim.spec.reader import Reader, file_named
from resilim.spec.tree import Entry, Node
from resilim.spec.units import quoted

MODEL_MANIFESTS = ("mesh", "manifests")


def model_manifests(tree: Node) -> tuple[Node, ...]:
    """The names of the manifests of a model."""
    manifests = node_at(tree, MODEL_MANIFESTS)
    return manifests.items() if manifests else ()


def graft_all(reader: Reader, tree: Node, names: Iterable[Node], steps: Steps) -> Node:
    """The tree with the policies of the manifests in it, and without their names at `steps`."""
    for index, name in enumerate(names):
        if not isinstance(name.value, str):
            continue  # binding says so
        path = file_named(reader, name, name.value, (*steps, index))
        for document in reader.documents(path) if path is not None else ():
            tree = _graft(reader, tree, document)
    return _without_manifests(tree)


def _without_manifests(tree: Node) -> Node:
    mesh = tree.child("mesh")
    manifests = mesh.child("manifests") if mesh else None
    if mesh is None or manifests is None or not isinstance(manifests.value, tuple):
        return tree
    if not all(isinstance(item.value, str) for item in manifests.value):
        return tree
    kept = {key: entry for key, entry in mesh.entries().items() if key != "manifests"}
    return _with_entry(tree, "mesh", Entry(tree.key_at("mesh"), Node(mesh.at, kept)))


def _with_entry(tree: Node, key: str, entry: Entry) -> Node:
    return Node(tree.at, {**tree.entries(), key: entry})


def _graft(reader: Reader, tree: Node, document: Node) -> Node:
    """The tree with one DestinationRule as the policy of its service."""
    kind = document.child("kind")
    if kind is not None and isinstance(kind.value, str) and kind.value != "DestinationRule":
        message = f"{quoted(kind.value)} is not supported yet; DestinationRule is"
        hint = nearest(kind.value, ["DestinationRule"])
        reader.problems.append(Problem.at(kind.at, "kind", message, hint))
        return tree
    rule, problems = bind(DestinationRule, document)
    reader.problems += problems
    if rule is None:
        return tree
    finding = _graft_finding(tree, rule)
    if finding:
        reader.add(document, [finding])
        return tree
    policy = node_at(document, ("spec", "trafficPolicy")) or Node(document.at, {})
    tree = _with_service(tree, "trafficPolicies", rule, document, policy)
    if rule.spec.subsets:
        tree = _with_service(tree, "subsets", rule, document, _subsets_of(document))
    return tree


def _with_service(tree: Node, key: str, rule: DestinationRule, document: Node, value: Node) -> Node:
    """The tree with what a DestinationRule says of its service under a key."""
    there = tree.child(key) or Node(document.at, {})
    entry = Entry(locate(document, ("spec", "host"))[0], value)
    merged = Node(there.at, {**there.entries(), rule.spec.service: entry})
    return _with_entry(tree, key, Entry(tree.key_at(key), merged))


def _subsets_of(document: Node) -> Node:
    """The subsets of a DestinationRule by name, as a model has them."""
    subsets = node_at(document, ("spec", "subsets")) or Node(document.at, ())
    by_name: dict[str, Entry] = {}
    for item in subsets.items():
        entries = {key: entry for key, entry in item.entries().items() if key == "trafficPolicy"}
        labels = item.child("labels")
        entries |= labels.entries() if labels else {}
        name = item.child("name")
        by_name[str(name.value) if name else ""] = Entry(item.at, Node(item.at, entries))
    return Node(subsets.at, by_name)


def _graft_finding(tree: Node, rule: DestinationRule) -> Finding | None:
    service = rule.spec.service
    names = _entries(tree, "services")
    if service not in names:
        return checks.unknown("service", service, names, ("spec", "host"))
    for key, what in (("trafficPolicies", "a traffic policy"), ("subsets", "subsets")):
        there = _entries(tree, key)
        if service in there and (key == "trafficPolicies" or rule.spec.subsets):
            first = there[service].at
            message = f"{quoted(service)} has {what} already: {first.file}:{first.line}"
            return Finding(("spec", "host"), message)
    return None


def _entries(tree: Node, key: str) -> Mapping[str, Entry]:
    child = tree.child(key)
    return child.entries() if child else {}
