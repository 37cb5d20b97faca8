"""`python -m tests.published [--write FILE]`: run all comparisons, and print or write the page."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from .cases import tables
from .compare import compare
from .page import page


def main() -> int:
    """Run everything; 1 when a number differs and nobody knows why."""
    parser = argparse.ArgumentParser(prog="python -m tests.published", description=main.__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page there")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    arguments = parser.parse_args()
    found = tables()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        compared = list(pool.map(compare, found))
    text = page(zip(found, compared, strict=True))
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    else:
        print(text)
    differing = [one.row.id for rows in compared for one in rows if not (one.agrees or one.row.known)]
    print(f"differs: {', '.join(differing)}" if differing else "no surprises", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
