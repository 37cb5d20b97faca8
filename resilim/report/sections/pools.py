"""Where requests wait: the callers' connection pools and the workers.

* Shown are the services under fault and those where requests failed: a failure that spreads fills the queues
  of the callers, which no fault strikes.
* All arms share a panel, so its axes are the same for all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from resilim.report.draw import Canvas, Panel, arm_colour, arm_dash, columns, label, shade_faults, time_axis
from resilim.report.markup import paragraph, text, titled
from resilim.report.series import Cut, cut
from resilim.report.units import percent
from resilim.report.view import View
from resilim.report.words import clip

_MOST_SERVICES = 4
_COLUMNS = 3
_NOTABLE = 0.01  # of the requests
_TITLE = 22
_PANEL = 100
_GAP = 8

# series of a service: title, how a value is written, and whether it is a share
_SERIES = {
    "pending": ("callers' pools: pending requests", "%{y:.3g} pending", False),
    "active": ("callers' pools: active requests", "%{y:.3g} active", False),
    "connections": ("callers' pools: connections", "%{y:.3g} connections", False),
    "refused_by_pool": ("callers' pools: refused per second", "%{y:.3g}/s refused", False),
    "busy": ("its hosts: busy workers", "%{y:.1%} busy", True),
    "waiting": ("its hosts: waiting for a worker", "%{y:.3g} waiting", False),
}


def section(view: View) -> str:
    """Pools and workers of the services under fault and where failures began; else of those that changed."""
    if not view.result.timelines:
        return ""
    services = (tuple(dict.fromkeys((*view.struck, *_origins(view)))) or view.shown)[:_MOST_SERVICES]
    arms = ", ".join(_key(arm, number) for number, arm in enumerate(view.result.arms))
    return titled(
        "pools",
        "Where requests wait",
        paragraph(f"Medians of the replications, bands hold the middle 80 % of them. Arms: {arms}."),
        *(_service(view, service, f"pool-{place}") for place, service in enumerate(services)),
    )


def _origins(view: View) -> list[int]:
    """Services where a notable share of the failures began in the window of the question, most first."""
    most: dict[str, float] = {}
    for outcome in view.outcomes():
        for _, origin, number in outcome.failures if outcome.window == view.window.name else ():
            most[origin] = max(most.get(origin, 0.0), number / outcome.requests)
    names = sorted((n for n in most if most[n] >= _NOTABLE), key=lambda n: (-most[n], n))
    return [view.result.services.index(name) for name in names if name in view.result.services]


def _key(arm: str, number: int) -> str:
    """The look of an arm's line, and its name."""
    style = {"solid": "solid", "dash": "dashed", "dot": "dotted"}.get(arm_dash(number), "dashed")
    look = f"border-top-style:{style};border-top-color:{arm_colour(number)}"
    return f'<span class="key" style="{look}"></span>{text(arm)}'


def _service(view: View, service: int, name: str) -> str:
    there = [s for s in _SERIES if all(s in view.result.timelines[arm].services for arm in view.result.arms)]
    cuts = cut(view, 3 * len(there) * len(view.result.arms) * _MOST_SERVICES)
    lines = -(-len(there) // _COLUMNS)
    canvas = Canvas(lines * (_TITLE + _PANEL + _GAP))
    panels = []
    for place, series in enumerate(there):
        line, column = divmod(place, _COLUMNS)
        top = line * (_TITLE + _PANEL + _GAP) + _TITLE
        across = columns(_COLUMNS, 0.07)[column]
        panels.append(_panel(view, canvas, cuts, service, series, across, top, line == lines - 1))
    shade_faults(view, panels)
    canvas.time_title(view)
    title = f"<h3>{text(view.result.services[service])}: {view.result.workers[service]:,} workers</h3>"
    return title + canvas.html(name, _finding(view, service), left=44)


def _panel(
    view: View,
    canvas: Canvas,
    cuts: Cut,
    service: int,
    series: str,
    across: tuple[float, float],
    top: int,
    last: bool,
) -> Panel:
    """One series of a service, all arms in one panel."""
    title, hover, share = _SERIES[series]
    axis: dict[str, Any] = {"rangemode": "tozero", "nticks": 4}
    if share:
        axis |= {"range": [0, 1.05], "tickformat": ".0%"}
    elif _most(view, service, series) < 1:
        axis |= {
            "range": [0, 1.05],
            "tickvals": [0, 1],
        }  # else an axis of hundredths would make much of little
    panel = canvas.panel(across, (top, top + _PANEL), x=time_axis(view, last), y=axis)
    canvas.note(label(title, 48), across[0], top - 3)
    for number, arm in enumerate(view.result.arms):
        band = view.result.timelines[arm].services[series]
        low, middle, high = (cuts.of(edge[service]) for edge in (band.low, band.median, band.high))
        panel.band(cuts.start, cuts.step, low, high, arm_colour(number, band=True))
        panel.line(cuts.start, cuts.step, middle, arm_colour(number), arm_dash(number), hover)
    return panel


def _most(view: View, service: int, series: str) -> float:
    """The highest value of a series over all arms and times."""
    edges = [timeline.services[series].high[service] for timeline in view.result.timelines.values()]
    return float(np.nan_to_num(np.concatenate(edges)).max(initial=0.0))


def _finding(view: View, service: int) -> str:
    """The highest use in the window of the question, arm by arm."""
    parts = []
    for arm in view.result.arms:
        timeline = view.result.timelines[arm]
        inside = (timeline.bins > view.window.begin) & (timeline.bins <= view.window.end)
        busy, waiting, pending = (
            float(np.nan_to_num(timeline.services[s].median[service, inside]).max(initial=0.0))
            for s in ("busy", "waiting", "pending")
        )
        parts.append(
            f"{arm}: up to {percent(busy)} of the workers busy, {waiting:.0f} requests waiting for one, "
            f"and {pending:.0f} pending in the callers' pools"
        )
    return f"{clip(view.result.services[service], 60)} in the {view.window.name} window. {'; '.join(parts)}."
