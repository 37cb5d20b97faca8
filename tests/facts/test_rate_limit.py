"""The local rate limit of a host's proxy (Envoy's local_ratelimit.cc and its token bucket)."""

from __future__ import annotations

from typing import Any

import pytest

from resilim.plane.flags import NO_FLAG, RL, URX
from resilim.plane.gate import PASSES, limit, take_token
from resilim.plane.machine import scramble
from resilim.plane.records import Bucket
from resilim.plane.retry import ON_5XX
from resilim.plane.start import begin

from .scene import MS, SECOND, Scene, in_use


def bucket(tokens: float, per_second: float = 0.0, **more: float) -> Bucket:
    """A full bucket."""
    return Bucket(max_tokens=tokens, tokens=tokens, fill=per_second / SECOND, **more)


def limited(tokens: float, per_second: float = 0.0, **more: Any) -> Scene:
    """A host whose proxy has a rate limit."""
    scene = Scene(**more)
    scene.S.bucket.append(bucket(tokens, per_second))
    scene.S.host[0].bucket, scene.S.host[0].gate = 0, 1
    return scene


def taken(of: Bucket, moments: list[float]) -> list[bool]:
    """Whether there is a token at each moment (ms)."""
    return [take_token(of, int(moment * MS)) for moment in moments]


def test_the_bucket_starts_full() -> None:
    assert taken(bucket(3), [0, 0, 0, 0]) == [True, True, True, False]
    scene = limited(3)
    scene.S.bucket[0].tokens = 0.0
    scene.S.source.clear()
    begin(scene.S)
    assert scene.S.bucket[0].tokens == 3.0


def test_it_fills_all_the_time_not_at_intervals() -> None:
    """Ten a second: one every 100 ms, whenever one asks."""
    of = bucket(1, per_second=10)
    assert taken(of, [0, 99, 100, 150, 199, 200, 350, 449, 450]) == [
        True, False, True, False, False, True, True, False, True,
    ]  # fmt: skip


def test_it_never_holds_more_than_it_can() -> None:
    of = bucket(2, per_second=10)
    assert taken(of, [60_000] * 3) == [True, True, False]


@pytest.mark.parametrize("times", [5, 7, 10, 11, 13, 300])
@pytest.mark.parametrize("per_second", [1, 3, 10, 20, 50, 100, 1000])
def test_asking_in_vain_does_not_put_the_next_token_off(per_second: int, times: int) -> None:
    """However often: nothing is lost to rounding when a part of a token is looked at."""
    of = bucket(1, per_second)
    due = -(-SECOND // per_second)
    assert [take_token(of, due * number // times) for number in range(times + 1)] == [
        number in (0, times) for number in range(times + 1)
    ]


def test_a_refusal_is_a_429_of_the_hosts_proxy() -> None:
    scene = limited(2, hop=1, upstream_hop=1)  # 10 ms there and 10 ms back
    for _ in range(3):
        scene.call()
    scene.until(10)
    assert scene.S.host[0].busy == 2
    scene.until(20)
    assert scene.outcomes() == [(429, RL)]  # no work, but both sidecars
    assert (scene.S.row[0].origin, scene.cluster.rq_4xx) == (0, 1)
    scene.until(30)
    assert scene.outcomes()[1:] == [(200, NO_FLAG)] * 2
    of = scene.S.bucket[0]
    assert (of.counted, of.ok, of.limited, of.refused) == (3, 2, 1, 1)
    assert in_use(scene) == {"connection": 3}


def test_requests_pass_again_when_there_are_tokens() -> None:
    scene = limited(1, per_second=10)
    for moment in (0, 50, 100, 199):
        scene.until(moment)
        scene.call()
    scene.until(300)
    assert [code for code, _ in scene.outcomes()] == [200, 429, 200, 429]


def test_the_status_can_be_another_one() -> None:
    scene = limited(0)
    scene.S.bucket[0].code = 503
    scene.call()
    scene.until(50)
    assert scene.outcomes() == [(503, RL)]


def test_a_429_is_retried_only_where_it_is_listed() -> None:
    for codes, retries in [(0, 0), (1, 2)]:
        scene = limited(0, retries=2, retry_on=ON_5XX, codes=codes)
        scene.S.code = [429]
        scene.call()
        scene.until(500)
        assert scene.cluster.rq_retry == retries
        assert scene.outcomes() == [(429, RL | (URX if codes else 0))]
        assert scene.S.bucket[0].refused == retries + 1


def test_every_attempt_takes_a_token() -> None:
    scene = limited(3, retries=5, retry_on=ON_5XX)
    scene.fail()
    scene.call()
    scene.until(2_000)
    assert scene.outcomes() == [(429, RL)]
    assert scene.S.row[0].attempts == 4


def test_the_callers_detector_takes_a_429_for_a_success() -> None:
    scene = limited(0, interval=SECOND)
    for _ in range(10):
        scene.call()
    scene.until(50)
    assert (scene.S.member[0].external_total, scene.S.member[0].external_failed) == (10, 0)


def refusals(of: Bucket, number: int = 4000) -> int:
    keys = [scramble(0x1234_5678_9ABC_DEF1, key) for key in range(1, number + 1)]
    return sum(limit(of, key, 0) != PASSES for key in keys)


def test_only_the_enabled_share_is_counted_and_takes_tokens() -> None:
    of = bucket(0, enabled=0.25)
    assert refusals(of) == of.counted == of.limited == of.refused
    assert of.counted / 4000 == pytest.approx(0.25, abs=0.03)
    assert of.ok == 0


def test_only_the_enforced_share_of_those_over_the_limit_is_refused() -> None:
    of = bucket(1000, enforced=0.25)
    assert refusals(of) == of.refused
    assert (of.counted, of.ok, of.limited) == (4000, 1000, 3000)
    assert of.refused / 3000 == pytest.approx(0.25, abs=0.03)


def test_the_shares_are_rolled_independently() -> None:
    of = bucket(0, enabled=0.5, enforced=0.5)
    assert refusals(of) / 4000 == pytest.approx(0.25, abs=0.03)
    assert of.limited / 4000 == pytest.approx(0.5, abs=0.03)


def test_each_host_has_its_own_bucket() -> None:
    scene = Scene(hosts=2)
    scene.S.bucket = [bucket(1), bucket(1)]
    for number, host in enumerate(scene.S.host):
        host.bucket, host.gate = number, 1
    for _ in range(6):
        scene.call()
    scene.until(50)
    assert [of.refused for of in scene.S.bucket] == [2, 2]
