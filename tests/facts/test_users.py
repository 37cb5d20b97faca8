"""Where requests come from: users who wait for answers, bursts, and who is who for consistent hashing."""

from __future__ import annotations

from typing import Any

import pytest

from resilim.plane import balance, filters, host, luck, proxy
from resilim.plane.flags import DC, FI, NO_FLAG
from resilim.plane.machine import State, scramble
from resilim.plane.records import UNLIMITED, Cluster, Law, Mix, Site, Source, Step
from resilim.plane.source import begin_source, set_rate
from resilim.plane.user import hash_key

from .scene import MS, SECOND, Scene

HTTP2 = UNLIMITED
THINK, AFTER_FAILURE = 3, 4  # laws


def asked_by(*sources: Source, **more: Any) -> Scene:
    """A scene whose requests come from these sources: a mix of one kind, for the first host's endpoint."""
    scene = Scene(streams=HTTP2, **more)
    scene.S.law += [Law(luck.CONSTANT, 30.0 * MS), Law(luck.CONSTANT, 5.0 * MS)]
    scene.S.mix = [Mix(upto=1.0)]
    scene.S.source = list(sources)
    for index, source in enumerate(sources):
        source.key = 1000 + index
        source.mixes = 1
        begin_source(scene.S, index)
    return scene


def user(**more: int) -> Source:
    """One who thinks for 30 ms, and for 5 ms after a failure."""
    return Source(user=1, think=THINK, think_after_failure=AFTER_FAILURE, **more)


def arrivals(scene: Scene) -> list[float]:
    """When the requests that ended had arrived, ms."""
    return [row.arrived / MS for row in scene.S.row[: scene.S.world[0].rows]]


# ---------------------------------------------------------------- closed load


def test_the_next_request_follows_the_answer_after_a_pause() -> None:
    """30 ms of thinking, also before the first one, and 10 ms for the answer."""
    scene = asked_by(user())
    scene.until(200)
    assert arrivals(scene) == [30.0, 70.0, 110.0, 150.0, 190.0]
    assert (scene.S.world[0].started, scene.S.world[0].ended) == (5, 5)


def test_a_slow_answer_keeps_its_user_waiting() -> None:
    scene = asked_by(user())
    scene.S.host[0].slowdown = 10.0
    scene.until(300)
    assert arrivals(scene) == [30.0, 160.0]


def test_a_user_stops_after_so_many_requests() -> None:
    scene = asked_by(user(quota=3))
    scene.until(2_000)
    assert (arrivals(scene), scene.S.heap) == ([30.0, 70.0, 110.0], [])
    assert scene.S.world[0].started == 3


def test_after_a_failure_the_pause_is_another_one() -> None:
    scene = asked_by(user(quota=3))
    scene.fail()
    scene.until(500)
    assert arrivals(scene) == [30.0, 45.0, 60.0]


@pytest.mark.parametrize(("code", "second"), [(399, 70.0), (400, 45.0), (404, 45.0), (503, 45.0)])
def test_a_failure_is_a_4xx_or_a_5xx(code: int, second: float) -> None:
    scene = asked_by(user(quota=2))
    scene.fail(code=code)
    scene.until(500)
    assert arrivals(scene) == [30.0, second]


def test_so_is_leaving() -> None:
    scene = asked_by(user(quota=2), timeout=8 * MS, timeout_flag=DC)
    scene.until(500)
    assert (arrivals(scene), scene.outcomes()) == ([30.0, 43.0], [(0, DC)] * 2)


def test_so_is_a_request_that_fails_at_once() -> None:
    scene = asked_by(user(quota=3), filters=filters.HAS_FAULT, abort_share=1.0, abort_code=500)
    scene.until(500)
    assert (arrivals(scene), scene.outcomes()) == ([30.0, 35.0, 40.0], [(500, FI)] * 3)
    assert scene.latencies() == [0.0] * 3


def test_a_local_reply_may_be_a_success() -> None:
    scene = asked_by(user(quota=2), filters=filters.HAS_REPLY, reply_code=204)
    scene.until(500)
    assert (arrivals(scene), scene.outcomes()) == ([30.0, 60.0], [(204, NO_FLAG)] * 2)


def test_users_do_not_wait_for_each_other() -> None:
    scene = asked_by(user(quota=2), user(quota=2), user(quota=1))
    scene.until(500)
    assert sorted(arrivals(scene)) == [30.0, 30.0, 30.0, 70.0, 70.0]


def test_a_user_has_one_request_under_way_at_most() -> None:
    scene = asked_by(*(user() for _ in range(4)), connect=7)
    for moment in range(400):
        scene.until(moment)
        assert scene.S.world[0].started - scene.S.world[0].ended <= 4
    assert scene.S.world[0].ended > 30


