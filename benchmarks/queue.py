"""Customers per second through one M/M/10 queue at 80 %: ordinary SimPy, and resilim's two engines.

Exponential service of 10 ms, no sidecars, no limits. Mean sojourn times are checked against one another.

    python benchmarks/queue.py [--json] [--rounds N]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# Not this folder: its queue.py would hide the standard library's.
sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks.ordinary import Queue
from benchmarks.rates import Sample, check_means, race, resilim_contestant, show, timed

CUSTOMERS = 40_000  # of the ordinary program in one round
INTERPRETED_SECONDS = 100
COMPILED_SECONDS = 1_000


def ordinary(number: int) -> Sample:
    """The ordinary SimPy program, once."""

    def work() -> tuple[int, float]:
        queue = Queue(seed=number, servers=10, rate=800.0, mean=0.010)
        queue.run(CUSTOMERS)
        return CUSTOMERS, 1000 * sum(queue.latencies) / len(queue.latencies)

    return timed(work)


def main() -> None:
    """Run the race."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of customers per second")
    parser.add_argument("--rounds", type=int, default=7, choices=range(2, 1000), metavar="N")
    arguments = parser.parse_args()
    contestants = {
        "simpy": ordinary,
        "python": resilim_contestant("queue.yaml", "python", INTERPRETED_SECONDS),
        "compiled": resilim_contestant("queue.yaml", "compiled", COMPILED_SECONDS),
    }
    results = race(contestants, arguments.rounds)
    check_means(results)
    show(results, arguments.json)


if __name__ == "__main__":
    main()
