"""Every mistake is shown at its place, in words, and all mistakes are shown at once."""

from __future__ import annotations

import pickle
import time

import pytest

from resilim.spec import SpecError, load_experiment, load_model
from resilim.spec.problems import Problem, nearest

from .files import RULE, Folder

M, E = "model.yaml", "experiment.yaml"
WORK = "- work: 3ms"
CALL = "- call: cart.GET /cart"
RATE = "rate: 100/s"
CART = 'services.cart.endpoints["GET /cart"].steps[0]'
WEB = 'services.web.endpoints["GET /"].steps[1]'

ONE_MISTAKE = [
    # model: keys and values
    (M, "hosts: 2", "hots: 2", ':7:5: services.web: unknown key "hots" (did you mean "hosts"?)'),
    (M, "hosts: 2", "hosts: 0", ":7:12: services.web.hosts: 0 is too small: at least 1"),
    (M, "hosts: 2", "hosts: 10001", ":7:12: services.web.hosts: 10001 is too large: at most 10000"),
    (M, "hosts: 2", "hosts: 2.5", '"2.5" is not a whole number'),
    (M, "hosts: 2", "hosts:", ':6:3: services.web: "hosts" is missing (or versions)'),
    (M, "queue: 10", "queue: -1", ":9:12: services.web.queue: queue must be non-negative, not -1"),
    (M, "    workers: 8\n", "", ':6:3: services.web: "workers" is missing'),
    (M, "workers: 8", "workers:", ":8:5: services.web.workers: a value is missing"),
    (M, "workers: 8", "workers: [8]", ":8:14: services.web.workers: a whole number, e.g. 4 is ne"),
    (M, "kind: Model", "kind: Modell", ':1:7: kind: "Modell" is not Model (did you mean'),
    (M, "kind: Model", "kind: [Model]", ":1:7: kind: Model is needed here, not a list"),
    (M, "mesh:\n", "mesh:\n  istioVersion: 1.3\n", ":4:17: mesh.istioVersion: Istio 1.3 is not"),
    (M, "  web:", "  w_b:", ':6:3: services.w_b: "w_b" is not a name that can be used here'),
    (M, "[1ms, 3ms]", "[1ms, 3]", ':4:34: mesh.sidecar.hop.uniform[1]: "3" needs a unit, e.g. 3ms'),
    (M, "[1ms, 3ms]", "[3ms, 1ms]", ":4:19: mesh.sidecar.hop.uniform: the shortest, 3ms, is above"),
    (M, WORK, "- work: 3", f':22:19: {CART}.work: "3" needs a unit, e.g. 3ms'),
    (M, WORK, "- work: {expo: 3ms}", f':22:20: {CART}.work: unknown key "expo"'),
    (
        M,
        WORK,
        "- work: {lognormal: {mean: 1ms, p99: 1s}}",
        f":22:48: {CART}.work.lognormal.p99: no",
    ),
    # model: steps and references
    (M, WORK, "- {}", f":22:13: {CART}: a step is one of work, call or parallel, not none of them"),
    (M, WORK, WORK + "\n            call: a.b", "one of work, call or parallel, not work and call"),
    (M, WORK, "- {work: 3ms, optional: on}", f"{CART}.optional: optional belongs to a call, not"),
    (M, WORK, "- parallel: []", f":22:13: {CART}.parallel: at least 1 call is needed here"),
    (M, WORK, f"- parallel: [{', '.join(['{call: a.b}'] * 65)}]", "more than 64 are not possible"),
    (M, "steps:\n          - work: 3ms", "steps: []", ".steps: at least 1 is needed here"),
    (M, CALL, "- call: cart", f':14:19: {WEB}.call: "cart" is not a call, e.g. cart.GET /cart'),
    (M, CALL, "- call: card.GET /cart", f':14:19: {WEB}.call: there is no service "card" (did you'),
    (
        M,
        CALL,
        "- call: cart.GET /card",
        'there is no endpoint of cart "GET /card" (did you mean "G',
    ),
    (M, CALL, "- parallel: [{call: cart.x}]", f":14:31: {WEB}.parallel[0].call: there is no end"),
    (M, CALL, "- {call: cart.GET /cart, probability: 0.4}", '"0.4" needs a percent sign, e.g. 70%'),
    (
        M,
        WORK,
        "- call: web.GET /",
        "calls that never end: web.GET / -> cart.GET /cart -> web.GET /",
    ),
    (M, WORK, "- call: cart.GET /cart", "calls that never end: cart.GET /cart -> cart.GET /cart"),
    # model: policies
    (
        M,
        "  cart:\n    connectionPool",
        "  card:\n    connectionPool",
        ":24:3: trafficPolicies.card: th",
    ),
    (
        M,
        "http2MaxRequests",
        "http2MaxRequest",
        ":25:29: trafficPolicies.cart.connectionPool.http: un",
    ),
    (M, "{http2MaxRequests: 20}", "{}", "connection pool must have at least one field"),
    (
        M,
        "s: 20}",
        "s: -1}",
        ":25:47: trafficPolicies.cart.connectionPool.http.http2MaxRequests: http2",
    ),
    (M, "http2MaxRequests: 20", "useClientProtocol: on", "useClientProtocol is an Istio field that"),
    (
        M,
        "connectionPool: {http: {http2MaxRequests: 20}}",
        "loadBalancer: {simple: RANDO}",
        "RANDOM",
    ),
    # experiment
    (E, RATE, "rate: 100", ':5:9: load.rate: "100" needs a unit, e.g. 300/s'),
    (
        E,
        RATE,
        RATE + "\n  mix: {GET /x: 100%}",
        ':6:17: load.mix["GET /x"]: there is no endpoint of',
    ),
    (
        E,
        RATE,
        RATE + "\n  mix: {GET /: 90%}",
        ":6:3: load.mix: the shares are 90% together, 100% ar",
    ),
    (E, RATE, RATE + "\n  entry: wob", ':6:10: load.entry: there is no service "wob" (did you mea'),
    (E, RATE, RATE + "\n  entry: cart\n  mix: {GET /: 100%}", 'no endpoint of cart "GET /"'),
    (E, "warmUp: 10s", "warmUp: auto", ':6:16: time.warmUp: "auto" is not a duration'),
    (E, "before: 20s, ", "", ':6:1: time: "before" is missing'),
    (E, "after: 40s", "after: 200h", ":6:1: time: 12001m together are too long: at most 7 days"),
    (E, "before: 20s, fault: 30s, after: 40s", "before: 0s, fault: 0s, after: 0s", "nothing to me"),
    (E, "name: small", "name: ../small", ':2:7: name: "../small" is not a name that can be used'),
    (E, "model: model.yaml", "model: m.yaml", ':3:8: model: there is no file "m.yaml"'),
    (E, "model: model.yaml", "model: .", ':3:8: model: "." is a directory'),
    # faults
    (
        E,
        "service: cart",
        "service: crat",
        ':10:14: faults[0].service: there is no service "crat" (',
    ),
    (
        E,
        "arms:",
        "  - {name: slow-cart, kind: load-surge, factor: 2}\narms:",
        ':13:12: faults[1].name: a fault "slow-cart" is there already',
    ),
    (E, "hosts: 1", "hosts: 5", ":11:12: faults[0].hosts: 5 hosts of 4: cart has no more"),
    (E, "hosts: 1", "version: v1", 'faults[0].version: there is no version of cart "v1"'),
    (
        E,
        "factor: 20",
        "factor: 2\n    code: 503",
        ":13:11: faults[0].code: code belongs to failing-host, not to s",
    ),
    (E, "    factor: 20\n", "", ':8:5: faults[0]: "factor" is missing; a slow-host needs it'),
    (
        E,
        "factor: 20",
        "factor: 2\n    until: 101s",
        ":13:12: faults[0].until: 101s is at 101s; the s",
    ),
    (E, "factor: 20", "factor: 2\n    from: before.start - 11s", "is 1s before the simulation st"),
    (E, "factor: 20", "factor: 2\n    until: fault.start", "before it begins (fault.start), or at"),
    (
        E,
        "factor: 20",
        "factor: 2\n    until: fault.begin",
        '"fault.begin" is not one of before.sta',
    ),
    (E, "factor: 20", "factor: 2\n    until: fault.end - 5", '"5" needs a unit'),
    (
        E,
        "kind: slow-host",
        "kind: slow-hosts",
        ':9:11: faults[0].kind: "slow-hosts" is not one of sl',
    ),
    # arms
    (
        E,
        "name: eject and retry\n",
        "name: today\n",
        ':19:11: arms[2].name: an arm "today" is there alr',
    ),
    (
        E,
        "from: eject",
        "from: ejct",
        ':20:11: arms[2].from: no arm "ejct" comes before this one (d',
    ),
    (E, "interval: 5s", "interval: 5", ":18:19: trafficPolicies.cart.outlierDetection.interval: "),
    (E, "interval: 5s", "interval: 1us", "1us is too short: at least 1ms"),
    (E, "interval: 5s", "interval: 1500us", "only durations to ms precision are supported"),
    (E, "interval: 5s", "maxEjectionPercent: 101", "percentage 101 is not in range 0..100"),
    (E, "interval: 5s", "consecutiveErrors: 5", "does not simulate yet"),
    (
        E,
        "trafficPolicies.cart.out",
        "trafficPolices.cart.out",
        ":17:7: trafficPolices.cart.outlierD",
    ),
    (
        E,
        "trafficPolicies.cart.out",
        "trafficPolicies.card.out",
        ":17:7: trafficPolicies.card: there",
    ),
    (E, "trafficPolicies.cart.out", "time.cart.out", "time is the same in every arm"),
    (E, "routes.cart.retries", "routes..retries", ':22:7: "routes..retries" is not a path'),
    (E, "routes.cart.retries", "services.web[0]", "services.web is a mapping, not a list"),
    (E, "routes.cart.retries", "faults[1].factor", ":22:7: faults[1].factor: faults has no item 1"),
    (E, "routes.cart.retries", "load.rate.x", ":22:7: load.rate.x: load.rate is"),
    (E, "attempts: 1", "attempts: 21", ":22:39: routes.cart.retries.attempts: 21 is too large"),
    (E, "attempts: 1", "perTryTimeout: 1s", "Istio reads retries without attempts as attempts: 0"),
    (E, "{attempts: 1}", "{}", "Istio reads an empty block as no retries at all"),
    (
        E,
        "attempts: 1",
        "attempts: 0, retryOn: 5xx",
        "configured when attempts are set to 0 (disabled)",
    ),
    (
        E,
        "attempts: 1",
        'attempts: 1, retryOn: "5xx, reset"',
        '" reset" is not a valid retryOn policy',
    ),
    (E, "attempts: 1", "attempts: 1, retryOn: retriable-headers", "does not simulate yet"),
    (E, "attempts: 1", "attempts: 1, retryOn: envoy-ratelimited", "does not simulate yet"),
    (E, "attempts: 1", "attempts: 1, retryOn: '700'", '"700" is not a valid retryOn policy'),
    (E, "retries: {attempts: 1}", "timeout: 0s", "0s is too short: at least 1ms"),
    (
        E,
        "routes.cart.retries: {attempts: 1}",
        "routes.cart: {timeout: 1s, retries: {attempts: 1, perTryTimeout: 1s}}",
        "routes.cart.retries.perTryTimeout: 1s is not below the timeout of 1s: Envoy ignores it",
    ),
    (E, "arms:", "replications: {min: 1}\narms:", ":13:21: replications.min: 1 is too small"),
    (E, "arms:", "replications: {confidence: 100%}\narms:", "out of range: 50% to 99.9%"),
    (E, "arms:", "replications: {seed: 9223372036854775808}\narms:", "is too large"),
    (E, "arms:", "gates: []\narms:", ':13:1: unknown key "gates"'),
]


