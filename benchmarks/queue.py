"""Customers per second through one M/M/10 queue at 80 %: ordinary SimPy, and resilim's two engines.

Exponential service of 10 ms, no sidecars, no limits. Mean sojourn times are checked against one another.

    python benchmarks/queue.py [--json] [--rounds N]
"""

from __future__ import annotations

import sys
from pathlib import Path

# Not this folder: its queue.py would hide the standard library's.
sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks.ordinary import Queue
from benchmarks.rates import Sample, main, resilim_contestant, timed

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


if __name__ == "__main__":
    main(
        __doc__,
        "customers",
        {
            "simpy": lambda: ordinary,
            "python": lambda: resilim_contestant("queue.yaml", "python", INTERPRETED_SECONDS),
            "compiled": lambda: resilim_contestant("queue.yaml", "compiled", COMPILED_SECONDS),
        },
    )
