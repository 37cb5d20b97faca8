"""Settings that contradict each other, or that would have no effect, are refused where they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilim.spec import SpecError, load_experiment, load_model

from .files import Folder

M, E = "model.yaml", "experiment.yaml"
POLICY = "trafficPolicies.cart"
OLD_POLICY = "connectionPool: {http: {http2MaxRequests: 20}}"
IN_ENVOY = "envoy.cart"

# What is said of cart in its traffic policy, and what is wrong with it.
POLICIES = [
    (
        "outlierDetection: {consecutiveLocalOriginFailures: 3}",
        f"model.yaml:25:56: {POLICY}.outlierDetection.consecutiveLocalOriginFailures: outlier"
        " detection consecutive"
        " local origin failures is specified, but split external local origin errors is set to false",
    ),
    (
        "loadBalancer: {simple: PASSTHROUGH}",
        f"{POLICY}.loadBalancer.simple: PASSTHROUGH sends a request to the",
    ),
    (
        "loadBalancer: {simple: RANDOM, consistentHash: {httpHeaderName: x}}",
        f"model.yaml:25:36: {POLICY}.loadBalancer.consistentHash: only one of simple and consistentHash",
    ),
    ("loadBalancer: {consistentHash: {}}", "is of one of httpHeaderName, httpCookie, httpQueryParameterName"),
    (
        "loadBalancer: {consistentHash: {useSourceIp: true, httpHeaderName: x}}",
        "not of httpHeaderName and useSourceIp",
    ),
    (
        "loadBalancer: {consistentHash: {httpHeaderName: x, maglev: {tableSize: 100}}}",
        "maglev.tableSize: tableSize must be a prime number for maglev",
    ),
    (
        "loadBalancer: {consistentHash: {httpHeaderName: x, maglev: {tableSize: 5000011}}}",
        "tableSize must be less than 5000011 for maglev",
    ),
    (
        "loadBalancer: {consistentHash: {httpHeaderName: x, maglev: {}, ringHash: {}}}",
        "consistentHash.maglev: only one of ringHash and maglev",
    ),
    (
        "loadBalancer: {consistentHash: {httpHeaderName: x, maglev: {}, minimumRingSize: 5}}",
        "only one of MinimumRingSize or Maglev/Ringhash can be specified",
    ),
    (
        "loadBalancer: {simple: RANDOM, warmup: {duration: 3s}}",
        "loadBalancer.warmup: a warm-up of 3s is for ROUND_ROBIN and LEAST_REQUEST, not for RANDOM",
    ),
    ("loadBalancer: {warmup: {duration: 3s}, warmupDurationSecs: 3s}", "is the old name of warmup.duration"),
    ("loadBalancer: {warmup: {duration: 3s, aggression: 0.5}}", "aggression should be greater than or equal"),
    ("loadBalancer: {warmup: {duration: 3s, minimumPercent: 101}}", "percentage 101 is not in range 0..100"),
    ("loadBalancer: {localityLbSetting: {failoverPriority: [a]}}", "failoverPriority is an Istio field that"),
    (
        "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 90}}]}}",
        "distribute[0].to: total locality weight 90 != 100",
    ),
    (
        "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 100, b: 0}}]}}",
        "distribute[0].to.b: locality weight must be in range [1, 100]",
    ),
    (
        "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 100}}]}}",
        f"{POLICY}.loadBalancer.localityLbSetting: the hosts of cart have no"
        " localities; write services.cart.loc",
    ),
    (
        "loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}",
        "localityLbSetting.failover: outlier detection policy must be provided for failover",
    ),
    (
        "loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}",
        "failover[0].to: locality lb failover settings must specify different regions",
    ),
    (
        "loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}],"
        " distribute: [{from: a, to: {a: 100}}]}}",
        "can not simultaneously specify 'distribute' and 'failover'",
    ),
    ("retryBudget: {percent: 120}", f"{POLICY}.retryBudget.percent: percentage 120 is not in range 0..100"),
    ("retryBudget: {budgetInterval: 1s}", "budgetInterval is an Istio field that resilim does not simulate"),
    (
        "{connectionPool: {http: {maxRetries: 3}}, retryBudget: {}}",
        "http.maxRetries: maxRetries has no effect beside a retryBudget, which takes its place",
    ),
    ("connectionPool: {tcp: {connectTimeout: 0s}}", "connectTimeout: 0s is too short: at least 1ms"),
    (
        "connectionPool: {http: {maxConcurrentStreams: 5}}",
        f"{POLICY}.connectionPool.http.maxConcurrentStreams:"
        " maxConcurrentStreams is for HTTP/2, and cart speaks",
    ),
    ("portLevelSettings: []", "portLevelSettings is an Istio field that resilim does not simulate yet"),
]

# What is said of cart in its route.
ROUTES = [
    ("fault: {}", "routes.cart.fault: HTTP fault injection must have an abort and/or a delay"),
    ("fault: {abort: {httpStatus: 503}}", "fault.abort: without a percentage no request is struck"),
    ("fault: {abort: {httpStatus: 700, percent: 1}}", "HTTP status 700 is not in range 200-599"),
    (
        "fault: {abort: {httpStatus: 503, percent: 1, percentage: {value: 1}}}",
        "percent is the old name of per",
    ),
    (
        "fault: {abort: {httpStatus: 503, percentage: {value: 0.00001}}}",
        "is neither 0.0, nor in range [0.0001",
    ),
    (
        "fault: {abort: {grpcStatus: UNAVAILABLE, httpStatus: 503, percent: 1}}",
        "grpcStatus is an Istio field that resilim doe",
    ),
    ("fault: {delay: {percent: 1}}", 'fault.delay: "fixedDelay" is missing'),
    ("fault: {delay: {percent: 1, fixedDelay: 0s}}", "fixedDelay: 0s is too short: at least 1ms"),
    ("route: []", "routes.cart.route: HTTP route, redirect or direct_response is required"),
    ("route: [{destination: {host: cart}}, {destination: {host: cart}}]", "total destination weight = 0"),
    ("route: [{destination: {host: cart}, weight: -1}]", "route[0].weight: weight -1 < 0"),
    (
        "route: [{destination: {host: web}}]",
        "model.yaml:28:39: routes.cart.route[0].destination.host: calls to cart can only go to hosts of cart",
    ),
    (
        "route: [{destination: {host: cart.shop}}]",
        '"cart.shop" is neither a service name nor <service>.<name',
    ),
    ("route: [{destination: {host: '*'}}]", "invalid destination host *"),
    ("route: [{destination: {host: cart, port: {number: 80}}}]", "port is an Istio field that resilim does"),
    (
        "route: [{destination: {host: cart, subset: v1}, weight: 1}, {destination: {host: cart}, weight: 1}]",
        'routes.cart.route[0].destination.subset: there is no subset of cart "v1"',
    ),
    ("mirror: {host: cart, subset: v1}", 'routes.cart.mirror.subset: there is no subset of cart "v1"'),
    (
        "{mirror: {host: cart}, mirrors: [{destination: {host: cart}}]}",
        "mirrors: HTTP route cannot contain both mirror and mirrors",
    ),
    ("mirrorPercentage: {value: 3}", "mirrorPercentage belongs to mirror, which is not there"),
    (
        "{mirror: {host: cart}, mirrorPercentage: {value: 3}, mirrorPercent: 3}",
        "is the old name of mirrorPer",
    ),
    ("mirrors: [{destination: {host: web}}]", "mirrors[0].destination.host: calls to cart can only go to"),
    (
        "retries: {attempts: 1, retryOn: retriable-status-codes}",
        "retriable-status-codes without a status code",
    ),
    ("retries: {attempts: 1, retryRemoteLocalities: true}", "retryRemoteLocalities is an Istio field that"),
    ("match: []", "match is an Istio field that resilim does not simulate yet"),
]

# What is said of cart to Envoy.
SETTINGS = [
    (
        "outlierDetection: {maxEjectionTime: 10s}",
        f"model.yaml:28:46: {IN_ENVOY}.outlierDetection.maxEjectionTime:"
        " outlier detector's max_ejection_time cannot"
        " be smaller than base_ejection_time",
    ),
    (
        "outlierDetection: {maxEjectionTime: 10s, baseEjectionTime: 11s}",
        "cannot be smaller than base_ejection",
    ),
    (
        "outlierDetection: {consecutiveLocalOriginFailure: 3}",
        "consecutiveLocalOriginFailure has no effect without splitExternalLocalOriginErrors",
    ),
    ("outlierDetection: {enforcingSuccessRate: 101}", "101 is too large: at most 100"),
    (
        "outlierDetection: {consecutive5xxErrors: 1}",
        'unknown key "consecutive5xxErrors" (did you mean "consec',
    ),
    ("preconnectPolicy: {perUpstreamPreconnectRatio: 3.5}", "3.5 is out of range: 1 to 3"),
    ("lbPolicy: PASSTHROUGH", '"PASSTHROUGH" is not one of ROUND_ROBIN, LEAST_REQUEST'),
    ("leastRequest: {choiceCount: 1}", "choiceCount: 1 is too small: at least 2"),
    (
        "{leastRequest: {choiceCount: 3}, lbPolicy: RANDOM}",
        f"{IN_ENVOY}.leastRequest: leastRequest has no ef",
    ),
    ("{hashBalanceFactor: 99, lbPolicy: MAGLEV}", "99 is too small: 0 (off), or at least 100"),
    (
        "hashBalanceFactor: 120",
        f"{IN_ENVOY}.hashBalanceFactor: hashBalanceFactor is for RING_HASH and MAGLEV",
    ),
    (
        "{slowStart: {window: 3s}, lbPolicy: RANDOM}",
        "slowStart: a slow start is for ROUND_ROBIN and LEAST_REQ",
    ),
    ("weights: {v1: 2}", f'{IN_ENVOY}.weights.v1: there is no version of cart "v1"'),
    ("weights: {v1: 0}", f"{IN_ENVOY}.weights.v1: 0 is too small: at least 1"),
    ("zoneAwareLbConfig: {}", f"{IN_ENVOY}.zoneAwareLbConfig: the hosts of cart have no localities"),
    ("localityWeighted: true", f"{IN_ENVOY}.localityWeighted: the hosts of cart have no localities"),
    ("{failTrafficOnPanic: true, healthyPanicThreshold: 0}", "with a panic threshold of 0 there is no panic"),
    ("healthChecks: {timeout: 1s, interval: 1s, healthyThreshold: 1}", '"unhealthyThreshold" is missing'),
    (
        "healthChecks: {timeout: 1s, interval: 1us, healthyThreshold: 1, unhealthyThreshold: 1}",
        "1us is too sh",
    ),
    (
        "retryBackOff: {maxInterval: 24ms}",
        "retryBackOff.maxInterval: retry_policy.max_interval must greater than"
        " or equal to the base_interval of 25ms",
    ),
    ("hedgeOnPerTryTimeout: true", "hedging needs routes.cart.retries with attempts and a perTryTimeout"),
    (
        "localRateLimit: {tokenBucket: {maxTokens: 1, fillInterval: 1s}, filterEnforced: 100%}",
        f"{IN_ENVOY}.localRateLimit: filterEnabled is 0% when absent, as in Envoy: it limits nothing",
    ),
    (
        "localRateLimit: {tokenBucket: {maxTokens: 1, fillInterval: 1s}, filterEnabled: 100%}",
        "filterEnforced is 0% when absent, as in Envoy: it refuses nothing",
    ),
    (
        "localRateLimit: {tokenBucket: {maxTokens: 1, fillInterval: 49ms},"
        " filterEnabled: 1%, filterEnforced: 1%}",
        "fillInterval: local rate limit token bucket fill timer must be >= 50ms",
    ),
]

# Faults instead of the one that is there.
FAULTS = [
    (
        "{kind: crashed-host, service: cart, factor: 2}",
        "factor belongs to slow-host or load-surge, not to cr",
    ),
    ("{kind: unreachable-host}", '"service" is missing; an unreachable-host needs it'),
    ("{kind: resetting-host, service: cart}", '"how" is missing; a resetting-host needs it'),
    (
        "{kind: resetting-host, service: cart, how: reset}",
        '"reset" is not one of connection-close, connection-close-after-100,',
    ),
    (
        "{kind: resetting-host, service: cart, how: refused-stream}",
        "faults[0].how: cart speaks HTTP/1.1, which has no streams; choose connection-close",
    ),
    (
        "{kind: failing-host, service: cart, grpcStatus: 14}",
        "faults[0].grpcStatus: cart speaks http1, a grpcStatus needs protocol: grpc",
    ),
    (
        "{kind: failing-host, service: cart, grpcStatus: 0}",
        "gRPC status 0 is not a failure: 1 to 16, or a nam",
    ),
    ("{kind: failing-host, service: cart, grpcStatus: UNAVAILBLE}", "did you mean UNAVAILABLE?"),
    (
        "{kind: failing-host, service: cart, code: 500, grpcStatus: 14}",
        "either a code or a grpcStatus, not b",
    ),
    ("{kind: failing-host, service: cart, code: 399}", "399 is too small: at least 400"),
]

# Loads instead of the one that is there.
LOADS = [
    ("{}", 'load: "rate" is missing (or users)'),
    ("{rate: 1/s, users: {count: 3}}", "load.users: give either a rate or users, not both"),
    ("{users: {count: 0}}", "load.users.count: 0 is too small: at least 1"),
    ("{users: {count: 100001}}", "100001 is too large: at most 100000"),
    ("{users: {count: 1, requests: 0}}", "load.users.requests: 0 is too small: at least 1"),
    ("{users: {count: 1}, burst: 3}", "load.burst: burst belongs to a rate, not to users"),
    ("{users: {count: 1}, people: 3}", "load.people: people belongs to a rate, not to users"),
    ("{users: {count: 1}, arrivals: even}", "load.arrivals: arrivals belongs to a rate, not to users"),
    ("{users: {count: 1, thinkAfterFailure: 0ms}}", "fails at once and tries again at once does so for ever"),
    ("{rate: 1/s, burst: 0}", "load.burst: 0 is too small: at least 1"),
]


def only_problem(folder: Folder) -> str:
    problems = folder.problems()
    assert len(problems) == 1, problems
    return problems[0]


def one_arm(folder: Folder) -> None:
    """Leave nothing but the model."""
    text = Path(E).read_text(encoding="utf-8")
    folder.write(E, text[: text.index("arms:")] + "arms: [{name: only}]\n")


def add(folder: Folder, key: str, block: str) -> None:
    """Say something of cart under a key of the model."""
    text = Path(M).read_text(encoding="utf-8")
    block = block if block.startswith("{") else f"{{{block}}}"
    folder.write(M, f"{text}{key}:\n  # cart\n  cart: {block}\n")


@pytest.mark.parametrize(("policy", "expected"), POLICIES)
def test_policies(folder: Folder, policy: str, expected: str) -> None:
    one_arm(folder)
    folder.change(
        M, "cart:\n    " + OLD_POLICY, f"cart:\n    {policy}" if policy[0] != "{" else f"cart: {policy}"
    )
    assert expected in only_problem(folder)


@pytest.mark.parametrize(("route", "expected"), ROUTES)
def test_routes(folder: Folder, route: str, expected: str) -> None:
    one_arm(folder)
    add(folder, "routes", route)
    assert expected in only_problem(folder)


@pytest.mark.parametrize(("settings", "expected"), SETTINGS)
def test_settings_of_envoy(folder: Folder, settings: str, expected: str) -> None:
    one_arm(folder)
    add(folder, "envoy", settings)
    assert expected in only_problem(folder)


@pytest.mark.parametrize(("fault", "expected"), FAULTS)
def test_faults(folder: Folder, fault: str, expected: str) -> None:
    text = Path(E).read_text(encoding="utf-8")
    old = text[text.index("  - name: slow-cart") : text.index("arms:")]
    folder.change(E, old, f"  - {fault.replace('{', '{name: f, ', 1)}\n")
    assert expected in only_problem(folder)


@pytest.mark.parametrize(("load", "expected"), LOADS)
def test_loads(folder: Folder, load: str, expected: str) -> None:
    folder.change(E, "load:\n  rate: 100/s", f"load: {load}")
    assert expected in only_problem(folder)


def test_a_surge_needs_a_rate(folder: Folder) -> None:
    folder.change(E, "load:\n  rate: 100/s", "load: {users: {count: 3}}")
    folder.change(E, "kind: slow-host\n    service: cart\n    hosts: 1\n", "kind: load-surge\n")
    assert only_problem(folder).endswith(
        "faults[0].kind: a load-surge multiplies a rate; this load has users"
    )


def test_the_longest_ejection_is_checked_with_the_base_of_istio(folder: Folder) -> None:
    add(folder, "envoy", "outlierDetection: {maxEjectionTime: 30s}")
    assert load_experiment(E).arms
    path = "trafficPolicies.cart.outlierDetection.baseEjectionTime"
    with pytest.raises(
        SpecError, match=r"envoy.cart.outlierDetection.maxEjectionTime: outlier detector's max"
    ):
        load_experiment(E, [f"{path}=31s"])


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "distribute: [{from: eu/*, to: {eu/a: 60, eu/b: 40}}]",
            'distribute[0].to.eu/b: no host of cart is in "eu/b"; there is eu/a, us/a (did you mean "eu/a"?)',
        ),
        (
            "distribute: [{from: eu/b/*, to: {'*': 100}}]",
            'distribute[0].from: no host of the model is in "eu/b/*"',
        ),
        ("failover: [{from: eu, to: ap}]", 'failover[0].to: no host of cart is in "ap"; there is eu/a, us/a'),
        ("failover: [{from: ap, to: eu}]", 'failover[0].from: no host of the model is in "ap"'),
    ],
)
def test_localities_that_no_host_is_in(folder: Folder, setting: str, expected: str) -> None:
    one_arm(folder)
    folder.change(M, "hosts: 4\n", "hosts: 4\n    localities: {eu/a: 1, us/a: 3}\n")
    balancer = f"loadBalancer: {{localityLbSetting: {{{setting}}}}}"
    folder.change(M, f"cart:\n    {OLD_POLICY}", f"cart: {{{balancer}, outlierDetection: {{}}}}")
    assert expected in only_problem(folder)


@pytest.mark.parametrize(
    ("localities", "expected"),
    [
        ("{eu/a: 3}", "services.cart.localities: the localities have 3 hosts together, the service has 4"),
        ("{eu/*: 4}", '"eu/*" is not a locality, e.g. eu-west/a'),
        ("{a/b/c/d: 4}", '"a/b/c/d" is not a locality'),
    ],
)
def test_localities_are_those_of_the_hosts(folder: Folder, localities: str, expected: str) -> None:
    folder.change(M, "hosts: 4\n", f"hosts: 4\n    localities: {localities}\n")
    assert expected in only_problem(folder)


@pytest.mark.parametrize(
    ("settings", "policy", "expected"),
    [
        ("zoneAwareLbConfig: {}", "outlierDetection: {}", "hosts have priorities by their distance"),
        (
            "{zoneAwareLbConfig: {}, localityWeighted: true}",
            OLD_POLICY,
            "zoneAwareLbConfig: localities are chosen by weight here; only one of the two is possible",
        ),
        ("zoneAwareLbConfig: {minClusterSize: 0}", OLD_POLICY, "minClusterSize: 0 is too small: at least 1"),
    ],
)
def test_zone_aware_routing(folder: Folder, settings: str, policy: str, expected: str) -> None:
    one_arm(folder)
    folder.change(M, "hosts: 4\n", "hosts: 4\n    localities: {eu/a: 1, us/a: 3}\n")
    folder.change(M, OLD_POLICY, policy)
    add(folder, "envoy", settings)
    assert expected in only_problem(folder)


def test_random_takes_no_notice_of_weights(folder: Folder) -> None:
    one_arm(folder)
    folder.change(M, "cart:\n    hosts: 4\n", "cart:\n    versions: {v1: {hosts: 4}}\n")
    add(folder, "envoy", "{weights: {v1: 2}, lbPolicy: RANDOM}")
    assert only_problem(folder).endswith("envoy.cart.weights: RANDOM takes no notice of weights")


def test_pauses_between_no_retries(folder: Folder) -> None:
    one_arm(folder)
    add(folder, "envoy", "retryBackOff: {maxInterval: 1s}")
    add(folder, "routes", "retries: {attempts: 0}")
    assert "maxInterval: routes.cart.retries has no attempts" in only_problem(folder)


def test_services_that_are_not_there(folder: Folder) -> None:
    text = Path(M).read_text(encoding="utf-8")
    folder.write(M, text + "subsets: {carr: {v1: {}}}\nenvoy: {wep: {}}\n")
    assert [problem.partition(": ")[2] for problem in folder.problems()] == [
        'subsets.carr: there is no service "carr" (did you mean "cart"?)',
        'envoy.wep: there is no service "wep" (did you mean "web"?)',
    ]


def test_too_many_hosts_in_all(folder: Folder) -> None:
    folder.change(M, "hosts: 2\n", "hosts: 1001\n")
    folder.change(M, "hosts: 4\n", "hosts: 1000\n")
    with pytest.raises(SpecError) as error:
        load_model(M)
    assert str(error.value) == (
        "model.yaml:15:3: services.cart: the proxies of all callers would know 1,001,000 hosts in all,"
        " 1,001,000 of them between web and cart; at most 1,000,000 are possible"
    )


def test_too_many_hashes_in_all(folder: Folder) -> None:
    folder.change(M, "hosts: 2\n", "hosts: 500\n")
    folder.change(
        M, OLD_POLICY, "loadBalancer: {consistentHash: {httpHeaderName: x, maglev: {tableSize: 65537}}}"
    )
    with pytest.raises(
        SpecError, match=r"services.cart: the tables of all callers would have 32,768,500 hash"
    ):
        load_model(M)


RULE_WITH_SUBSETS = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart}
spec:
  host: web
  subsets:
    - {name: one, labels: {version: v1}, trafficPolicy: {outlierDetection: {interval: 3s}}}
    - {name: all}
"""


