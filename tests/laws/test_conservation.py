"""Nothing is lost: every request has one outcome, every record comes back, every gauge returns to zero."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from resilim.engine.mesh import Mesh
from resilim.engine.simulate import ENGINES, simulate
from resilim.plane.flags import DC, DI, NAMES
from resilim.plane.machine import SUPPLIED
from resilim.plane.records import NONE
from resilim.plane.resets import GRPC
from resilim.run import Recording, Run

from .systems import SECOND, TOTAL, experiment_of, model_of, resolve, systems

Steps = Generator[simpy.Event, Any, None]
ALL_FLAGS = sum(NAMES)


@given(systems(patient=False))
def test_every_request_has_one_outcome(run: Run) -> None:
    recording = simulate(run, "compiled")
    assert recording.started == recording.ended == len(recording.rows)
    assert recording.in_flight == 0
    explained(run, recording)


@given(systems())
def test_what_has_no_outcome_is_in_flight(run: Run) -> None:
    recording = simulate(replace(run, drain=0), "compiled")
    assert recording.started == recording.ended + recording.in_flight
    assert recording.ended == len(recording.rows)
    assert recording.in_flight >= 0
    explained(run, recording)


def explained(run: Run, recording: Recording) -> None:
    """Every failure says where and how it began; a success says nothing."""
    rows = recording.rows
    good = rows["code"] == 200
    left = rows["code"] == 0
    failed = ~good & ~left
    assert not (rows["flags"][good] & ~DI).any(), "a success has the flag of a failure"
    assert (rows["origin"][good] == NONE).all(), "a success has the origin of a failure"
    assert (rows["flags"][left] & DC == DC).all()
    codes = rows["code"][failed]
    http, grpc = (codes >= 400) & (codes <= 599), (codes > GRPC) & (codes <= GRPC + 16)
    assert (http | grpc).all(), set(codes[~(http | grpc)].tolist())
    services = len(run.tables["gauge"])
    assert ((rows["origin"][~good] >= 0) & (rows["origin"][~good] < services)).all()
    assert not (rows["flags"] & ~ALL_FLAGS).any()
    assert (rows["latency"] >= 0).all()
    assert ((rows["arrived"] >= 0) & (rows["arrived"] <= run.end)).all()
    assert (np.diff(rows["arrived"] + rows["latency"]) >= 0).all(), "not in the order in which they ended"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_success_after_a_retry_is_a_plain_success(engine: str) -> None:
    """The answer of a good attempt does not carry the flags of whoever used its record before."""
    overflowing = {
        "hosts": "2",
        "workers": "4",
        "queue": "2",
        "endpoints": {"GET /": {"steps": [{"work": "5ms"}, {"call": "s1.GET /"}]}},
    }
    callee = {
        "hosts": "1",
        "workers": "4",
        "queue": "2",
        "endpoints": {"GET /": {"steps": [{"work": {"exponential": {"mean": "4ms"}}}]}},
    }
    retries = {"s0": {"retries": {"attempts": "3", "retryOn": "5xx", "backoff": "5ms"}}}
    limits = {"s1": {"connectionPool": {"http": {"http2MaxRequests": "1"}}}}
    model = model_of({"s0": overflowing, "s1": callee}, routes=retries, trafficPolicies=limits)
    run = resolve(model, experiment_of(150, {"sidecar": "true"}, []))
    rows = simulate(run, engine).rows
    healed = rows[(rows["code"] == 200) & (rows["attempts"] > 1)]
    assert len(healed) > 20
    assert set(healed["flags"].tolist()) == {0}
    assert set(healed["origin"].tolist()) == {NONE}


# ---------------------------------------------------------------- a system that has come to rest


REST = 30 * SECOND


@given(systems(), st.sampled_from(ENGINES))
def test_a_system_at_rest_holds_nothing(run: Run, engine: str) -> None:
    """When the load is over and zombie work done: no request anywhere, and every record given back."""
    held: dict[str, int] = {}
    ended: list[int] = []

    def end_of_load(mesh: Mesh) -> Steps:
        yield mesh.env.timeout(TOTAL)
        for source in range(len(run.tables["source"])):
            mesh.plane.call("set_rate", source, 0.0, int(mesh.env.now))
        for _ in range(2):
            ended.append(int(mesh.plane.records("world")[0].ended))
            yield mesh.env.timeout(REST)
        held.update(still_held(mesh))

    long = replace(run, end=TOTAL + 2 * REST + 1, windows=(), sample_every=REST, drain=0)
    recording = simulate(long, engine, [end_of_load])
    if recording.hosts["busy"].any():
        assert ended[1] > ended[0], "nothing goes on any more"
        return  # a queue without bounds that takes longer
    assert recording.in_flight == 0
    assert held.pop("connection") == recording.clusters["cx_active"].sum()
    assert set(held.values()) == {0}, held
    for gauge in ("rq_active", "rq_pending", "rq_retrying"):
        assert not recording.clusters[gauge].any(), gauge
    assert not recording.hosts["waiting"].any()
    counted(recording)


def still_held(mesh: Mesh) -> dict[str, int]:
    """Records in use, and gauges that the recording does not have."""
    records = mesh.plane.records
    held = {
        name: int(supply.used) - length(records(name), int(supply.free))
        for name, supply in zip(SUPPLIED, list(records("supply")), strict=True)
    }
    held["member.rq_active"] = sum(int(member.rq_active) for member in records("member"))
    held["pool.waiting"] = sum(int(pool.waiting) for pool in records("pool"))
    held["timers"] = sum(int(queue.head >= 0) for queue in records("timer_queue"))
    return held


def length(records: Any, head: int) -> int:
    """Length of a free list."""
    number = 0
    while head != NONE:
        head = int(records[head].next)
        number += 1
    return number


def counted(recording: Recording) -> None:
    """Counters that must add up once everything has ended."""
    clusters = recording.clusters
    assert (clusters["calls_failed"] <= clusters["calls_ended"]).all()
    assert (clusters["rq_retry_limit_exceeded"] <= clusters["calls_failed"]).all()
    refused = (
        clusters["rq_active_overflow"]
        + clusters["rq_pending_overflow"]
        + clusters["none_healthy"]
        + clusters["cx_pool_overflow"]
    )
    attempts = clusters["calls_ended"] + clusters["shadows_ended"] + clusters["rq_retry"]
    # An attempt gets a connection, is refused, is left while it waits, or fails with its connection; a retry
    # that is left while it backs off never becomes an attempt.
    made = clusters["rq_total"] + refused + clusters["rq_cancelled"]
    assert (made <= attempts).all()
    local = clusters["aborts_injected"] + clusters["dropped"] + clusters["calls_left"]
    assert (made + clusters["rq_pending_failure_eject"] + local >= clusters["calls_ended"]).all()


# ---------------------------------------------------------------- faults that follow each other


def failing(name: str, begins: int, ends: int, code: int) -> dict[str, str]:
    fault = {"name": name, "kind": "failing-host", "service": "s0", "code": str(code)}
    return fault | {"from": f"{begins}ms", "until": f"{ends}ms"}


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ([failing("a", 200, 500, 500)], {100: 200, 300: 500, 600: 200}),
        ([failing("a", 200, 500, 500), failing("b", 500, 800, 503)], {300: 500, 600: 503, 900: 200}),
        ([failing("b", 500, 800, 503), failing("a", 200, 500, 500)], {300: 500, 600: 503, 900: 200}),
        ([failing("a", 200, 800, 500), failing("b", 400, 600, 503)], {300: 500, 700: 500, 900: 200}),
        ([failing("a", 200, 600, 500), failing("b", 400, 800, 503)], {300: 500, 700: 503, 900: 200}),
    ],
    ids=["one", "touching", "touching, written the other way round", "nested", "overlapping"],
)
def test_faults_of_one_kind_end_when_they_should(
    faults: list[dict[str, str]], expected: dict[int, int]
) -> None:
    """At each of the moments (ms), the host answers with the code of the fault that then goes on, or 200."""
    endpoints = {"GET /": {"steps": [{"work": "1ms"}]}}
    service = {"hosts": "1", "workers": "9", "queue": "9", "endpoints": endpoints}
    rows = simulate(resolve(model_of({"s0": service}), experiment_of(500, {}, faults)), "python").rows
    for moment, code in expected.items():
        near = abs(rows["arrived"] / 1e6 - moment) < 40
        assert set(rows["code"][near].tolist()) == {code}, f"at {moment} ms"
