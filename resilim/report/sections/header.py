"""The header: the question, the answer in one sentence, and what was run."""

from __future__ import annotations

from resilim.report.markup import definitions, paragraph, text
from resilim.report.units import duration
from resilim.report.view import View
from resilim.report.words import VERDICTS, counted


def header(view: View) -> str:
    """The top of the page."""
    result = view.result
    verdict = result.answer.verdict
    chip = f'<span class="chip {verdict}">{VERDICTS[verdict]}</span>'
    return "\n".join(
        [
            f"<header><h1>{text(result.experiment)}</h1>",
            paragraph(text(result.question), "question"),
            paragraph(f"{chip}{text(result.answer.sentence)}", "answer"),
            definitions(_facts(view)),
            "</header>",
        ]
    )


def _facts(view: View) -> list[tuple[str, str]]:
    result = view.result
    windows = ", ".join(f"{w.name} ({duration(w.end - w.begin)})" for w in result.windows)
    return [
        ("Arms", f"{text(view.reference)} (reference){''.join(f', {text(a)}' for a in view.others)}"),
        ("Faults", "<br>".join(text(words) for words in view.fault_words()) or "none"),
        ("Windows", text(windows)),
        ("Replications", f"{counted(result.replications, 'replication')} an arm, {text(result.pairing)}"),
    ]
