"""A small made-up result that looks like a real one: a slow service, its callers, and outlier detection."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from resilim.run import Array
from resilim.study.result import (
    Answer,
    Band,
    Difference,
    Estimate,
    FaultNote,
    Figure,
    Metric,
    Outcomes,
    Result,
    Timeline,
    Window,
)

WARM_UP, BEFORE, FAULT, AFTER = 30.0, 60.0, 90.0, 120.0
SERVICES = ("ingress", "frontend", "catalogue", "cart", "order-service", "payment", "stock", "database")
STRUCK = 4  # index of the service under fault

METRICS = (
    Metric("goodput", "goodput", "per second", "higher", "Requests that succeeded in time, per second."),
    Metric(
        "success_ratio", "success ratio", "share", "higher", "Requests that succeeded, of all that arrived."
    ),
    Metric("latency_mean", "mean latency", "seconds", "lower", "Mean latency of all requests."),
    Metric("latency_p50", "p50", "seconds", "lower", "Half of the requests were faster."),
    Metric("latency_p99", "p99", "seconds", "lower", "99 % of the requests were faster."),
    Metric(
        "recovery_time", "recovery time", "seconds", "lower", "From the end of the fault to steady state."
    ),
    Metric("failed_ratio", "failed", "share", "lower", "Calls to the service that failed."),
    Metric("retry_amplification", "retry amplification", "ratio", "lower", "Attempts per call."),
    Metric("wasted_work", "wasted work", "share", "lower", "Worker time for answers that nobody waited for."),
)

_BASE = {
    "goodput": 299.0,
    "success_ratio": 0.998,
    "latency_mean": 0.052,
    "latency_p50": 0.041,
    "latency_p99": 0.19,
    "failed_ratio": 0.002,
    "retry_amplification": 1.0,
    "wasted_work": 0.01,
}
_HURT = {
    "goodput": 0.62,
    "success_ratio": 0.62,
    "latency_mean": 11.0,
    "latency_p50": 3.2,
    "latency_p99": 15.8,
    "failed_ratio": 170.0,
    "retry_amplification": 1.4,
    "wasted_work": 32.0,
}
_CLIENT = ("goodput", "success_ratio", "latency_mean", "latency_p50", "latency_p99")
_SERVICE = ("latency_p50", "latency_p99", "failed_ratio", "retry_amplification", "wasted_work")


def small(arms: tuple[str, ...] = ("without", "with"), services: tuple[str, ...] = SERVICES) -> Result:
    """A plausible result: two hosts for each of the services, 300 bins of a second."""
    windows = (
        Window("before", WARM_UP, WARM_UP + BEFORE),
        Window("fault", WARM_UP + BEFORE, WARM_UP + BEFORE + FAULT),
        Window("after", WARM_UP + BEFORE + FAULT, WARM_UP + BEFORE + FAULT + AFTER),
    )
    struck = services[min(STRUCK, len(services) - 1)]
    hosts = tuple(f"{name}-v1-{i}" for name in services for i in range(2))
    struck_host = hosts[2 * services.index(struck)]
    half = windows[1].begin + FAULT / 2
    faults = (
        FaultNote(
            "slow-orders",
            f"1 host of {struck}, 20 times slower",
            struck,
            (struck_host,),
            windows[1].begin,
            half,
        ),
        FaultNote(
            "failing-orders", f"1 host of {struck} answers 503", struck, (struck_host,), half, windows[1].end
        ),
    )
    figures = tuple(_figures(arms, services, windows))
    return Result(
        experiment="cascading-failure",
        question="How far does a slow order-service spread without a DestinationRule, and how far with one?",
        digest="3f9c2a71d0e84b55",
        version="0.1.0",
        seed=20261123,
        replications=20,
        requested=20,
        confidence=0.95,
        pairing="common random numbers",
        arms=arms,
        windows=windows,
        faults=faults,
        services=services,
        entry=services[0],
        hosts=hosts,
        host_service=tuple(i for i in range(len(services)) for _ in range(2)),
        workers=tuple(64 for _ in services),
        provenance=(
            ("service times", "invented for this example", "assumed"),
            ("sidecar hop", "the article: 1-3 ms per hop", "documented"),
        ),
        metrics=METRICS,
        figures=figures,
        differences=tuple(_differences(arms, figures)),
        outcomes=tuple(_outcomes(arms, windows, struck)),
        answer=Answer(
            "partly",
            "With the DestinationRule 96.2 % ±0.6 of the requests succeed during the fault, against 62 % ±2; "
            "p99 is still 0.6 s ±0.1.",
        ),
        notes=("In 3 of 20 replications of without, failures before the fault were above 1 %.",),
        timelines={
            arm: _timeline(len(services), len(hosts), _pain(i), services.index(struck), i)
            for i, arm in enumerate(arms)
        },
    )


def of_size(number: int, arms: tuple[str, ...] = ("without", "with")) -> Result:
    """A result of so many services."""
    return small(arms, tuple(f"service-{i:04}" for i in range(number)))


def with_names(hostile: str) -> Result:
    """A small result in which every name and sentence is the given text, made unique where it must be."""
    services = (*SERVICES[:STRUCK], hostile, *SERVICES[STRUCK + 1 :])
    result = small((hostile + "a", hostile + "b"), services)
    return replace(
        result,
        experiment=hostile,
        question=hostile,
        pairing=hostile,
        digest=hostile,
        answer=Answer("no", hostile),
        notes=(hostile,),
        provenance=((hostile, hostile, hostile),),
        faults=tuple(replace(f, name=hostile, text=hostile) for f in result.faults),
        outcomes=tuple(replace(o, failures=((hostile, hostile, 3.0),)) for o in result.outcomes),
        metrics=tuple(replace(m, label=hostile, doc=hostile) for m in result.metrics),
    )


def same_differences(result: Result, estimate: Estimate) -> tuple[Difference, ...]:
    """The differences of a result, every one of them the same estimate."""
    return tuple(replace(difference, estimate=estimate) for difference in result.differences)


def unrecovered(result: Result) -> Result:
    """The same result, with 3 of 20 replications of the reference that did not recover."""
    recovered = Metric("recovered", "replications that recovered", "share", "higher", "Share that recovered.")
    figures = (
        Figure("recovered", "", "after", result.arms[0], Estimate(0.85, 0.68, 1.0)),
        *(Figure("recovered", "", "after", arm, Estimate(1.0, 0.86, 1.0)) for arm in result.arms[1:]),
    )
    return replace(result, metrics=(*result.metrics, recovered), figures=(*result.figures, *figures))


def _pain(arm: int) -> float:
    """How much of the fault reaches the arm's users."""
    return (1.0, 0.25, 0.5, 0.1, 0.4)[arm % 5]


