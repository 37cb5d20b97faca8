"""Defaults of Istio and Envoy, and what Istio's fields become in Envoy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from resilim.spec.clients import Users
from resilim.spec.envoy import EnvoyOutlierDetection, EnvoySettings, HealthChecks, LocalRateLimit
from resilim.spec.model import Sidecar, System
from resilim.spec.policy import OutlierDetection, RetryBudget, TrafficPolicy, outlier_settings
from resilim.spec.route import Retries, Route
from resilim.spec.units import HOUR, MILLISECOND, SECOND
from resilim.spec.upstream import Upstream, upstream, views

CART = {"versions": {"v1": {"hosts": "2"}, "v2": {"hosts": "1"}}, "workers": "1", "queue": "0",
        "endpoints": {"a": {"steps": [{"work": "1ms"}]}}}  # fmt: skip


def seen(**parts: Any) -> Upstream:
    """The service `cart` of a system with these parts."""
    return upstream(System.model_validate({"services": {"cart": CART}} | parts), "cart")


def under(key: str, tree: dict[str, Any]) -> Upstream:
    """The service `cart`, with something said of it."""
    return seen(**{key: {"cart": tree}})


def test_defaults_of_istio() -> None:
    limits = TrafficPolicy().limits
    assert limits.connect_timeout == 10 * SECOND
    assert (limits.idle_timeout, limits.connection_duration, limits.streams) == (1 * HOUR, 0, 1024)
    assert Sidecar().concurrency == 2
    assert (RetryBudget().percent, RetryBudget().min_retry_concurrency) == (20, 3)
    of = seen()
    assert of.algorithm == "LEAST_REQUEST"
    assert of.outlier_detection is None
    assert (of.panic_threshold, of.slow_start, of.locality_weighted) == (50, None, False)
    assert (of.http2, of.hashes, of.table_size, of.reselections) == (False, False, 0, True)
    assert Retries().conditions == ("connect-failure", "refused-stream", "unavailable", "cancelled")
    assert Retries().status_codes == ()
    assert (Route().weighted, Route().copies) == ((), ())


def test_defaults_of_envoy() -> None:
    envoy = EnvoySettings()
    assert envoy.update_merge_window == 1 * SECOND
    assert envoy.preconnect_policy.per_upstream_preconnect_ratio == 1
    assert seen().choices == 2
    assert (envoy.hash_balance_factor, envoy.drop_overload, envoy.weights) == (0, 0, {})
    assert (envoy.fail_traffic_on_panic, envoy.hedge_on_per_try_timeout) == (False, False)
    checks = HealthChecks.model_validate(
        {"timeout": "1s", "interval": "5s", "unhealthyThreshold": "3", "healthyThreshold": "2"}
    )
    assert (checks.no_traffic_interval, checks.response.mean) == (60 * SECOND, MILLISECOND)
    limit = LocalRateLimit.model_validate(
        {
            "tokenBucket": {"maxTokens": "3", "fillInterval": "1s"},
            "filterEnabled": "100%",
            "filterEnforced": "0%",
        }
    )
    assert (limit.token_bucket.tokens_per_fill, limit.status_code) == (1, 429)


DETECTOR = {
    "consecutive_5xx": 5, "enforcing_consecutive_5xx": 100,
    "consecutive_gateway_failure": 5, "enforcing_consecutive_gateway_failure": 0,
    "split_external_local_origin_errors": False,
    "consecutive_local_origin_failure": 5, "enforcing_consecutive_local_origin_failure": 100,
    "interval": 10 * SECOND, "base_ejection_time": 30 * SECOND, "max_ejection_time": None,
    "max_ejection_time_jitter": 0, "max_ejection_percent": 10, "always_eject_one_host": False,
    "enforcing_success_rate": 100, "enforcing_local_origin_success_rate": 100,
    "success_rate_minimum_hosts": 5, "success_rate_request_volume": 100, "success_rate_stdev_factor": 1900,
    "failure_percentage_threshold": 85, "enforcing_failure_percentage": 0,
    "enforcing_failure_percentage_local_origin": 0, "failure_percentage_minimum_hosts": 5,
    "failure_percentage_request_volume": 50, "successful_active_health_check_uneject_host": True,
}  # fmt: skip


def fields_of(settings: EnvoyOutlierDetection | None) -> dict[str, Any]:
    """Every field by its name."""
    assert settings is not None
    return {name: getattr(settings, name) for name in type(settings).model_fields}


def test_a_detector_of_envoy_alone_has_envoys_defaults() -> None:
    assert fields_of(EnvoyOutlierDetection.of()) == DETECTOR
    assert fields_of(under("envoy", {"outlierDetection": {}}).outlier_detection) == DETECTOR


@pytest.mark.parametrize(
    ("istio", "differences"),
    [
        ({}, {}),
        (
            {"consecutive5xxErrors": "0"},
            {"consecutive_5xx": 0, "enforcing_consecutive_5xx": 0},
        ),
        (
            {"consecutiveGatewayErrors": "3"},
            {"consecutive_gateway_failure": 3, "enforcing_consecutive_gateway_failure": 100},
        ),
        (
            {"consecutiveGatewayErrors": "0"},
            {"consecutive_gateway_failure": 0, "enforcing_consecutive_gateway_failure": 0},
        ),
        ({"splitExternalLocalOriginErrors": "true"}, {"split_external_local_origin_errors": True}),
        (
            {"splitExternalLocalOriginErrors": "true", "consecutiveLocalOriginFailures": "2"},
            {"split_external_local_origin_errors": True, "consecutive_local_origin_failure": 2},
        ),
        (
            {"splitExternalLocalOriginErrors": "true", "consecutiveLocalOriginFailures": "0"},
            {"split_external_local_origin_errors": True},
        ),
        ({"maxEjectionPercent": "0", "interval": "5s"}, {"interval": 5 * SECOND}),
    ],
)
def test_istio_detectors_arrive_in_envoy(istio: dict[str, str], differences: dict[str, Any]) -> None:
    without = {"enforcing_success_rate": 0, "enforcing_local_origin_success_rate": 0}
    block = OutlierDetection.model_validate(istio)
    assert fields_of(outlier_settings(block, None)) == DETECTOR | without | differences


def test_what_is_given_to_envoy_wins() -> None:
    of = seen(
        trafficPolicies={"cart": {"outlierDetection": {"baseEjectionTime": "5s", "minHealthPercent": "20"}}},
        envoy={"cart": {"outlierDetection": {"enforcingSuccessRate": "50", "maxEjectionTime": "7s"}}},
    )
    fields = fields_of(of.outlier_detection)
    assert fields == DETECTOR | {
        "base_ejection_time": 5 * SECOND,
        "max_ejection_time": 7 * SECOND,
        "enforcing_success_rate": 50,
        "enforcing_local_origin_success_rate": 0,
    }
    assert of.panic_threshold == 20


def test_the_longest_ejection() -> None:
    assert EnvoyOutlierDetection.of().longest_ejection == 300 * SECOND
    assert EnvoyOutlierDetection.of(base_ejection_time=400 * SECOND).longest_ejection == 400 * SECOND
    assert EnvoyOutlierDetection.of(max_ejection_time=30 * SECOND).longest_ejection == 30 * SECOND
    with pytest.raises(ValidationError, match="max_ejection_time cannot be smaller than base_ejection_time"):
        EnvoyOutlierDetection.of(max_ejection_time=29 * SECOND)


def test_idle_timeouts() -> None:
    def idle(tcp: str | None, http: str | None) -> int:
        pool = {"tcp": {"idleTimeout": tcp} if tcp else None, "http": {"idleTimeout": http} if http else None}
        return TrafficPolicy.model_validate({"connectionPool": pool}).limits.idle_timeout

    assert idle("0s", None) == 0
    assert idle("3s", None) == 3 * SECOND
    assert idle("3s", "4s") == 4 * SECOND


@pytest.mark.parametrize(
    ("policy", "algorithm", "size"),
    [
        ({"simple": "LEAST_CONN"}, "LEAST_REQUEST", 0),
        ({"simple": "UNSPECIFIED"}, "LEAST_REQUEST", 0),
        ({"simple": "RANDOM"}, "RANDOM", 0),
        ({"consistentHash": {"httpHeaderName": "x"}}, "RING_HASH", 1024),
        ({"consistentHash": {"httpCookie": {"name": "x", "ttl": "0.5s"}, "ringHash": {}}}, "RING_HASH", 1024),
        ({"consistentHash": {"httpHeaderName": "x", "minimumRingSize": "9"}}, "RING_HASH", 9),
        ({"consistentHash": {"httpHeaderName": "x", "ringHash": {"minimumRingSize": "8"}}}, "RING_HASH", 8),
        ({"consistentHash": {"httpQueryParameterName": "x", "maglev": {}}}, "MAGLEV", 65537),
        ({"consistentHash": {"httpHeaderName": "x", "maglev": {"tableSize": "11"}}}, "MAGLEV", 11),
    ],
)
def test_balancers(policy: dict[str, Any], algorithm: str, size: int) -> None:
    of = under("trafficPolicies", {"loadBalancer": policy})
    assert (of.algorithm, of.table_size, of.reselections) == (algorithm, size, "consistentHash" not in policy)


def test_warm_up_becomes_slow_start() -> None:
    for warmup in ({"warmup": {"duration": "9s"}}, {"warmupDurationSecs": "9s"}):
        slow = under("trafficPolicies", {"loadBalancer": warmup}).slow_start
        assert slow is not None
        assert (slow.window, slow.aggression, slow.min_weight_percent) == (9 * SECOND, 1, 10)


def test_a_locality_is_chosen_by_weight_only_when_istio_says_so() -> None:
    def weighted(policy: dict[str, Any]) -> bool:
        return under("trafficPolicies", policy).locality_weighted

    distribute = {"localityLbSetting": {"distribute": [{"from": "a/*", "to": {"a": "100"}}]}}
    failover = {"localityLbSetting": {"failover": [{"from": "a", "to": "b"}]}}
    assert not weighted({"outlierDetection": {}})
    assert weighted({"loadBalancer": distribute})
    assert weighted({"loadBalancer": failover, "outlierDetection": {}})
    distribute["localityLbSetting"]["enabled"] = "false"  # type: ignore[assignment]
    assert not weighted({"loadBalancer": distribute})


def test_subsets_replace_the_policy_block_by_block() -> None:
    system = System.model_validate(
        {
            "services": {"cart": CART},
            "trafficPolicies": {
                "cart": {
                    "connectionPool": {"http": {"maxRetries": "1"}, "tcp": {"maxConnections": "2"}},
                    "outlierDetection": {"interval": "3s"},
                }
            },
            "subsets": {
                "cart": {
                    "v1": {"version": "v1"},
                    "v2": {
                        "version": "v2",
                        "trafficPolicy": {"connectionPool": {"http": {"maxRetries": "9"}}},
                    },
                }
            },
        }
    )
    whole, v1, v2 = (upstream(system, "cart", name) for name in (None, "v1", "v2"))
    assert whole.policy == v1.policy
    assert (whole.version, v1.version, v2.version) == (None, "v1", "v2")
    assert v2.policy.limits.retries == 9
    assert v2.policy.limits.connections == TrafficPolicy().limits.connections
    assert v2.policy.outlier_detection == whole.policy.outlier_detection


def test_weights_are_shares_of_their_sum() -> None:
    def route(*weights: int) -> Route:
        entries = [{"destination": {"host": "cart"}, "weight": str(weight)} for weight in weights]
        return Route.model_validate({"route": entries})

    assert [share for _, share in route(1, 0, 3).weighted] == [0.25, 0.75]
    assert [share for _, share in route(0).weighted] == [1]


def test_mirrors_in_all_spellings() -> None:
    def shares(**keys: Any) -> list[float]:
        return [mirror.share for mirror in Route.model_validate(keys).copies]

    there = {"host": "cart"}
    assert shares(mirror=there) == [1]
    assert shares(mirror=there, mirrorPercent="5") == [0.05]
    assert shares(mirror=there, mirrorPercentage={"value": "0.5"}) == [0.005]
    assert shares(mirrors=[{"destination": there}, {"destination": there, "percentage": {}}]) == [1, 0]


def test_a_user_who_fails_pauses() -> None:
    def pause(**keys: str) -> float:
        return Users.model_validate({"count": "1"} | keys).after_failure.mean

    assert pause() == MILLISECOND
    assert pause(think="3s") == 3 * SECOND
    assert pause(think="3s", thinkAfterFailure="4s") == 4 * SECOND


def test_views() -> None:
    def of(route: dict[str, Any]) -> tuple[str | None, ...]:
        subsets: dict[str, Any] = {"cart": {"v1": {}, "v2": {}}}
        return views(
            System.model_validate(
                {"services": {"cart": CART}, "subsets": subsets, "routes": {"cart": route}}
            ),
            "cart",
        )

    def to(*names: str | None) -> list[dict[str, Any]]:
        return [{"destination": {"host": "cart", "subset": name}, "weight": "1"} for name in names]

    assert of({}) == (None,)
    assert of({"route": to("v2", "v1", "v2")}) == ("v2", "v1")
    assert of({"mirror": {"host": "cart", "subset": "v1"}}) == (None, "v1")
    assert of({"route": to("v1"), "mirror": {"host": "cart"}}) == ("v1", None)
    assert of({"route": to("gone")}) == (None,)


def test_what_envoy_was_not_told_is_not_written_back() -> None:
    settings = EnvoySettings.model_validate({"outlierDetection": {"interval": "3s"}})
    written = json.loads(settings.model_dump_json(by_alias=True, exclude_none=True))
    assert written["outlierDetection"] == {"interval": "3s"}
    assert EnvoySettings.model_validate(written) == settings
