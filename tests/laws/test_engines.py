"""Both engines give the same recording, bit for bit; the same seed gives the same luck."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from resilim.engine.limits import TooManyInFlight
from resilim.engine.mesh import Mesh, Process
from resilim.engine.simulate import ENGINES, simulate
from resilim.plane import kinds
from resilim.plane.machine import CHUNK, ROOM
from resilim.run import Run

from .systems import MILLISECOND, SECOND, Tree, experiment_of, model_of, resolve, systems

Steps = Generator[simpy.Event, Any, None]


@given(systems())
def test_both_engines_agree(run: Run) -> None:
    assert simulate(run, "python").digest() == simulate(run, "compiled").digest()


@settings(max_examples=settings().max_examples // 4)
@given(systems(), st.integers(0, 2**63 - 1))
def test_luck_is_the_seed_alone(run: Run, other: int) -> None:
    assert simulate(run, "compiled").digest() == simulate(run, "compiled").digest()
    if other != run.seed and run.tables["source"]["even"][0] == 0:
        assert simulate(run, "compiled").digest() != simulate(run.with_seed(other), "compiled").digest()


# ---------------------------------------------------------------- processes of the user


def degrade(mesh: Mesh) -> Steps:
    """A fault of the user's own: the first host becomes slower and slower, then recovers."""
    for _ in range(5):
        yield mesh.env.timeout(100 * MILLISECOND)
        mesh.plane.records("host")[0].slowdown *= 2.0
        mesh.note(kinds.FAULT_BEGINS, 99)
    yield mesh.env.timeout(250 * MILLISECOND)
    mesh.plane.records("host")[0].slowdown = 1.0
    mesh.note(kinds.FAULT_ENDS, 99)


def react(after: int = 0) -> Process:
    """A process that, from a moment on, makes the host of every ejection answer quickly and correctly."""

    def heal(mesh: Mesh) -> Steps:
        yield mesh.env.timeout(after)
        while True:
            change = yield mesh.change()
            if change.kind != kinds.EJECTED:
                continue
            yield mesh.env.timeout(3 * MILLISECOND)
            host = mesh.plane.records("host")[int(mesh.plane.records("member")[change.who].host)]
            host.slowdown, host.failing = 0.5, 0.0

    return heal


