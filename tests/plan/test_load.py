"""Sources, hosts and faults."""

from __future__ import annotations

from resilim.plane.records import NONE, UNLIMITED
from resilim.plane.resets import GRPC, REFUSED_STREAM
from resilim.run import CRASHED_HOST, FAILING_HOST, UNREACHABLE_HOST

from .everything import CART, STOCK, planned, records

SECOND = 1_000_000_000


def test_open_load_is_one_source() -> None:
    (source,) = records("source")
    assert (source.user, source.rate, source.burst, source.people) == (0, 1e-7, 10, 50)
    assert planned().requests == 1000


def test_every_user_is_a_source() -> None:
    sources = records("source", 1)
    assert [(one.user, one.rate, one.quota) for one in sources] == [(1, 0, 5)] * 3
    assert len({one.key for one in sources}) == len({one.identity for one in sources}) == 3
    laws = records("law", 1)
    assert [(laws[one.think].a, laws[one.think_after_failure].a) for one in sources] == [(1e8, 1e9)] * 3
    assert planned(1).requests == 15


def test_a_rate_limit_is_a_bucket_at_every_host() -> None:
    hosts, buckets = records("host"), records("bucket")
    limited = [host for host in hosts if host.bucket != NONE]
    assert [(host.service, host.gate) for host in limited] == [(CART, 1)] * 4
    assert [host.bucket for host in limited] == [0, 1, 2, 3]
    bucket = buckets[0]
    assert (bucket.max_tokens, bucket.fill, bucket.code) == (100, 50 / SECOND, 503)
    assert (bucket.enabled, bucket.enforced) == (1, 0.5)


def test_the_graveyard_stands_behind_all_hosts() -> None:
    hosts, names = records("host"), planned().names
    assert len(hosts) == len(names.hosts) + 1 == len(names.host_service) + 1
    grave = hosts[-1]
    assert (grave.service, grave.rank, grave.workers, grave.places) == (CART, NONE, UNLIMITED, 0)
    assert [host.grave for host in hosts] == [
        len(hosts) - 1 if host.service == CART and host.rank != NONE else NONE for host in hosts
    ]


def test_faults_strike_hosts() -> None:
    hosts = planned().names.hosts
    rows = planned().run.faults
    found = [(int(row["kind"]), hosts[row["who"]], float(row["value"]), int(row["code"])) for row in rows]
    assert found[0][:2] == (CRASHED_HOST, "cart-v1-0")
    assert [row[:2] for row in found[1:3]] == [(UNREACHABLE_HOST, f"stock-{n}") for n in range(2)]
    assert {(row[0], *row[2:]) for row in found[3:7]} == {(FAILING_HOST, 0.2, REFUSED_STREAM)}
    assert found[7:9] == [(FAILING_HOST, f"pay-{n}", 1, GRPC + 14) for n in range(2)]
    assert {row[2:] for row in found[9:15]} == {(1, 429)}
    assert rows["begins"][0] == 3 * SECOND
    assert rows["ends"][0] == 6 * SECOND
    assert [records("host")[row["who"]].service for row in rows[9:15]] == [STOCK] * 6