def _value(metric: str, window: str, pain: float) -> float:
    share = {"before": 0.0, "fault": 1.0, "after": 0.1}[window] * pain
    return _BASE[metric] * (1 + share * (_HURT[metric] - 1))


def _around(value: float, spread: float = 0.03) -> Estimate:
    return Estimate(value, value * (1 - spread), value * (1 + spread))


def _figures(arms: tuple[str, ...], services: tuple[str, ...], windows: tuple[Window, ...]) -> list[Figure]:
    found = []
    for number, arm in enumerate(arms):
        for window in windows:
            for metric in _CLIENT:
                value = _value(metric, window.name, _pain(number))
                found.append(Figure(metric, "", window.name, arm, _around(value, 0.01)))
            if window.name == "after":
                known = Estimate(95.0, 88.0, 104.0) if number else Estimate(None, None, None)
                found.append(Figure("recovery_time", "", window.name, arm, known))
            for place, service in enumerate(services):
                near = 1 / (1 + abs(place - STRUCK))
                for metric in _SERVICE:
                    value = _value(metric, window.name, _pain(number) * near)
                    found.append(Figure(metric, service, window.name, arm, _around(value)))
    return found


def _differences(arms: tuple[str, ...], figures: tuple[Figure, ...]) -> list[Difference]:
    reference = {(f.metric, f.of, f.window): f.estimate.value for f in figures if f.arm == arms[0]}
    found = []
    for figure in figures:
        base = reference[figure.metric, figure.of, figure.window]
        if figure.arm != arms[0]:
            estimate = Estimate(None, None, None)
            if base is not None and figure.estimate.value is not None:
                apart = figure.estimate.value - base
                half = 0.1 * abs(apart) + 0.002 * base
                estimate = Estimate(apart, apart - half, apart + half)
            found.append(Difference(figure.metric, figure.of, figure.window, figure.arm, arms[0], estimate))
    return found


def _outcomes(arms: tuple[str, ...], windows: tuple[Window, ...], struck: str) -> list[Outcomes]:
    found = []
    for number, arm in enumerate(arms):
        for window in windows:
            requests = 300 * (window.end - window.begin)
            failed = requests * (1 - _value("success_ratio", window.name, _pain(number)))
            shares = (
                ("UT", struck, 0.6),
                ("UO", struck, 0.25),
                ("-", struck, 0.1),
                ("UT,URX", "frontend", 0.05),
            )
            failures = tuple((flags, origin, failed * share) for flags, origin, share in shares)
            found.append(Outcomes(arm, window.name, requests, requests - failed, failures))
    return found


def _timeline(services: int, hosts: int, pain: float, struck: int, arm: int) -> Timeline:
    bins = np.arange(1.0, WARM_UP + BEFORE + FAULT + AFTER + 1)
    luck = np.random.Generator(np.random.PCG64(arm))
    hurt = pain * np.clip((bins - 90) / 15, 0, 1) * np.clip(1 - (bins - 180) / 40, 0, 1)
    near = 1 / (1 + np.abs(np.arange(services) - struck))[:, None]
    each = hurt * near

    def band(values: Array, spread: float = 0.15) -> Band:
        noisy = values * (1 + 0.04 * luck.standard_normal(values.shape))
        return Band(noisy, noisy * (1 - spread), noisy * (1 + spread))

    p99 = 0.03 * np.exp(4 * each)
    p99[-1, 40:50] = math.nan  # a service that nobody called for ten seconds
    ejected = np.zeros((hosts, len(bins)))
    if arm:
        ejected[2 * struck, 140:185] = 0.9
        ejected[2 * struck + 1, 150:160] = 0.1
    return Timeline(
        bins=bins,
        client={
            "goodput": band(300 * (1 - 0.4 * hurt), 0.06),
            "offered": band(np.full(len(bins), 300.0), 0.06),
            "failed": band(0.002 + 0.4 * hurt),
            "p50": band(0.04 * np.exp(1.2 * hurt)),
            "p99": band(0.19 * np.exp(2.75 * hurt)),
        },
        services={
            "calls": band(np.full(each.shape, 120.0)),
            "failed": band(0.001 + 0.4 * each),
            "p50": band(0.01 * np.exp(2 * each)),
            "p99": band(p99),
            "amplification": band(1 + each),
            "busy": band(np.minimum(0.3 + 0.7 * each, 0.85)),
            "waiting": band(80 * each),
            "pending": band(60 * each),
            "active": band(12 + 90 * each),
            "connections": band(20 + 90 * each),
            "refused_by_pool": band(25 * each),
        },
        ejected=ejected,
    )
