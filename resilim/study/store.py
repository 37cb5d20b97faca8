"""The result folder: `results/<experiment>/<digest>/`.

* `runs.jsonl`: one line a finished run, appended and flushed by one writer at once, so that a kill or Ctrl-C
  loses at most the runs in flight. A torn last line is dropped when the file is read.
* A run that is stored is not computed again, unless asked for.
* `resolved.json`: the input with every default written out. `summary.json`: the result. `report.html`.
* `stats/<arm>/<replication>.txt`: Envoy's statistics at the end of a run, where they were asked for. An arm's
  name that is no plain name of a file gets one, with a digest of its own.
* The digest covers everything that decides the recordings, and the version of the engine's semantics.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from resilim.study.observation import Observation, pack, unpack

# Raised when the same run may give another recording than before.
SEMANTICS = 2

_LONGEST = 40  # characters of a name of a file
_DIGITS = 10
_PLAIN = re.compile(rf"[a-z0-9](?:[a-z0-9._-]{{0,{_LONGEST - 2}}}[a-z0-9_-])?")


class StoreError(Exception):
    """The result folder cannot be used; the message says why and what to do."""


def folder_digest(parts: list[str]) -> str:
    """Twelve hexadecimal digits that name the result of these inputs."""
    sha = hashlib.sha256(f"semantics {SEMANTICS}".encode())
    for part in parts:
        sha.update(part.encode() + b"\0")
    return sha.hexdigest()[:12]


class Store:
    """The runs of one result folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._runs = folder / "runs.jsonl"

    def load(self) -> dict[tuple[str, int], Observation]:
        """The stored runs by (arm, replication); damaged lines raise `StoreError`, a torn last one is cut."""
        if not self._runs.exists():
            return {}
        if not self._runs.is_file():
            raise StoreError(f"{self._runs}: not a file; choose another folder with --results")
        text = self._runs.read_bytes()
        complete = text[: text.rfind(b"\n") + 1]
        if complete != text:
            with self._runs.open("r+b") as file:
                file.truncate(len(complete))
        runs = {}
        for number, line in enumerate(complete.splitlines(), start=1):
            try:
                entry = json.loads(line)
                runs[entry["arm"], entry["replication"]] = unpack(entry["observation"])
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise StoreError(
                    f"{self._runs}:{number}: damaged ({error}); delete the folder, or run with --fresh"
                ) from error
        return runs

    def begin(self, resolved: dict[str, Any], fresh: bool) -> None:
        """Make the folder; `fresh` forgets stored runs."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if fresh:
                self._runs.unlink(missing_ok=True)
            self.write("resolved.json", _json(resolved))
        except OSError as error:
            raise StoreError(
                f"{self.folder}: {error.strerror}; choose another folder with --results"
            ) from error

    def append(self, arm: str, replication: int, seed: int, observation: Observation) -> None:
        """Store one finished run."""
        entry = {"arm": arm, "replication": replication, "seed": seed, "observation": pack(observation)}
        try:
            with self._runs.open("ab") as file:
                file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
        except OSError as error:
            raise StoreError(f"{self._runs}: {error.strerror}; what was finished before is kept") from error

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write `summary.json`: the same result gives the same bytes."""
        self.write("summary.json", _json(summary))

    def has_stats(self, arm: str, replication: int) -> bool:
        """Whether the statistics of a run are there."""
        return self._stats(arm, replication).is_file()

    def write_stats(self, arm: str, replication: int, text: str) -> None:
        """Write the statistics of one run."""
        path = self._stats(arm, replication)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path.parent}: {error.strerror}; the finished runs are kept") from error
        _write(path, text)

    def _stats(self, arm: str, replication: int) -> Path:
        return self.folder / "stats" / file_name(arm) / f"{replication}.txt"

    def write(self, name: str, text: str) -> None:
        """Write a file of the folder as a whole: never half of it."""
        _write(self.folder / name, text)


def file_name(name: str) -> str:
    """A name that any file system takes, another one for every other name (also where case is ignored)."""
    if _PLAIN.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    words = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST]
    return f"{words}~{digest}"


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(f"{path}: {error.strerror}; the finished runs are kept") from error


def _json(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
