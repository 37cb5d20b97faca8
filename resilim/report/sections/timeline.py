"""What happened: small multiples over time, rows in call order, one column an arm.

* p99 on one logarithmic scale for all rows, so that rows can be compared; below it the failed share.
* The line is the median of the replications, the band holds the middle 80 % of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from resilim.report import units
from resilim.report.draw import (
    INK,
    MUTED,
    Canvas,
    Panel,
    arm_colour,
    arm_dash,
    arm_name,
    columns,
    label,
    latency_axis,
    name_faults,
    shade_faults,
    time_axis,
)
from resilim.report.markup import details, paragraph, table, text, titled
from resilim.report.series import Cut, cut, cut_to
from resilim.report.units import DASH, duration, percent
from resilim.report.view import View
from resilim.run import Array
from resilim.study.result import Band, Estimate, Timeline

_HEAD = 22  # pixels: names of the arms
_TITLE = 20  # name of a row
_TALL = 96  # a panel of the clients
_LOW = 66  # a panel of a service
_STRIP = 24  # failed share
_GAP = 5
_TABLE_ROWS = 40


@dataclass(frozen=True)
class _Row:
    """One row of the picture: a panel for each arm."""

    name: str
    service: int | None  # None for the clients
    height: int


def section(view: View) -> str:
    """The timeline of the clients and the services; nothing for a result without timelines."""
    if not view.result.timelines:
        return ""
    rows = [_Row("clients", None, _TALL), *(_Row(view.result.services[i], i, _LOW) for i in view.shown)]
    cuts = cut(view, 4 * len(rows) * len(view.result.arms))
    canvas = Canvas(_HEAD + _TITLE + _TALL + _GAP + sum(_space(r) for r in rows))
    scale = _scale(view, rows, cuts)
    top = _goodput(view, canvas, cuts)
    for row in rows:
        top = _draw(view, canvas, cuts, row, scale, top, last=row is rows[-1])
    canvas.time_title(view)
    return titled(
        "what-happened",
        "What happened",
        _words(view, cuts),
        canvas.html("timeline", _finding(view), _numbers(view)),
    )


def _space(row: _Row) -> int:
    return _TITLE + row.height + _GAP + _STRIP + _GAP


def _words(view: View, cuts: Cut) -> str:
    chosen = ""
    if len(view.shown) < len(view.result.services):
        chosen = (
            f" Shown are the {len(view.shown)} of {len(view.result.services):,} services that changed "
            "most between the arms, with the entry and those that the faults strike."
        )
    return paragraph(
        "Lines are medians of the replications, bands hold the middle 80 % of them; one point is "
        f"{duration(cuts.step)}. p99 has one logarithmic scale for all rows. Under each p99 is the share "
        f"that failed, 0 to 100 %. Shaded: {text('; '.join(view.fault_words()) or 'no fault')}.{chosen}"
    )


def _goodput(view: View, canvas: Canvas, cuts: Cut) -> int:
    """The first row: how many requests a second succeed, beside how many are offered. Returns its end."""
    begin = _HEAD + _TITLE
    bands = [view.result.timelines[arm].client for arm in view.result.arms]
    most = max(_peak(cuts.of(band[name].high)) for band in bands for name in ("goodput", "offered"))
    room = 1.08 + 0.2 * min(len(view.result.faults), 3)  # for the names of the faults
    panels = []
    for number, across in enumerate(columns(len(bands))):
        axes: dict[str, Any] = {"range": [0, room * most], "nticks": 4, "showticklabels": number == 0}
        panel = canvas.panel(across, (begin, begin + _TALL), x=time_axis(view, labels=False), y=axes)
        offered = cuts.of(bands[number]["offered"].median)
        panel.line(cuts.start, cuts.step, offered, MUTED, "dot", "%{y:.3g}/s offered")
        _line(panel, cuts, bands[number]["goodput"], number, "%{y:.3g}/s succeed")
        look = {"size": 14, "color": arm_colour(number)}
        canvas.note(arm_name(view, number), across[0], _HEAD - 4, font=look)
        panels.append(panel)
    canvas.note("<b>clients</b>: requests that succeed, per second (dotted: offered)", 0, begin - 2)
    shade_faults(view, panels)
    for panel in panels:
        name_faults(view, panel)
    return begin + _TALL + _GAP


def _draw(
    view: View, canvas: Canvas, cuts: Cut, row: _Row, scale: tuple[float, float], top: int, last: bool
) -> int:
    """One row of p99 and failed share for every arm. Returns its end."""
    top += _TITLE
    middle = top + row.height
    panels = []
    for number, across in enumerate(columns(len(view.result.arms))):
        timeline = view.result.timelines[view.result.arms[number]]
        first = {"showticklabels": number == 0}
        upper = canvas.panel(across, (top, middle), x=time_axis(view, False), y=latency_axis(*scale) | first)
        _line(upper, cuts, _series(timeline, "p99", row), number, "%{y:.3g} s p99")
        strip: dict[str, Any] = {
            "range": [0, 1],
            "tickvals": [0.5],
            "ticktext": ["failed"],
            "showgrid": False,
        }
        where = (middle + _GAP, middle + _GAP + _STRIP)
        lower = canvas.panel(across, where, x=time_axis(view, last), y=strip | first)
        failed = cuts.of(_series(timeline, "failed", row).median)
        lower.area(cuts.start, cuts.step, failed, "var(--arm-2)", "%{y:.1%} failed")
        panels += [upper, lower]
    shade_faults(view, panels)
    note = ": p99, and share that failed" if row.service is None else ""
    canvas.note(f"<b>{label(row.name, 48)}</b>{note}", 0, top - 2, font={"size": 12, "color": INK})
    return where[1] + _GAP


def _line(panel: Panel, cuts: Cut, band: Band, arm: int, hover: str) -> None:
    panel.band(cuts.start, cuts.step, cuts.of(band.low), cuts.of(band.high), arm_colour(arm, band=True))
    panel.line(cuts.start, cuts.step, cuts.of(band.median), arm_colour(arm), arm_dash(0), hover)


def _series(timeline: Timeline, name: str, row: _Row) -> Band:
    if row.service is None:
        return timeline.client[name]
    band = timeline.services[name]
    return Band(band.median[row.service], band.low[row.service], band.high[row.service])


def _scale(view: View, rows: list[_Row], cuts: Cut) -> tuple[float, float]:
    """Lowest and highest p99 of the picture, seconds."""
    bands = [_series(view.result.timelines[arm], "p99", row) for arm in view.result.arms for row in rows]
    values = np.concatenate([cuts.of(edge) for band in bands for edge in (band.low, band.high)])
    values = values[np.isfinite(values) & (values > 0)]
    return (float(values.min()), float(values.max())) if len(values) else (0.001, 1.0)


def _peak(values: Array) -> float:
    return float(np.nanmax(values)) if np.isfinite(values).any() else 1.0


def _finding(view: View) -> str:
    """The picture in one sentence: the clients' p99 and success in the window of the question."""
    parts = [f"{arm}: {', '.join(_known(view, arm))}" for arm in view.result.arms]
    return f"The clients in the {view.window.name} window. {'; '.join(parts)}."


