"""The compiled engine: the data plane's own functions, through numba, under SimPy's control plane.

* No second source: every function marked `@plane` is compiled as it stands, with the primitives' names
  rebound to their compiled twins in `heap.py`.
* The compiled code is cached on disk across processes, in a folder named by a digest of everything that
  goes into it: numba itself only looks at one file's date.
* `advance` guarantees `ROOM` free records in every growing table before each event. When there is none it
  returns, the tables are doubled, and it is called again: nothing is ever written out of bounds.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numba
import numpy as np

from resilim.engine import advance as loop
from resilim.engine import heap, state
from resilim.engine.environment import CompiledEnvironment
from resilim.engine.limits import TooManyInFlight
from resilim.engine.linking import whole_program
from resilim.engine.switch import make_switch
from resilim.plane import machine
from resilim.plane.events import HANDLERS
from resilim.plane.machine import CHUNK, PLANE_FUNCTIONS, ROOM, SUPPLIED, TABLES, VECTORS
from resilim.plane.record import fresh
from resilim.run import ROW_DTYPE, Array, Run, joined_rows


def cache_folder() -> Path:
    """Where compiled code is kept: RESILIM_CACHE_DIR, or the user's cache folder."""
    base = os.environ.get("RESILIM_CACHE_DIR")
    if base:
        return Path(base)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "resilim"


def _source_digest() -> str:
    """Digest of all that the compiled code depends on."""
    sha = hashlib.sha256(f"{numba.__version__} {np.__version__} {sys.version}".encode())
    engine = Path(__file__).parent
    own = [engine / f"{name}.py" for name in ("advance", "compiled", "heap", "linking", "state", "switch")]
    for path in [*sorted((engine.parent / "plane").glob("*.py")), *own]:
        sha.update(path.read_bytes())
    return sha.hexdigest()[:16]


def code_folder() -> Path:
    """The cache folder of this very version of the data plane."""
    return cache_folder() / f"code-{_source_digest()}"


def is_cached() -> bool:
    """Whether compiled code of this version is on disk already."""
    return (code_folder() / "complete").exists()


@cache
def functions() -> dict[str, Callable[..., Any]]:
    """The compiled entry points, by name."""
    folder = code_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # compiled code is then kept for this process only
        folder = Path(tempfile.mkdtemp(prefix="resilim-"))
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
    try:
        compiled = _compile()
        entries = {entry.__name__: compiled[entry] for entry in loop.ENTRIES}
        (folder / "complete").touch()
        return entries
    finally:
        numba.config.CACHE_DIR = before


def _entry_name(function: Any) -> str:
    """The name of an entry point in compiled code: that of no function of the data plane."""
    return f"entry.{function.__name__}"


def _compile() -> dict[Any, Any]:
    """Every data-plane function and entry, with its global names bound to compiled things: its twin."""
    sources = [*PLANE_FUNCTIONS.values(), *loop.HELPERS, *loop.ENTRIES]
    modules = {function.__module__: sys.modules[function.__module__] for function in sources}
    clones = {name: ModuleType(name) for name in modules}
    twins: dict[Any, Any] = {getattr(machine, name): getattr(heap, name) for name in heap.PRIMITIVES}
    for name, module in modules.items():
        vars(clones[name]).update(vars(module))
        twins[module] = clones[name]
    for function in sources:
        scope = vars(clones[function.__module__])
        copy = FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
        if function in loop.ENTRIES:
            copy.__qualname__ = _entry_name(function)
            twins[function] = heap.entry(copy)
        else:
            twins[function] = heap.jit(copy)
    twins[loop.handle] = make_switch([twins[handler] for handler in HANDLERS])
    for clone in clones.values():
        for name, value in vars(clone).items():
            if isinstance(value, FunctionType | ModuleType) and value in twins:
                setattr(clone, name, twins[value])
    with whole_program(frozenset(map(_entry_name, loop.ENTRIES))):
        for function, signature in loop.ENTRIES.items():
            twins[function].compile(signature)
    return twins


# State changes of one member in one sweep: it is let back in, and found out by each periodic detector.
CHANGES_OF_A_SWEEP = 5