def test_subsets_of_a_destination_rule(folder: Folder) -> None:
    folder.write("rule.yaml", RULE_WITH_SUBSETS)
    folder.change(M, "mesh:\n", "mesh:\n  manifests: [rule.yaml]\n")
    subsets = load_model(M).subsets["web"]
    assert [(name, subset.version) for name, subset in subsets.items()] == [("one", "v1"), ("all", None)]
    assert subsets["one"].traffic_policy is not None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: all", "name: one", "rule.yaml:8:14: spec.subsets[1].name: duplicate subset names: one"),
        (
            "version: v1",
            "app: x",
            "rule.yaml:7:33: spec.subsets[0].labels.app: hosts of a model have the lab",
        ),
        ("interval: 3s", "interval: 3", "rule.yaml:7:"),
    ],
)
def test_wrong_subsets_of_a_destination_rule(folder: Folder, old: str, new: str, expected: str) -> None:
    folder.write("rule.yaml", RULE_WITH_SUBSETS.replace(old, new))
    folder.change(M, "mesh:\n", "mesh:\n  manifests: [rule.yaml]\n")
    assert expected in folder.problems()[0]


def test_two_sources_of_subsets(folder: Folder) -> None:
    folder.write("rule.yaml", RULE_WITH_SUBSETS)
    folder.change(M, "mesh:\n", "mesh:\n  manifests: [rule.yaml]\n")
    folder.write(M, Path(M).read_text(encoding="utf-8") + "subsets: {web: {x: {}}}\n")
    with pytest.raises(
        SpecError, match=r'rule.yaml:5:9: spec.host: "web" has subsets already: model.yaml:27'
    ):
        load_model(M)