@pytest.mark.parametrize(("file", "old", "new", "expected"), ONE_MISTAKE)
def test_one_mistake(folder: Folder, file: str, old: str, new: str, expected: str) -> None:
    folder.change(file, old, new)
    problems = folder.problems()
    assert len(problems) == 1, problems
    assert expected in problems[0]
    if expected.startswith(":"):
        assert problems[0].startswith(file + expected)


def test_all_mistakes_at_once(folder: Folder) -> None:
    folder.change(M, "hosts: 2", "hosts: none")
    folder.change(M, WORK, "- work: 3")
    folder.change(M, "trafficPolicies:\n  cart:", "trafficPolicies:\n  card:")
    folder.change(M, CALL, "- call: card.GET /cart")
    folder.change(E, RATE, "rate: 100")
    folder.change(E, "service: cart", "service: crat")
    folder.change(E, "factor: 20", "factor: 20\n    until: after.end + 1s")
    folder.change(E, "interval: 5s", "intervall: 5s")
    places = [line.split(": ")[0] for line in folder.problems(["lode.rate=1/s", "x"])]
    assert places == [
        "-S:1:1",
        "-S:2:1",
        "experiment.yaml:5:9",
        "experiment.yaml:10:14",
        "experiment.yaml:13:12",
        "experiment.yaml:19:9",
        "model.yaml:7:12",
        "model.yaml:22:19",
        "model.yaml:24:3",
    ]


