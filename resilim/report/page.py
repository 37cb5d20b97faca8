"""The page: one HTML file that works offline, at most 2.5 MB.

* plotly.js is inside, packed with gzip, as the installed plotly brings it; nothing is fetched.
* The same result and command give the same bytes.
* Without JavaScript, or in a browser without DecompressionStream, the words and tables are still there.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

import plotly.offline

from resilim.report.markup import text
from resilim.report.packing import PACKED, packed
from resilim.report.sections import SECTIONS
from resilim.report.sections import reproduce as reproduce_section
from resilim.report.sections.header import header
from resilim.report.view import View
from resilim.study.result import Result

# What `markup.titled` writes; text of the result cannot look like it, since it is escaped.
_HEADING = re.compile(r'<h2 id="([a-z-]+)-title">(.*?)</h2>')


def write_page(result: Result, path: Path, reproduce: str) -> None:
    """Write the report of a result; `reproduce` is the command that gives it again."""
    path.write_bytes(page(result, reproduce).encode())


def page(result: Result, reproduce: str) -> str:
    """The whole page as text."""
    view = View.of(result)
    sections = [make(view) for make in SECTIONS] + [reproduce_section.section(view, reproduce)]
    body = "\n".join(s for s in sections if s)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{text(result.experiment)}: resilim</title>",
            f"<style>\n{_asset('page.css')}</style>\n</head>\n<body>",
            '<a class="skip" href="#content">Skip to the content</a>',
            header(view),
            _contents(body),
            f'<main id="content">\n<p id="plots-failed" role="alert" hidden></p>\n{body}\n</main>',
            _footer(result),
            f'<script type="{PACKED}" id="plotly">{_packed_plotly()}</script>',
            f"<script>\n{_asset('page.js')}</script>\n</body>\n</html>\n",
        ]
    )


def _contents(body: str) -> str:
    """Links to the sections that the page has."""
    links = [f'<li><a href="#{name}">{title}</a></li>' for name, title in _HEADING.findall(body)]
    return f'<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav>'


def _footer(result: Result) -> str:
    return (
        f"<footer>resilim {text(result.version)}, seed {result.seed}, digest {text(result.digest)}</footer>"
    )


def _asset(name: str) -> str:
    return files("resilim.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _packed_plotly() -> str:
    """The bundle, about 2 MB."""
    return packed(plotly.offline.get_plotlyjs())
