"""What changed: paired differences as dots with their intervals.

* Durations, rates and ratios as factors of the reference's value, on a logarithmic axis: 1 is no change.
* Shares in percentage points, on a linear axis: 0 is no change.
* What is the same in every arm is left out and counted: dozens of dots on the line hide the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import plotly.graph_objects as go

from resilim.report import units
from resilim.report.draw import INK, Canvas, Panel, arm_colour, label
from resilim.report.markup import paragraph, text, titled
from resilim.report.units import percent
from resilim.report.view import View
from resilim.report.words import counted
from resilim.study.result import Estimate, Metric

_ROW = 8  # pixels, and for each arm
_ARM = 11
_SERVICE_METRICS = ("latency_p99", "failed_ratio")
_HEAD = 8
_FLOOR = 0.01  # factors below are drawn here: a logarithmic axis has no zero
_CEILING = 1000.0
# As plotly calls them, and as characters for the key.
_SYMBOLS = (("circle", "●"), ("square", "■"), ("diamond", "◆"), ("triangle-up", "▲"), ("x", "✖"))


Row = tuple[str, str, str]  # metric, of, window


class _Dot(NamedTuple):
    row: Row
    label: str
    arm: int
    low: float
    value: float
    high: float
    hover: str


def section(view: View) -> str:
    """Paired differences; nothing with one arm only."""
    factors, points = _dots(view, shares=False), _dots(view, shares=True)
    if not factors and not points:
        return _nothing(view) if view.others else ""
    return titled(
        "what-changed",
        "What changed",
        paragraph(
            f"Paired difference of each arm to {text(view.reference)}, with its "
            f"{percent(view.result.confidence)} interval. An interval that crosses the line of no change "
            f"shows no difference either way. Arms: {_key(view)}.{_left_out(view)}"
        ),
        _figure(
            "factors", factors, "factor of the reference's value (1: no change)", _finding(view), log=True
        ),
        _figure("points", points, "percentage points (0: no change)", _finding_of_shares(view), log=False),
    )


def _nothing(view: View) -> str:
    return titled("what-changed", "What changed", paragraph(f"Nothing.{_left_out(view)}"))


def _left_out(view: View) -> str:
    """How many rows the pictures do not have, since nothing changed there."""
    number = sum(view.unchanged(*row) for row in _every_row(view))
    return f" The same in every arm, so not drawn: {counted(number, 'figure')}." if number else ""


def _key(view: View) -> str:
    """The look of each arm's dots, and its name."""
    marks = [
        f'<span style="color:{arm_colour(number)}">{_SYMBOLS[number % len(_SYMBOLS)][1]}</span> {text(arm)}'
        for number, arm in enumerate(view.result.arms)
        if arm in view.others
    ]
    return ", ".join(marks)


def _rows(view: View) -> Iterator[tuple[Metric, str, str]]:
    """(metric, of, window) of the rows in which some arm is not the same as the reference."""
    yield from (row for row in _every_row(view) if not view.unchanged(*row))


def _every_row(view: View) -> Iterator[tuple[Metric, str, str]]:
    """(metric, of, window): clients in all windows, services in the window of the question."""
    for window in view.result.windows:
        for metric, of in view.of_client(window.name):
            yield metric, of, window.name
    shown = {view.result.services[i] for i in view.shown}
    for name, metrics in view.of_services(view.window.name).items():
        for metric in metrics:
            if name in shown and metric.id in _SERVICE_METRICS:
                yield metric, name, view.window.name


def _row_name(metric: Metric, of: str, window: str) -> str:
    return f"{label(of, 24) + ': ' if of else ''}{label(metric.label, 30)}, {label(window, 12)}"


def _dots(view: View, shares: bool) -> list[_Dot]:
    """The complete differences, of shares or of all else, where they stand in the picture."""
    dots = []
    for metric, of, window in _rows(view):
        name = _row_name(metric, of, window)
        reference = view.figure(metric.id, of, window, view.reference)
        for number, arm in enumerate(view.result.arms):
            found = view.difference(metric.id, of, window, arm)
            place = _place(found, reference, shares) if (metric.unit == "share") == shares else None
            if place:
                hover = units.difference(found, metric.unit)
                dots.append(_Dot((metric.id, of, window), name, number, *place, hover))
    return dots