def test_a_bad_service_is_not_an_unknown_service(folder: Folder) -> None:
    folder.change(M, WORK, "- work: 3")
    assert folder.problems() == [f'model.yaml:22:19: {CART}.work: "3" needs a unit, e.g. 3ms']


def test_errors_travel_between_processes(folder: Folder) -> None:
    folder.change(M, WORK, "- work: 3")
    with pytest.raises(SpecError) as error:
        load_model(M)
    copy = pickle.loads(pickle.dumps(error.value))
    assert str(copy) == str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("kind: Dest", "kind: Virt", 'rule.yaml:2:7: kind: "VirtinationRule" is not supported yet'),
        ("kind: DestinationRule", "kind: Gateway", '"Gateway" is not supported yet'),
        ("io/v1", "io/v2", 'rule.yaml:1:13: apiVersion: "networking.istio.io/v2" is not one of'),
        (
            "host: web",
            "host: wob",
            'rule.yaml:5:9: spec.host: there is no service "wob" (did you m',
        ),
        ("host: web.shop.svc", "host: web.shop.svg", "is neither a service name nor"),
        ("host: web.shop", "host: cart.shop", '"cart" has a traffic policy already: model.yaml:24'),
        ("  host:", "  exportTo: []\n  host:", "rule.yaml:5:3: spec.exportTo: exportTo is an Istio f"),
        (
            "7s",
            "7",
            'rule.yaml:7:34: spec.trafficPolicy.outlierDetection.interval: "7" needs a unit',
        ),
        ("interval: 7s", "interval: 7s, x: y", "spec.trafficPolicy.outlierDetection: unknown key"),
        (
            "\n    outlierDetection: {interval: 7s}",
            " {}",
            "traffic policy must have at least one f",
        ),
    ],
)
def test_manifests(folder: Folder, old: str, new: str, expected: str) -> None:
    folder.write("rule.yaml", RULE)
    folder.change("rule.yaml", old, new)
    folder.change(E, "- name: today", "- name: today\n    manifests: [rule.yaml]")
    problems = folder.problems()
    assert len(problems) == 1, problems
    assert expected in problems[0]


