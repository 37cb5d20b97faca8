"""YAML text as a tree in which every key and every value knows its place.

* Every scalar stays the text that was written; only a plain `null`, `~` or nothing is None. What a
  text means is decided by the field that receives it, so YAML 1.1's guesses (`on`, `12:30`, `1.30`,
  `017`) never happen.
* Refused, with the place: duplicate keys (naming the first), keys that are not text, merge keys,
  tags, several documents where one is expected, and whatever PyYAML refuses.
* Limits: 10 MiB of text, 200,000 nodes with aliases counted as often as they are used, depth 60.
  The tree is built from parser events on a stack of its own, so neither deep nesting nor nested
  aliases cost more than the limit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from resilim.spec.base import Steps
from resilim.spec.problems import Position, Problem, SpecError
from resilim.spec.units import kind_of, printable, quoted

LARGEST_FILE = 10 * 2**20
MOST_NODES = 200_000
DEEPEST = 60

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = {"", "~", "null", "Null", "NULL"}
_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Entry(NamedTuple):
    """A value in a mapping, and the place of its key."""

    at: Position
    node: Node


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its place: text, None, a list (tuple) or a mapping."""

    at: Position
    value: str | tuple[Node, ...] | Mapping[str, Entry] | None = None
    size: int = 1

    def child(self, step: str | int) -> Node | None:
        """The value under a key or an index, or None when there is no such thing."""
        if isinstance(self.value, Mapping):
            entry = self.value.get(step) if isinstance(step, str) else None
            return entry.node if entry else None
        if isinstance(self.value, tuple) and isinstance(step, int):
            return self.value[step] if 0 <= step < len(self.value) else None
        return None

    def entries(self) -> Mapping[str, Entry]:
        """The entries of a mapping; none for anything else."""
        return self.value if isinstance(self.value, Mapping) else {}

    def items(self) -> tuple[Node, ...]:
        """The items of a list; none for anything else."""
        return self.value if isinstance(self.value, tuple) else ()

    def key_at(self, step: str | int) -> Position:
        """The place of a key, or of a list item; the place of the node when there is none."""
        if isinstance(step, str) and step in self.entries():
            return self.entries()[step].at
        child = self.child(step)
        return child.at if child else self.at

    def plain(self) -> Any:
        """The same as dictionaries, lists, text and None."""
        if isinstance(self.value, Mapping):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value


def show_path(steps: Steps) -> str:
    """The path as `-S` and `set:` take it: `services.cart.endpoints["GET /cart"].steps[0]`."""
    shown = ""
    for step in steps:
        if isinstance(step, int):
            shown += f"[{step}]"
        elif re.fullmatch(r"[^\s.\[\]\"'=]+", step):
            shown += f".{step}" if shown else step
        else:
            shown += "['" + step + "']" if '"' in step else f'["{step}"]'
    return printable(shown)


def read(path: str | os.PathLike[str]) -> Node:
    """The only document of a file; SpecError when it cannot be read or is not a mapping."""
    found = _documents(_text_of(path), Position(os.fspath(path)))
    first = next(found, None)
    if first is None:
        raise SpecError([Problem.at(Position(os.fspath(path)), "", "the file is empty")])
    second = next(found, None)
    if second is not None:
        raise SpecError([Problem.at(second.at, "", "a second document; one is expected here")])
    return _mapping(first)


def documents(path: str | os.PathLike[str]) -> tuple[Node, ...]:
    """The documents of a file, empty ones left out; SpecError as for `read`."""
    found = tuple(_mapping(node) for node in _documents(_text_of(path), Position(os.fspath(path))))
    if not found:
        raise SpecError([Problem.at(Position(os.fspath(path)), "", "the file is empty")])
    return found


def parse(text: str, start: Position) -> Node:
    """One value of any kind from a text that begins at `start`; SpecError when it is no YAML."""
    found = list(_documents(text, start))
    if len(found) > 1:
        raise SpecError([Problem.at(found[1].at, "", "a second document; one is expected here")])
    return found[0] if found else Node(start)


def _mapping(node: Node) -> Node:
    if not isinstance(node.value, Mapping):
        message = f"a mapping (key: value) is needed here, not {kind_of(node.plain())}"
        raise SpecError([Problem.at(node.at, "", message)])
    return node


def _text_of(path: str | os.PathLike[str]) -> str:
    start = Position(os.fspath(path))
    try:
        file = Path(path)
        if not start.file or not file.exists():
            raise SpecError([Problem.at(start, "", "there is no such file")])
        if not file.is_file():
            what = "a directory" if file.is_dir() else "not a regular file"
            raise SpecError([Problem.at(start, "", f"this is {what}, a file is needed")])
        with open(file, "rb", opener=_without_waiting) as stream:
            raw = stream.read(LARGEST_FILE + 1) or b""
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise SpecError([Problem.at(start, "", f"cannot be read: {reason}")]) from None
    if len(raw) > LARGEST_FILE:
        limit = f"larger than {LARGEST_FILE // 2**20} MiB"
        raise SpecError([Problem.at(start, "", limit)])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        place = _place_after(before.decode("utf-8-sig"), start)
        raise SpecError([Problem.at(place, "", "this is not UTF-8 text")]) from None


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _place_after(text: str, start: Position) -> Position:
    line = text.count("\n")
    column = len(text) - (text.rfind("\n") + 1)
    return Position(start.file, start.line + line, column + (1 if line else start.column))


