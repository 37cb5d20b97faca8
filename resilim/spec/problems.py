"""What is wrong with a file, and where.

* A problem names the file, the line and the column (both from 1), the path inside the file, what is
  wrong and, when there is a near miss, what was probably meant.
* A `SpecError` carries every problem that was found, sorted by place, each of them once.
* A problem is shown on one line and with escapes for what a terminal cannot show: files and names may
  come from anywhere.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple

from resilim.spec.units import printable, shortened

_MANY = 100  # choices of which each is compared with a word; of more, only those that sort next to it
_NEXT = 15


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
        return printable(f"{self.file}:{self.line}:{self.column}: {path}{self.message}{hint}")


class SpecError(Exception):
    """Files that cannot be used, with all their problems."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choice that `word` probably meant, or an empty text; upper and lower case are alike."""
    return _nearest(word.lower(), tuple(choices))


@lru_cache(maxsize=10_000)  # arms have their mistakes in common
def _nearest(word: str, choices: tuple[str, ...]) -> str:
    lowered = {choice.lower(): choice for choice in choices}
    candidates = list(lowered) if len(lowered) <= _MANY else _neighbours(word, choices)
    found = get_close_matches(word, candidates, n=1, cutoff=0.6)
    return lowered[found[0]] if found else ""


def _neighbours(word: str, choices: tuple[str, ...]) -> list[str]:
    """The choices that begin or end most like the word, or are the word with a letter less."""
    forward, backward = _in_order(choices)
    first, last = bisect_left(forward, word), bisect_left(backward, word[::-1])
    near = forward[max(0, first - _NEXT) : first + _NEXT]
    near += [text[::-1] for text in backward[max(0, last - _NEXT) : last + _NEXT]]
    shorter = (word[:place] + word[place + 1 :] for place in range(min(len(word), _NEXT * _NEXT)))
    return near + [text for text in shorter if _is_in(forward, text)]


def _is_in(words: list[str], word: str) -> bool:
    place = bisect_left(words, word)
    return place < len(words) and words[place] == word


@lru_cache(maxsize=8)
def _in_order(choices: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The choices in order, and in the order of their letters from the last to the first."""
    lowered = {choice.lower() for choice in choices}
    return sorted(lowered), sorted(choice[::-1] for choice in lowered)


def one_of(choices: Iterable[str], limit: int = 8) -> str:
    """The choices as a list for a message, shortened when there are many."""
    names = list(choices)
    shown = ", ".join(map(shortened, names[:limit]))
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
