"""Memory of one replication of ten million requests, compiled: the M/M/10 queue of queue.py.

Prints the peak resident size of this process in GiB after the run has been observed.

    python benchmarks/memory.py [--requests N]
"""

from __future__ import annotations

import argparse
import resource
import sys
from pathlib import Path

# Not this folder: its queue.py would hide the standard library's.
sys.path[0] = str(Path(__file__).parent.parent)

from benchmarks.rates import FOLDER
from resilim.engine.simulate import simulate
from resilim.plan import plan
from resilim.spec import load_experiment
from resilim.study.observation import observe


def main() -> None:
    """Run, observe, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000_000)
    requests = parser.parse_args().requests
    planned = plan(load_experiment(FOLDER / "queue.yaml", [f"time.before={requests // 800}s"]).arms[0])
    recording = simulate(planned.run, "compiled")
    observe(planned.run, planned.names, recording, None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{len(recording.rows):,} requests, peak {peak:.2f} GiB")


if __name__ == "__main__":
    main()
