"""Changes to a tree by path: `-S path=value` and the `set` of an arm.

* A path has names and indices: `services.cart.endpoints["GET /cart"].steps[0].work`. Names with
  dots or blanks are quoted in brackets; an item of a list is also found by its `name`
  (`faults.slow-cart-host.factor`).
* What is set replaces what was there; nothing is merged. Null takes a free key (a service, a
  policy) away, and any other key back to its default.
* The parent has to exist. Only blocks that may be left out of a file are made on the way
  (`trafficPolicies.cart.outlierDetection.interval`).
* New nodes know where they were written, so that their problems are shown there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resilim.spec.base import Steps
from resilim.spec.bind import below, free_keys, strict
from resilim.spec.problems import Position, Problem, SpecError, nearest, one_of
from resilim.spec.tree import Entry, Node, parse, show_path
from resilim.spec.units import kind_of, quoted

COMMAND_LINE = "-S"
_STEP = re.compile(
    r"""\[\s*(?P<index>[0-9]{1,9})\s*\]"""
    r"""|\[\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)')\s*\]"""
    r"""|(?P<dot>\.?)(?P<name>[^.\[\]="']+)"""
)


@dataclass(frozen=True)
class Overlay:
    """A value for a path, and the place where it was written."""

    steps: Steps
    at: Position
    value: Node


def parse_path(text: str, at: Position) -> Steps:
    """The steps of a path; SpecError at `at` when it is none."""
    steps, end = _steps(text)
    if not steps or end != len(text):
        message = f"{quoted(text)} is not a path, e.g. services.cart.hosts"
        raise SpecError([Problem.at(at, "", message)])
    return steps


def command_line(overrides: Sequence[str]) -> tuple[list[Overlay], list[Problem]]:
    """The overlays of `-S` options, the n-th in line n, and the problems of the others."""
    overlays: list[Overlay] = []
    problems: list[Problem] = []
    for line, text in enumerate(overrides, start=1):
        try:
            overlays.append(_override(text, Position(COMMAND_LINE, line)))
        except SpecError as error:
            problems += error.problems
    return overlays, problems


def _override(text: str, at: Position) -> Overlay:
    steps, end = _steps(text)
    if not steps or text[end : end + 1] != "=":
        message = f"{quoted(text)} is not path=value, e.g. load.rate=400/s"
        raise SpecError([Problem.at(at, "", message)])
    start = Position(at.file, at.line, at.column + end + 1)
    return Overlay(steps, at, parse(text[end + 1 :], start))


def _steps(text: str) -> tuple[Steps, int]:
    """The steps at the beginning of the text, and where they end."""
    steps: list[str | int] = []
    end = 0
    while found := _STEP.match(text, end):
        if found["name"] is not None and bool(found["dot"]) != bool(steps):
            break
        steps.append(_step(found))
        end = found.end()
    return tuple(steps), end


def _step(found: re.Match[str]) -> str | int:
    if found["index"] is not None:
        return int(found["index"])
    quoted_name = found["double"] if found["double"] is not None else found["single"]
    return quoted_name if quoted_name is not None else found["name"].strip()


def apply(root: Node, overlay: Overlay, kind: Any) -> Node:
    """A tree with the overlay in place; SpecError when its parent does not exist.

    `kind` is the class that the tree will be bound to: it says which blocks may be made on the way.
    """
    return _put(root, overlay.steps, overlay, kind, ())


def _put(node: Node, steps: Steps, overlay: Overlay, kind: Any, done: Steps) -> Node:
    step = _index(node, steps[0], overlay, done)
    inner = below(kind, step)
    if len(steps) == 1:
        return _set(node, step, overlay, kind, done)
    child = node.child(step)
    if child is None or child.value is None:
        if not _may_be_made(node, step, kind):
            raise _no_such(node, step, overlay, kind, done)
        child = Node(overlay.at, {})
    new = _put(child, steps[1:], overlay, inner, (*done, step))
    return _with(node, step, Entry(_key_place(node, step, overlay), new))


def _set(node: Node, step: str | int, overlay: Overlay, kind: Any, done: Steps) -> Node:
    if isinstance(step, int):
        if node.child(step) is None:
            raise _no_such(node, step, overlay, kind, done)
    elif node.value is not None and not isinstance(node.value, dict):
        raise _no_such(node, step, overlay, kind, done)
    elif overlay.value.value is None and free_keys(kind):
        kept = {key: entry for key, entry in node.entries().items() if key != step}
        if len(kept) == len(node.entries()):
            raise _no_such(node, step, overlay, kind, done)
        return Node(node.at, kept)
    return _with(node, step, Entry(overlay.at, overlay.value))


def _with(node: Node, step: str | int, entry: Entry) -> Node:
    if isinstance(step, int):
        items = list(node.items())
        items[step] = entry.node
        return Node(node.at, tuple(items))
    return Node(node.at, {**node.entries(), step: entry})


def _key_place(node: Node, step: str | int, overlay: Overlay) -> Position:
    return node.key_at(step) if node.child(step) is not None else overlay.at


def _index(node: Node, step: str | int, overlay: Overlay, done: Steps) -> str | int:
    """The index of the list item that has `step` for its name; any other step as it is."""
    if not isinstance(node.value, tuple) or isinstance(step, int):
        return step
    names = [_name_of(item) for item in node.value]
    if step in names:
        return names.index(step)
    message = f"nothing in {show_path(done)} has the name {quoted(step)}"
    raise _problem(overlay, message, nearest(step, filter(None, names)))


def _name_of(item: Node) -> str | None:
    name = item.child("name")
    return name.value if name and isinstance(name.value, str) else None


def _may_be_made(node: Node, step: str | int, kind: Any) -> bool:
    if isinstance(step, int) or isinstance(node.value, str | tuple):
        return False
    inner = below(kind, step)
    made = strict(inner)
    if made is None:
        return free_keys(inner)
    return not any(field.is_required() for field in made.model_fields.values())


def _no_such(node: Node, step: str | int, overlay: Overlay, kind: Any, done: Steps) -> SpecError:
    where = show_path(done) or "the top"
    if isinstance(step, int):
        if not isinstance(node.value, tuple):
            return _problem(overlay, f"{where} is {kind_of(node.plain())}, not a list")
        return _problem(overlay, f"{where} has no item {step}: it has {len(node.value)}")
    if isinstance(node.value, str | tuple):
        return _problem(overlay, f"{where} is {kind_of(node.plain())}, not a mapping")
    known = list(node.entries())
    owner = strict(kind)
    near = nearest(step, [*known, *(owner.keys() if owner else ())])
    there = f"; there is {one_of(known)}" if known and not near else ""
    hint = "" if near == step else near
    return _problem(overlay, f"{where} has no {quoted(step)}{there}", hint)


def _problem(overlay: Overlay, message: str, hint: str = "") -> SpecError:
    return SpecError([Problem.at(overlay.at, show_path(overlay.steps), message, hint)])
