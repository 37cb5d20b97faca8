"""Measuring rates side by side: rounds in turn, medians, ratios within a round.

* A rate is requests for one second of this process's CPU time, so other jobs of the machine disturb little.
* Every round runs every contestant once; a ratio is taken inside its round, and the median is reported.
* Compilation and preparation are outside of what is timed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resilim.engine.simulate import simulate
from resilim.plan import plan, replication_seed
from resilim.run import Run
from resilim.spec import load_experiment

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Sample:
    """What one contestant did in one round."""

    requests: int
    seconds: float
    mean_latency: float  # ms

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


Contestant = Callable[[int], Sample]  # takes the number of the round


def timed(work: Callable[[], tuple[int, float]]) -> Sample:
    """Run `work`, which returns the requests done and their mean latency (ms)."""
    begin = time.process_time()
    requests, mean = work()
    return Sample(requests, time.process_time() - begin, mean)


def resilim_contestant(experiment: str, engine: str, seconds: int) -> Contestant:
    """One of resilim's engines on an experiment of this folder, for so many simulated seconds."""
    run = plan(load_experiment(FOLDER / experiment, [f"time.before={seconds}s"]).arms[0]).run
    if engine == "compiled":
        from resilim.engine import compiled

        compiled.functions()

    def contestant(number: int) -> Sample:
        return timed(lambda: _simulate(run.with_seed(replication_seed(1, number)), engine))

    return contestant


def _simulate(run: Run, engine: str) -> tuple[int, float]:
    rows = simulate(run, engine).rows
    return len(rows), float(rows["latency"].mean()) / 1e6


def main(
    doc: str | None, unit: str, contestants: dict[str, Callable[[], Contestant]], beside: str = ""
) -> None:
    """A script: run the race and show it; the mean latencies of all but `beside` must agree.

    `unit`: what is counted per second. The contestants are made after the command line was read.
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--json", action="store_true", help=f"one line of {unit} per second")
    parser.add_argument("--rounds", type=int, default=7, choices=range(2, 1000), metavar="N")
    arguments = parser.parse_args()
    results = race({name: make() for name, make in contestants.items()}, arguments.rounds)
    check_means({name: samples for name, samples in results.items() if name != beside})
    show(results, arguments.json)


def race(contestants: dict[str, Contestant], rounds: int) -> dict[str, list[Sample]]:
    """Every contestant once in each round, in turn."""
    results: dict[str, list[Sample]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, contestant in contestants.items():
            results[name].append(contestant(number))
    return results


def show(results: dict[str, list[Sample]], as_json: bool) -> None:
    """Print medians and ratios to the first contestant; with `as_json` one line of medians."""
    medians = {name: statistics.median(s.rate for s in samples) for name, samples in results.items()}
    if as_json:
        print(json.dumps({name: round(rate, 1) for name, rate in medians.items()}))
        return
    first = next(iter(results))
    print(f"{'':10} {'requests/s':>12} {'x ' + first:>10} {'range':>16} {'mean ms':>9} {'+-':>6}")
    for name, samples in results.items():
        ratios = sorted(s.rate / base.rate for s, base in zip(samples, results[first], strict=True))
        means = [s.mean_latency for s in samples]
        spread = statistics.stdev(means) / len(means) ** 0.5 if len(means) > 1 else 0.0
        span = f"{ratios[0]:.1f}-{ratios[-1]:.1f}"
        print(
            f"{name:10} {medians[name]:12,.0f} {statistics.median(ratios):10.2f} {span:>16} "
            f"{statistics.mean(means):9.3f} {spread:6.3f}"
        )


def check_means(results: dict[str, list[Sample]], sigmas: float = 4.5) -> None:
    """Refuse a race whose contestants do not simulate the same system: their mean latencies must agree."""
    first, *others = results
    for name in others:
        a, b = ([s.mean_latency for s in results[which]] for which in (first, name))
        error = (statistics.variance(a) / len(a) + statistics.variance(b) / len(b)) ** 0.5
        if abs(statistics.mean(a) - statistics.mean(b)) > sigmas * error:
            means = " and ".join(f"{statistics.mean(values):.3f} ms" for values in (a, b))
            raise SystemExit(f"{first} and {name} disagree: {means}")
