"""What the words mean: response flags, metrics, and the one word that two projects use differently."""

from __future__ import annotations

from resilim.plane.flags import MEANINGS
from resilim.report.markup import definitions, paragraph, text, titled
from resilim.report.view import View

_BREAKER = (
    "“Circuit breaker” alone means Resilience4j's state machine (closed, open, half-open). What Envoy and "
    "Istio call circuit breaking is two other things, and is called so here: connection pool limits and "
    "outlier detection."
)


def section(view: View) -> str:
    """The glossary."""
    flags = [(f"<code>{text(flag)}</code>", text(meaning)) for flag, meaning in MEANINGS.items()]
    metrics = [(text(m.label), _meaning(m.doc, m.unit, m.better)) for m in view.result.metrics]
    return titled(
        "glossary",
        "Glossary",
        "<h3>Response flags</h3>",
        paragraph(
            "As Envoy's access log prints them. A failure can carry several; they are those of its origin."
        ),
        definitions(flags),
        "<h3>Metrics</h3>",
        definitions(metrics),
        "<h3>Circuit breaking</h3>",
        paragraph(_BREAKER),
    )


def _meaning(doc: str, unit: str, better: str) -> str:
    wanted = f"; {better} is better" if better else ""
    return f"{text(doc)} <span class='muted'>({text(unit)}{wanted})</span>"