class CompiledPlane:
    """The data plane of one run as record arrays and compiled functions."""

    name = "compiled"

    def __init__(self, run: Run, env: CompiledEnvironment) -> None:
        self._env = env
        self._functions = functions()
        self._most_in_flight = run.most_in_flight
        self._most_members = int(run.tables["cluster"]["members"].max())
        self._moved_rows: list[Array] = []
        self.on_change: Callable[[Any], None] = lambda change: None
        arrays = {name: run.tables[name].copy() for name in TABLES if name in run.tables}
        for name in SUPPLIED:
            arrays[name] = fresh(TABLES[name], 4 * ROOM)
        arrays["row"] = fresh(TABLES["row"], CHUNK + ROOM)
        arrays["change"] = fresh(TABLES["change"], 4 * ROOM)
        arrays.update({name: run.vectors[name].copy() for name in VECTORS})
        arrays["heap"] = np.zeros(8 * ROOM, state.HEAP_DTYPE)
        arrays["clock"] = np.zeros(1, state.CLOCK_DTYPE)
        self._arrays = arrays
        self._block = state.address_block(arrays)

    def records(self, name: str) -> Any:
        """The records of a table: read and write their fields by name."""
        return self._arrays[name].view(np.recarray)

    def check_limit(self) -> None:
        """Raise `TooManyInFlight` when more calls and attempts were in flight than the run may hold."""
        calls, attempts, *_ = self._arrays["supply"]["used"].tolist()
        if calls + attempts > 2 * self._most_in_flight:
            raise TooManyInFlight(self._most_in_flight)

    def vector(self, name: str) -> Array:
        """A table of bare numbers."""
        return self._arrays[name]

    def call(self, name: str, *arguments: Any) -> Any:
        """Call an entry point of `advance.py`."""
        self._make_room()
        result = self._functions[name](self._block.ctypes.data, *arguments)
        if self._arrays["world"]["signalled"][0]:
            self._tell()
        return result

    def advance(self, until: int) -> bool:
        """Run the data plane up to `until` (exclusive); False when it stopped early to tell a change."""
        while True:
            outcome = self._functions["advance"](self._block.ctypes.data, until)
            if outcome == loop.DONE:
                return True
            if outcome == loop.SIGNALLED:
                self._env.happened(int(self._arrays["clock"]["now"][0]))
                self._tell()
                return False
            self._make_room()

    def _tell(self) -> None:
        """Hand the changes that are still to be told to whoever waits for them."""
        world = self.records("world")[0]
        first = int(world.signalled) - 1
        world.signalled = 0
        changes = self.records("change")
        for index in range(first, int(world.changes)):
            self.on_change(changes[index])

    def _make_room(self) -> None:
        """Double every table that may not have room for one more event, or for one sweep."""
        world = self._arrays["world"]
        if world["rows"][0] >= CHUNK:
            filled = int(world["rows"][0])
            self._moved_rows.append(self._arrays["row"][:filled].astype(ROW_DTYPE))
            world["rows"][0] = 0
        self.check_limit()
        used = dict(zip(SUPPLIED, self._arrays["supply"]["used"].tolist(), strict=True))
        used["change"] = int(world["changes"][0]) + CHANGES_OF_A_SWEEP * self._most_members
        used["heap"] = int(self._arrays["clock"]["events"][0])
        grown = False
        for name, filled in used.items():
            table = self._arrays[name]
            while filled + ROOM > len(table):
                more = fresh(TABLES[name], len(table)) if name in TABLES else np.zeros_like(table)
                self._arrays[name] = table = np.concatenate([table, more])
                grown = True
        if grown:
            self._block = state.address_block(self._arrays)

    def table(self, name: str) -> Array:
        """A copy of a table as it is now."""
        return self._arrays[name].copy()

    def rows(self) -> Array:
        """All outcomes so far."""
        filled = int(self._arrays["world"]["rows"][0])
        return joined_rows([*self._moved_rows, self._arrays["row"][:filled].astype(ROW_DTYPE)])

    def changes(self) -> Array:
        """All state changes so far."""
        return self._arrays["change"][: int(self._arrays["world"]["changes"][0])].copy()
