"""From observations to a `Result`: figures, paired differences, outcomes, timelines."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

import resilim
from resilim.plan import CLIENT, Names, Plan
from resilim.run import Array
from resilim.spec import LoadedExperiment
from resilim.spec.experiment import Fault
from resilim.spec.units import SECOND
from resilim.study import metrics
from resilim.study.answer import answer
from resilim.study.observation import CLIENT_SERIES, SERVICE_SERIES, Observation
from resilim.study.result import (
    Band,
    Difference,
    FaultNote,
    Figure,
    Metric,
    Outcomes,
    Result,
    Timeline,
    Window,
)

_BAND = (10.0, 90.0)


@dataclass(frozen=True)
class Study:
    """An experiment with its plans, ready to be estimated."""

    loaded: LoadedExperiment
    plans: tuple[Plan, ...]
    digest: str

    @property
    def names(self) -> Names:
        """Names of the reference arm's plan."""
        return self.plans[0].names

    @property
    def fault_window(self) -> int | None:
        """Index of the window called `fault` if something goes wrong in the experiment."""
        names = [window.name for window in self.loaded.windows()]
        return names.index("fault") if "fault" in names and self.loaded.arms[0].faults else None


def estimate(study: Study, observations: dict[tuple[str, int], Observation], requested: int) -> Result:
    """The result of the replications that every arm has."""
    loaded = study.loaded
    experiment = loaded.experiment
    arms = tuple(arm.name for arm in loaded.arms)
    common = [r for r in range(requested) if all((arm, r) in observations for arm in arms)]
    by_arm = {arm: [observations[arm, r] for r in common] for arm in arms}
    confidence = experiment.replications.confidence
    figures: list[Figure] = []
    differences: list[Difference] = []
    used: dict[Metric, None] = {}
    data = {arm: list(_data(study, number, by_arm[arm])) for number, arm in enumerate(arms)}
    for arm in arms:
        for place, (window, of, metric, values) in enumerate(data[arm]):
            used[metric] = None
            figures.append(Figure(metric.id, of, window, arm, values.estimate(confidence)))
            if arm != arms[0]:
                reference = data[arms[0]][place][3]
                difference = values.difference(reference, confidence)  # type: ignore[arg-type]
                differences.append(Difference(metric.id, of, window, arm, arms[0], difference))
    windows = tuple(
        Window(window.name, window.start / SECOND, window.end / SECOND) for window in loaded.windows()
    )
    return Result(
        experiment=experiment.name,
        question=(experiment.question or "").strip(),
        digest=study.digest,
        version=resilim.__version__,
        seed=experiment.replications.seed,
        replications=len(common),
        requested=requested,
        confidence=confidence,
        pairing=experiment.replications.pairing,
        arms=arms,
        windows=windows,
        faults=tuple(_fault_note(study, fault) for fault in loaded.arms[0].faults),
        services=study.names.services,
        entry=loaded.arms[0].entry,
        hosts=study.names.hosts,
        host_service=study.names.host_service,
        workers=tuple(_workers(study.plans[0])),
        provenance=tuple((p.what, p.source, p.kind) for p in loaded.arms[0].model.provenance),
        metrics=tuple(metric for metric in metrics.METRICS if metric in used),
        figures=tuple(figures),
        differences=tuple(differences),
        outcomes=tuple(
            _outcomes(arm, index, window.name, by_arm[arm])
            for arm in arms
            for index, window in enumerate(windows)
        ),
        answer=answer(study.loaded, figures, differences),
        notes=tuple(_notes(study, by_arm, requested)),
        timelines={arm: _timeline(study.plans[0], by_arm[arm]) for arm in arms},
    )


def _data(
    study: Study, arm: int, observations: Sequence[Observation]
) -> Iterator[tuple[str, str, Metric, metrics.Data]]:
    """Everything that is estimated of one arm: (window, of, metric, data)."""
    names = study.names
    for index, window in enumerate(study.loaded.windows()):
        seconds = (window.end - window.start) / SECOND
        for metric, values in metrics.client_data(seconds, index, observations).items():
            yield window.name, CLIENT, metric, values
        for number, endpoint in enumerate(names.asked):
            for metric, values in metrics.endpoint_data(number, index, observations).items():
                yield window.name, names.endpoints[endpoint][1], metric, values
        for service, workers in enumerate(_workers(study.plans[arm])):
            for metric, values in metrics.service_data(
                service, workers * seconds, index, observations
            ).items():
                yield window.name, names.services[service], metric, values
        if window.name == "after" and study.fault_window is not None:
            for metric, values in metrics.recovery_data(observations).items():
                yield window.name, CLIENT, metric, values


