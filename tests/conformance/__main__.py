"""Replay files of cases: a line for each; exit code 1 when a case fails, 2 when a file is none."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from tests.conformance.cases import FAILED, PASSED, SKIPPED, judge, load


def replay_file(path: Path) -> Counter[str]:
    """Replay one file; how many cases of it ended how."""
    tally: Counter[str] = Counter()
    for case in load(path):
        verdict = judge(case)
        tally[verdict.state] += 1
        print(
            f"{verdict.state:7}  {verdict.case}"
            + "".join(f"\n         {reason}" for reason in verdict.reasons)
        )
    print(f"{path.name}: {summary(tally)}")
    return tally


def summary(tally: Counter[str]) -> str:
    """The numbers in words."""
    return ", ".join(f"{tally[state]} {state}" for state in (PASSED, FAILED, SKIPPED))


def main(arguments: list[str]) -> int:
    """Replay the files that are named; the exit code."""
    if not arguments:
        print("usage: python -m tests.conformance FILE...", file=sys.stderr)
        return 2
    total: Counter[str] = Counter()
    for name in arguments:
        try:
            total += replay_file(Path(name))
        except (OSError, ValueError) as error:
            print(error, file=sys.stderr)
            return 2
    if len(arguments) > 1:
        print(f"all: {summary(total)}")
    return 1 if total[FAILED] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