def test_a_user_who_is_stopped_sends_nothing_more() -> None:
    scene = asked_by(user())
    scene.until(75)
    set_rate(scene.S, 0, 0.0, scene.now)  # the second request is under way
    scene.until(500)
    assert arrivals(scene) == [30.0, 70.0]


# ---------------------------------------------------------------- open load


def test_bursts_come_at_one_instant_and_keep_the_rate() -> None:
    """100 a second, 5 at a time: every 50 ms."""
    scene = asked_by(Source(rate=100.0 / SECOND, even=1, burst=5))
    scene.until(210)
    assert arrivals(scene) == [moment for moment in (50.0, 100.0, 150.0, 200.0) for _ in range(5)]


def test_the_gaps_between_bursts_may_be_random() -> None:
    scene = asked_by(Source(rate=100.0 / SECOND, burst=4))
    scene.until(20_000)
    moments = arrivals(scene)
    assert all(len(set(moments[first : first + 4])) == 1 for first in range(0, len(moments), 4))
    assert len(moments) == pytest.approx(2000, rel=0.15)
    assert len(set(moments)) == len(moments) / 4


def test_the_requests_of_a_burst_have_their_own_luck() -> None:
    scene = asked_by(Source(rate=10.0 / SECOND, even=1, burst=3))
    scene.until(305)
    assert len({call.key for call in scene.S.call[:3]}) == 3


# ---------------------------------------------------------------- who is who


def hashed(scene: Scene) -> list[int]:
    """What consistent hashing hashes for each call in flight."""
    return [hash_key(scene.S, call) for call in scene.S.call if call.attempt >= 0]


def test_a_user_is_the_same_at_every_request() -> None:
    scene = asked_by(user(identity=77), user(identity=99))
    seen = []
    for moment in (35, 75, 115):
        scene.until(moment)
        seen.append(sorted(hashed(scene)))
    assert seen[0] == seen[1] == seen[2]
    assert len(set(seen[0])) == 2


def test_of_so_many_people_each_is_one() -> None:
    scene = asked_by(Source(rate=1.0 / MS, even=1, people=10), work=5_000)
    scene.until(1_000)
    everybody = hashed(scene)
    assert (len(everybody), len(set(everybody))) == (1_000, 10)
    assert min(everybody.count(one) for one in set(everybody)) > 60


def test_unknown_people_are_all_different() -> None:
    scene = asked_by(Source(rate=1.0 / MS, even=1), work=5_000)
    scene.until(500)
    assert len(set(hashed(scene))) == 500


def chain(*sources: Source) -> Scene:
    """Host 1 calls host 0 twice at once, on behalf of the client; the client's cluster for it is number 1."""
    scene = asked_by(*sources)
    scene.S.step += [Step(host.CALLS_OUT, sites=2), Step(host.END)]
    scene.S.site = [Site(salt=101), Site(salt=102)]
    scene.add_host(service=1)
    scene.add_cluster([1], service=1, streams=HTTP2)
    scene.S.mix = [Mix(upto=1.0, first_step=2, route=scene.add_route(), cluster=1)]
    return scene


def test_all_calls_that_serve_a_users_request_have_the_same_key() -> None:
    scene = chain(user(identity=77), Source(rate=1.0 / (29 * MS), even=1))
    scene.until(35)
    calls = [call for call in scene.S.call if call.attempt >= 0]
    assert len(calls) == 6
    by_parent = {call.parent: hash_key(scene.S, call) for call in calls}
    assert len({hash_key(scene.S, call) for call in calls}) == 2
    clients = [index for index, call in enumerate(scene.S.call) if call in calls and call.parent == -1]
    for index in clients:
        its = [by_parent[attempt] for attempt, each in enumerate(scene.S.attempt) if each.call == index]
        assert its == [hash_key(scene.S, scene.S.call[index])]


def test_the_first_attempt_already_knows_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two users, whose requests take over each other's records."""
    scene = asked_by(user(identity=scramble(7, 1)), user(identity=scramble(9, 1)))
    asked: list[int] = []

    def pick(S: State, cluster: Cluster, worker: int, key: int, hashed: int, *rest: int) -> int:
        asked.append(hashed)
        return 0

    monkeypatch.setattr(proxy, "pick", pick)
    scene.cluster.balancer = balance.RING_HASH
    scene.until(300)
    one, other = (scramble(source.identity, luck.IDENTITY) for source in scene.S.source)
    assert asked == [one, other] * (len(asked) // 2)


def test_time_goes_on_for_a_user_whose_requests_take_none() -> None:
    scene = asked_by(Source(user=1, think=0, think_after_failure=0), work=0)
    begin_source(scene.S, 0)
    scene.until(10)
    arrived = [row.arrived for row in scene.S.row[: scene.S.world[0].rows]]
    assert arrived == [ms * MS for ms in range(11)]
