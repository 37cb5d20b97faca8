"""A tree as an object of a `Strict` class, or its problems with their places.

* pydantic validates; its locations are walked down the tree, and end where the tree ends.
* An unknown key is located at the key, a bad value at the value, a missing key at its mapping.
* Messages are ours: pydantic's words name Python types, which nobody wrote.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from resilim.spec.base import Steps, Strict
from resilim.spec.problems import Position, Problem, nearest, one_of
from resilim.spec.tree import Node, show_path
from resilim.spec.units import kind_of, quoted

T = TypeVar("T", bound=Strict)


def bind(cls: type[T], node: Node, path: Steps = ()) -> tuple[T | None, list[Problem]]:
    """The object that `node` describes, or None and its problems; `path` leads to the node."""
    try:
        return cls.model_validate(node.plain()), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, [_problem(cls, node, path, detail) for detail in _telling(details)]


def _telling(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """The details without lists that are "too short" only because items in them are wrong."""
    around = {detail["loc"][:depth] for detail in details for depth in range(len(detail["loc"]))}
    return [detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in around]


def below(kind: Any, step: str | int) -> Any:
    """The annotation of what is under a key or an index of `kind`; None when there is none."""
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, Strict):
        name = kind.keys().get(step) if isinstance(step, str) else None
        return kind.model_fields[name].annotation if name else None
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is dict and isinstance(step, str):
        return arguments[1]
    if typing.get_origin(kind) in (tuple, list) and isinstance(step, int):
        return arguments[0]
    return None


def strict(kind: Any) -> type[Strict] | None:
    """The class that an annotation stands for, when it is one of ours."""
    kind = _bare(kind)
    return kind if isinstance(kind, type) and issubclass(kind, Strict) else None


def free_keys(kind: Any) -> bool:
    """True for a mapping whose keys are names that users choose."""
    return typing.get_origin(_bare(kind)) is dict


def _bare(kind: Any) -> Any:
    """The annotation without `Annotated` and without `| None`."""
    if typing.get_origin(kind) is typing.Annotated:
        return _bare(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return _bare(next(part for part in typing.get_args(kind) if part is not type(None)))
    return kind


def locate(root: Node, steps: Steps, of_key: bool = False) -> tuple[Position, Steps]:
    """The place of the deepest step that exists, and the steps down to it."""
    node, place = root, root.at
    for depth, step in enumerate(steps):
        child = node.child(step)
        if child is None:
            return node.at if isinstance(node.value, str) else place, steps[:depth]
        last = depth + 1 == len(steps)
        empty = child.value is None
        place = node.key_at(step) if (last and of_key) or empty or not last else child.at
        node = child
    return place, steps


def place_of(root: Node, steps: Steps) -> tuple[Position, Steps]:
    """As `locate`: the value when it is text, the key when it is anything else."""
    node = node_at(root, steps)
    return locate(root, steps, of_key=node is None or not isinstance(node.value, str))


def _problem(cls: type[Strict], node: Node, path: Steps, detail: ErrorDetails) -> Problem:
    steps: Steps = tuple(detail["loc"])
    kind = detail["type"]
    if kind == "missing":
        return _missing(node, path, steps)
    if kind == "extra_forbidden":
        return _unknown(cls, node, path, steps)
    of_key = bool(steps) and steps[-1] == "[key]" and node_at(node, steps) is None
    if of_key:
        steps = steps[:-1]
    place, known = place_of(node, steps) if kind == "rule" else locate(node, steps, of_key)
    message, hint = _message(detail, steps)
    return Problem.at(place, show_path(path + known), message, hint)


def node_at(root: Node, steps: Steps) -> Node | None:
    """The node at the end of the steps, or None."""
    node: Node | None = root
    for step in steps:
        node = node.child(step) if node else None
    return node


def _missing(node: Node, path: Steps, steps: Steps) -> Problem:
    place, known = locate(node, steps)
    if isinstance(steps[-1], int):  # of a list with a fixed length, which only a uniform law has
        message = "two times are needed here, the shortest and the longest"
        return Problem.at(place, show_path(path + steps[:-1]), message)
    if known == steps:  # the key is there, with nothing after it
        return Problem.at(place, show_path(path + steps), "a value is missing")
    return Problem.at(place, show_path(path + known), f"{quoted(steps[-1])} is missing")


def _unknown(cls: type[Strict], node: Node, path: Steps, steps: Steps) -> Problem:
    owner: Any = cls
    for step in steps[:-1]:
        owner = below(owner, step)
    place, known = locate(node, steps, of_key=True)
    name, shown = str(steps[-1]), show_path(path + known[:-1])
    found = strict(owner)
    if found and name in found.not_simulated:
        message = f"{name} is an Istio field that resilim does not simulate yet; remove it"
        return Problem.at(place, show_path(path + known), message)
    hint = nearest(name, found.keys()) if found else ""
    return Problem.at(place, shown, f"unknown key {quoted(name)}", hint)


def _message(detail: ErrorDetails, steps: Steps) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "rule":
        return str(context["message"]), str(context["hint"])
    if kind == "value_error":
        return str(context["error"]), ""
    if kind == "literal_error":
        return _literal(detail["input"], str(context["expected"]))
    return _WORDS.get(kind, _as_it_is)(detail, steps), ""


def _literal(value: Any, expected: str) -> tuple[str, str]:
    choices = [choice.strip("'") for choice in expected.replace(" or ", ", ").split(", ")]
    wanted = one_of(choices) if len(choices) == 1 else f"one of {one_of(choices)}"
    if not isinstance(value, str):
        return f"{wanted} is needed here, not {kind_of(value)}", ""
    return f"{quoted(value)} is not {wanted}", nearest(value, choices)


def _too_small(detail: ErrorDetails, steps: Steps) -> str:
    least = detail["ctx"]["ge"]
    if least == 0:  # Istio's own words
        return f"{_words(str(steps[-1]))} must be non-negative, not {detail['input']}"
    return f"{detail['input']} is too small: at least {least}"


def _words(name: str) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)


def _as_it_is(detail: ErrorDetails, _: Steps) -> str:
    return detail["msg"]


def _needs(what: str) -> Any:
    return lambda detail, _: f"{what} is needed here, not {kind_of(detail['input'])}"


_WORDS: Mapping[str, Any] = {
    "greater_than_equal": _too_small,
    "less_than_equal": lambda detail, _: f"{detail['input']} is too large: at most {detail['ctx']['le']}",
    "too_short": lambda detail, _: f"at least {detail['ctx']['min_length']} is needed here",
    "too_long": lambda detail, _: f"more than {detail['ctx']['max_length']} are not possible here",
    "string_too_long": lambda detail, _: f"longer than {detail['ctx']['max_length']} characters",
    "string_pattern_mismatch": lambda detail, _: (
        f"{quoted(detail['input'])} is not a name that can be used here (letters, digits, dashes)"
    ),
    "model_type": _needs("a mapping"),
    "dict_type": _needs("a mapping"),
    "tuple_type": _needs("a list"),
    "list_type": _needs("a list"),
    "string_type": _needs("text"),
}