def _workers(plan: Plan) -> list[int]:
    """Workers of each service."""
    hosts = plan.run.tables["host"][: len(plan.names.hosts)]  # no graveyards
    counted = np.bincount(hosts["service"], weights=hosts["workers"], minlength=len(plan.names.services))
    return [int(workers) for workers in counted]


def _outcomes(arm: str, index: int, window: str, observations: Sequence[Observation]) -> Outcomes:
    """Mean numbers a replication."""
    n = max(1, len(observations))
    failures: Counter[str] = Counter()
    for observation in observations:
        failures.update(observation.failures[index])
    rows = []
    for what, number in sorted(failures.items(), key=lambda item: (-item[1], item[0])):
        flags, _, origin = what.partition(" ")
        rows.append((flags, origin, number / n))
    return Outcomes(
        arm=arm,
        window=window,
        requests=sum(int(o.requests[index, 0]) for o in observations) / n,
        succeeded=sum(int(o.succeeded[index, 0]) for o in observations) / n,
        failures=tuple(rows),
    )


def _fault_note(study: Study, fault: Fault) -> FaultNote:
    """A fault in words, and the hosts that it strikes."""
    time = study.loaded.arms[0].time
    number = study.loaded.arms[0].faults.index(fault)
    rows = study.plans[0].run.faults
    struck = [int(row["who"]) for row in rows if row["fault"] == number] if fault.service else []
    hosts = tuple(study.names.hosts[host] for host in struck)
    what = _what_happens(fault)
    plural = "host" if len(hosts) == 1 else "hosts"
    text = f"{len(hosts)} {plural} of {fault.service}: {what}" if fault.service else what
    begin, end = fault.from_.at(time) / SECOND, fault.until.at(time) / SECOND
    return FaultNote(fault.name, text, fault.service or "", hosts, begin, end)


def _what_happens(fault: Fault) -> str:
    """What a fault does, in words."""
    every = "every request" if fault.probability == 1 else f"{fault.probability:.4g} of the requests"
    answer = f"grpc-status {fault.grpc_status}" if fault.grpc_status is not None else str(fault.code)
    words = {
        "slow-host": f"{fault.factor:g} times slower",
        "failing-host": f"{every} answered with {answer}",
        "resetting-host": f"{every} ended by {(fault.how or '').replace('-', ' ')}",
        "crashed-host": "crashed: connections refused, work lost",
        "unreachable-host": "unreachable: nothing gets there or comes back",
        "load-surge": f"{fault.factor:g} times the load",
    }
    return words[fault.kind]


def _notes(study: Study, by_arm: dict[str, list[Observation]], requested: int) -> Iterator[str]:
    """What the reader should know before believing the numbers."""
    done = min(map(len, by_arm.values()))
    if done < requested:
        yield f"{done} of {requested} replications finished; the intervals are of those."
    for arm, observations in by_arm.items():
        left = sum(observation.in_flight for observation in observations)
        if left:
            yield f"{arm}: {left} requests had no outcome a minute after the load ended; not counted."
        if study.fault_window is not None:
            lost = sum(not np.isfinite(observation.recovery) for observation in observations)
            if lost:
                yield f"{arm}: {lost} of {len(observations)} replications did not recover before the end."
    assumed = [p.what for p in study.loaded.arms[0].model.provenance if p.kind == "assumed"]
    if assumed:
        yield f"Assumed, not measured: {', '.join(assumed)}."


def _timeline(plan: Plan, observations: Sequence[Observation]) -> Timeline:
    """Series over time, median and band over the replications."""
    client = np.stack([observation.client_series for observation in observations])
    services = np.stack([observation.service_series for observation in observations])
    ejected = np.mean([observation.ejected for observation in observations], axis=0)
    run = plan.run
    bins = np.arange(1, client.shape[-1] + 1) * run.sample_every / SECOND
    bins[-1] = min(bins[-1], run.end / SECOND)
    return Timeline(
        bins=bins,
        client={name: _band(client[:, place]) for place, name in enumerate(CLIENT_SERIES)},
        services={name: _band(services[:, place]) for place, name in enumerate(SERVICE_SERIES)},
        ejected=ejected,
    )


def _band(series: Array) -> Band:
    """Median and band over the first axis; nan where no replication has a value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all-nan bins are nan, as they should be
        low, high = np.nanpercentile(series, _BAND, axis=0)
        return Band(np.nanmedian(series, axis=0), low, high)
