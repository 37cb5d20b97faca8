"""The table of figures: every metric of every arm, and the paired differences, one table a window.

* The client's requests first; the services follow, at most as many as the pictures show.
* With more services than that, one line holds each of the rest: p99 and failed share during the fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from resilim.report import units
from resilim.report.markup import details, grouped, paragraph, table, text, titled
from resilim.report.units import MINUS, duration, percent
from resilim.report.view import MOST, View
from resilim.report.words import counted, judgement
from resilim.study.result import Metric, Window

_REST = ("latency_p99", "failed_ratio")
_MOST_CELLS = 8_000  # about 200 kB


def section(view: View) -> str:
    """The figures and the paired differences."""
    confidence = percent(view.result.confidence)
    return titled(
        "figures",
        "Figures and paired differences",
        paragraph(
            f"Every figure stands with its {confidence} interval. A difference is paired: the arm minus "
            f"{text(view.reference)}, the same replications. It is <em>not clear</em> when its interval "
            "includes zero. pp: percentage points."
        ),
        _clients(view),
        *(_services(view, window) for window in view.result.windows),
        _rest(view),
    )


def _clients(view: View) -> str:
    groups = [
        (_named(window), [_row(view, window.name, metric, of) for metric, of in view.of_client(window.name)])
        for window in view.result.windows
    ]
    return grouped("The clients' requests", _head(view), groups)


def _services(view: View, window: Window) -> str:
    shown = {view.result.services[i] for i in view.shown}
    groups = [
        (text(name), [_row(view, window.name, metric, name) for metric in metrics])
        for name, metrics in view.of_services(window.name).items()
        if name in shown
    ]
    if not groups:
        return ""
    which = f" ({MOST} of {len(view.result.services):,})" if len(shown) < len(view.result.services) else ""
    title = f"Services{which}, {_named(window)}"
    return details(title, grouped(title, _head(view), groups))


def _head(view: View) -> list[str]:
    head = ["Metric", *map(text, view.result.arms)]
    for arm in view.others:
        head += [f"{text(arm)} {MINUS} {text(view.reference)}", "relative", ""]
    return head


def _row(view: View, window: str, metric: Metric, of: str) -> list[str]:
    """A metric: its figure in each arm, and three cells for each difference."""
    endpoint = f", {text(of)}" if of and of not in view.result.services else ""
    row = [text(metric.label) + endpoint]
    row += [units.estimate(view.figure(metric.id, of, window, arm), metric.unit) for arm in view.result.arms]
    for arm in view.others:
        row += _difference(view, window, metric, of, arm)
    return row


def _difference(view: View, window: str, metric: Metric, of: str, arm: str) -> list[str]:
    found = view.difference(metric.id, of, window, arm)
    reference = view.figure(metric.id, of, window, view.reference)
    word = judgement(found, metric)
    kind = word if word in ("better", "worse") else "muted"
    return [
        units.difference(found, metric.unit),
        units.relative(found, reference, metric.unit),
        f'<span class="{kind}">{word}</span>',
    ]


def _rest(view: View) -> str:
    """One line for each service that the pictures leave out."""
    shown = {view.result.services[i] for i in view.shown}
    window = view.window.name
    metrics = [view.metrics[m] for m in _REST if m in view.metrics]
    rest = [name for name in view.of_services(window) if name not in shown]
    if not rest or not metrics:
        return ""
    cells = len(metrics) * len(view.result.arms)
    listed = rest[: _MOST_CELLS // cells]
    title = f"The other {counted(len(rest), 'service')}, {_named(view.window)}"
    if len(listed) < len(rest):
        title += f": the first {len(listed):,}; summary.json holds all"
    head = ["Service", *(f"{text(m.label)}, {text(arm)}" for m in metrics for arm in view.result.arms)]
    return details(title, table(title, head, _rest_rows(view, listed, metrics)))


def _rest_rows(view: View, names: Iterable[str], metrics: list[Metric]) -> Iterator[list[str]]:
    for name in names:
        cells = [
            units.estimate(view.figure(m.id, name, view.window.name, arm), m.unit)
            for m in metrics
            for arm in view.result.arms
        ]
        yield [text(name), *cells]


def _named(window: Window) -> str:
    return f"{text(window.name)} window ({duration(window.end - window.begin)})"
