"""Limits hold at every moment, and the recorded changes tell the same story as the counters."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy
from hypothesis import given

from resilim.engine.mesh import Mesh
from resilim.engine.simulate import simulate
from resilim.plane import kinds
from resilim.run import Recording, Run

from .systems import MILLISECOND, systems

Steps = Generator[simpy.Event, Any, None]


@given(systems())
def test_no_limit_is_exceeded(run: Run) -> None:
    def watch(mesh: Mesh) -> Steps:
        while True:
            yield mesh.env.timeout(9 * MILLISECOND)
            clusters_hold(mesh)
            pools_hold(mesh)
            hosts_hold(mesh)
            ejections_hold(mesh)

    simulate(run, "python", [watch])


def clusters_hold(mesh: Mesh) -> None:
    for cluster in mesh.plane.records("cluster"):
        assert 0 <= cluster.rq_active <= cluster.max_requests
        assert 0 <= cluster.rq_pending <= cluster.max_pending
        if cluster.budget_percent < 0:
            assert 0 <= cluster.rq_retrying <= cluster.max_retries
        # a pool without any connection may always open one
        assert 0 <= cluster.cx_active <= cluster.max_connections + cluster.members * cluster.workers
        assert 0 <= cluster.pools_active <= cluster.max_pools
        if cluster.streams == 1:
            assert cluster.rq_active <= cluster.cx_active


def pools_hold(mesh: Mesh) -> None:
    """The gauges of a cluster are the sums over its pools and members."""
    members, pools = mesh.plane.records("member"), mesh.plane.records("pool")
    for cluster in mesh.plane.records("cluster"):
        own = [members[cluster.first_member + number] for number in range(cluster.members)]
        mine = [pools[cluster.first_pool + number] for number in range(cluster.members * cluster.workers)]
        assert cluster.rq_active == sum(int(member.rq_active) for member in own)
        assert cluster.rq_active == sum(int(pool.active) for pool in mine)
        assert cluster.rq_pending == sum(int(pool.waiting) for pool in mine)
        assert cluster.cx_active == sum(int(pool.connections) for pool in mine)
        assert cluster.cx_active == sum(int(member.cx_active) for member in own)
        assert cluster.pools_active == sum(int(pool.exists) for pool in mine)
        for pool in mine:
            # whoever waits has a connection that will serve it
            assert pool.waiting == 0 or pool.connections > 0


def hosts_hold(mesh: Mesh) -> None:
    for host in mesh.plane.records("host"):
        assert 0 <= host.busy <= host.workers
        assert 0 <= host.waiting <= host.places
        assert host.waiting == 0 or host.busy == host.workers


def ejections_hold(mesh: Mesh) -> None:
    members, sets = mesh.plane.records("member"), mesh.plane.records("host_set")
    detectors = mesh.plane.records("detector")
    for detector, cluster in zip(detectors, mesh.plane.records("cluster"), strict=True):
        own = range(cluster.first_member, cluster.first_member + cluster.members)
        ejected = [index for index in own if members[index].ejected]
        assert len(ejected) == detector.active
        assert may_be_out(vars_of(detector), len(ejected), cluster.members)
        if cluster.merge_window == 0:
            fit = [index for index in own if not members[index].ejected and not members[index].check_failed]
            known = [sets[cluster.first_set + number] for number in range(cluster.sets)]
            assert len(fit) == sum(int(host_set.healthy) for host_set in known)


def vars_of(record: Any) -> dict[str, Any]:
    """The fields of a slotted record by name."""
    return {name: getattr(record, name) for name in record.__slots__}


def may_be_out(detector: Any, number: int, members: int) -> bool:
    """Whether so many members may be ejected at one time."""
    if number == 1 and detector["always_eject_one_host"]:
        return True
    return bool(100 * number <= detector["max_ejection_percent"] * members)


@given(systems())
def test_the_changes_retell_the_ejections(run: Run) -> None:
    recording = simulate(run, "compiled")
    assert (recording.changes["at"][1:] >= recording.changes["at"][:-1]).all()
    for index, detector in enumerate(recording.detectors):
        first = int(recording.clusters["first_member"][index])
        members = int(recording.clusters["members"][index])
        is_checked = recording.checkers["interval"][index] > 0
        replay(recording, detector, first, members, is_checked)


def replay(recording: Recording, detector: Any, first: int, members: int, is_checked: bool) -> None:
    """Follow the ejections of one cluster; `is_checked`: a passed health check may end them early."""
    out: dict[int, int] = {}
    counts = dict.fromkeys((kinds.EJECTED, kinds.UNEJECTED, kinds.EJECTION_REFUSED), 0)
    for at, kind, who, _ in recording.changes.tolist():
        if kind not in counts or not first <= who < first + members:
            continue
        counts[kind] += 1
        if kind == kinds.EJECTED:
            assert who not in out
            out[who] = at
            assert may_be_out(detector, len(out), members)
        elif kind == kinds.UNEJECTED:
            lasted = at - out.pop(who)
            assert is_checked or lasted >= min(detector["base_ejection_time"], detector["max_ejection_time"])
        else:
            assert who not in out
            assert not may_be_out(detector, len(out) + 1, members)
    assert len(out) == detector["active"]
    assert counts[kinds.EJECTED] == detector["enforced_total"]
    assert counts[kinds.EJECTION_REFUSED] == detector["overflow"]


@given(systems())
def test_the_samples_stay_within_the_limits(run: Run) -> None:
    recording = simulate(run, "compiled")
    clusters = recording.clusters
    for service in range(recording.samples.shape[1]):
        own = clusters[clusters["service"] == service]
        samples = recording.samples[:, service]
        assert samples["active"].max() <= own["max_requests"].sum()
        assert samples["pending"].max() <= own["max_pending"].sum()
        always_allowed = own["members"] * own["workers"]
        assert samples["connections"].max() <= (own["max_connections"] + always_allowed).sum()
        for counter in ("calls_ended", "calls_failed", "attempts", "refused_by_pool", "refused_by_host"):
            assert (samples[counter][1:] >= samples[counter][:-1]).all(), counter
