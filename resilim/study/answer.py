"""The one-sentence answer: does the last arm stop the failure from spreading?

* A failure *cascades* when it hurts requests that do not need the struck service: bystanders. Where the mix
  has bystanders and the reference arm hurts them, the answer is about them; else it is about all requests.
* Loss: how much the success ratio falls from the window before to the window of the fault.
* yes: the paired difference is clearly above 0, and the loss that is left is clearly at most a tenth of the
  reference's; partly: clearly above 0, but more is left; no: clearly at most a tenth of the loss is
  gained, or worse; inconclusive: the interval does not tell. Clearly means: the whole interval.
"""

from __future__ import annotations

from collections.abc import Sequence

from resilim.plan import CLIENT
from resilim.spec import LoadedExperiment
from resilim.spec.model import Model
from resilim.study.result import Answer, Difference, Estimate, Figure, Verdict

_LEFT = 0.1  # share of the loss
_NOTHING = 0.01  # percentage points: a difference that is surely smaller is called so
_NOTICED = 0.001  # a loss of success ratio below this is none

Figures = dict[tuple[str, str, str, str], Estimate]


def answer(loaded: LoadedExperiment, figures: Sequence[Figure], differences: Sequence[Difference]) -> Answer:
    """The answer of an experiment with a fault and two arms or more; else none."""
    arms = [arm.name for arm in loaded.arms]
    windows = {window.name for window in loaded.windows()}
    if len(arms) < 2 or not loaded.arms[0].faults or not {"before", "fault"} <= windows:
        return Answer("none", "Nothing is compared under a fault: see the figures.")
    values: Figures = {(f.metric, f.of, f.window, f.arm): f.estimate for f in figures}
    changes: Figures = {(d.metric, d.of, d.window, d.arm): d.estimate for d in differences}
    reference, last = arms[0], arms[-1]
    of = _most_hurt(values, _bystanders(loaded), reference)
    loss = _loss(values, of, reference)
    change = changes["success_ratio", of, "fault", last]
    if loss is None or change.value is None or change.low is None or change.high is None:
        return Answer("inconclusive", "There are too few replications for an answer.")
    if loss < _NOTICED:
        return Answer(
            "none", f"The fault costs {reference} less than 0.1 % of its requests: nothing cascades."
        )
    left = (values["success_ratio", of, "before", last].value or 0.0) - (
        values["success_ratio", of, "fault", last].low or 0.0
    )
    verdict = _verdict(loss, left, change.low, change.high)
    everybody = _everybody(reference, last, values, changes)
    return Answer(verdict, _sentence(verdict, of, reference, last, values, change, everybody))


def _bystanders(loaded: LoadedExperiment) -> list[str]:
    """Endpoints of the mix whose requests never need a struck service."""
    arm = loaded.arms[0]
    struck = {fault.service for fault in arm.faults if fault.service}
    if not struck:
        return []
    return [endpoint for endpoint in arm.mix if not (_needed(arm.model, arm.entry, endpoint) & struck)]


def _needed(model: Model, service: str, endpoint: str) -> set[str]:
    """Services that a request to an endpoint may call, its own included."""
    seen: set[tuple[str, str]] = set()
    ahead = [(service, endpoint)]
    while ahead:
        here = ahead.pop()
        if here in seen:
            continue
        seen.add(here)
        steps = model.services[here[0]].endpoints[here[1]].steps
        ahead += [call.target for step in steps for call in step.calls]
    return {name for name, _ in seen}


def _most_hurt(values: Figures, bystanders: list[str], reference: str) -> str:
    """The bystander that the reference arm hurts most; all requests when none is hurt."""
    losses = {endpoint: _loss(values, endpoint, reference) or 0.0 for endpoint in bystanders}
    worst = max(losses, key=lambda endpoint: losses[endpoint], default=CLIENT)
    return worst if losses.get(worst, 0.0) >= _NOTICED else CLIENT


def _loss(values: Figures, of: str, arm: str) -> float | None:
    """Fall of the success ratio from before to during the fault."""
    before = values["success_ratio", of, "before", arm].value
    fault = values["success_ratio", of, "fault", arm].value
    return None if before is None or fault is None else before - fault


def _verdict(loss: float, left: float, low: float, high: float) -> Verdict:
    """From the reference's loss, the last arm's at its worst bound, and the bounds of the difference."""
    if high < 0 or high <= _LEFT * loss:
        return "no"
    if low <= 0:
        return "inconclusive"
    return "yes" if left <= _LEFT * loss else "partly"


def _everybody(reference: str, last: str, values: Figures, changes: Figures) -> str:
    """What the last arm does for all requests, in a sentence."""
    was, now = (values["success_ratio", CLIENT, "fault", arm] for arm in (reference, last))
    change = changes["success_ratio", CLIENT, "fault", last]
    return f"Of all requests {_percent(now)} succeed instead of {_percent(was)} ({_points(change)})."


def _sentence(
    verdict: Verdict, of: str, reference: str, last: str, values: Figures, change: Estimate, everybody: str
) -> str:
    which = f"requests to {of}, which do not need the faulty service," if of else "all requests"
    opening = {
        "yes": f'"{last}" stops the failure from cascading',
        "partly": f'"{last}" weakens the cascade but does not stop it',
        "no": f'"{last}" does not stop the failure from cascading',
        "inconclusive": f'whether "{last}" helps cannot be told from these replications',
    }[verdict]
    was = values["success_ratio", of, "fault", reference]
    now = values["success_ratio", of, "fault", last]
    sentence = (
        f"{opening}: during the fault {_percent(now)} of {which} succeed instead of {_percent(was)} "
        f'in "{reference}", a paired difference of {_points(change)} percentage points.'
    )
    return sentence + (f" {everybody}" if of else "")


def _percent(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "an unknown share"
    digits = _digits(100 * (estimate.high - estimate.low) / 2)
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.{digits}f} % [{low:.{digits}f}, {high:.{digits}f}]"


def _points(estimate: Estimate) -> str:
    value, low, high = (100 * (part or 0.0) for part in (estimate.value, estimate.low, estimate.high))
    if max(abs(low), abs(high)) < _NOTHING:
        return f"less than {_NOTHING}"
    digits = _digits((high - low) / 2)
    return f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def _digits(half_width: float) -> int:
    """Decimals that a half-width in percent leaves meaningful."""
    return next((digits for digits, least in ((0, 5.0), (1, 0.3), (2, 0.03)) if half_width >= least), 3)
