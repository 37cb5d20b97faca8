"""Tables of the terminal: one row a metric, arms as columns, in the widest form that fits.

* A figure or a verdict word is never cut; a form in which one would be is not taken while another fits.
* Forms of the clients' table: differences beside the figures; below them; one line an arm.
* Forms of the services' table: all metrics in one block, in two, or each its own; last, one line an arm.
* Rows are kept short: what only the page shows is left out, and `same` stands for no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from resilim.report import units
from resilim.report.units import duration
from resilim.report.view import View
from resilim.report.words import clip
from resilim.study.result import Metric, Window

NAME = 26  # characters of a name in a table

_UNBOUNDED = 10_000  # columns of a terminal that is never too narrow
_LONG_HEAD = 18  # characters of a head that takes two lines
_DIGITS = 4  # significant digits of the clients' figures, at most; shares may need more
_SERVICE_DIGITS = 3
_CLIENT_PAGE_ONLY = ("latency_mean", "recovery_time", "recovered")
_OVERVIEW = ("success_ratio", "goodput", "latency_p50", "latency_p99")  # outside the window of the question
_SERVICE_PAGE_ONLY = ("wasted_work",)
_AGAINST = "against"
_STYLES = {"better": "green", "worse": "red"}


class Row(NamedTuple):
    """A row of the clients' table; one without a metric is a heading."""

    name: str
    window: str
    of: str = ""
    metric: Metric | None = None


Form = Callable[[], list[Table]]


def clients(view: View, console: Console) -> None:
    """The clients' requests: all windows in one table, so that its columns stand below each other."""
    rows = list(_client_rows(view))
    if rows:
        _print(console, [partial(_single, draw, view, rows) for draw in (_beside, _below, _by_arm)])


def services(view: View, console: Console) -> None:
    """The services in the window of the question: those that pictures show too."""
    shown = {view.result.services[i] for i in view.shown}
    found = {name: metrics for name, metrics in view.of_services(view.window.name).items() if name in shown}
    every = dict.fromkeys(metric for metrics in found.values() for metric in metrics)
    metrics = [metric for metric in every if metric.id not in _SERVICE_PAGE_ONLY]
    if not metrics:
        return
    console.print(Text(f"calls to the services, {_named(view.window, ' window')}", style="bold"))
    _print(
        console,
        [
            partial(_blocks, draw, view, list(found), metrics, size)
            for draw in (_arms_across, _arms_down)
            for size in (len(metrics), 2, 1)
        ],
    )


def _named(window: Window, kind: str = "") -> str:
    """A window with its length: `fault (90 s)`; short, since it stands in the first column."""
    return f"{clip(window.name, NAME)}{kind} ({duration(window.end - window.begin)})"


def empty(*heads: str) -> Table:
    """A table without rows; all columns but the first are for numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(Text(heads[0]), no_wrap=True)
    for head in heads[1:]:
        table.add_column(Text(head), justify="right", no_wrap=True)
    return table


def _single(draw: Callable[[View, Sequence[Row]], Table], view: View, rows: Sequence[Row]) -> list[Table]:
    return [draw(view, rows)]


def _blocks(
    draw: Callable[[View, Sequence[str], Sequence[Metric]], Table],
    view: View,
    names: Sequence[str],
    metrics: Sequence[Metric],
    size: int,
) -> list[Table]:
    """The services' table in blocks of so many metrics."""
    return [draw(view, names, metrics[at : at + size]) for at in range(0, len(metrics), size)]


def _print(console: Console, forms: Iterable[Form]) -> None:
    """Print the first form that fits, else the last."""
    unbounded = console.options.update(max_width=_UNBOUNDED)
    tables: Sequence[Table] = ()
    for form in forms:
        tables = form()
        if all(Measurement.get(console, unbounded, t).maximum <= console.width for t in tables):
            break
    for table in tables:
        console.print(table)
        console.print()


def _client_rows(view: View) -> Iterator[Row]:
    for window in view.result.windows:
        chosen = list(_chosen(view, window))
        if chosen:
            yield Row(_named(window), window.name)
        above = ""
        for metric, of in chosen:
            if of != above:
                yield Row(f"  {clip(of, NAME)}", window.name, of)
                above = of
            yield Row(f"  {'  ' if of else ''}{clip(metric.label, NAME)}", window.name, of, metric)


def _chosen(view: View, window: Window) -> Iterator[tuple[Metric, str]]:
    for metric, of in view.of_client(window.name):
        overview = not of and metric.id in _OVERVIEW
        if overview or (window == view.window and metric.id not in _CLIENT_PAGE_ONLY):
            yield metric, of


def _heading(table: Table, row: Row) -> None:
    if not row.of and table.row_count:
        table.add_row()
    table.add_row(Text(row.name, style="" if row.of else "bold"))