def _known(view: View, arm: str) -> list[str]:
    words = []
    for metric_id in ("latency_p99", "success_ratio"):
        found: Estimate | None = view.figure(metric_id, "", view.window.name, arm)
        if found and found.value is not None:
            metric = view.metrics[metric_id]
            words.append(f"{metric.label} {units.estimate(found, metric.unit)}")
    return words or ["no figures"]


def _numbers(view: View) -> str:
    """The clients' series as a table of medians, with the band of the p99."""
    cuts = cut_to(view, _TABLE_ROWS)
    head = ["Time"]
    cells: list[list[str]] = []
    for arm in view.result.arms:
        client = view.result.timelines[arm].client
        head += [f"{text(arm)}: {word}" for word in ("succeed per second", "p99 (10 % to 90 %)", "failed")]
        low, middle, high = (
            cuts.of(edge) for edge in (client["p99"].low, client["p99"].median, client["p99"].high)
        )
        cells.append([_shown(v, "{:.0f}/s".format) for v in cuts.of(client["goodput"].median)])
        cells.append([_latency(*v) for v in zip(middle, low, high, strict=True)])
        cells.append([_shown(v, lambda share: percent(share, 1)) for v in cuts.of(client["failed"].median)])
    times = [f"{duration(round(float(t), 3))}" for t in cuts.times()]
    title = f"The clients over time, medians of the replications, each over {duration(cuts.step)}"
    return details(
        "The numbers behind the clients' rows",
        table(title, head, map(list, zip(times, *cells, strict=True))),
    )


def _shown(value: float, written: Callable[[float], str]) -> str:
    return written(value) if np.isfinite(value) else DASH


def _latency(middle: float, low: float, high: float) -> str:
    if not np.isfinite([middle, low, high]).all():
        return DASH
    return f"{1000 * middle:.0f} ms ({1000 * low:.0f} to {1000 * high:.0f})"
