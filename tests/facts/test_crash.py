"""Hosts that crash, and hosts that cannot be reached: what happens to requests, work and connections."""

from __future__ import annotations

from collections import Counter

import pytest

from resilim.plane import host
from resilim.plane.crash import set_link
from resilim.plane.flags import NO_FLAG, UC, UF, URX, UT
from resilim.plane.gate import REFUSING, SILENT, UP
from resilim.plane.records import NONE, UNLIMITED, Site, Step
from resilim.plane.retry import ON_RESET

from .scene import MS, SECOND, WORK, Scene, in_use, states

HTTP2 = UNLIMITED


class Doomed(Scene):
    """Hosts with graves; host 0 has so many workers and places in its queue."""

    def __init__(self, workers: int = UNLIMITED, places: int = 0, **more: int) -> None:
        super().__init__(places=places, **more)
        self.S.host[0].workers = workers
        for each in self.S.host[:]:
            each.grave = self.add_host(rank=NONE)

    @property
    def grave(self) -> int:
        """Zombies at work for nobody."""
        return self.S.host[self.S.host[0].grave].busy

    def link(self, state: int, ms: float, host: int = 0) -> None:
        """Change the link of a host at a moment."""
        self.until(ms)
        set_link(self.S, host, state, self.now)
        self.until(ms)


# ---------------------------------------------------------------- crashed


@pytest.mark.parametrize("streams", [1, HTTP2])
def test_requests_in_flight_end_with_uc_in_the_instant_of_the_crash(streams: int) -> None:
    """Those at work and those in the queue, more than are reset in one event."""
    scene = Doomed(work=20, streams=streams, workers=25, places=10)
    for moment in range(2):
        scene.until(moment)
        for _ in range(20):
            scene.call()
    scene.link(REFUSING, 5)
    # 25 were at work and 10 in the queue; 5 had been refused
    assert scene.outcomes() == [(503, NO_FLAG)] * 5 + [(503, UC)] * 35
    assert scene.latencies()[5:].count(5.0) == 20
    cluster = scene.cluster
    assert (cluster.rq_active, cluster.cx_active, scene.S.member[0].rq_active) == (0, 0, 0)
    assert cluster.cx_destroy_remote == (1 if streams == HTTP2 else 40)
    upstream = scene.S.host[0]
    assert (upstream.busy, upstream.waiting, scene.grave) == (0, 0, 25)


def test_requests_under_way_are_lost_both_ways() -> None:
    scene = Doomed(work=10, hop=1, upstream_hop=1)  # 10 ms there and 10 ms back
    scene.call()
    scene.until(15)
    scene.call()
    scene.link(REFUSING, 24)  # the first answer is on its way back, the second request on its way there
    assert scene.outcomes() == [(503, UC)] * 2
    scene.until(200)
    assert in_use(scene) == {}
    assert scene.cluster.rq_total == 2


def test_the_work_of_a_crashed_host_is_wasted_and_zombies_come_to_rest() -> None:
    scene = Doomed(work=20, workers=2, places=2)
    for _ in range(4):
        scene.call()
    scene.link(REFUSING, 5)
    assert (scene.grave, in_use(scene)) == (2, {"attempt": 2})
    scene.until(20)
    graveyard = scene.S.host[scene.S.host[0].grave]
    assert (graveyard.busy, graveyard.wasted, graveyard.wasted_time) == (0, 2, 40 * MS)
    assert (scene.S.host[0].wasted, in_use(scene)) == (0, {})


def test_a_crashed_host_refuses_connections() -> None:
    scene = Doomed(connect=5)
    scene.link(REFUSING, 1)
    scene.call()
    scene.until(5.9)
    assert scene.outcomes() == []
    scene.until(6)
    assert scene.outcomes() == [(503, UF)]