def _documents(text: str, start: Position) -> Iterator[Node]:
    odd = _NOT_TEXT.search(text)
    if odd:
        message = f"the character {odd[0]!a} does not belong into a text file"
        raise SpecError([Problem.at(_place_after(text[: odd.start()], start), "", message)])
    builder = _Builder(start)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            document = builder.take(event)
            if document is not None and (document.value is not None or document.size > 1):
                yield document
    except yaml.YAMLError as error:
        raise SpecError([_syntax_problem(error, text, start)]) from None


def _syntax_problem(error: yaml.YAMLError, text: str, start: Position) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = getattr(error, "problem", None) or str(error)
    lines = text.split("\n")
    if mark and mark.line < len(lines) and (lines[mark.line] or mark.line + 1 < len(lines)):
        place, line = _shift(mark, start), lines[mark.line]
    else:  # the text ends too early
        place, line = _place_after(text.rstrip("\n"), start), ""
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent or "\\t" in reason:
        reason = "YAML does not indent with tabs; use spaces"
    context = getattr(error, "context", None)
    return Problem.at(place, "", f"YAML: {reason}" + (f" ({context})" if context else ""))


def _shift(mark: Any, start: Position) -> Position:
    column = mark.column + (1 if mark.line else start.column)
    return Position(start.file, start.line + mark.line, column)


@dataclass(slots=True)
class _Open:
    """A list or a mapping whose end has not come yet."""

    at: Position
    anchor: str | None
    is_mapping: bool
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    key: tuple[str, Position] | None = None
    size: int = 1


@dataclass(slots=True)
class _Builder:
    """Makes nodes of parser events; nothing here recurs."""

    start: Position
    open: list[_Open] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)
    nodes: int = 0

    def take(self, event: Any) -> Node | None:
        """One event; the document, when this event completes one."""
        at = _shift(event.start_mark, self.start)
        if isinstance(event, yaml.DocumentStartEvent):
            self.anchors.clear()
        elif isinstance(event, yaml.AliasEvent):
            return self._place(self._alias(str(event.anchor), at), at)
        elif isinstance(event, yaml.ScalarEvent):
            return self._place(self._scalar(event, at), at)
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            self._begin(event, at)
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            return self._end()
        return None

    def _refuse(self, at: Position, message: str) -> SpecError:
        steps = tuple(step for level in self.open if (step := self._step(level)) is not None)
        return SpecError([Problem.at(at, show_path(steps), message)])

    @staticmethod
    def _step(level: _Open) -> str | int | None:
        if level.is_mapping:
            return level.key[0] if level.key else None
        return len(level.items)

    def _count(self, size: int, at: Position) -> None:
        self.nodes += size
        if self.nodes > MOST_NODES:
            raise self._refuse(at, f"more than {MOST_NODES:,} values, aliases counted")

    def _untagged(self, event: Any, at: Position) -> None:
        if event.tag is not None and event.tag != "!":
            raise self._refuse(at, f"the YAML tag {quoted(event.tag)} is not supported")

    def _alias(self, name: str, at: Position) -> Node:
        node = self.anchors.get(name)
        if node is None:
            raise self._refuse(at, f"the alias *{name} has no complete anchor before it")
        self._count(node.size, at)
        return node

    def _scalar(self, event: Any, at: Position) -> Node:
        self._untagged(event, at)
        self._count(1, at)
        plain = event.style in (None, "") and event.tag is None
        node = Node(at, None if plain and event.value in _NULLS else event.value)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _begin(self, event: Any, at: Position) -> None:
        self._untagged(event, at)
        self._count(1, at)
        if len(self.open) >= DEEPEST:
            raise self._refuse(at, f"nested deeper than {DEEPEST} levels")
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        self.open.append(_Open(at, event.anchor, is_mapping))

    def _end(self) -> Node | None:
        level = self.open.pop()
        value = level.entries if level.is_mapping else tuple(level.items)
        node = Node(level.at, value, level.size)
        if level.anchor:
            self.anchors[level.anchor] = node
        return self._place(node, level.at)

    def _place(self, node: Node, at: Position) -> Node | None:
        if not self.open:
            return node
        level = self.open[-1]
        level.size += node.size
        if not level.is_mapping:
            level.items.append(node)
        elif level.key is None:
            level.key = (self._key(node, at, level), at)
        else:
            name, key_at = level.key
            level.entries[name] = Entry(key_at, node)
            level.key = None
        return None

    def _key(self, node: Node, at: Position, level: _Open) -> str:
        name = node.value
        if not isinstance(name, str):
            raise self._refuse(at, f"a key must be text, not {kind_of(node.plain())}")
        if name == "<<":
            raise self._refuse(at, "merge keys (<<) are not supported; write the keys out")
        if name in level.entries:
            first = level.entries[name].at
            message = f"the key {quoted(name)} is there twice; first in line {first.line}"
            raise self._refuse(at, f"{message}, column {first.column}")
        return name
