"""Can I trust it: where the inputs come from, what to know, and how the figures were made."""

from __future__ import annotations

from resilim.report.markup import bullets, paragraph, table, text, titled
from resilim.report.units import percent
from resilim.report.view import View
from resilim.report.words import counted


def section(view: View) -> str:
    """Provenance, notes and method."""
    return titled(
        "trust",
        "Can I trust it?",
        "<h3>Where the inputs come from</h3>",
        _provenance(view),
        "<h3>What to know</h3>" if view.result.notes else "",
        bullets(map(text, view.result.notes)) if view.result.notes else "",
        "<h3>How the figures were made</h3>",
        bullets(_method(view)),
    )


def _provenance(view: View) -> str:
    if not view.result.provenance:
        return paragraph("The model does not say.")
    rows = []
    for what, source, kind in view.result.provenance:
        cells = [text(what), text(kind), text(source)]
        rows.append([f"<strong>{cell}</strong>" for cell in cells] if kind == "assumed" else cells)
    return table("Inputs of the model; what was only assumed is bold", ["Input", "Kind", "Source"], rows)


def _method(view: View) -> list[str]:
    result = view.result
    asked = "" if result.requested == result.replications else f" of {result.requested:,} requested"
    return [
        f"{counted(result.replications, 'replication')}{asked} an arm, seed {result.seed}. "
        "The unit of analysis is the replication, never the request.",
        f"Pairing: {text(result.pairing)}. Each replication of an arm is compared with the same one of the "
        "reference.",
        f"Intervals at {percent(result.confidence)}: Student's t on the replications for means and shares; "
        "for quantiles the replications' histograms are pooled, and the jackknife gives the interval.",
        "The intervals cover the luck of the simulation only. They do not cover what the model leaves out, "
        "or inputs that are wrong.",
        "A failed request stays in the latency figures as what it is; none is dropped.",
    ]