def test_idle_connections_close_when_their_host_crashes() -> None:
    scene = Doomed()
    for _ in range(3):
        scene.call()
    scene.link(REFUSING, 50)
    assert (states(scene), scene.cluster.cx_destroy_remote) == (["closed"] * 3, 3)
    assert scene.cluster.cx_destroy_with_active_rq == 0
    assert in_use(scene) == {}


def test_all_clusters_and_workers_lose_their_connections() -> None:
    scene = Doomed(workers=UNLIMITED)
    other = scene.add_cluster([0], workers=3)
    for number in range(1, 30):
        scene.call(number * 0x1234_5678_9ABC_DEF1 & ((1 << 63) - 1), cluster=1)
    scene.call()
    scene.until(3)
    assert [pool.active > 0 for pool in scene.S.pool] == [True] * 4
    scene.link(REFUSING, 5)
    assert scene.outcomes() == [(503, UC)] * 30
    assert (other.cx_active, scene.cluster.cx_active) == (0, 0)


def test_idle_connections_of_all_workers_close() -> None:
    scene = Doomed()
    other = scene.add_cluster([0], workers=3)
    for number in range(1, 30):
        scene.call(number * 0x1234_5678_9ABC_DEF1 & ((1 << 63) - 1), cluster=1)
    scene.until(50)
    assert min(pool.connections for pool in scene.S.pool[1:]) > 0
    scene.link(REFUSING, 60)
    assert (other.cx_active, in_use(scene)) == (0, {})


def test_a_timeout_in_the_instant_of_the_crash() -> None:
    """The crash comes first, then the timer, then the resets: what was in the queue is not lost for ever."""
    scene = Doomed(work=20, workers=1, places=2, timeout=5 * MS)
    scene.call(route=scene.add_route())
    for _ in range(2):
        scene.call()
    scene.until(4.999)
    scene.now = 5 * MS
    set_link(scene.S, 0, REFUSING, scene.now)
    scene.until(5)
    assert scene.outcomes() == [(504, UT), (503, UC), (503, UC)]
    scene.until(100)
    assert in_use(scene) == {}


def test_other_hosts_are_left_alone() -> None:
    scene = Doomed(hosts=2)
    for _ in range(10):
        scene.call()
    there = sum(attempt.host == 0 for attempt in scene.S.attempt[:10])
    assert there == 5
    scene.link(REFUSING, 5)
    scene.until(50)
    assert scene.outcomes() == [(503, UC)] * there + [(200, NO_FLAG)] * (10 - there)


def test_work_after_the_restart_begins_with_free_workers() -> None:
    """Zombies take none of them, nor does their end free one that is not theirs."""
    scene = Doomed(work=20, workers=1, places=5)
    for _ in range(3):
        scene.call()
    scene.link(REFUSING, 5)
    scene.link(UP, 10)
    for _ in range(2):
        scene.call()
    scene.until(10)
    assert (scene.S.host[0].busy, scene.S.host[0].waiting, scene.grave) == (1, 1, 1)
    scene.until(25)  # the zombie has ended
    assert (scene.S.host[0].busy, scene.S.host[0].waiting, scene.grave) == (1, 1, 0)
    scene.until(100)
    assert scene.outcomes()[3:] == [(200, NO_FLAG)] * 2
    assert scene.latencies()[3:] == [20.0, 40.0]
    assert (scene.S.host[0].busy, in_use(scene)["connection"]) == (0, scene.cluster.cx_active)


def test_a_request_that_was_reset_is_retried_elsewhere() -> None:
    scene = Doomed(hosts=2, retries=2, retry_on=ON_RESET, reselections=10)
    first = scene.served_by(scene.call())
    scene.link(REFUSING, 5, host=first)
    scene.until(100)
    assert scene.outcomes() == [(200, NO_FLAG)]
    assert scene.S.row[0].attempts == 2


def test_retries_that_meet_the_crashed_host_again_end_with_uf() -> None:
    scene = Doomed(retries=2, retry_on=ON_RESET)
    scene.call()
    scene.link(REFUSING, 5)
    scene.until(200)
    assert scene.outcomes() == [(503, UF | URX)]
    assert in_use(scene) == {}


