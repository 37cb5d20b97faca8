"""HTML: what every section builds with.

* `text` is the only way for a name or a sentence of the result into the page.
* Functions that take `html` expect what `text` or this module made.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from resilim.report.words import plain


def text(value: object) -> str:
    """Anything as text of the page: printable, and never markup."""
    return html.escape(plain(str(value)))


def titled(name: str, title: str, *blocks: str) -> str:
    """A section with its heading; `name` is where the table of contents points to."""
    body = "\n".join(block for block in blocks if block)
    heading = f'<h2 id="{name}-title">{title}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">\n{heading}\n{body}\n</section>'


def paragraph(html_text: str, kind: str = "") -> str:
    """A paragraph of HTML text."""
    return f'<p class="{kind}">{html_text}</p>' if kind else f"<p>{html_text}</p>"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of HTML cells; the first cell of a row heads it. It scrolls sideways when it must."""
    return grouped(caption, head, [("", rows)])


def grouped(caption: str, head: Sequence[str], groups: Iterable[tuple[str, Iterable[Sequence[str]]]]) -> str:
    """A table whose rows come in groups, each with its own heading ("" for none)."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    bodies = "\n".join(_group(title, rows, len(head)) for title, rows in groups)
    return (
        f'<div class="scroll" role="group" aria-label="{caption}" tabindex="0"><table>\n'
        f"<caption>{caption}</caption>\n<thead><tr>{top}</tr></thead>\n{bodies}</table></div>"
    )


def details(summary: str, html_body: str) -> str:
    """What is there for those who open it."""
    return f"<details><summary>{summary}</summary>\n{html_body}\n</details>"


def bullets(items: Iterable[str]) -> str:
    """A list of HTML items."""
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of HTML terms and what they mean."""
    return "<dl>" + "".join(f"<dt>{term}</dt><dd>{meaning}</dd>" for term, meaning in pairs) + "</dl>"


def _group(title: str, rows: Iterable[Sequence[str]], width: int) -> str:
    heading = f'<tr class="group"><th scope="rowgroup" colspan="{width}">{title}</th></tr>\n' if title else ""
    body = "\n".join(_row(row) for row in rows)
    return f"<tbody>\n{heading}{body}\n</tbody>"


def _row(cells: Sequence[str]) -> str:
    rest = "".join(f"<td>{cell}</td>" for cell in cells[1:])
    return f'<tr><th scope="row">{cells[0]}</th>{rest}</tr>'
