"""The table of figures: every metric of every arm, and the paired differences, one table a window.

* The clients in the window of the question stand open; all else waits in details, so that the page begins
  with one table. The services follow, at most as many as the pictures show.
* With more services than that, one line holds each of the rest: p99 and failed share during the fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from resilim.report import units
from resilim.report.markup import details, grouped, paragraph, table, text, titled
from resilim.report.units import MINUS, SAME, duration, percent
from resilim.report.view import MOST, View
from resilim.report.words import counted
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
            f"includes zero, and <em>{SAME}</em> when all of it lies within 0.01 % of the reference. "
            "pp: percentage points. &gt; and &lt;: no replication ever saw a failure, or a success; that is "
            f"the {confidence} bound of the share."
        ),
        _clients(view, view.window),
        *(_folded(_clients(view, w), f"The clients' requests, {_named(w)}") for w in _others(view)),
        *(_services(view, window) for window in view.result.windows),
        _rest(view),
    )


def _others(view: View) -> list[Window]:
    """The windows beside the one of the question."""
    return [window for window in view.result.windows if window != view.window]


def _folded(html_table: str, title: str) -> str:
    return details(title, html_table) if html_table else ""


def _clients(view: View, window: Window) -> str:
    """All requests first, then those to each endpoint."""
    rows: dict[str, list[list[str]]] = {}
    for metric, of in view.of_client(window.name):
        rows.setdefault(of, []).append(_row(view, window.name, metric, of))
    groups = [(text(of), found) for of, found in rows.items()]
    return grouped(f"The clients' requests, {_named(window)}", _head(view), groups) if groups else ""


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
    row = [text(metric.label), *(_figure(view, window, metric, of, arm) for arm in view.result.arms)]
    for arm in view.others:
        row += _difference(view, window, metric, of, arm)
    return row


def _difference(view: View, window: str, metric: Metric, of: str, arm: str) -> list[str]:
    found = view.compared(metric, of, window, arm)
    kind = found.word if found.word in ("better", "worse") else "muted"
    size = f'<span class="muted">{SAME}</span>' if found.text == SAME else found.text
    return [size, found.relative, f'<span class="{kind}">{found.word}</span>']


def _figure(view: View, window: str, metric: Metric, of: str, arm: str) -> str:
    if metric.id == "recovery_time":
        return view.recovered(window, arm)
    return units.estimate(view.figure(metric.id, of, window, arm), metric.unit)


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