def test_two_rules_for_one_host(folder: Folder) -> None:
    folder.write("rule.yaml", RULE)
    folder.write("two.yaml", f"{RULE}---\n{RULE}")
    folder.change(M, "mesh:\n", "mesh:\n  manifests: [rule.yaml]\n")
    assert load_model(M).traffic_policies["web"].outlier_detection is not None
    folder.change(E, "- name: today", "- name: today\n    manifests: [two.yaml, no.yaml]")
    assert folder.problems() == [
        'experiment.yaml:15:27: arms[0].manifests[1]: there is no file "no.yaml"',
        'two.yaml:5:9: spec.host: "web" has a traffic policy already: rule.yaml:5',
        'two.yaml:13:9: spec.host: "web" has a traffic policy already: rule.yaml:5',
    ]


def test_ambiguous_load(folder: Folder) -> None:
    folder.change(M, CALL, "- work: 1ms")
    assert folder.problems() == [
        "experiment.yaml:4:1: load: nobody calls web, cart; write load.entry, the service that gets the load"
    ]
    assert folder.problems(["load.entry=web"]) == [
        "experiment.yaml:10:14: faults[0].service: no request of this load gets to cart"
    ]
    folder.change(M, "GET /:", "GET /a: {steps: [{work: 1ms}]}\n      GET /:")
    assert (
        "web has several endpoints (GET /a, GET /); write load.mix" in folder.problems(["load.entry=web"])[0]
    )


def test_unreachable_service(folder: Folder) -> None:
    folder.change(M, CALL, "- work: 1ms")
    folder.change(
        M,
        "trafficPolicies:",
        "  shelf: {hosts: 1, workers: 1, queue: 1, endpoints: {a: {steps: [{call: cart.old}]}}}\n"
        "trafficPolicies:",
    )
    folder.change(M, "GET /cart:", "old: {steps: [{call: shelf.a}]}\n      GET /cart:")
    with pytest.raises(SpecError, match=r"calls that never end: cart.old -> shelf.a -> cart.old"):
        load_model(M)
    folder.change(M, "cart.old", "cart.GET /cart")
    with pytest.raises(SpecError, match=r"model.yaml:1[56]:3: services.cart: unreachable"):
        load_model(M)


