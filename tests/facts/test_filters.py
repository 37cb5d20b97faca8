"""What a call passes before the router, and beside it: faults, local replies, weighted clusters, mirrors."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from resilim.plane import filters
from resilim.plane.flags import DC, DI, DO, FI, NC, NO_FLAG, NR, UO, URX, UT
from resilim.plane.machine import scramble
from resilim.plane.records import NONE, UNLIMITED, Cluster, Destination
from resilim.plane.retry import ON_5XX

from .scene import MS, SECOND, Scene, in_use

HTTP2 = UNLIMITED
FAULTY: dict[str, Any] = {"filters": filters.HAS_FAULT}
DELAYED: dict[str, Any] = {"delay_share": 1.0, "delay": 50 * MS} | FAULTY
ABORTED: dict[str, Any] = {"abort_share": 1.0, "abort_code": 418} | FAULTY


def keys(number: int) -> list[int]:
    """The luck of so many calls."""
    return [scramble(0x1234_5678_9ABC_DEF1, key) for key in range(1, number + 1)]


# ---------------------------------------------------------------- faults


def test_a_delay_comes_before_the_router() -> None:
    scene = Scene(**DELAYED)
    scene.call()
    scene.until(49)
    assert (scene.cluster.rq_pending_total, scene.cluster.delays_injected) == (0, 1)
    scene.until(60)
    assert scene.outcomes() == [(200, DI)]
    assert (scene.latencies(), scene.S.row[0].attempts) == ([60.0], 1)


def test_the_route_timeout_starts_after_the_delay() -> None:
    scene = Scene(work=100, timeout=20 * MS, **DELAYED)
    scene.call()
    scene.until(69)
    assert scene.outcomes() == []
    scene.until(70)
    assert scene.outcomes() == [(504, UT | DI)]


def test_so_does_the_per_try_timeout() -> None:
    scene = Scene(work=100, per_try_timeout=20 * MS, **DELAYED)
    scene.call()
    scene.until(70)
    assert (scene.outcomes(), scene.latencies()) == ([(504, UT | DI)], [70.0])


def test_a_clients_patience_runs_during_the_delay() -> None:
    scene = Scene(timeout=30 * MS, timeout_flag=DC, **DELAYED)
    scene.call()
    scene.until(30)
    assert (scene.outcomes(), scene.latencies()) == ([(0, DC | DI)], [30.0])
    assert scene.cluster.active_faults == 0
    scene.until(100)
    assert (scene.cluster.rq_pending_total, in_use(scene)) == (0, {})


def test_a_clients_patience_goes_on_after_the_delay() -> None:
    scene = Scene(work=100, timeout=80 * MS, timeout_flag=DC, **DELAYED)
    scene.call()
    scene.until(200)
    assert (scene.outcomes(), scene.latencies()) == ([(0, DC | DI)], [80.0])


def test_the_flag_of_the_delay_stays_with_any_failure() -> None:
    scene = Scene(retries=1, retry_on=ON_5XX, **DELAYED)
    scene.fail()
    scene.call()
    scene.until(200)
    assert scene.outcomes() == [(503, DI | URX)]


def test_a_delayed_call_is_an_active_fault_until_it_ends() -> None:
    scene = Scene(**DELAYED)
    scene.call()
    scene.until(59)
    assert scene.cluster.active_faults == 1
    scene.until(60)
    assert scene.cluster.active_faults == 0


def test_an_abort_reaches_no_upstream_is_not_retried_and_blames_nobody() -> None:
    scene = Scene(retries=3, retry_on=ON_5XX, codes=1, interval=SECOND, **(ABORTED | {"abort_code": 503}))
    scene.S.code = [503]
    assert scene.call_refused() == (503, FI)
    cluster = scene.cluster
    assert (cluster.aborts_injected, cluster.calls_failed) == (1, 1)
    assert (cluster.rq_pending_total, cluster.rq_total, cluster.rq_retry, cluster.cx_total) == (0, 0, 0, 0)
    assert (cluster.rq_5xx, cluster.rq_503) == (0, 0)
    assert (scene.S.member[0].external_total, in_use(scene)) == (0, {})


def test_an_abort_after_a_delay() -> None:
    scene = Scene(**(DELAYED | ABORTED))
    scene.call()
    assert scene.cluster.aborts_injected == 0
    scene.until(50)
    assert (scene.outcomes(), scene.latencies()) == ([(418, DI | FI)], [50.0])
    assert (scene.S.row[0].attempts, scene.cluster.rq_total, in_use(scene)) == (0, 0, {})


def test_delay_and_abort_are_rolled_independently() -> None:
    scene = Scene(streams=HTTP2, **(DELAYED | ABORTED | {"delay_share": 0.3, "abort_share": 0.5}))
    number = 4000
    at_once: Counter[tuple[int, int]] = Counter()
    for key in keys(number):
        if scene.call(key) == NONE:
            at_once[scene.S.world[0].code, scene.S.world[0].flags] += 1
    scene.until(100)
    seen = at_once + Counter(scene.outcomes())
    shares = {(418, FI): 0.35, (418, DI | FI): 0.15, (200, DI): 0.15, (200, NO_FLAG): 0.35}
    assert seen.keys() == shares.keys()
    for outcome, share in shares.items():
        assert seen[outcome] / number == pytest.approx(share, abs=0.03)
    assert scene.cluster.delays_injected == seen[418, DI | FI] + seen[200, DI]
    assert scene.cluster.aborts_injected == seen[418, FI] + seen[418, DI | FI]


def test_the_luck_of_faults_leaves_all_other_luck_alone() -> None:
    """The calls that are delayed with 20 % are among those that are delayed with 40 %."""
    delayed = []
    for share in (0.2, 0.4):
        scene = Scene(**(DELAYED | {"delay_share": share}))
        delayed.append({key for key in keys(300) if scene.S.call[scene.call(key)].flags == DI})
    assert delayed[0] < delayed[1]


# ---------------------------------------------------------------- local replies


@pytest.mark.parametrize(("code", "flag"), [(404, NR), (503, NC)])
def test_without_a_route_or_a_cluster_there_is_a_local_reply(code: int, flag: int) -> None:
    scene = Scene(filters=filters.HAS_REPLY, reply_code=code, reply_flag=flag, retries=2, retry_on=ON_5XX)
    assert scene.call_refused() == (code, flag)
    cluster = scene.cluster
    assert (cluster.rq_total, cluster.rq_retry, cluster.rq_5xx, cluster.rq_4xx) == (0, 0, 0, 0)
    assert scene.S.world[0].origin == cluster.service


def test_drop_overload() -> None:
    scene = Scene(filters=filters.HAS_DROP, drop_share=1.0, retries=2, retry_on=ON_5XX, interval=SECOND)
    assert scene.call_refused() == (503, DO)
    cluster = scene.cluster
    assert (cluster.dropped, cluster.rq_total, cluster.rq_retry, cluster.rq_503) == (1, 0, 0, 1)
    assert scene.S.member[0].external_total == 0


def test_a_share_is_dropped() -> None:
    scene = Scene(filters=filters.HAS_DROP, drop_share=0.2, streams=HTTP2)
    refused = sum(scene.call(key) == NONE for key in keys(2000))
    assert refused / 2000 == pytest.approx(0.2, abs=0.03)
    assert scene.cluster.dropped == refused


def test_faults_come_before_the_router() -> None:
    """An abort also where there is no route, and where all calls are dropped."""
    router: dict[str, Any] = {"reply_code": 404, "reply_flag": NR, "drop_share": 1.0}
    scene = Scene(**(ABORTED | router))
    assert scene.call_refused() == (418, FI)
    scene = Scene(**(DELAYED | router))
    scene.call()
    scene.until(50)
    assert (scene.outcomes(), scene.cluster.dropped) == ([(404, NR | DI)], 0)


# ---------------------------------------------------------------- weighted clusters


def split(shares: list[float], **more: Any) -> Scene:
    """A route whose destinations are clusters 0, 1, ..., each with a host of its own."""
    scene = Scene(hosts=len(shares), filters=filters.HAS_SPLIT, streams=HTTP2, **more)
    scene.route.first_destination, scene.route.destinations = 0, len(shares)
    upto = 0.0
    for number, share in enumerate(shares):
        upto += share
        scene.S.destination.append(Destination(upto=upto, offset=1 + number))
        scene.add_cluster([number], streams=HTTP2)
    scene.S.destination[-1].upto = 1.0
    return scene


def test_calls_are_shared_out_by_weight() -> None:
    scene = split([0.1, 0.0, 0.6, 0.3])
    for key in keys(2000):
        scene.call(key)
    scene.until(1)
    shares = [cluster.rq_total / 2000 for cluster in scene.S.cluster]
    assert shares == pytest.approx([0.0, 0.1, 0.0, 0.6, 0.3], abs=0.03)
    assert shares[2] == 0.0


def test_the_destination_is_kept_for_all_retries() -> None:
    scene = split([0.5, 0.5], retries=2, retry_on=ON_5XX)
    for host in (0, 1):
        scene.fail(host)
    for key in keys(100):
        scene.call(key)
    scene.until(500)
    assert scene.outcomes() == [(503, URX)] * 100
    for cluster in scene.S.cluster[1:]:
        assert 30 < cluster.calls_ended < 70
        assert cluster.rq_total == 3 * cluster.calls_ended


def test_destinations_have_their_own_limits() -> None:
    scene = split([0.5, 0.5])
    scene.S.cluster[1].max_pending = 0
    refused = sum(scene.call(key) == NONE for key in keys(100))
    assert 30 < refused < 70
    assert scene.S.cluster[1].rq_pending_overflow == refused
    assert scene.S.cluster[2].rq_pending_total == 100 - refused


# ---------------------------------------------------------------- mirrors


def mirrored(share: float = 1.0, **more: Any) -> Scene:
    """A copy of each call goes to cluster 1, of host 1."""
    scene = Scene(hosts=1, streams=HTTP2, **more)
    scene.add_host(service=1)
    scene.add_cluster([1], service=1, streams=HTTP2)
    copies = scene.add_route()
    scene.S.destination = [Destination(upto=share, offset=1, route=copies, salt=0x5555_5555_1234)]
    scene.route.first_mirror, scene.route.mirrors = 0, 1
    return scene


def mirror_of(scene: Scene) -> Cluster:
    return scene.S.cluster[1]


def test_a_copy_is_sent_once_and_nobody_waits_for_it() -> None:
    scene = mirrored()
    scene.S.host[1].slowdown = 5.0
    scene.call()
    scene.until(10)
    mirror = mirror_of(scene)
    assert (scene.outcomes(), scene.latencies()) == ([(200, NO_FLAG)], [10.0])
    assert (mirror.rq_total, mirror.rq_active, mirror.shadows_ended) == (1, 1, 0)
    scene.until(50)
    assert (mirror.rq_active, mirror.shadows_ended, mirror.calls_ended) == (0, 1, 0)
    assert (scene.S.world[0].shadows, scene.S.world[0].ended) == (1, 1)
    assert in_use(scene) == {"connection": 2}


def test_retries_are_not_copied() -> None:
    scene = mirrored(retries=2, retry_on=ON_5XX)
    scene.fail(0)
    scene.call()
    scene.until(500)
    assert (scene.cluster.rq_total, mirror_of(scene).rq_total, scene.S.world[0].shadows) == (3, 1, 1)


def test_a_copy_is_never_retried_and_its_failure_is_its_own() -> None:
    scene = mirrored(retries=2, retry_on=ON_5XX)
    scene.fail(1)
    scene.call()
    scene.until(500)
    mirror = mirror_of(scene)
    assert scene.outcomes() == [(200, NO_FLAG)]
    assert (mirror.rq_total, mirror.rq_retry, mirror.rq_503, mirror.calls_failed) == (1, 0, 1, 0)
    assert (scene.cluster.calls_failed, scene.cluster.rq_5xx) == (0, 0)


def test_no_copy_of_a_call_whose_first_attempt_failed_at_once() -> None:
    scene = mirrored(max_pending=0)
    assert scene.call_refused() == (503, UO)
    scene.until(100)
    assert (scene.S.world[0].shadows, mirror_of(scene).rq_pending_total) == (0, 0)


def test_no_copy_of_an_aborted_call_and_a_late_one_of_a_delayed_call() -> None:
    scene = mirrored(**ABORTED)
    scene.call()
    assert scene.S.world[0].shadows == 0
    scene = mirrored(**DELAYED)
    scene.call()
    scene.until(49)
    assert mirror_of(scene).rq_pending_total == 0
    scene.until(50)
    assert mirror_of(scene).rq_pending_total == 1


def test_a_copy_loads_the_pool_and_the_limits_of_the_mirror() -> None:
    scene = mirrored()
    scene.S.host[1].slowdown = 5.0
    mirror_of(scene).max_requests = 1
    scene.call()
    scene.until(20)
    scene.call(route=scene.add_route(), cluster=1)
    assert mirror_of(scene).rq_active_overflow == 1
    scene.call()
    scene.until(30)  # its copy is refused too, and the caller does not notice
    assert (mirror_of(scene).rq_active_overflow, mirror_of(scene).shadows_ended) == (2, 1)
    assert scene.outcomes() == [(200, NO_FLAG)] * 2


def test_the_detector_of_the_mirror_hears_of_copies() -> None:
    scene = mirrored()
    scene.S.detector[1].interval = mirror_of(scene).watched = 1
    scene.fail(1)
    scene.call()
    scene.until(50)
    assert [member.external_failed for member in scene.S.member] == [0, 1]


def test_a_copy_has_the_timeout_of_its_own_route() -> None:
    scene = mirrored()
    scene.S.destination[0].route = scene.add_route(timeout=20 * MS)
    scene.S.host[1].slowdown = 5.0
    scene.call()
    scene.until(20)
    assert (mirror_of(scene).rq_timeout, mirror_of(scene).shadows_ended) == (1, 1)
    scene.until(100)
    assert (scene.outcomes(), in_use(scene)) == ([(200, NO_FLAG)], {"connection": 2})


def test_a_share_is_copied() -> None:
    scene = mirrored(share=0.3)
    for key in keys(2000):
        scene.call(key)
    assert scene.S.world[0].shadows / 2000 == pytest.approx(0.3, abs=0.03)


def test_several_mirrors_are_rolled_separately() -> None:
    scene = mirrored(share=0.5)
    copied = scene.S.destination[0]
    scene.S.destination.append(Destination(upto=0.5, offset=1, route=copied.route, salt=0x7777_1234_5555))
    scene.route.mirrors = 2
    copies = Counter[int]()
    for key in keys(1000):
        before = scene.S.world[0].shadows
        scene.call(key)
        copies[scene.S.world[0].shadows - before] += 1
    assert [copies[number] / 1000 for number in (0, 1, 2)] == pytest.approx([0.25, 0.5, 0.25], abs=0.05)


def test_the_mirror_is_the_same_for_all_weighted_destinations() -> None:
    """It is counted from the route's own cluster, wherever the call itself goes."""
    scene = split([0.5, 0.5])
    copies = scene.add_route()
    mirror = scene.add_cluster([0], streams=HTTP2)
    scene.route.first_mirror, scene.route.mirrors = len(scene.S.destination), 1
    scene.S.destination.append(Destination(upto=1.0, offset=3, route=copies, salt=0x5555_5555_1234))
    for key in keys(100):
        scene.call(key)
    scene.until(1)
    assert mirror.rq_total == 100
    assert scene.S.cluster[1].rq_total + scene.S.cluster[2].rq_total == 100
