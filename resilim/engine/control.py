"""The control plane: ordinary SimPy processes, called thousands of times, not millions.

* A fault acts on records and is undone at its end; both are recorded as state changes.
* The sweep of a detector has its own phase: proxies do not start at the same instant.
* A new kind of fault is one function here and one line in FAULTS.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

from resilim.engine.mesh import Mesh
from resilim.plane.gate import REFUSING, SILENT, UP
from resilim.plane.kinds import FAULT_BEGINS, FAULT_ENDS
from resilim.plane.luck import PHASE, uniform
from resilim.run import CRASHED_HOST, FAILING_HOST, LOAD_SURGE, SLOW_HOST, UNREACHABLE_HOST

Steps = Generator[simpy.Event, Any, None]


def sweeps(mesh: Mesh, cluster: int) -> Steps:
    """The interval timer of one cluster's outlier detection."""
    interval = int(mesh.plane.records("detector")[cluster].interval)
    key = int(mesh.plane.records("cluster")[cluster].key)
    yield mesh.env.timeout(int(interval * uniform(key, PHASE)))
    while True:
        mesh.plane.call("sweep", cluster, int(mesh.env.now))
        yield mesh.env.timeout(interval)


def fault(mesh: Mesh, row: Any) -> Steps:
    """One fault on one host or source: begins, acts, ends."""
    act = FAULTS[int(row["kind"])]
    yield mesh.env.timeout(int(row["begins"]))
    mesh.note(FAULT_BEGINS, int(row["fault"]))
    undo = act(mesh, row)
    yield mesh.env.timeout(int(row["ends"]) - int(row["begins"]))
    undo()
    mesh.note(FAULT_ENDS, int(row["fault"]))


def slow_host(mesh: Mesh, row: Any) -> Callable[[], None]:
    """Own work that begins from now on takes `value` times longer."""
    who, factor = int(row["who"]), float(row["value"])
    mesh.plane.records("host")[who].slowdown *= factor

    def undo() -> None:
        mesh.plane.records("host")[who].slowdown /= factor

    return undo


def failing_host(mesh: Mesh, row: Any) -> Callable[[], None]:
    """The share `value` of requests is answered with `code` after their next piece of work.

    Where several faults of this kind overlap on a host, the one that began last acts.
    """
    who = int(row["who"])
    active = mesh.failing.setdefault(who, [(0.0, int(row["code"]))])
    mine = (float(row["value"]), int(row["code"]))

    def apply_latest() -> None:
        host = mesh.plane.records("host")[who]
        host.failing, host.fail_code = active[-1]

    def undo() -> None:
        active.remove(mine)
        apply_latest()

    active.append(mine)
    apply_latest()
    return undo


def crashed_host(mesh: Mesh, row: Any) -> Callable[[], None]:
    """A host refuses connections, and what it was at work on is lost."""
    return broken_link(mesh, int(row["who"]), REFUSING)


def unreachable_host(mesh: Mesh, row: Any) -> Callable[[], None]:
    """Nothing gets to a host or comes from it."""
    return broken_link(mesh, int(row["who"]), SILENT)


def broken_link(mesh: Mesh, who: int, link: int) -> Callable[[], None]:
    """Break the link of a host; where faults overlap on a host, the one that began last acts."""
    active = mesh.links.setdefault(who, [UP])

    def apply_latest() -> None:
        if int(mesh.plane.records("host")[who].link) != active[-1]:
            mesh.plane.call("set_link", who, active[-1], int(mesh.env.now))

    def undo() -> None:
        active.remove(link)
        apply_latest()

    active.append(link)
    apply_latest()
    return undo


def load_surge(mesh: Mesh, row: Any) -> Callable[[], None]:
    """The rate of a source is `value` times what it was."""
    who, factor = int(row["who"]), float(row["value"])

    def scale(by: float) -> None:
        rate = float(mesh.plane.records("source")[who].rate)
        mesh.plane.call("set_rate", who, rate * by, int(mesh.env.now))

    scale(factor)
    return lambda: scale(1.0 / factor)


FAULTS: dict[int, Callable[[Mesh, Any], Callable[[], None]]] = {
    SLOW_HOST: slow_host,
    FAILING_HOST: failing_host,
    LOAD_SURGE: load_surge,
    CRASHED_HOST: crashed_host,
    UNREACHABLE_HOST: unreachable_host,
}
