"""Small random systems: every mechanism, limits that overflow, faults; a second or two of load each.

* Services s0, s1, ... ; s0 gets the load, and a service calls only services of higher number.
* A system is drawn as the tree that a user would write, so that it passes through loader and planner.
* Everything that can be written is drawn: pools, detectors, balancers, filters, health checks, all faults.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from resilim.plan import plan
from resilim.run import Run
from resilim.spec import load_experiment

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND

Tree = dict[str, Any]
Draw = st.DrawFn

ENTRY = "s0"
_WINDOWS = {"warmUp": "200ms", "before": "200ms", "fault": "600ms", "after": "500ms"}
TOTAL = 1500 * MILLISECOND


def resolve(model: Tree, experiment: Tree) -> Run:
    """The run of the only arm of an experiment."""
    with tempfile.TemporaryDirectory() as folder:
        # JSON is YAML
        Path(folder, "model.yaml").write_text(json.dumps(model))
        Path(folder, "experiment.yaml").write_text(json.dumps(experiment))
        return plan(load_experiment(Path(folder, "experiment.yaml")).arms[0]).run


def model_of(services: Mapping[str, Tree], **more: Tree) -> Tree:
    """A model with these services; `more`: mesh, trafficPolicies, routes, subsets, envoy."""
    return {"kind": "Model", "name": "random", "services": dict(services)} | more


def experiment_of(rate: int, client: Tree, faults: list[Tree], time: Tree | None = None) -> Tree:
    """An experiment of one arm; `rate` in requests a second."""
    return {
        "kind": "Experiment",
        "name": "random",
        "model": "model.yaml",
        "load": {"rate": f"{rate}/s", "client": client},
        "time": time or _WINDOWS,
        "faults": faults,
        "arms": [{"name": "only"}],
    }


def maybe(draw: Draw, values: st.SearchStrategy[Any], tree: Tree, key: str) -> None:
    """Set `tree[key]`, or leave it out."""
    value = draw(st.none() | values)
    if value is not None:
        tree[key] = value


def few(*numbers: int) -> st.SearchStrategy[str]:
    """One of some numbers, as a scalar of YAML."""
    return st.sampled_from([str(number) for number in numbers])


def ms(low: int, high: int) -> st.SearchStrategy[str]:
    """Durations of whole milliseconds."""
    return st.integers(low, high).map("{}ms".format)


@st.composite
def laws(draw: Draw) -> Any:
    """Any law of duration, a few ms in the mean."""
    mean = draw(st.integers(100, 8000))
    kind = draw(st.sampled_from(["constant", "uniform", "exponential", "lognormal", "median", "pareto"]))
    return {
        "constant": f"{mean}us",
        "uniform": {"uniform": [f"{mean // 2}us", f"{2 * mean}us"]},
        "exponential": {"exponential": {"mean": f"{mean}us"}},
        "lognormal": {"lognormal": {"mean": f"{mean}us", "p99": f"{4 * mean}us"}},
        "median": {"lognormal": {"median": f"{mean}us", "p99": f"{6 * mean}us"}},
        "pareto": {"pareto": {"mean": f"{mean}us", "shape": draw(st.sampled_from(["1.5", "2.5", "4"]))}},
    }[kind]


@st.composite
def call_steps(draw: Draw, callees: list[str]) -> list[Tree]:
    """Steps that call all of `callees`, one after the other or at the same time."""
    calls = []
    for callee in callees:
        call: Tree = {"call": f"{callee}.GET /"}
        maybe(draw, st.sampled_from(["30%", "80%"]), call, "probability")
        maybe(draw, st.just("true"), call, "optional")
        calls.append(call)
    if len(calls) > 1 and draw(st.booleans()):
        return [{"parallel": calls}]
    return calls


@st.composite
def services(draw: Draw) -> dict[str, Tree]:
    """Two to six services whose calls have no cycle and reach all of them."""
    number = draw(st.integers(2, 6))
    callees: dict[int, list[str]] = {index: [] for index in range(number)}
    for callee in range(1, number):
        for caller in draw(st.sets(st.integers(0, callee - 1), min_size=1, max_size=2)):
            callees[caller].append(f"s{callee}")
    made: dict[str, Tree] = {}
    for index in range(number):
        steps = draw(call_steps(draw(st.permutations(callees[index]))))
        place = draw(st.integers(0, len(steps)))
        if not steps or draw(st.integers(0, 9)) > 0:
            steps.insert(place, {"work": draw(laws())})
        made[f"s{index}"] = {
            "workers": draw(few(1, 2, 3, 6)),
            "queue": draw(few(10, 0, 1, 3, 50)),
            "protocol": draw(st.sampled_from(["http1", "http1", "http2", "grpc"])),
            "endpoints": {"GET /": {"steps": steps}},
        } | draw(hosts())
    return made


@st.composite
def hosts(draw: Draw) -> Tree:
    """Hosts of a service, in versions, in localities, or just so many."""
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return {"versions": {"v1": {"hosts": draw(few(1, 2))}, "v2": {"hosts": "1"}}}
    if kind == 1:
        return {"hosts": "3", "localities": {"eu/a": "1", "eu/b": "1", "us/a": "1"}}
    return {"hosts": draw(few(1, 2, 3, 4))}


@st.composite
def traffic_policies(draw: Draw, multiplexed: bool) -> Tree:
    """A traffic policy with limits that are easily reached, and timers that fire."""
    tcp: Tree = {}
    http: Tree = {}
    maybe(draw, few(1, 2, 4), tcp, "maxConnections")
    maybe(draw, ms(2, 9), tcp, "connectTimeout")
    maybe(draw, ms(5, 90), tcp, "maxConnectionDuration")
    maybe(draw, few(1, 2, 4), http, "http1MaxPendingRequests")
    maybe(draw, few(1, 2, 4, 8), http, "http2MaxRequests")
    maybe(draw, few(1, 2, 5), http, "maxRequestsPerConnection")
    maybe(draw, few(1, 2), http, "maxRetries")
    maybe(draw, ms(2, 60), http, "idleTimeout")
    if multiplexed:
        maybe(draw, few(1, 3), http, "maxConcurrentStreams")
    pool = {key: limits for key, limits in (("tcp", tcp), ("http", http)) if limits}
    policy: Tree = {"connectionPool": pool} if pool else {}
    if draw(st.integers(0, 2)) > 0:
        policy["outlierDetection"] = draw(detectors())
    maybe(draw, balancers(), policy, "loadBalancer")
    if "maxRetries" not in http:
        maybe(draw, st.just({"percent": "30", "minRetryConcurrency": "1"}), policy, "retryBudget")
    return policy


@st.composite
def detectors(draw: Draw) -> Tree:
    """Outlier detection as Istio writes it."""
    detector = {
        "consecutive5xxErrors": draw(few(1, 2, 3, 0)),
        "interval": draw(st.sampled_from(["20ms", "50ms", "200ms"])),
        "baseEjectionTime": draw(st.sampled_from(["20ms", "50ms", "200ms"])),
        "maxEjectionPercent": draw(few(100, 50, 34, 10)),
        "minHealthPercent": draw(few(0, 50, 70)),
    }
    maybe(draw, few(1, 2), detector, "consecutiveGatewayErrors")
    if draw(st.booleans()):
        detector |= {"splitExternalLocalOriginErrors": "true", "consecutiveLocalOriginFailures": "2"}
    return detector


@st.composite
def balancers(draw: Draw) -> Tree:
    """A load balancer of any kind."""
    if draw(st.integers(0, 3)) == 0:
        tables = [{"ringHash": {"minimumRingSize": "64"}}, {"maglev": {"tableSize": "67"}}]
        what = draw(st.sampled_from([{"httpHeaderName": "x-user"}, {"useSourceIp": "true"}]))
        return {"consistentHash": what | draw(st.sampled_from(tables))}
    balancer: Tree = {"simple": draw(st.sampled_from(["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"]))}
    if balancer["simple"] != "RANDOM":
        maybe(draw, st.just({"duration": "300ms"}), balancer, "warmup")
    return balancer


@st.composite
def envoys(draw: Draw, versions: bool) -> Tree:
    """What only Envoy can be told."""
    made: Tree = {}
    periodic = {
        "enforcingSuccessRate": "80",
        "successRateMinimumHosts": "2",
        "successRateRequestVolume": "5",
        "enforcingFailurePercentage": "100",
        "failurePercentageThreshold": "40",
        "failurePercentageMinimumHosts": "1",
        "failurePercentageRequestVolume": "5",
        "maxEjectionTimeJitter": "20ms",
        "alwaysEjectOneHost": "true",
        "interval": "100ms",
        "baseEjectionTime": "50ms",
    }
    maybe(draw, st.just(periodic), made, "outlierDetection")
    maybe(draw, st.sampled_from(["0s", "100ms"]), made, "updateMergeWindow")
    maybe(draw, few(0, 40, 60), made, "healthyPanicThreshold")
    maybe(draw, st.just({"perUpstreamPreconnectRatio": "1.5"}), made, "preconnectPolicy")
    maybe(draw, st.just({"perHostMaxConnections": "2"}), made, "circuitBreakers")
    maybe(draw, st.just({"maxConnectionPools": "1"}), made, "circuitBreakers")
    checks = {"timeout": "10ms", "interval": "40ms", "unhealthyThreshold": "2", "healthyThreshold": "2"}
    maybe(draw, st.just(checks | {"noTrafficInterval": "50ms"}), made, "healthChecks")
    maybe(draw, st.just("5%"), made, "dropOverload")
    maybe(draw, ms(5, 40), made, "maxStreamDuration")
    bucket = {"maxTokens": "5", "tokensPerFill": "10", "fillInterval": "50ms"}
    enforced = draw(st.sampled_from(["100%", "50%"]))
    limit = {"tokenBucket": bucket, "filterEnabled": "100%", "filterEnforced": enforced}
    maybe(draw, st.just(limit), made, "localRateLimit")
    if versions:
        maybe(draw, st.just({"v1": "3", "v2": "1"}), made, "weights")
    # Most systems have few of these, so that they do not hide each other.
    kept = draw(st.lists(st.sampled_from(sorted(made)), max_size=3, unique=True)) if made else []
    made = {key: made[key] for key in kept}
    if made.get("healthyPanicThreshold", "0") != "0":
        maybe(draw, st.just("true"), made, "failTrafficOnPanic")
    return made


RETRY_ON = [
    "5xx",
    "gateway-error",
    "reset",
    "503",
    "500,503",
    "retriable-4xx,reset",
    "gateway-error,504",
    "connect-failure,refused-stream,unavailable,cancelled",
    "reset-before-request,internal",
]


@st.composite
def routes(draw: Draw, versions: bool, name: str) -> Tree:
    """A route with a timeout, a per-try timeout, retries, faults, weights and a mirror, or without."""
    route: Tree = {}
    timeout = draw(st.none() | st.integers(5, 120))
    if timeout is not None:
        route["timeout"] = f"{timeout}ms"
    retries = draw(st.sampled_from([None, 0, 1, 2, 4]))
    if retries is not None:
        route["retries"] = {"attempts": str(retries)}
    if retries:
        route["retries"] |= {"retryOn": draw(st.sampled_from(RETRY_ON)), "backoff": draw(ms(1, 20))}
        if timeout is None or timeout > 2:
            maybe(draw, ms(1, (timeout or 60) - 1), route["retries"], "perTryTimeout")
        maybe(draw, st.just("false"), route["retries"], "retryIgnorePreviousHosts")
    if draw(st.integers(0, 3)) == 0:
        delay = {"percentage": {"value": "20"}, "fixedDelay": draw(ms(1, 30))}
        abort = {"percentage": {"value": "10"}, "httpStatus": draw(few(503, 404))}
        both = {"delay": delay, "abort": abort}
        route["fault"] = draw(st.sampled_from([{"delay": delay}, {"abort": abort}, both]))
    if versions and draw(st.booleans()):
        route["route"] = [
            {"destination": {"host": name, "subset": subset}, "weight": weight}
            for subset, weight in (("old", "70"), ("new", "30"))
        ]
    if versions:
        maybe(draw, st.just({"host": name, "subset": "new"}), route, "mirror")
    if "mirror" in route:
        maybe(draw, st.just({"value": "50"}), route, "mirrorPercentage")
    return route


KINDS = [
    "failing-host",
    "failing-host",
    "resetting-host",
    "crashed-host",
    "unreachable-host",
    "slow-host",
    "load-surge",
]


@st.composite
def faults(draw: Draw, services: Mapping[str, Tree], closed: bool) -> list[Tree]:
    """Up to five faults; those of one kind may overlap."""
    made: list[Tree] = []
    for number in range(draw(st.sampled_from([3, 4, 5, 2, 1, 0]))):
        kind = draw(st.sampled_from(KINDS[: len(KINDS) - int(closed)]))
        begins, lasts = draw(st.integers(0, 1000)), draw(st.integers(100, 500))
        fault: Tree = {"name": f"f{number}", "kind": kind}
        fault |= {"from": f"{begins}ms", "until": f"{begins + lasts}ms"}
        if kind == "load-surge":
            fault["factor"] = draw(st.sampled_from(["0.3", "2", "4"]))
        else:
            fault["service"] = draw(st.sampled_from(list(services)))
            maybe(draw, st.just("1"), fault, "hosts")
        if kind == "slow-host":
            fault["factor"] = draw(st.sampled_from(["3", "20"]))
        if kind in ("failing-host", "resetting-host"):
            fault["probability"] = draw(st.sampled_from(["30%", "100%"]))
        if kind == "failing-host":
            fault["code"] = draw(st.sampled_from(["500", "503", "504", "409"]))
        if kind == "resetting-host":
            ways = ["connection-close", "connection-close-after-100", "protocol-error"]
            if services[fault["service"]]["protocol"] != "http1":
                ways += ["stream-reset", "refused-stream"]
            fault["how"] = draw(st.sampled_from(ways))
        made.append(fault)
    return made


@st.composite
def loads(draw: Draw, client: Tree) -> Tree:
    """Open load, in bursts or not, or users who wait."""
    load: Tree = {"client": client}
    if draw(st.integers(0, 3)) == 0:
        users = {"count": draw(few(1, 5, 20)), "think": draw(st.sampled_from(["0ms", "20ms"]))}
        users["thinkAfterFailure"] = "30ms"
        maybe(draw, few(10), users, "requests")
        return load | {"users": users}
    load["rate"] = f"{draw(st.sampled_from([200, 500, 900, 60]))}/s"
    load["arrivals"] = draw(st.sampled_from(["poisson", "even"]))
    maybe(draw, few(2, 7), load, "burst")
    maybe(draw, few(5), load, "people")
    return load


@st.composite
def systems(draw: Draw, patient: bool = True) -> Run:
    """The run of a random system; not `patient`: the client always has a timeout."""
    made = draw(services())
    policies: Tree = {}
    ways: Tree = {}
    envoy: Tree = {}
    subsets: Tree = {}
    for name, service in made.items():
        versions = "versions" in service
        if versions:
            subsets[name] = {"old": {"version": "v1"}, "new": {"version": "v2"}}
        if draw(st.integers(0, 3)) > 0:
            policies[name] = draw(traffic_policies(service["protocol"] != "http1"))
        if draw(st.integers(0, 3)) > 0:
            ways[name] = draw(routes(versions, name))
        if draw(st.integers(0, 2)) == 0:
            envoy[name] = draw(envoys(versions))
    hop = draw(st.sampled_from(["0ms", "1ms", {"uniform": ["500us", "1500us"]}]))
    sidecar = {"hop": hop, "connect": draw(laws()), "tlsHandshake": draw(laws())}
    sidecar["mtls"] = draw(st.sampled_from(["STRICT", "DISABLE"]))
    sidecar["concurrency"] = draw(few(1, 2, 3))
    client: Tree = {"sidecar": draw(st.sampled_from(["true", "false"]))}
    timeout = ms(20, 300)
    if patient:
        maybe(draw, timeout, client, "timeout")
    else:
        client["timeout"] = draw(timeout)
    model = model_of(
        made, mesh={"sidecar": sidecar}, trafficPolicies=policies, routes=ways, subsets=subsets, envoy=envoy
    )
    load = draw(loads(client))
    experiment = experiment_of(1, client, draw(faults(made, "users" in load)))
    experiment["load"] = load
    run = resolve(model, experiment)
    return replace(run, seed=draw(st.integers(0, 2**63 - 1)))
