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
        assert 0 <= cluster.rq_retrying <= cluster.max_retries
        # a pool without any connection may always open one
        assert 0 <= cluster.cx_active <= cluster.max_connections + cluster.members
        if cluster.streams == 1:
            assert cluster.rq_active <= cluster.cx_active


def pools_hold(mesh: Mesh) -> None:
    """The gauges of a cluster are the sums over its pools and members."""
    members, pools = mesh.plane.records("member"), mesh.plane.records("pool")
    for cluster in mesh.plane.records("cluster"):
        own = range(cluster.first_member, cluster.first_member + cluster.members)
        assert cluster.rq_active == sum(int(members[index].rq_active) for index in own)
        assert cluster.rq_pending == sum(int(pools[index].waiting) for index in own)
        assert cluster.cx_active == sum(int(pools[index].connections) for index in own)
        for index in own:
            # whoever waits has a connection that will serve it
            assert pools[index].waiting == 0 or pools[index].connections > 0


def hosts_hold(mesh: Mesh) -> None:
    for host in mesh.plane.records("host"):
        assert 0 <= host.busy <= host.workers
        assert 0 <= host.waiting <= host.places
        assert host.waiting == 0 or host.busy == host.workers


def ejections_hold(mesh: Mesh) -> None:
    members, detectors = mesh.plane.records("member"), mesh.plane.records("detector")
    lineup = mesh.plane.vector("lineup")
    for detector, cluster in zip(detectors, mesh.plane.records("cluster"), strict=True):
        own = range(cluster.first_member, cluster.first_member + cluster.members)
        ejected = [index for index in own if members[index].ejected]
        assert len(ejected) == detector.active
        assert 100 * len(ejected) <= detector.max_ejection_percent * cluster.members
        shown = lineup[cluster.first_member : cluster.first_member + cluster.lineup].tolist()
        if cluster.in_panic:
            assert shown == list(own)
        else:
            assert shown == [index for index in own if index not in ejected]


@given(systems())
def test_the_changes_retell_the_ejections(run: Run) -> None:
    recording = simulate(run, "compiled")
    assert (recording.changes["at"][1:] >= recording.changes["at"][:-1]).all()
    for index, detector in enumerate(recording.detectors):
        first = int(recording.clusters["first_member"][index])
        members = int(recording.clusters["members"][index])
        replay(recording, detector, first, members)


def replay(recording: Recording, detector: Any, first: int, members: int) -> None:
    """Follow the ejections of one cluster."""
    out: dict[int, int] = {}
    counts = dict.fromkeys((kinds.EJECTED, kinds.UNEJECTED, kinds.EJECTION_REFUSED), 0)
    for at, kind, who in recording.changes.tolist():
        if kind not in counts or not first <= who < first + members:
            continue
        counts[kind] += 1
        if kind == kinds.EJECTED:
            assert who not in out
            out[who] = at
            assert 100 * len(out) <= detector["max_ejection_percent"] * members
        elif kind == kinds.UNEJECTED:
            lasted = at - out.pop(who)
            assert lasted >= min(detector["base_ejection_time"], detector["max_ejection_time"])
        else:
            assert who not in out
            assert 100 * (len(out) + 1) > detector["max_ejection_percent"] * members
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
        assert samples["connections"].max() <= (own["max_connections"] + own["members"]).sum()
        for counter in ("calls_ended", "calls_failed", "attempts", "refused_by_pool", "refused_by_host"):
            assert (samples[counter][1:] >= samples[counter][:-1]).all(), counter
