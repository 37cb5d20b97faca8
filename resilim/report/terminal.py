"""The terminal: what was run, one table a window, the services, where requests failed, and the answer last.

* The last lines are the ones that people read: they are the notes and the answer.
* A table takes the widest form that fits: with relative changes, without them, or one line an arm.
* Words carry the verdict; colour only repeats it. Names are `Text`, never markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from resilim.report import units
from resilim.report.units import DASH, duration
from resilim.report.view import View
from resilim.report.words import VERDICTS, clip, counted, judgement, plain
from resilim.study.result import Metric, Outcomes, Result, Window

_NAME = 26  # characters of a name in a table
_FAILURES = 6  # kinds of failure listed for each arm and window
_OUTSIDE = ("latency_p99",)  # metrics of the services outside the window of the question
_PAGE_ONLY = ("failed_ratio", "wasted_work")  # metrics of the services that only the page shows
_UNBOUNDED = 10_000  # columns of a terminal that is never too narrow

_STYLES = {"better": "green", "worse": "red", "yes": "bold green", "no": "bold red", "partly": "bold yellow"}

Line = tuple[Text, Metric, str, str]  # what is shown first, metric, of, window


def render(result: Result, console: Console) -> None:
    """Print a result."""
    view = View.of(result)
    _headline(view, console)
    for window in result.windows:
        _table(view, console, f"clients, {_named(window)}", list(_client_lines(view, window)))
    for window in result.windows:
        _table(view, console, f"services, {_named(window)}", list(_service_lines(view, window)))
    _left_out(view, console)
    _outcomes(view, console)
    _notes(view, console)
    _answer(view, console)


def _headline(view: View, console: Console) -> None:
    result = view.result
    arms = ", ".join([f"{plain(view.reference)} (reference)", *map(plain, view.others)])
    console.print(Text(plain(result.experiment), style="bold"), Text(f": {arms}"), sep="")
    runs = (
        f"{counted(result.replications, 'replication')} an arm, seed {result.seed}, {plain(result.pairing)}"
    )
    console.print(Text(f"{runs}, {units.percent(result.confidence)} intervals"))
    for words in view.fault_words():
        console.print(Text(plain(words)))
    console.print()


def _client_lines(view: View, window: Window) -> Iterator[Line]:
    for metric, of in view.of_client(window.name):
        name = Text(clip(metric.label, _NAME))
        if of:
            name.append(f", {clip(of, _NAME)}")
        yield name, metric, of, window.name


def _service_lines(view: View, window: Window) -> Iterator[Line]:
    """The services that pictures show too; few metrics, and fewer outside the window of the question."""
    shown = {view.result.services[i] for i in view.shown}
    for service, metrics in view.of_services(window.name).items():
        inside = window == view.window
        chosen = [m for m in metrics if (m.id not in _PAGE_ONLY if inside else m.id in _OUTSIDE)]
        for place, metric in enumerate(chosen if service in shown else []):
            name = Text(clip(service, _NAME) if place == 0 else "", style="bold")
            name.append(f"{' ' if place == 0 else '  '}{clip(metric.label, _NAME)}", style="not bold")
            yield name, metric, service, window.name


def _table(view: View, console: Console, title: str, lines: Sequence[Line]) -> None:
    """Print the widest form that fits."""
    if not lines:
        return
    forms = [
        _wide(view, title, lines, full=True),
        _wide(view, title, lines, full=False),
        _long(view, title, lines),
    ]
    unbounded = console.options.update(max_width=_UNBOUNDED)
    fitting = (t for t in forms if Measurement.get(console, unbounded, t).maximum <= console.width)
    console.print(next(fitting, forms[-1]))


def _wide(view: View, title: str, lines: Sequence[Line], full: bool) -> Table:
    """One column an arm, then for each other arm its difference and what it says."""
    table = _empty(title)
    for arm in view.result.arms:
        table.add_column(Text(clip(arm, _NAME)), justify="right", no_wrap=True)
    for arm in view.others:
        against = f"{clip(arm, _NAME)} {units.MINUS} {clip(view.reference, _NAME)}"
        table.add_column(Text(against), justify="right", no_wrap=True)
        if full:
            table.add_column(Text(), justify="right", no_wrap=True)
        table.add_column(Text(), no_wrap=True)
    for name, metric, of, window in lines:
        cells = [_figure(view, metric, of, window, arm) for arm in view.result.arms]
        for arm in view.others:
            cells += _difference(view, metric, of, window, arm, full)
        table.add_row(name, *cells)
    return table


def _long(view: View, title: str, lines: Sequence[Line]) -> Table:
    """One line an arm: for narrow terminals and many arms."""
    table = _empty(title)
    table.add_column(Text("arm"), overflow="ellipsis", no_wrap=True)
    table.add_column(Text("figure"), justify="right", no_wrap=True)
    if view.others:
        table.add_column(Text("against the first"), justify="right", no_wrap=True)
        table.add_column(Text(), no_wrap=True)
    for name, metric, of, window in lines:
        table.add_row(name, *_arm(view, metric, of, window, view.reference))
        for arm in view.others:
            difference = _difference(view, metric, of, window, arm, full=False)
            table.add_row(Text(), *_arm(view, metric, of, window, arm), *difference)
    return table


def _arm(view: View, metric: Metric, of: str, window: str, arm: str) -> list[Text]:
    return [Text(clip(arm, _NAME)), _figure(view, metric, of, window, arm)]


def _empty(title: str) -> Table:
    table = Table(
        title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column(Text("metric"), overflow="ellipsis", no_wrap=True)
    return table


def _figure(view: View, metric: Metric, of: str, window: str, arm: str) -> Text:
    return Text(units.estimate(view.figure(metric.id, of, window, arm), metric.unit))


def _difference(view: View, metric: Metric, of: str, window: str, arm: str, full: bool) -> list[Text]:
    """A paired difference and what it says; with `full` also as a share of the reference."""
    found = view.difference(metric.id, of, window, arm)
    reference = view.figure(metric.id, of, window, view.reference)
    word = judgement(found, metric)
    cells = [Text(units.difference(found, metric.unit))]
    if full:
        cells.append(Text(units.relative(found, reference, metric.unit)))
    return [*cells, Text(word, style=_STYLES.get(word, "dim"))]


def _left_out(view: View, console: Console) -> None:
    missing = len(view.result.services) - len(view.shown)
    if missing:
        which = "shown are those that changed most between the arms, the entry and those under fault"
        console.print(Text(f"{counted(missing, 'more service')} in the page; {which}"))


def _outcomes(view: View, console: Console) -> None:
    """Failed requests by response flag and origin, for each window and arm."""
    if not view.result.outcomes:
        return
    table = _empty("failed requests, mean of the replications, by response flag and origin")
    table.columns[0].header = Text("window")
    for head in ("arm", "failed", "flags at origin"):
        table.add_column(Text(head), justify="right" if head == "failed" else "left")
    for outcome in view.outcomes():
        failed = f"{outcome.requests - outcome.succeeded:,.0f} of {outcome.requests:,.0f}"
        table.add_row(
            Text(clip(outcome.window, 12)), Text(clip(outcome.arm, 16)), Text(failed), _failures(outcome)
        )
    console.print(table)


def _failures(outcome: Outcomes) -> Text:
    shown = outcome.failures[:_FAILURES]
    words = [
        f"{plain(flags)} at {clip(origin or 'client', _NAME)}: {number:,.0f}"
        for flags, origin, number in shown
    ]
    more = len(outcome.failures) - len(shown)
    return Text("; ".join(words + ([f"{more} more kinds"] if more else [])) or DASH)


def _notes(view: View, console: Console) -> None:
    if view.result.notes:
        console.print(Text("notes", style="bold"))
    for note in view.result.notes:
        console.print(Padding(Text(plain(note)), (0, 0, 0, 2)))


def _answer(view: View, console: Console) -> None:
    answer = view.result.answer
    console.print()
    console.print(Text(plain(view.result.question)))
    verdict = Text(f"{VERDICTS[answer.verdict]}: ", style=_STYLES.get(answer.verdict, "bold"))
    console.print(verdict.append(plain(answer.sentence), style="default"))


def _named(window: Window) -> str:
    return f"{clip(window.name, _NAME)} window ({duration(window.end - window.begin)})"
