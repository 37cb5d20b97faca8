"""Figures: plotly's, made here, drawn by the page.

* Colours are names of the page's CSS variables (`var(--arm-1)`); the page puts in those of its theme.
* Arms are told apart by colour and by dash. The colours are Okabe and Ito's that reach 3:1 on white.
* Plotly reads a little HTML in texts, so names go through `label`, which escapes it.
* Each figure says in one sentence what it shows; a picture without that sentence cannot be made.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from resilim.report.markup import text
from resilim.report.packing import PACKED, packed
from resilim.report.series import numbers
from resilim.report.view import View
from resilim.report.words import clip
from resilim.run import Array

INK = "var(--ink)"
MUTED = "var(--muted)"
LINE = "var(--line)"
FAULT = "var(--fault)"
FAULT_SHADE = "var(--fault-shade)"
ARM_COLOURS = 5
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")

_NAME = 28
_HEAD_LINE = 80  # characters of all columns' heads together
_WIDE_COLUMNS = 3  # up to so many columns there is room to say which is the reference
_FAULT_NAMES = 5  # that fit below each other in a panel
_TEMPLATE: dict[str, Any] = {"layout": {}}  # plotly's own template is 7 kB a figure
_DECADES = (
    (1e-6, "1 µs"),
    (1e-5, "10 µs"),
    (1e-4, "100 µs"),
    (1e-3, "1 ms"),
    (1e-2, "10 ms"),
    (0.1, "100 ms"),
    (1.0, "1 s"),
    (10.0, "10 s"),
    (100.0, "100 s"),
    (1000.0, "1000 s"),
)


@dataclass
class Canvas:
    """A figure in the making: traces, and a layout that panels add their axes to."""

    height: int  # pixels
    traces: list[Any] = field(default_factory=list)
    layout: dict[str, Any] = field(default_factory=dict)
    shapes: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    panels: int = 0

    def panel(self, across: tuple[float, float], down: tuple[float, float], **axes: dict[str, Any]) -> Panel:
        """A new panel. `across` in shares of the width, `down` in pixels from the top; axes: x and y."""
        self.panels += 1
        number = "" if self.panels == 1 else str(self.panels)
        domain = [1 - down[1] / self.height, 1 - down[0] / self.height]
        common = {"linecolor": LINE, "gridcolor": LINE, "zeroline": False, "showline": True}
        self.layout[f"xaxis{number}"] = {**common, "domain": list(across), "anchor": f"y{number}"} | axes["x"]
        self.layout[f"yaxis{number}"] = {**common, "domain": domain, "anchor": f"x{number}"} | axes["y"]
        return Panel(self, f"x{number}", f"y{number}")

    def note(self, words: str, x: float, y: float, **more: Any) -> None:
        """A text of the paper: `x` as a share of the width, `y` in pixels from the top."""
        place = {"xref": "paper", "yref": "paper", "x": x, "y": 1 - y / self.height}
        look = {
            "xanchor": "left",
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"size": 12, "color": INK},
        }
        self.notes.append({"text": words, **place, **look} | more)

    def time_title(self, view: View) -> None:
        """Say once for all columns what the time counts from."""
        below = {"xanchor": "center", "yanchor": "top", "yshift": -24}
        self.note(view.time_title, 0.5, self.height, **below)

    def html(
        self, name: str, finding: str, more: str = "", left: int = 64, bottom: int = 50, top: int = 8
    ) -> str:
        """The figure as HTML with what it shows in one sentence; `more` is HTML that follows the caption."""
        layout = {
            "template": _TEMPLATE,
            "height": self.height + top + bottom,
            "margin": {"l": left, "r": 12, "t": top, "b": bottom},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 11, "color": INK},
            "showlegend": False,
            "hoverlabel": {"bgcolor": "var(--paper)", "font": {"color": INK}},
            "shapes": self.shapes,
            "annotations": self.notes,
        }
        drawn = go.Figure(self.traces, layout | self.layout).to_plotly_json()
        data = packed(json.dumps(drawn, separators=(",", ":"), allow_nan=False))
        height, finding = layout["height"], text(finding)
        return (
            f'<figure id="{name}"><div class="plot" role="img" aria-label="{finding}" '
            f'style="height:{height}px"></div>\n'
            f'<script type="{PACKED}">{data}</script>\n'
            f"<figcaption>{finding}</figcaption>\n{more}</figure>"
        )


@dataclass(frozen=True)
class Panel:
    """One pair of axes of a canvas."""

    canvas: Canvas
    x: str
    y: str

    def add(self, trace: Any) -> None:
        """Draw a trace in this panel."""
        self.canvas.traces.append(trace.update(xaxis=self.x, yaxis=self.y))

    def line(self, x0: float, dx: float, values: Array, colour: str, dash: str, hover: str) -> None:
        """A line through points that are equally far apart; `hover` says how the value is written."""
        look = {"color": colour, "dash": dash, "width": 1.6}
        self.add(
            go.Scatter(x0=x0, dx=dx, y=numbers(values), mode="lines", line=look, hovertemplate=_hover(hover))
        )

    def band(self, x0: float, dx: float, low: Array, high: Array, colour: str) -> None:
        """The area between two series. Where there is no value it has no height, so it cannot be seen."""
        there = np.isfinite(low) & np.isfinite(high)
        if not there.any():
            return
        bottom = _bridged(low, there)
        top = np.where(there, high, bottom)
        plain: dict[str, Any] = {
            "x0": x0,
            "dx": dx,
            "mode": "lines",
            "line": {"width": 0},
            "hoverinfo": "skip",
        }
        self.add(go.Scatter(y=numbers(bottom), **plain))
        self.add(go.Scatter(y=numbers(top), fill="tonexty", fillcolor=colour, **plain))

    def area(self, x0: float, dx: float, values: Array, colour: str, hover: str) -> None:
        """A filled strip from zero."""
        look = {"line": {"width": 0.8, "color": colour}, "fill": "tozeroy", "fillcolor": colour}
        filled = np.nan_to_num(values)
        self.add(
            go.Scatter(x0=x0, dx=dx, y=numbers(filled), mode="lines", hovertemplate=_hover(hover), **look)
        )

    def shade(self, begin: float, end: float) -> None:
        """Mark an interval of time over the whole height."""
        edge = {"color": FAULT, "width": 1, "dash": "dot"}
        where = {"xref": self.x, "yref": f"{self.y} domain", "x0": begin, "x1": end, "y0": 0, "y1": 1}
        self.canvas.shapes.append(
            {"type": "rect", "layer": "below", "fillcolor": FAULT_SHADE, "line": edge, **where}
        )


def label(name: str, most: int = _NAME) -> str:
    """A name for plotly, which reads a little HTML in texts."""
    return html.escape(clip(name, most), quote=False)


def arm_colour(number: int, band: bool = False) -> str:
    """The colour of an arm's line, or of the band around it."""
    return f"var(--arm-{number % ARM_COLOURS}{'-band' if band else ''})"