def _place(
    found: Estimate | None, reference: Estimate | None, share: bool
) -> tuple[float, float, float] | None:
    """Low end, value and high end on the axis; None when one is missing or there is nothing to divide by."""
    if found is None or found.low is None or found.value is None or found.high is None:
        return None
    if share:
        return 100 * found.low, 100 * found.value, 100 * found.high
    if reference is None or reference.value is None or reference.value <= 0:
        return None
    low, value, high = (1 + x / reference.value for x in (found.low, found.value, found.high))
    return _drawable(low), _drawable(value), _drawable(high)


def _drawable(factor: float) -> float:
    return min(max(factor, _FLOOR), _CEILING)


def _figure(name: str, dots: list[_Dot], title: str, finding: str, log: bool) -> str:
    if not dots:
        return ""
    names = {dot.row: dot.label for dot in dots}
    rows = list(names)
    arms = sorted({dot.arm for dot in dots})
    canvas = Canvas(_HEAD + (_ROW + _ARM * len(arms)) * len(rows))
    x: dict[str, Any] = {"title": {"text": title, "standoff": 6}, "ticks": "outside", "showline": True}
    x |= _log_axis(dots) if log else {}
    y = {
        "tickvals": list(range(len(rows))),
        "ticktext": list(names.values()),
        "range": [len(rows) - 0.5, -0.5],
        "showgrid": False,
    }
    panel = canvas.panel((0, 1), (_HEAD, canvas.height), x=x, y=y)
    for place, arm in enumerate(arms):
        shift = (place - (len(arms) - 1) / 2) * 0.8 / len(arms)
        panel.add(_trace([d for d in dots if d.arm == arm], rows, arm, shift))
    _no_change(panel, 1 if log else 0)
    return canvas.html(name, finding, left=330)


def _no_change(panel: Panel, where: float) -> None:
    """The line that an interval must not cross to show a difference."""
    look = {"type": "line", "line": {"color": INK, "width": 1.5, "dash": "dash"}}
    ends = {"xref": panel.x, "yref": f"{panel.y} domain", "x0": where, "x1": where, "y0": 0, "y1": 1}
    panel.canvas.shapes.append(look | ends)


def _trace(dots: list[_Dot], rows: list[Row], arm: int, shift: float) -> Any:
    colour = arm_colour(arm)
    return go.Scatter(
        x=[d.value for d in dots],
        y=[rows.index(d.row) + shift for d in dots],
        error_x={
            "array": [d.high - d.value for d in dots],
            "arrayminus": [d.value - d.low for d in dots],
            "color": colour,
            "thickness": 2,
            "width": 4,
        },
        mode="markers",
        marker={"color": colour, "size": 8, "symbol": _SYMBOLS[arm % len(_SYMBOLS)][0]},
        text=[d.hover for d in dots],
        hovertemplate="%{text}<extra></extra>",
    )


def _log_axis(dots: list[_Dot]) -> dict[str, Any]:
    """Factors with round steps written out, finer ones where the range is short."""
    low, high = min(d.low for d in dots), max(d.high for d in dots)
    leading = (1, 2, 5) if high / low > 10 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    steps = [float(f"{digit}e{power}") for power in range(-2, 4) for digit in leading]
    ticks = [s for s in steps if low / 1.5 <= s <= high * 1.5]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"× {s:g}" for s in ticks]}


def _finding(view: View) -> str:
    return _sentence(view, "latency_p99") or "Paired differences as factors of the reference's value."


def _finding_of_shares(view: View) -> str:
    return _sentence(view, "success_ratio") or "Paired differences of shares in percentage points."


def _sentence(view: View, metric_id: str) -> str:
    """What became of one metric of the clients in the window of the question, arm by arm."""
    metric = view.metrics.get(metric_id)
    if metric is None:
        return ""
    parts = []
    for arm in view.others:
        found = view.difference(metric_id, "", view.window.name, arm)
        if found is not None:
            parts.append(f"{arm} {view.compared(metric, '', view.window.name, arm).sentence}")
    start = f"{metric.label} of the clients in the {view.window.name} window, against {view.reference}"
    return f"{start}: {'; '.join(parts)}." if parts else ""