def test_too_many_calls(folder: Folder) -> None:
    calls = ", ".join(["{call: s%d.a}"] * 10)
    layers = "".join(
        f"  s{n}: {{hosts: 1, workers: 1, queue: 1, endpoints: {{a: {{steps: [{calls}]}}}}}}\n"
        % ((n + 1,) * 10)
        for n in range(9)
    )
    last = "  s9: {hosts: 1, workers: 1, queue: 1, endpoints: {a: {steps: [{work: 1ms}]}}}\n"
    folder.write(M, f"kind: Model\nname: deep\nservices:\n{layers}{last}")
    with pytest.raises(SpecError) as error:
        load_model(M)
    assert str(error.value) == (
        "model.yaml:8:52: services.s4.endpoints.a: one request makes more than 100,000 calls"
    )


def test_a_chain_of_all_services_that_are_possible(folder: Folder) -> None:
    step = "  s%d: {hosts: 1, workers: 1, queue: 1, endpoints: {a: {steps: [%s]}}}\n"
    chain = [step % (n, f"{{call: s{n + 1}.a}}") for n in range(4999)]
    head = "kind: Model\nname: long\nservices:\n"
    folder.write(M, head + "".join(chain) + step % (4999, "{work: 1ms}"))
    assert len(load_model(M).services) == 5000
    folder.write(M, head + "".join(chain) + step % (4999, "{call: s0.a}"))
    with pytest.raises(SpecError, match=r"calls that never end: s0.a -> s1.a .* -> s7.a -> ... -> s0.a$"):
        load_model(M)


def test_unreadable_experiment(folder: Folder) -> None:
    folder.write(E, "kind: Experiment\nname: a\nname: b\n")
    with pytest.raises(SpecError, match=r"experiment.yaml:3:1: the key .name. is there twice"):
        load_experiment(E, ["load.rate=3/s"])


def test_messages_are_one_printable_line(folder: Folder) -> None:
    folder.change(M, "  cart:\n    hosts: 4", '  "\\e[2Jcart\\n\\u202e":\n    hosts: 4')
    with pytest.raises(SpecError) as error:
        folder.load()
    for problem in error.value.problems:
        assert str(problem).isprintable()
    assert str(Problem("\x1b[31m\n.yaml", 1, 1, "", "bad", "\a")) == (
        '\\x1b[31m\\n.yaml:1:1: bad (did you mean "\\x07"?)'
    )


def test_hints_among_thousands_of_names_are_found_quickly() -> None:
    names = [f"service-number-{number}" for number in range(5000)]
    start = time.perf_counter()
    for number in range(0, 5000, 5):
        assert nearest(f"Service-nmber-{number}", names).startswith("service-number-")
    assert nearest("service-number-17x", names) == "service-number-17"
    assert nearest("xervice-number-4711", names) == "service-number-4711"
    assert nearest("zzz", names) == ""
    assert time.perf_counter() - start < 10


def test_thousands_of_problems_are_found_quickly(folder: Folder) -> None:
    bad = "{hosts: 0, workers: 0, queue: -1, endpoints: {}}"
    services = "".join(f"  s{number}: {bad}\n" for number in range(2000))
    folder.write(M, f"kind: Model\nname: x\nservices:\n{services}")
    start = time.perf_counter()
    with pytest.raises(SpecError) as error:
        load_model(M)
    assert len(error.value.problems) == 8000
    assert time.perf_counter() - start < 10


def test_files_that_are_no_files_are_located_where_they_are_named(folder: Folder) -> None:
    folder.change(M, "mesh:\n", "mesh:\n  manifests: [., gone.yaml]\n")
    assert folder.problems() == [
        'model.yaml:4:15: mesh.manifests[0]: "." is a directory',
        'model.yaml:4:18: mesh.manifests[1]: there is no file "gone.yaml"',
    ]


def test_uniform_needs_two_times(folder: Folder) -> None:
    folder.change(M, "work: 3ms", "work: {uniform: [3ms]}")
    (problem,) = folder.problems()
    assert problem.endswith("work.uniform: two times are needed here, the shortest and the longest")
