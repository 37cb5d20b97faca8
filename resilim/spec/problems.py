"""What is wrong with a file, and where.

* A problem names the file, the line and the column (both from 1), the path inside the file, what is
  wrong and, when there is a near miss, what was probably meant.
* A `SpecError` carries every problem that was found, sorted by place, each of them once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple


class Position(NamedTuple):
    """A place in a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake; `hint` is what was probably meant, or empty."""

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    @classmethod
    def at(cls, place: Position, path: str, message: str, hint: str = "") -> Problem:
        """The problem `message` at `place`."""
        return cls(place.file, place.line, place.column, path, message, hint)

    def __str__(self) -> str:
        path = f"{self.path}: " if self.path else ""
        hint = f' (did you mean "{self.hint}"?)' if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {path}{self.message}{hint}"


class SpecError(Exception):
    """Files that cannot be used, with all their problems."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choice that `word` probably meant, or an empty text; upper and lower case are alike."""
    lowered = {choice.lower(): choice for choice in choices}
    found = get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else ""


def one_of(choices: Iterable[str], limit: int = 8) -> str:
    """The choices as a list for a message, shortened when there are many."""
    names = list(choices)
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
