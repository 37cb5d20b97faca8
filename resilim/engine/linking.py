"""Compile each function of the data plane once, and link and optimise only the entry points.

numba makes every function a library of its own: it links in all that the function calls, optimises the whole,
and makes machine code of it. A function deep in the call tree is so optimised again at each level above it,
and the data plane has hundreds. Here a library is left as it is until an entry point wants it; the entry
point links its whole call tree, each function once, and is optimised as one program.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target
from numba.core.runtime.nrt import rtsys


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """The code of one function, until an entry point links it."""

    entries: frozenset[str] = frozenset()

    def finalize(self) -> None:
        """Nothing to do but for an entry point: link all that it needs, and make machine code."""
        if self.name not in self.entries:
            self._raise_if_finalized()
            self._finalized = True
            return
        self._linking_libraries = list(_call_tree(self))
        super().finalize()

    def get_pointer_to_function(self, name: str) -> int:
        """Address of a function; 0 where there is no machine code of its own."""
        return int(super().get_pointer_to_function(name)) if self.name in self.entries else 0


def _call_tree(library: Any) -> Iterator[Any]:
    """Every library that a library needs, directly or not, once."""
    known = {id(library)}
    waiting = list(library._linking_libraries)
    while waiting:
        needed = waiting.pop()
        if id(needed) in known:
            continue
        known.add(id(needed))
        yield needed
        if isinstance(needed, _Part):
            waiting += needed._linking_libraries


@contextmanager
def whole_program(entries: frozenset[str]) -> Iterator[None]:
    """While this lasts, numba links and optimises only the functions named in `entries`."""
    rtsys.initialize(cpu_target.target_context)  # numba's own runtime, as it always is
    codegen = cpu_target.target_context.codegen()
    library_class, set_env = codegen._library_class, codegen.set_env

    def set_env_of_entries(name: str, environment: Any) -> None:
        if codegen._engine.is_symbol_defined(name):
            set_env(name, environment)

    _Part.entries = entries
    codegen._library_class, codegen.set_env = _Part, set_env_of_entries
    try:
        yield
    finally:
        codegen._library_class = library_class
        del codegen.set_env
