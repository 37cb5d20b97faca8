"""Clusters, members, host sets and pools: how they stand, and what policies make of them."""

from __future__ import annotations

from resilim.plane import balance
from resilim.plane.records import NONE, UNLIMITED

from .everything import CART, PAY, STOCK, block, members_of, planned, records

SECOND = 1_000_000_000


def test_everything_of_a_cluster_stands_together() -> None:
    clusters = records("cluster")
    for table in ("detector", "checker"):
        assert len(records(table)) == len(clusters)
    assert len(planned().names.clusters) == len(clusters)
    member = pool = host_set = 0
    for index, cluster in enumerate(clusters):
        assert (cluster.first_member, cluster.first_pool, cluster.first_set) == (member, pool, host_set)
        assert cluster.pool_shift == pool - member
        sets = records("host_set")[host_set : host_set + cluster.sets]
        assert [(own.cluster, own.priority) for own in sets] == [(index, n) for n in range(cluster.sets)]
        for own in sets:
            assert own.first_member == member
            members = records("member")[member : member + own.members]
            assert all((one.cluster, one.priority) == (index, own.priority) for one in members)
            assert [one.locality for one in members] == sorted(one.locality for one in members)
            member += own.members
        own_pools = records("pool")[pool : pool + cluster.workers * cluster.members]
        expected = [cluster.first_member + n for _ in range(cluster.workers) for n in range(cluster.members)]
        assert [(one.cluster, one.member) for one in own_pools] == [(index, n) for n in expected]
        pool += len(own_pools)
        host_set += cluster.sets
    assert (member, pool, host_set) == tuple(len(records(name)) for name in ("member", "pool", "host_set"))


def test_what_the_balancer_needs_stands_together_too() -> None:
    run = planned().run
    group = turn = entry = place = 0
    for cluster in records("cluster"):
        assert (cluster.first_group, cluster.first_turn) == (group, turn)
        sets = records("host_set")[cluster.first_set : cluster.first_set + cluster.sets]
        groups = sum(3 if own.localities == 0 else 5 + 2 * own.localities for own in sets)
        group, turn = group + groups, turn + groups * cluster.workers
        if cluster.first_entry != NONE:
            assert cluster.first_entry >= entry
            entry = cluster.first_entry
        if cluster.table != NONE:
            assert cluster.table == place
            place += cluster.table_room * cluster.sets
    assert (group, turn) == (len(records("group")), len(records("turn")))
    assert len(run.vectors["lineup"]) == 2 * len(records("member"))
    assert len(run.vectors["hash_table"]) == place > 0


def test_one_cluster_for_each_caller_host() -> None:
    assert [len(block("cart", subset)) for subset in ("v1", "v2", "none", "")] == [4, 4, 4, 4]
    assert planned().names.clusters[block("cart", "v2")[1]] == ("web-1", "cart", "v2")
    assert planned().names.clusters[-1] == ("", "web", "")
    assert planned(1).names.clusters[-1] == ("client", "web", "")
    assert len({cluster.key for cluster in records("cluster")}) == len(records("cluster"))


def test_limits_of_a_connection_pool() -> None:
    cluster = records("cluster")[block("cart", "v1")[0]]
    assert (cluster.workers, cluster.streams, cluster.multiplexed) == (3, 10, 1)
    assert cluster.connect_timeout == SECOND // 4
    assert (cluster.idle_timeout, cluster.max_connection_duration) == (2 * SECOND, 5 * SECOND)
    assert (cluster.max_host_connections, cluster.max_pools, cluster.preconnect) == (5, 9, 1.5)
    assert (cluster.budget_percent, cluster.budget_least) == (25, 5)
    assert (cluster.requests_per_connection, cluster.max_requests) == (0, UNLIMITED)
    other = records("cluster")[block("cart", "v2")[0]]
    assert (other.max_requests, other.streams, other.connect_timeout) == (7, 1024, 10 * SECOND)
    plain = records("cluster")[block("stock")[0]]
    assert (plain.streams, plain.multiplexed, plain.budget_percent) == (1, 0, -1)


def test_a_timer_that_cannot_fire_is_left_out() -> None:
    assert records("cluster")[block("stock")[0]].idle_timeout == 0  # an hour


def test_a_client_outside_has_no_proxy() -> None:
    outside = records("cluster")[-1]
    assert (outside.workers, outside.streams, outside.multiplexed) == (1, UNLIMITED, 1)
    assert (outside.balancer, outside.connect_timeout, outside.idle_timeout) == (balance.ROUND_ROBIN, 0, 0)
    assert (outside.watched, outside.panic_threshold, outside.merge_window) == (0, 0, 0)
    inside = records("cluster", 1)[-1]
    assert (inside.workers, inside.balancer, inside.merge_window) == (3, balance.LEAST_REQUEST, SECOND)


