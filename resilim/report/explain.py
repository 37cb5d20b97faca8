"""`resilim explain`: what a response flag, a status or a counter of Envoy's means, and what to do about it.

* The texts are data, in `glossary/`, one file a group.
* A word is found as people have it at hand: a flag or several (`UF,URX`), a flag's long name, a line of
  Envoy's /stats with the cluster before the name, a name as Prometheus writes it, a name without its head.
* This is a command of its own and is there at once: nothing heavy is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

SCHEMA = 1

_FILES = (
    "flags", "statuses", "requests", "connections", "breakers", "outliers", "hosts", "filters", "other_flags",
)  # fmt: skip
_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # texts only: neither 503 nor NO is one

_VALUE = re.compile(r":? +-?[0-9.e+]+$|:$")  # what follows the name in /stats and in Prometheus' text
_LABELS = re.compile(r"\{(.*)\}$")
_CODE_LABEL = re.compile(r'response_code(?:_class)?="([0-9]+)(?:xx)?"')
_RETRIED_CODE = re.compile(r"(retry_upstream_rq_[0-9])[0-9]{2}$")
_CODE = re.compile(r"(upstream_rq_[0-9])[0-9]{2}$")


@dataclass(frozen=True)
class Word:
    """One word and its explanation."""

    name: str
    kind: str  # for example "counter of a cluster"
    means: str  # what it is and when it counts
    do: str  # what to do about it
    see: tuple[str, ...]  # names of related words
    also: str  # another name, or empty
    status: str  # the status that comes with a flag, or empty


@dataclass(frozen=True)
class Group:
    """Words that belong together."""

    title: str
    note: str  # what holds for all of them, or empty
    words: tuple[Word, ...]


class Unknown(Exception):
    """Words without an explanation: (word, what was probably meant or empty)."""

    def __init__(self, words: Sequence[tuple[str, str]]) -> None:
        self.words = tuple(words)
        super().__init__(self.words)


@cache
def groups() -> tuple[Group, ...]:
    """The whole glossary, in its order."""
    return tuple(_group(name) for name in _FILES)


def _group(name: str) -> Group:
    text = files("resilim.report").joinpath(f"glossary/{name}.yaml").read_text(encoding="utf-8")
    data = yaml.load(text, _LOADER)
    words = tuple(
        Word(
            name=word,
            kind=entry.get("kind", data["kind"]),
            means=entry["means"],
            do=entry["do"],
            see=tuple(entry["see"]),
            also=entry.get("also", ""),
            status=entry.get("status", ""),
        )
        for word, entry in data["words"].items()
    )
    return Group(data["title"], data.get("note", ""), words)


@cache
def words() -> dict[str, Word]:
    """Every word by its name."""
    return {word.name: word for group in groups() for word in group.words}


# ---------------------------------------------------------------- finding


def look_up(asked: Sequence[str]) -> list[Word]:
    """The words that are asked for, each once, in order; a comma separates flags. Raises `Unknown`."""
    singles = [single.strip() for one in asked for single in _parts(one) if single.strip()]
    found = {single: find(single) for single in singles}
    unknown = [(single, _meant(single)) for single, word in found.items() if word is None]
    if unknown or not singles:
        raise Unknown(unknown or [(" ".join(asked), "")])
    return list(dict.fromkeys(word for word in found.values() if word is not None))


def _parts(asked: str) -> list[str]:
    """Flags are separated by commas; a name in Prometheus' text has commas between its labels."""
    return [asked] if "{" in asked else asked.split(",")


def find(asked: str) -> Word | None:
    """The word that `asked` names, or None."""
    if asked in words():
        return words()[asked]
    name = _bare(asked)
    return _by_name().get(_squashed(name)) or _by_end(name) or _by_code(name) or _by_tail(name)


def _bare(asked: str) -> str:
    """The name alone, joined: without a value or labels, of the default priority, of a class of codes."""
    name = _VALUE.sub("", asked).strip()
    labels = _LABELS.search(name)
    if labels:
        name = name[: labels.start()]
        code = _CODE_LABEL.search(labels[1])
        if code:
            name = f"{name.removesuffix('_xx')}_{code[1]}{'xx' if len(code[1]) == 1 else ''}"
    name = _RETRIED_CODE.sub(r"\1xx", _joined(name))
    return name.replace("circuit_breakers_high_", "circuit_breakers_default_")


