"""The sections of the page, in the order of reading. A new section is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from resilim.report.sections import (
    differences,
    ejections,
    glossary,
    outcomes,
    pools,
    tables,
    timeline,
    trust,
)
from resilim.report.view import View

SECTIONS: tuple[Callable[[View], str], ...] = (
    tables.section,
    timeline.section,
    ejections.section,
    pools.section,
    differences.section,
    outcomes.section,
    trust.section,
    glossary.section,
)
