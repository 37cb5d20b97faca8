"""Who was ejected, and was it the right one: hosts over time, with the true faults outlined.

* A cell is the share of the callers' proxies that have the host ejected: each proxy decides for itself.
* Shown are the hosts of the services under fault and every host that was ever ejected.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from resilim.report.draw import FAULT, Canvas, Panel, arm_colour, arm_name, columns, label, time_axis
from resilim.report.markup import paragraph, titled
from resilim.report.series import Cut, cut, numbers
from resilim.report.view import View
from resilim.report.words import counted

_MOST_HOSTS = 24
_HEAD = 24
_ROW = 20
_EVER = 0.005  # share of proxies from which a host counts as ejected


def section(view: View) -> str:
    """Ejections by outlier detection; one sentence when there were none."""
    if not view.result.timelines:
        return ""
    hosts = _hosts(view)
    if not any(_ejected(view, arm) for arm in view.result.arms):
        return titled("ejections", "Ejections", paragraph("Outlier detection ejected no host in any arm."))
    cuts = cut(view, len(hosts) * len(view.result.arms))
    canvas = Canvas(_HEAD + _ROW * len(hosts))
    for number, across in enumerate(columns(len(view.result.arms))):
        panel = canvas.panel(
            across, (_HEAD, canvas.height), x=time_axis(view, True), y=_names(view, hosts, number)
        )
        _strips(view, panel, cuts, hosts, number)
        _outline(view, panel, hosts)
        look = {"size": 13, "color": arm_colour(number)}
        canvas.note(arm_name(view, number), across[0], _HEAD - 5, font=look)
    canvas.time_title(view)
    return titled(
        "ejections", "Ejections", _words(view, hosts), canvas.html("ejected", _finding(view), left=170)
    )


def _hosts(view: View) -> list[int]:
    """Indices of the hosts to show: struck ones, ever ejected ones, then the rest of the struck services."""
    result = view.result
    struck = _struck(view)
    ever = {h for arm in result.arms for h in _ejected(view, arm)}
    services = set(view.struck)
    ranked = sorted(
        (
            h
            for h in range(len(result.hosts))
            if h in struck or h in ever or result.host_service[h] in services
        ),
        key=lambda h: (h not in struck, h not in ever, h),
    )
    return sorted(ranked[:_MOST_HOSTS])


def _struck(view: View) -> set[int]:
    names = {name for fault in view.result.faults for name in fault.hosts}
    return {h for h, name in enumerate(view.result.hosts) if name in names}


def _ejected(view: View, arm: str) -> set[int]:
    """Indices of the hosts that were ever ejected in an arm."""
    most = np.nan_to_num(view.result.timelines[arm].ejected).max(axis=1, initial=0.0)
    return {int(h) for h in np.flatnonzero(most > _EVER)}


def _names(view: View, hosts: list[int], column: int) -> dict[str, Any]:
    rows = list(range(len(hosts)))
    names = [label(view.result.hosts[h], 24) for h in hosts]
    axis = {"tickvals": rows, "ticktext": names, "range": [len(hosts) - 0.5, -0.5], "showgrid": False}
    return axis | {"showticklabels": column == 0}


def _strips(view: View, panel: Panel, cuts: Cut, hosts: list[int], arm: int) -> None:
    shares = 100 * cuts.of(view.result.timelines[view.result.arms[arm]].ejected[hosts])
    panel.add(
        go.Heatmap(
            z=[numbers(row, 2) for row in shares],
            x0=cuts.start,
            dx=cuts.step,
            ygap=3,
            zmin=0,
            zmax=100,
            colorscale=[[0, "var(--heat-0)"], [0.5, "var(--heat-1)"], [1, "var(--heat-2)"]],
            showscale=arm == len(view.result.arms) - 1,
            colorbar={
                "title": {"text": "ejected by", "side": "top"},
                "thickness": 10,
                "ticksuffix": " %",
                "nticks": 3,
                "outlinewidth": 0,
            },
            hovertemplate="%{x:.0f} s: ejected by %{z:.0f} % of the callers' proxies<extra></extra>",
        )
    )


def _outline(view: View, panel: Panel, hosts: list[int]) -> None:
    """A frame around each host and time where the fault truly is."""
    for fault in view.result.faults:
        for row, host in enumerate(hosts):
            if view.result.hosts[host] in fault.hosts:
                panel.canvas.shapes.append(
                    {
                        "type": "rect",
                        "xref": panel.x,
                        "yref": panel.y,
                        "x0": fault.begin - view.zero,
                        "x1": fault.end - view.zero,
                        "y0": row - 0.46,
                        "y1": row + 0.46,
                        "line": {"color": FAULT, "width": 2},
                    }
                )


def _words(view: View, hosts: list[int]) -> str:
    relevant = len({*_struck(view), *(h for arm in view.result.arms for h in _ejected(view, arm))} - {*hosts})
    cut_off = f" {counted(relevant, 'more host')} of that kind are not shown." if relevant else ""
    return paragraph(
        "The colour says how many of the callers' proxies have the host ejected, mean of the "
        "replications. Framed: the hosts and times that the faults strike. Filled outside a frame is a "
        f"healthy host ejected; empty inside a frame is a fault not caught.{cut_off}"
    )


def _finding(view: View) -> str:
    struck = _struck(view)
    parts = []
    for arm in view.result.arms:
        ejected = _ejected(view, arm)
        right, wrong = len(ejected & struck), len(ejected - struck)
        parts.append(f"{arm}: {right} of {counted(len(struck), 'faulty host')}, {wrong} healthy")
    return f"Hosts that were ever ejected. {'; '.join(parts)}."