def arm_dash(number: int) -> str:
    """The dash of an arm's line. With more arms than colours the pairs still differ."""
    return DASHES[(number + number // ARM_COLOURS) % len(DASHES)]


def columns(number: int, gap: float = 0.03) -> list[tuple[float, float]]:
    """Equal columns, as shares of the width."""
    width = (1 - gap * (number - 1)) / number
    return [(i * (width + gap), i * (width + gap) + width) for i in range(number)]


def time_axis(view: View, labels: bool) -> dict[str, Any]:
    """The x axis of a panel over time. `Canvas.time_title` says what it counts."""
    axis = {"range": [view.begin, view.end], "showgrid": False, "showticklabels": labels}
    return axis | ({"ticks": "outside"} if labels else {})


def arm_name(view: View, number: int) -> str:
    """The name of an arm at the head of its column, as long as the column allows."""
    arms = view.result.arms
    reference = " (reference)" if number == 0 and 1 < len(arms) <= _WIDE_COLUMNS else ""
    return f"<b>{label(arms[number], min(_NAME, _HEAD_LINE // len(arms)))}</b>{reference}"


def latency_axis(low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis in seconds, with the powers of ten written as durations."""
    ticks = [t for t in _DECADES if low * 0.8 <= t[0] <= high * 1.2]
    span = [float(np.log10(low)) - 0.08, float(np.log10(high)) + 0.08]
    return {
        "type": "log",
        "range": span,
        "tickvals": [t[0] for t in ticks],
        "ticktext": [t[1] for t in ticks],
    }


def shade_faults(view: View, panels: Sequence[Panel]) -> None:
    """Mark every fault in every panel."""
    for panel in panels:
        for fault in view.result.faults:
            panel.shade(fault.begin - view.zero, fault.end - view.zero)


def name_faults(view: View, panel: Panel) -> None:
    """Write the faults' names where each begins, one below the other, so that they never overlap."""
    for line, fault in enumerate(view.result.faults[:_FAULT_NAMES]):
        panel.canvas.notes.append(
            {
                "text": label(fault.name, 24),
                "xref": panel.x,
                "yref": f"{panel.y} domain",
                "x": max(fault.begin - view.zero, view.begin),
                "y": 1,
                "yshift": -12 * line,
                "xanchor": "left",
                "yanchor": "top",
                "showarrow": False,
                "font": {"size": 10, "color": FAULT},
                "bgcolor": "var(--paper)",
                "borderpad": 0,
            }
        )


def _bridged(values: Array, there: Array) -> Array:
    """The values, with gaps bridged by straight lines."""
    at = np.arange(len(values))
    bridged: Array = np.interp(at, at[there], values[there])
    return bridged


def _hover(value: str) -> str:
    return f"%{{x:.0f}} s: {value}<extra></extra>"