@settings(max_examples=settings().max_examples // 2)
@given(systems())
def test_a_users_fault_acts_alike_in_both_engines(run: Run) -> None:
    assert_alike(run, degrade)


@settings(max_examples=settings().max_examples // 2)
@given(systems(), st.sampled_from([0, 400 * MILLISECOND]))
def test_a_users_reaction_acts_alike_in_both_engines(run: Run, after: int) -> None:
    assert_alike(run, degrade, react(after))


def assert_alike(run: Run, *processes: Process) -> None:
    python, compiled = (simulate(run, engine, processes) for engine in ENGINES)
    assert python.digest() == compiled.digest()


@pytest.mark.parametrize("engine", ENGINES)
def test_who_waits_for_a_change_gets_the_next_one_not_an_old_one(engine: str) -> None:
    """Changes that nobody waited for are over when a process begins to wait."""
    run = resolve(model_of({"s0": ordinary()}), experiment_of(200, {}, []))
    heard: list[tuple[int, int]] = []

    def speak(mesh: Mesh) -> Steps:
        for number in range(6):
            yield mesh.env.timeout(100 * MILLISECOND)
            mesh.note(kinds.FAULT_BEGINS, number)

    def listen(mesh: Mesh) -> Steps:
        yield mesh.env.timeout(350 * MILLISECOND)
        while True:
            change = yield mesh.change()
            heard.append((int(mesh.env.now) // MILLISECOND, change.who))
            yield mesh.env.timeout(150 * MILLISECOND)

    simulate(run, engine, [speak, listen])
    assert heard == [(400, 3), (600, 5)]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_change_of_an_event_is_heard_in_the_same_instant(engine: str) -> None:
    """A data-plane event ejects; the process runs before any later event of the data plane."""
    run = ejecting()
    heard: list[tuple[int, int, int]] = []

    def listen(mesh: Mesh) -> Steps:
        while True:
            change = yield mesh.change()
            heard.append((change.at, int(mesh.env.now), int(mesh.plane.records("detector")[INNER].active)))

    recording = simulate(run, engine, [listen])
    ejections = recording.changes[recording.changes["kind"] == kinds.EJECTED]
    assert len(ejections) > 0
    first = int(ejections["at"][0])
    assert (first, first, 1) in heard


INNER = 0  # the cluster of s1 at s0, when s0 has one host; the client's own comes last


def ordinary(**more: Any) -> Tree:
    """A service without surprises."""
    steps = {"GET /": {"steps": more.pop("steps", [{"work": "2ms"}])}}
    return {"hosts": "1", "workers": "100", "queue": "100", "endpoints": steps} | more


def ejecting() -> Run:
    """A caller whose callee fails for a while, with outlier detection."""
    services = {"s0": ordinary(steps=[{"call": "s1.GET /"}]), "s1": ordinary(hosts="2")}
    outliers = {"consecutive5xxErrors": "2", "interval": "50ms", "baseEjectionTime": "50ms"}
    policy = {"s1": {"outlierDetection": outliers | {"maxEjectionPercent": "100"}}}
    fault = {"name": "failing", "kind": "failing-host", "service": "s1", "hosts": "1"}
    return resolve(model_of(services, trafficPolicies=policy), experiment_of(200, {}, [fault]))


# ---------------------------------------------------------------- tables that grow, and their limit

BURST = {"warmUp": "0s", "before": "0s", "fault": "700ms", "after": "0s"}


@pytest.fixture(scope="module")
def overload() -> Run:
    """Fourteen thousand requests, of which hardly one ends before the last has arrived."""
    slow = ordinary(workers="1000000", steps=[{"work": "100us"}, {"call": "s1.GET /"}])
    slower = ordinary(workers="1000000", protocol="http2", steps=[{"work": {"uniform": ["650ms", "1s"]}}])
    return resolve(model_of({"s0": slow, "s1": slower}), experiment_of(20_000, {}, [], BURST))


def test_tables_grow_alike(overload: Run) -> None:
    python, compiled = (simulate(overload, engine) for engine in ENGINES)
    assert int(compiled.samples["active"].max()) > 10_000
    assert python.digest() == compiled.digest()
    assert python.in_flight == 0


def test_the_outcome_table_is_longer_than_its_chunk() -> None:
    run = resolve(model_of({"s0": ordinary(workers="1000000")}), experiment_of(50_000, {}, [], BURST))
    python, compiled = (simulate(run, engine) for engine in ENGINES)
    assert len(python.rows) > 2 * CHUNK
    assert python.digest() == compiled.digest()
    assert (np.diff(python.rows["arrived"] + python.rows["latency"]) >= 0).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_too_many_in_flight_end_the_run(overload: Run, engine: str) -> None:
    with pytest.raises(TooManyInFlight, match="more than 5,000 calls in flight"):
        simulate(replace(overload, most_in_flight=5000), engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_too_many_in_flight_end_the_drain_too(engine: str) -> None:
    """The calls of the second service begin when the load is over already."""
    calls = [{"call": "s1.GET /"}] * 3
    front = ordinary(workers="1000000", steps=[{"work": "800ms"}, {"parallel": calls}])
    run = resolve(
        model_of({"s0": front, "s1": ordinary(workers="1000000", steps=[{"work": "800ms"}])}),
        experiment_of(3000, {}, [], BURST),
    )
    with pytest.raises(TooManyInFlight):
        simulate(replace(run, most_in_flight=5000), engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_enough_room_in_flight_does_not_end_the_run(overload: Run, engine: str) -> None:
    assert simulate(replace(overload, most_in_flight=50_000), engine).in_flight == 0


MANY = 5 * ROOM


def crowd() -> Run:
    """One service with more hosts than one event may record changes."""
    services = {"s0": ordinary(steps=[{"call": "s1.GET /"}]), "s1": ordinary(hosts=str(MANY))}
    outliers = {"consecutive5xxErrors": "1", "interval": "30ms", "baseEjectionTime": "200ms"}
    policy = {"s1": {"outlierDetection": outliers | {"maxEjectionPercent": "100"}}}
    return resolve(model_of(services, trafficPolicies=policy), experiment_of(50, {}, []))


def eject_all(mesh: Mesh) -> Steps:
    yield mesh.env.timeout(10 * MILLISECOND)
    for index in range(MANY):
        member = mesh.plane.records("member")[index]
        member.ejected, member.ejected_at, member.multiplier = 1, 0, 1
    mesh.plane.records("detector")[INNER].active = MANY


def digest_of_crowd(engine: str) -> tuple[str, int]:
    """Digest, and number of members that came back."""
    recording = simulate(crowd(), engine, [eject_all])
    return recording.digest(), int((recording.changes["kind"] == kinds.UNEJECTED).sum())


@pytest.mark.slow
def test_one_sweep_may_return_more_members_than_there_is_room_for() -> None:
    """A call from the control plane finds room for all that it records: nothing is written out of bounds."""
    python = digest_of_crowd("python")
    assert python[1] == MANY
    # in a process of its own, that a fault in the engine may crash
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        assert other.submit(digest_of_crowd, "compiled").result() == python


@pytest.mark.parametrize("engine", ENGINES)
def test_the_samples_end_with_the_load(engine: str) -> None:
    """The drain after the end of the load is in the outcomes, not in the samples."""
    slow = ordinary(steps=[{"work": "700ms"}])
    run = resolve(model_of({"s0": slow}), experiment_of(50, {}, []))
    times = simulate(run, engine).sample_times
    assert times[-1] == run.end
    assert (np.diff(times) > 0).all()


def test_an_unknown_engine_is_refused() -> None:
    run = resolve(model_of({"s0": ordinary()}), experiment_of(50, {}, []))
    with pytest.raises(ValueError, match="unknown engine 'fast'"):
        simulate(run, "fast")


def test_a_failure_in_a_process_reaches_the_caller() -> None:
    run = resolve(model_of({"s0": ordinary()}), experiment_of(50, {}, []))

    def broken(mesh: Mesh) -> Steps:
        yield mesh.env.timeout(SECOND // 2)
        raise RuntimeError("on purpose")

    for engine in ENGINES:
        with pytest.raises(RuntimeError, match="on purpose"):
            simulate(run, engine, [broken])