def caller(**limits: int) -> Doomed:
    """Host 1 of service 1 works for 10 ms, then calls host 0; the client's cluster for it is number 1."""
    scene = Doomed(**limits)
    steps = [Step(host.WORK, law=WORK, salt=2), Step(host.CALLS_OUT, sites=1), Step(host.END)]
    scene.S.step += steps
    scene.S.site = [Site(salt=100)]
    scene.add_host(service=1, workers=1, places=5)
    scene.S.host[2].grave = scene.add_host(service=1, rank=NONE)
    scene.add_cluster([2], service=1, streams=HTTP2)
    scene.add_route()
    return scene


def test_a_zombie_makes_no_further_calls() -> None:
    scene = caller()
    scene.call(route=1, cluster=1, first_step=2)
    scene.link(REFUSING, 5, host=2)
    scene.until(100)
    assert scene.outcomes() == [(503, UC)]
    assert [cluster.rq_pending_total for cluster in scene.S.cluster] == [0, 1]
    assert (scene.S.host[3].busy, in_use(scene)) == (0, {})


def test_the_answer_to_a_zombies_call_comes_to_nothing() -> None:
    scene = caller()
    scene.call(route=1, cluster=1, first_step=2)
    scene.link(REFUSING, 15, host=2)
    assert (scene.cluster.rq_active, scene.S.host[2].busy, scene.S.host[3].busy) == (1, 0, 1)
    scene.until(19)
    assert in_use(scene) == {"call": 1, "attempt": 2, "connection": 1}
    scene.until(20)
    assert (scene.S.host[3].busy, scene.S.host[3].wasted) == (0, 1)
    assert in_use(scene) == {"connection": 1}
    assert scene.outcomes() == [(503, UC)]


def test_a_failed_call_tells_the_caller_when_the_callee_crashes() -> None:
    scene = caller()
    scene.call(route=1, cluster=1, first_step=2)
    scene.link(REFUSING, 15)
    scene.until(50)
    assert scene.outcomes() == [(500, UC)]
    assert scene.S.row[0].origin == 0
    assert (scene.S.host[2].busy, scene.latencies()) == (0, [15.0])


