"""`simulate(run)`: one run through one engine."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping

from resilim.engine import control
from resilim.engine.environment import (
    MILLISECOND,
    CompiledEnvironment,
    InterpretedEnvironment,
    MeshEnvironment,
)
from resilim.engine.interpreted import InterpretedPlane
from resilim.engine.mesh import Mesh, Plane, Process
from resilim.engine.sampler import Sampler
from resilim.plane.events import HANDLERS
from resilim.run import Recording, Run

_DRAIN_STEP = 100 * MILLISECOND

ENGINES = ("python", "compiled")


def has_numba() -> bool:
    """Whether the compiled engine can be had here."""
    return importlib.util.find_spec("numba") is not None


def simulate(
    run: Run,
    engine: str = "python",
    processes: Iterable[Process] = (),
    services: Mapping[str, int] | None = None,
) -> Recording:
    """Run one replication and return what happened.

    `engine`: `python` or `compiled`; both give the same recording, bit for bit.
    `processes`: control-plane processes of your own (see `engine.mesh`), started in this order before the
    others. `services`: index of each service by name, for `Mesh.hosts`.

    Raises `TooManyInFlight` when an unbounded overload fills the tables, and whatever a process raises.
    """
    env, plane = _prepare(run, engine)
    mesh = Mesh(env, plane, services or {})
    sampler = Sampler(mesh, run)
    for process in processes:
        env.process(process(mesh))
    for row in run.faults:
        env.process(control.fault(mesh, row))
    for index, interval in enumerate(run.tables["detector"]["interval"].tolist()):
        if interval > 0:
            env.process(control.sweeps(mesh, index))
    for steps in sampler.processes():
        env.process(steps)
    plane.records("world")[0].seed = run.seed
    plane.call("begin")
    env.run(until=run.end)
    sampler.finish()
    _drain(mesh, run)
    world = plane.records("world")[0]
    return Recording(
        rows=plane.rows(),
        changes=plane.changes(),
        hosts=plane.table("host"),
        clusters=plane.table("cluster"),
        detectors=plane.table("detector"),
        checkers=plane.table("checker"),
        members=plane.table("member"),
        buckets=plane.table("bucket"),
        started=int(world.started),
        ended=int(world.ended),
        **sampler.columns(),
    )


def _prepare(run: Run, engine: str) -> tuple[MeshEnvironment, Plane]:
    if engine == "python":
        interpreted = InterpretedEnvironment()
        plane = InterpretedPlane(run, interpreted)
        interpreted.attach(HANDLERS, plane.state)
        return interpreted, plane
    if engine == "compiled":
        from resilim.engine.compiled import CompiledPlane  # numba is heavy and optional

        env = CompiledEnvironment()
        compiled = CompiledPlane(run, env)
        env.attach(compiled.advance)
        return env, compiled
    raise ValueError(f"unknown engine {engine!r}; there are {', '.join(ENGINES)}")


def _drain(mesh: Mesh, run: Run) -> None:
    """No more arrivals: let the requests in flight end, so that the slowest are not left out."""
    for index in range(len(run.tables["source"])):
        mesh.plane.call("set_rate", index, 0.0, int(mesh.env.now))
    while mesh.env.now < run.end + run.drain:
        world = mesh.plane.records("world")[0]
        if world.started == world.ended:
            return
        mesh.env.run(until=min(int(mesh.env.now) + _DRAIN_STEP, run.end + run.drain))
        mesh.plane.check_limit()
