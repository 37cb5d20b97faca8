"""Requests per second through a chain of four services: ordinary SimPy, and resilim's two engines.

Open Poisson load of 1,000/s; 3 hosts x 16 workers a service, exponential work of 5 ms, the caller's worker
held; a sidecar on each side of every call (1 to 3 ms); pool limits 100 + 100; timeout 1 s; round robin;
outlier detection on. The same work for all three, side by side in one process, mean latencies checked.
`everything` is the compiled engine on the same chain with every mechanism of the data plane on.

    python benchmarks/chain.py [--json] [--rounds N]
"""

from __future__ import annotations

import sys
from pathlib import Path

# Not this folder: its queue.py would hide the standard library's.
sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks.ordinary import Chain
from benchmarks.rates import Sample, main, resilim_contestant, timed

REQUESTS = 5_000  # of the ordinary program in one round
INTERPRETED_SECONDS = 10  # simulated, so twice as many requests
COMPILED_SECONDS = 200


def ordinary(number: int) -> Sample:
    """The ordinary SimPy program, once."""

    def work() -> tuple[int, float]:
        chain = Chain(seed=number)
        chain.run(REQUESTS)
        return REQUESTS, 1000 * sum(chain.latencies) / len(chain.latencies)

    return timed(work)


if __name__ == "__main__":
    main(
        __doc__,
        "requests",
        {
            "simpy": lambda: ordinary,
            "python": lambda: resilim_contestant("chain.yaml", "python", INTERPRETED_SECONDS),
            "compiled": lambda: resilim_contestant("chain.yaml", "compiled", COMPILED_SECONDS),
            "everything": lambda: resilim_contestant("everything.yaml", "compiled", COMPILED_SECONDS // 4),
        },
        beside="everything",
    )