def _joined(name: str) -> str:
    """A name with an underscore for everything that stands between words."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower())


def _squashed(name: str) -> str:
    """A name without what stands between its words: UpstreamOverflow and upstream_overflow are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@cache
def _by_name() -> dict[str, Word]:
    """Every word by its squashed names."""
    known = {_squashed(word.also): word for word in words().values() if word.also}
    known.update({_squashed(word.name): word for word in words().values()})
    known.pop("", None)  # the word "-"
    return known


@cache
def _statistics() -> dict[str, Word]:
    """Counters and gauges by their joined names, other names included."""
    own = [word for word in words().values() if not word.kind.startswith(("response", "status"))]
    return {_joined(name): word for word in own for name in (word.also, word.name) if name}


def _by_end(name: str) -> Word | None:
    """A statistic with something before it, such as the cluster; the longest one that fits."""
    fitting = [known for known in _statistics() if name.endswith(f"_{known}")]
    return _statistics()[max(fitting, key=len)] if fitting else None


def _by_code(name: str) -> Word | None:
    """The counter of the class of a single status code, such as upstream_rq_404."""
    of_class = _CODE.sub(r"\1xx", name)
    return None if of_class == name else _statistics().get(of_class) or _by_end(of_class)


def _by_tail(name: str) -> Word | None:
    """A statistic without what stands before its last dot, such as rq_open; None when several fit."""
    fitting = [
        word
        for word in dict.fromkeys(_statistics().values())
        if _joined(word.name.rpartition(".")[2]) == name
    ]
    return fitting[0] if len(fitting) == 1 else None


def _meant(asked: str) -> str:
    """The name that was probably meant, or empty."""
    from resilim.spec.problems import nearest  # the spec floor is slow to load

    known = [name for word in words().values() for name in (word.name, word.also) if len(name) > 1]
    tails = {name.rpartition(".")[2]: name for name in known}
    last = re.split(r"[.;]", asked)[-1]
    return nearest(asked, known) or tails.get(nearest(last, tails), "")


# ---------------------------------------------------------------- showing


def render(found: Sequence[Word], console: Console) -> None:
    """Print explanations."""
    for place, word in enumerate(found):
        if place:
            console.print()
        console.print(_head(word))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for title, text in _body(word):
            grid.add_row(Text(title, style="bold"), text)
        console.print(Padding(grid, (0, 0, 0, 2), expand=False))
    notes = _notes(found)
    if notes:
        console.print()
        for note in notes:
            console.print(Text(note))


def _head(word: Word) -> Text:
    head = Text(word.name, style="bold").append(f"  {word.kind}", style="not bold")
    if word.also:
        head.append(f", also {word.also}", style="not bold")
    return head


def _body(word: Word) -> Iterator[tuple[str, RenderableType]]:
    if word.status:
        yield "status", Text(word.status)
    yield "means", Text(word.means)
    yield "do", Text(word.do)
    yield "see", Text(", ".join(word.see))


def _notes(found: Sequence[Word]) -> list[str]:
    """What holds for the groups of these words; that of the flags only when there are several."""
    notes = []
    for group in groups():
        members = [word for word in found if word in group.words]
        needed = 2 if group.words[0].kind == "response flag" else 1
        if group.note and len(members) >= needed:
            notes.append(group.note)
    return notes


def render_list(console: Console) -> None:
    """Print all words, in groups."""
    for group in groups():
        console.print(Text(group.title, style="bold"))
        console.print(Padding(Text(", ".join(word.name for word in group.words)), (0, 0, 0, 2)))
    console.print()
    console.print(Text("resilim explain WORD says what one of them means, and what to do."))


def to_json(found: Sequence[Word]) -> dict[str, Any]:
    """Explanations as JSON data."""
    return {
        "schema": SCHEMA,
        "words": [
            {
                "word": word.name,
                "kind": word.kind,
                "also": [word.also] if word.also else [],
                "status": word.status,
                "means": word.means,
                "do": word.do,
                "see": list(word.see),
            }
            for word in found
        ],
        "notes": _notes(found),
    }


def list_json() -> dict[str, Any]:
    """All words, in groups, as JSON data."""
    return {
        "schema": SCHEMA,
        "groups": [
            {"title": group.title, "note": group.note, "words": [word.name for word in group.words]}
            for group in groups()
        ],
    }