def _beside(view: View, rows: Sequence[Row]) -> Table:
    """One column an arm, then for each other arm its difference and what it says."""
    table = empty("clients", *(clip(arm, NAME) for arm in view.result.arms))
    for arm in view.others:
        table.add_column(Text(_against(view, arm)), justify="right", no_wrap=True)
        table.add_column(Text(), no_wrap=True)
    for row in rows:
        if row.metric is None:
            _heading(table, row)
            continue
        cells = [_figure(view, row.metric, row.of, row.window, arm) for arm in view.result.arms]
        for arm in view.others:
            found = view.compared(row.metric, row.of, row.window, arm)
            cells += [_quiet(found.text), _word(found.word)]
        table.add_row(Text(row.name), *cells)
    return table


def _below(view: View, rows: Sequence[Row]) -> Table:
    """One column an arm; the differences stand below the figures, where there is any."""
    table = empty("clients", *(clip(arm, NAME) for arm in view.result.arms))
    for row in rows:
        if row.metric is None:
            _heading(table, row)
            continue
        cells = [_figure(view, row.metric, row.of, row.window, arm) for arm in view.result.arms]
        table.add_row(Text(row.name), *cells)
        if view.others and not view.unchanged(row.metric, row.of, row.window):
            found = [view.compared(row.metric, row.of, row.window, arm) for arm in view.others]
            indent = " " * (2 + len(row.name) - len(row.name.lstrip()))
            cells = [_quiet(f.text).append_text(_word(f" {f.word}" if f.word else "")) for f in found]
            table.add_row(Text(f"{indent}{_AGAINST} {clip(view.reference, NAME)}"), Text(), *cells)
    return table


def _by_arm(view: View, rows: Sequence[Row]) -> Table:
    """One line an arm: for narrow terminals and many arms."""
    table = empty("clients", "figure")
    table.add_column(Text("against the first"), justify="right", no_wrap=True)
    table.add_column(Text(), no_wrap=True)
    for row in rows:
        if row.metric is None:
            _heading(table, row)
            continue
        table.add_row(Text(row.name))
        for number, arm in enumerate(view.result.arms):
            cells = [_figure(view, row.metric, row.of, row.window, arm)]
            if number:
                found = view.compared(row.metric, row.of, row.window, arm)
                cells += [_quiet(found.text), _word(found.word)]
            table.add_row(Text(f"      {clip(arm, NAME)}"), *cells)
    return table


def _arms_across(view: View, names: Sequence[str], metrics: Sequence[Metric]) -> Table:
    """One line a service, for each metric one column an arm."""
    labels = [_two_lines(clip(metric.label, NAME)) for metric in metrics]
    lines = 1 + max(label.count("\n") for label in labels)
    table = empty("\n" * lines + "service")
    for label in labels:
        for arm in view.result.arms:
            table.add_column(Text(f"{label}\n{clip(arm, NAME)}"), justify="right", no_wrap=True)
    for name in names:
        cells = [_of_service(view, m, name, arm) for m in metrics for arm in view.result.arms]
        table.add_row(Text(clip(name, NAME)), *cells)
    return table


def _arms_down(view: View, names: Sequence[str], metrics: Sequence[Metric]) -> Table:
    """One line a service and arm, one column a metric."""
    table = empty("service, arm", *(clip(m.label, NAME) for m in metrics))
    for name in names:
        table.add_row(Text(clip(name, NAME)))
        for arm in view.result.arms:
            table.add_row(Text(f"  {clip(arm, NAME)}"), *(_of_service(view, m, name, arm) for m in metrics))
    return table


def _against(view: View, arm: str) -> str:
    """The head of a column of differences, in two lines where it is long."""
    minuend, subtrahend = clip(arm, NAME), clip(view.reference, NAME)
    between = "\n" if len(minuend) + len(subtrahend) > _LONG_HEAD else " "
    return f"{minuend}{between}{units.MINUS} {subtrahend}"


def _two_lines(label: str) -> str:
    """A long label of a column in two lines."""
    first, _, last = label.rpartition(" ")
    return f"{first}\n{last}" if first and len(label) > _LONG_HEAD else label


def _figure(view: View, metric: Metric, of: str, window: str, arm: str) -> Text:
    digits = None if metric.unit == "share" else _DIGITS
    return Text(units.estimate(view.figure(metric.id, of, window, arm), metric.unit, digits))


def _of_service(view: View, metric: Metric, name: str, arm: str) -> Text:
    return Text(
        units.estimate(view.figure(metric.id, name, view.window.name, arm), metric.unit, _SERVICE_DIGITS)
    )


def _quiet(text: str) -> Text:
    return Text(text, style="dim" if text == units.SAME else "")


def _word(word: str) -> Text:
    return Text(word, style=_STYLES.get(word.strip(), "dim"))
