"""What a control-plane process sees of the running mesh, the same under both engines.

A control-plane process is an ordinary SimPy generator function that takes a `Mesh`:

    def blackout(mesh):
        yield mesh.env.timeout(30 * SECOND)
        for host in mesh.hosts("payment"):
            host.failing = 1.0
        change = yield mesh.change()          # the next ejection, say
        ...

It may read every record and write the fields that the data plane reads at its next event
(`slowdown`, `failing`, `fail_code`, `workers` upwards, the limits of a cluster).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple, Protocol

import simpy

from resilim.engine.environment import MeshEnvironment
from resilim.run import Array


class Plane(Protocol):
    """The data plane under either engine."""

    name: str
    on_change: Callable[[Any], None]

    def records(self, name: str) -> Any:
        """The records of a table; valid until the next event only."""

    def check_limit(self) -> None:
        """Raise `TooManyInFlight` when the run has outgrown its limit."""

    def vector(self, name: str) -> Array:
        """A table of bare numbers."""

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a data-plane function by name."""

    def table(self, name: str) -> Array:
        """A copy of a table."""

    def rows(self) -> Array:
        """All outcomes so far."""

    def changes(self) -> Array:
        """All state changes so far."""


class StateChange(NamedTuple):
    """A state change as a process receives it: time (ns), kind (`plane.kinds`), record index."""

    at: int
    kind: int
    who: int


class Mesh:
    """The handle that control-plane processes get."""

    def __init__(self, env: MeshEnvironment, plane: Plane, services: Mapping[str, int]) -> None:
        self.env = env
        self.plane = plane
        self.services = services
        self.failing: dict[int, list[tuple[float, int]]] = {}  # active faults by host, the last one acts
        self.links: dict[int, list[int]] = {}  # active breaks of a host's link, the last one acts
        self._awaited: simpy.Event | None = None
        plane.on_change = self._pass_on

    def hosts(self, service: str) -> list[Any]:
        """The host records of a service, in order. KeyError for an unknown name."""
        index = self.services[service]
        return [host for host in self.plane.records("host") if host.service == index]

    def change(self) -> simpy.Event:
        """An event that happens at the next state change, with a `StateChange` as its value."""
        if self._awaited is None:
            self._awaited = self.env.event()
            self.plane.records("world")[0].listening = 1
        return self._awaited

    def note(self, kind: int, who: int) -> None:
        """Record a state change of your own."""
        self.plane.call("note_change", int(self.env.now), kind, who, 0)

    def _pass_on(self, change: Any) -> None:
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            self.plane.records("world")[0].listening = 0
            awaited.succeed(StateChange(int(change.at), int(change.kind), int(change.who)))


Process = Callable[[Mesh], Generator[simpy.Event, Any, Any]]
