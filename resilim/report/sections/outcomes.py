"""Where requests went: the failed ones by response flag and by the service where the failure began."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from resilim.plane.flags import MEANINGS
from resilim.report.draw import INK, Canvas, label
from resilim.report.markup import paragraph, table, text, titled
from resilim.report.units import percent
from resilim.report.view import View
from resilim.study.result import Outcomes

_MOST = 7  # kinds of failure that a picture tells apart
_BAR = 30
_HEAD = 10
_OTHER = ("other", "")
# Fills only, always outlined: some of these have too little contrast for lines.
_FILLS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")
_PATTERNS = ("", "/", "", "\\", "x", "", ".", "-")

Kind = tuple[str, str]  # flags, origin


def section(view: View) -> str:
    """Outcomes of the clients' requests."""
    outcomes = view.result.outcomes
    if not outcomes:
        return ""
    kinds = _kinds(outcomes)
    return titled(
        "outcomes",
        "Where requests went",
        paragraph(
            "Failed requests by response flag, as Envoy prints it, and by the service where the failure "
            "began, mean of the replications. The glossary says what the flags mean."
        ),
        _figure(view, kinds) if kinds else paragraph("No request failed."),
        _table(view, kinds),
    )


def _kinds(outcomes: tuple[Outcomes, ...]) -> list[Kind]:
    """Kinds of failure over all arms and windows, most frequent first."""
    total: dict[Kind, float] = {}
    for outcome in outcomes:
        for flags, origin, number in outcome.failures:
            total[flags, origin] = total.get((flags, origin), 0.0) + number
    return sorted(total, key=lambda kind: (-total[kind], kind))


def _listed(kinds: list[Kind]) -> list[Kind]:
    """The most frequent kinds; the rest together."""
    return kinds[:_MOST] + ([_OTHER] if len(kinds) > _MOST else [])


def _figure(view: View, kinds: list[Kind]) -> str:
    outcomes = [o for o in view.outcomes() if o.failures]
    shown = _listed(kinds)
    canvas = Canvas(_HEAD + _BAR * len(outcomes))
    rows = [f"{label(o.window, 16)}: {label(o.arm, 20)}" for o in outcomes]
    x: dict[str, Any] = {
        "title": {"text": "failed requests a replication", "standoff": 6},
        "ticks": "outside",
    }
    y = {
        "tickvals": list(range(len(rows))),
        "ticktext": rows,
        "range": [len(rows) - 0.5, -0.5],
        "showgrid": False,
    }
    panel = canvas.panel((0, 1), (_HEAD, canvas.height), x=x, y=y)
    for number, kind in enumerate(shown):
        panel.add(_bars(kind, [_number(o, kind, shown) for o in outcomes], number))
    lines = -(-len(shown) // 3)
    canvas.layout |= {
        "barmode": "stack",
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "traceorder": "normal"},
    }
    return canvas.html("failures", _finding(view), left=170, top=24 * lines + 16)


def _bars(kind: Kind, numbers: list[float], number: int) -> Any:
    return go.Bar(
        x=[round(n, 1) for n in numbers],
        y=list(range(len(numbers))),
        orientation="h",
        width=0.7,
        name=_kind_label(kind),
        marker={
            "color": _FILLS[number],
            "line": {"color": INK, "width": 1},
            "pattern": {"shape": _PATTERNS[number], "fgcolor": "#000000", "size": 6, "solidity": 0.2},
        },
        hovertemplate="%{x:.1f} failed<extra></extra>",
    )


def _number(outcome: Outcomes, kind: Kind, shown: list[Kind]) -> float:
    if kind == _OTHER:
        return sum(n for flags, origin, n in outcome.failures if (flags, origin) not in shown)
    return sum(n for flags, origin, n in outcome.failures if (flags, origin) == kind)


def _kind_label(kind: Kind) -> str:
    return "other" if kind == _OTHER else f"{label(kind[0], 20)} at {label(kind[1] or 'client', 28)}"


def _table(view: View, kinds: list[Kind]) -> str:
    """Numbers of every window and arm: how many arrived and succeeded, and how the others failed."""
    outcomes = view.outcomes()
    head = ["", *(f"{text(o.window)}: {text(o.arm)}" for o in outcomes)]
    rows = [
        ["requests", *(_count(o.requests, 0) for o in outcomes)],
        ["succeeded", *(_count(o.succeeded, o.requests) for o in outcomes)],
        ["failed", *(_count(sum(n for *_, n in o.failures), o.requests) for o in outcomes)],
    ]
    listed = _listed(kinds)
    rows += [[_kind_words(kind), *(_count(_number(o, kind, listed), 0) for o in outcomes)] for kind in listed]
    return table("Outcomes of the clients' requests, mean number a replication", head, rows)


def _kind_words(kind: Kind) -> str:
    flags, origin = kind
    if kind == _OTHER:
        return "other"
    meaning = "; ".join(MEANINGS.get(flag, flag) for flag in flags.split(","))
    return f'<b>{text(flags)}</b> at {text(origin or "client")}<br><span class="muted">{text(meaning)}</span>'


def _spoken(flags: str, origin: str) -> str:
    """A kind of failure in a sentence, where a bare `-` would be read as a dash."""
    meaning = f" ({MEANINGS['-']})" if flags == "-" else ""
    return f"{flags}{meaning} at {origin or 'client'}"


def _count(number: float, of: float) -> str:
    """A mean number, and its share of `of` unless that is 0."""
    share = f" ({percent(number / of, 2)})" if of and number else ""
    return f"{number:,.{0 if number >= 10 or number == 0 else 1}f}{share}"


def _finding(view: View) -> str:
    parts = []
    for outcome in view.outcomes():
        if outcome.window == view.window.name:
            failed = sum(number for _, _, number in outcome.failures)
            most = f", most of them {_spoken(*outcome.failures[0][:2])}" if outcome.failures else ""
            parts.append(f"{outcome.arm}: {failed:,.0f} of {outcome.requests:,.0f} failed{most}")
    return f"Requests in the {view.window.name} window, mean of the replications. {'; '.join(parts)}."