def test_nothing_is_left_of_many_crashes() -> None:
    """A host that goes up and down while requests come, time out and are retried."""
    policy = {"timeout": 30 * MS, "retries": 2, "retry_on": ON_RESET, "backoff": 1 * MS}
    scene = Doomed(work=7, connect=1, workers=3, places=2, **policy)
    for moment in range(300):
        scene.until(moment)
        if moment % 20 == 0:
            set_link(scene.S, 0, (UP, REFUSING, UP, SILENT)[moment // 20 % 4], scene.now)
        scene.call(key=moment + 1)
    scene.link(UP, 300)
    scene.until(5_000)
    assert len(scene.outcomes()) == 300
    kinds = Counter(scene.outcomes())
    assert min(kinds[200, NO_FLAG], kinds[503, NO_FLAG], kinds[503, UF | URX], kinds[504, UT]) > 5
    assert in_use(scene) == {"connection": scene.cluster.cx_active}
    cluster, upstream = scene.cluster, scene.S.host[0]
    assert (cluster.rq_active, cluster.rq_pending, cluster.rq_retrying) == (0, 0, 0)
    assert (upstream.busy, upstream.waiting, scene.grave) == (0, 0, 0)
    scene.drain()
    assert (cluster.cx_active, in_use(scene), scene.S.heap) == (0, {}, [])


# ---------------------------------------------------------------- unreachable


def test_only_a_timeout_ends_the_waiting_for_a_silent_host() -> None:
    scene = Doomed(work=10, timeout=100 * MS)
    scene.call()
    scene.link(SILENT, 5)  # its answer does not get away
    scene.call()  # this one does not get there
    scene.until(99)
    assert scene.outcomes() == []
    scene.until(300)
    assert scene.outcomes() == [(504, UT)] * 2
    assert (scene.cluster.cx_connect_fail, scene.cluster.rq_active) == (0, 0)
    assert (scene.S.host[0].busy, in_use(scene)) == (0, {"connection": 1})  # being set up for ever


def test_without_a_timeout_the_answer_comes_when_tcp_repeats_it_to_a_host_that_is_back() -> None:
    """After 200 and 600 ms: the answer that was to leave at 10 ms leaves at 610 ms."""
    scene = Doomed(work=10)
    scene.call()
    scene.link(SILENT, 5)
    scene.link(UP, 300)
    scene.until(609)
    assert scene.outcomes() == []
    scene.until(610)
    assert scene.outcomes() == [(200, NO_FLAG)]
    assert in_use(scene) == {"connection": 1}


def test_a_request_that_did_not_get_there_is_repeated_and_served_once() -> None:
    scene = Doomed(work=10, streams=HTTP2, workers=1)
    scene.call()
    scene.link(SILENT, 50)
    scene.call()
    scene.until(100)
    assert scene.S.host[0].busy == 0
    scene.link(UP, 249)
    scene.until(300)
    assert scene.latencies() == [10.0, 210.0]
    assert scene.cluster.rq_total == 2


def test_a_repeated_request_waits_for_its_own_calls_only() -> None:
    scene = caller()
    scene.call(route=1, cluster=1, first_step=2)
    scene.until(25)
    scene.link(SILENT, 30, host=2)
    scene.call(route=1, cluster=1, first_step=2)
    scene.link(UP, 100, host=2)
    scene.until(1_000)  # there at 230 ms: 10 ms of its own, and 10 ms for the call
    assert scene.latencies() == [20.0, 220.0]


def test_what_was_given_up_does_not_come_back() -> None:
    """Neither a request that did not get there, nor an answer that did not get away, does any more work."""
    scene = Doomed(work=10, streams=HTTP2, timeout=100 * MS)
    scene.call()
    scene.link(SILENT, 5)
    scene.call()
    scene.link(UP, 150)
    scene.until(1_000)
    assert scene.outcomes() == [(504, UT)] * 2
    assert (scene.S.host[0].busy, scene.S.host[0].wasted) == (0, 1)  # the answer, not the request
    assert in_use(scene) == {"connection": 1}


def test_the_queue_of_an_unreachable_host_is_kept() -> None:
    """It works on, and nobody hears of it."""
    scene = Doomed(work=10, workers=1, places=2)
    for _ in range(3):
        scene.call()
    scene.link(SILENT, 5)
    assert (scene.S.host[0].busy, scene.S.host[0].waiting) == (1, 2)
    scene.until(40)
    assert (scene.S.host[0].busy, scene.S.host[0].waiting, scene.outcomes()) == (0, 0, [])


def test_a_silent_host_that_then_crashes_resets_what_waits_for_it() -> None:
    scene = Doomed(work=10, streams=HTTP2)
    scene.call()
    scene.link(SILENT, 5)
    scene.call()
    scene.link(REFUSING, 50)
    assert scene.outcomes() == [(503, UC)] * 2
    scene.link(UP, 60)
    scene.call()
    scene.until(1_000)
    assert scene.outcomes()[2:] == [(200, NO_FLAG)]
    assert scene.S.host[0].busy == 0
    assert in_use(scene) == {"connection": 1}


def test_connections_to_an_unreachable_host_count_as_long_as_they_are_set_up() -> None:
    scene = Doomed(connect=1, connect_timeout=2 * SECOND, max_connections=1)
    scene.link(SILENT, 0)
    scene.call()
    scene.until(1_999)
    assert (scene.cluster.cx_active, scene.cluster.rq_pending) == (1, 1)
    scene.until(2_000)
    assert (scene.cluster.cx_active, scene.outcomes()) == (0, [(503, UF)])
