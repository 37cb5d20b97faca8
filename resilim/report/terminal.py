"""The terminal: what was run, the clients and the services, where requests failed, and the answer last.

* The last lines are the ones that people read: recovery, how to read the figures, notes, and the answer.
* The page shows more of everything; what is left out here is said in one line.
* Words carry the verdict, bold and colour only repeat it. Names are `Text`, never markup.
* A sign or a word that needs an explanation gets it, once, and only where it occurs.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from resilim.plane.flags import MEANINGS
from resilim.report import grids, units
from resilim.report.grids import NAME
from resilim.report.units import DASH
from resilim.report.view import View
from resilim.report.words import VERDICTS, clip, counted, plain
from resilim.study.result import Outcomes, Result

_FAILURES = 6  # kinds of failure listed for each arm and window

_STYLES = {"yes": "bold green", "no": "bold red", "partly": "bold yellow"}


def render(result: Result, console: Console) -> None:
    """Print a result."""
    view = View.of(result)
    _headline(view, console)
    with console.capture() as capture:
        grids.clients(view, console)
        grids.services(view, console)
        _outcomes(view, console)
        _recovery(view, console)
    tables = capture.get()
    console.file.write(tables)
    _list(console, "how to read it", _reading(view, Text.from_ansi(tables).plain))
    _list(console, "notes", view.result.notes)
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


def _outcomes(view: View, console: Console) -> None:
    """Failed requests by response flag and origin, for each window and arm that has any."""
    if not view.result.outcomes:
        return
    failed = [o for o in view.outcomes() if o.failures]
    title = "failed requests, mean of the replications, by response flag and origin"
    console.print(Text(title, style="bold"))
    if failed:
        console.print(_failed(failed))
        for flag in _flags(failed):
            console.print(Text(f"  {plain(flag):<4}{MEANINGS.get(flag, 'not a flag of this version')}"))
    else:
        console.print(Text("  no request failed in any window or arm"))
    whole = [o for o in view.outcomes() if not o.failures]
    if failed and whole:
        names = ", ".join(f"{clip(o.window, NAME)} {clip(o.arm, NAME)}" for o in whole)
        console.print(Text(f"  no request failed: {names}"))
    console.print()


def _failed(outcomes: list[Outcomes]) -> Table:
    table = grids.empty("window", "arm", "failed")
    table.columns[1].justify = "left"
    table.add_column(Text("flags at origin"))
    for outcome in outcomes:
        number = f"{_count(outcome.requests - outcome.succeeded)} of {outcome.requests:,.0f}"
        names = Text(clip(outcome.window, 12)), Text(clip(outcome.arm, 16))
        table.add_row(*names, Text(number), _failures(outcome))
    return table


def _failures(outcome: Outcomes) -> Text:
    shown = outcome.failures[:_FAILURES]
    words = [
        f"{plain(flags)} at {clip(origin or 'client', NAME)}: {_count(number)}"
        for flags, origin, number in shown
    ]
    more = len(outcome.failures) - len(shown)
    return Text("; ".join(words + ([f"{more} more kinds"] if more else [])) or DASH)


def _count(number: float) -> str:
    """A mean number; one below a half is not nothing."""
    return "<1" if 0 < number < 0.5 else f"{number:,.0f}"


def _flags(outcomes: list[Outcomes]) -> list[str]:
    """Every single flag that the listed failures carry, once."""
    kinds = [flags for o in outcomes for flags, _, _ in o.failures[:_FAILURES]]
    return list(dict.fromkeys(flag for flags in kinds for flag in flags.split(",")))


def _recovery(view: View, console: Console) -> None:
    """When the effect was over, arm by arm."""
    window = next((w for w, measured in view.measured.items() if ("recovery_time", "") in measured), None)
    if window is None:
        return
    words = [f"{clip(arm, NAME)}: {view.recovered(window, arm, 4)}" for arm in view.result.arms]
    line = Text("recovery time", style="bold")
    console.print(line.append(f"  {' | '.join(words)}", style="not bold"))
    console.print()


def _reading(view: View, tables: str) -> Iterator[str]:
    """What needs an explanation in these tables, and what they leave out."""
    confidence = units.percent(view.result.confidence)
    yield "± and [ , ]: the interval. Without either, it is narrower than the last digit shown."
    if "> " in tables or "< " in tables:
        yield f"> and <: it never failed, or never happened; that is the {confidence} bound of the share."
    if units.EXACTLY in tables:
        yield "exactly: every replication gave this value."
    if view.others:
        yield (
            f"Differences are paired. {units.SAME}, or no line of differences: within 0.01 % of the "
            "reference. not clear: the interval includes zero."
        )
    yield "The page also has mean latencies, wasted work, the services in the other windows, and pictures."
    missing = len(view.result.services) - len(view.shown)
    if missing:
        which = "shown are those that changed most between the arms, the entry and those under fault"
        yield f"{counted(missing, 'more service')} in the page; {which}."


def _list(console: Console, title: str, lines: Iterator[str] | tuple[str, ...]) -> None:
    for place, line in enumerate(lines):
        if place == 0:
            console.print(Text(title, style="bold"))
        console.print(Padding(Text(plain(line)), (0, 0, 0, 2)))


def _answer(view: View, console: Console) -> None:
    answer = view.result.answer
    console.print()
    console.print(Text(plain(view.result.question)))
    verdict = Text(f"{VERDICTS[answer.verdict]}: ", style=_STYLES.get(answer.verdict, "bold"))
    console.print(verdict.append(plain(answer.sentence), style="default not bold"))