def test_balancers() -> None:
    cart, stock, pay = (records("cluster")[block(name)[0]] for name in ("cart", "stock", "pay"))
    assert (cart.balancer, cart.table_size, cart.hash_balance_factor) == (balance.MAGLEV, 101, 150)
    assert (cart.panic_threshold, cart.fail_on_panic, cart.merge_window) == (30, 1, 0)
    assert (stock.balancer, stock.locality_weighted, stock.panic_threshold) == (balance.ROUND_ROBIN, 1, 0)
    assert (stock.slow_start, stock.slow_start_aggression, stock.slow_start_least) == (20 * SECOND, 1, 0.1)
    assert (pay.balancer, pay.choices, pay.panic_threshold) == (balance.LEAST_REQUEST, 3, 50)


def test_detectors() -> None:
    cart, stock, pay = (block(name)[0] for name in ("cart", "stock", "pay"))
    clusters, detectors = records("cluster"), records("detector")
    assert [(clusters[n].watched, clusters[n].splits) for n in (cart, stock, pay)] == [(1, 1), (1, 0), (1, 0)]
    detector = detectors[cart]
    assert (detector.max_ejection_time, detector.always_eject_one_host) == (60 * SECOND, 1)
    assert (detector.consecutive_gateway_failure, detector.enforcing_consecutive_gateway_failure) == (3, 100)
    assert (detector.split_external_local_origin_errors, detector.consecutive_local_origin_failure) == (1, 4)
    assert [detectors[n].enforcing_success_rate for n in (cart, stock, pay)] == [0, 0, 100]
    assert [detectors[n].max_ejection_time for n in (stock, pay)] == [300 * SECOND] * 2
    assert records("detector")[-1].interval == 0


def test_active_checks() -> None:
    checker = records("checker")[block("cart")[0]]
    assert (checker.interval, checker.timeout, checker.no_traffic_interval) == (
        2 * SECOND,
        SECOND,
        3 * SECOND,
    )
    assert (checker.unhealthy_threshold, checker.healthy_threshold) == (2, 1)
    assert records("law")[checker.response].a == 4e6
    member = members_of(block("cart")[0])[0]
    assert (member.check_failed, member.checks_done) == (0, 1)
    assert records("checker")[block("stock")[0]].interval == 0
    assert members_of(block("stock")[0])[0].checks_done == 0


def test_members_are_hosts_of_their_subset_with_their_weight() -> None:
    hosts, names = records("host"), planned().names

    def seen(service: str, subset: str = "") -> list[tuple[str, int]]:
        members = members_of(block(service, subset)[0])
        return [(names.hosts[member.host], member.weight) for member in members]

    assert seen("cart", "v1") == [("cart-v1-0", 3), ("cart-v1-1", 3), ("cart-v1-2", 3)]
    assert seen("cart", "v2") == [("cart-v2-0", 1)]
    assert seen("cart", "none") == []
    assert [hosts[member.host].service for member in members_of(block("pay")[0])] == [PAY, PAY]
    identities = {member.host: member.identity for member in records("member")}
    assert all(identities[member.host] == member.identity for member in records("member"))
    assert len(set(identities.values())) == len(identities)


def test_priorities_follow_the_distance() -> None:
    names = planned().names
    priorities = [
        [(names.hosts[member.host], member.priority) for member in members_of(index)]
        for index in block("cart")
    ]
    near_a = [("cart-v1-0", 0), ("cart-v1-1", 1), ("cart-v1-2", 2), ("cart-v2-0", 2)]
    near_b = [("cart-v1-1", 0), ("cart-v1-0", 1), ("cart-v1-2", 2), ("cart-v2-0", 2)]
    in_us = [("cart-v1-2", 0), ("cart-v2-0", 0), ("cart-v1-0", 1), ("cart-v1-1", 1)]
    assert priorities == [near_a, near_a, near_b, in_us]


def test_weights_of_localities() -> None:
    localities = records("locality")

    def weights(index: int) -> list[float]:
        cluster = records("cluster")[index]
        host_set = records("host_set")[cluster.first_set]
        assert cluster.first_locality == host_set.first_locality
        end = host_set.first_locality + host_set.localities
        return [one.weight for one in localities[host_set.first_locality : end]]

    eu, us = block("stock")[0], block("stock")[3]
    assert weights(eu) == [70, 30]
    assert len(members_of(eu)) == 4
    assert weights(us) == [2, 2, 2]
    assert len(members_of(us)) == 6
    assert len(localities) == 3 * 2 + 3 + 4 * 2  # and those of zone-aware routing


def test_zone_aware_routing() -> None:
    clusters = [records("cluster")[index] for index in block("pay")]
    assert [cluster.zone for cluster in clusters] == [NONE, NONE, 1, 0]
    assert {(one.zone_aware, one.zone_least, one.zone_callers, one.zones) for one in clusters} == {
        (1, 2, 4, 3)
    }
    first = clusters[0].first_locality
    assert [one.callers for one in records("locality")[first : first + 2]] == [1, 1]


def test_hosts_are_long_in_service_when_hosts_start_slowly() -> None:
    assert {member.healthy_since < -20 * SECOND for member in members_of(block("stock")[0])} == {True}
    assert {member.healthy_since for member in members_of(block("pay")[0])} == {0}


def test_services() -> None:
    assert [records("cluster")[block(name)[0]].service for name in ("cart", "stock", "pay")] == [
        CART,
        STOCK,
        PAY,
    ]
