"""Files as trees, each read once, and the problems that come up on the way."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from resilim.spec.base import Finding, Steps
from resilim.spec.bind import place_of
from resilim.spec.overlay import COMMAND_LINE
from resilim.spec.problems import Problem, SpecError
from resilim.spec.tree import Node, documents, read, show_path
from resilim.spec.units import quoted

_LONGEST_SHOWN = 200


@dataclass
class Reader:
    """Files as trees, each read once, and the problems so far."""

    problems: list[Problem] = field(default_factory=list)
    trees: dict[str, tuple[Node, ...]] = field(default_factory=dict)

    def read(self, path: str) -> Node | None:
        """The only document of a file, or None and a problem."""
        if path not in self.trees:
            try:
                self.trees[path] = (read(path),)
            except SpecError as error:
                self.problems += error.problems
                self.trees[path] = ()
        return next(iter(self.trees[path]), None)

    def documents(self, path: str) -> tuple[Node, ...]:
        """The documents of a file, or none and a problem."""
        if path not in self.trees:
            try:
                self.trees[path] = documents(path)
            except SpecError as error:
                self.problems += error.problems
                self.trees[path] = ()
        return self.trees[path]

    def add(self, root: Node, findings: Iterable[Finding]) -> None:
        """Findings as problems at their places."""
        for finding in findings:
            place, known = place_of(root, finding.steps)
            problem = Problem.at(place, show_path(known), finding.message, finding.hint)
            self.problems.append(problem)


def file_named(reader: Reader, at: Node, name: str, steps: Steps) -> str | None:
    """The path of a file that another file names, or None and a problem where it is named."""
    path = _beside(name, at.at.file)
    if os.path.exists(path) and not os.path.isdir(path):
        return path
    shown = f'"{path}"' if len(path) <= _LONGEST_SHOWN else quoted(path)
    message = f"{shown} is a directory" if os.path.isdir(path) else f"there is no file {shown}"
    reader.problems.append(Problem.at(at.at, show_path(steps), message))
    return None


def _beside(name: str, file: str) -> str:
    folder = "" if file == COMMAND_LINE else os.path.dirname(file)
    return os.path.normpath(os.path.join(folder, name))
