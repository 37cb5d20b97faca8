"""`run_experiment`: from a loaded experiment to a stored result.

* What is stored already is not computed again; what was finished before an interruption is kept.
* With `stats`, a stored run whose statistics are missing is computed again, for them only.
* Before it starts, a study says which engine it uses and why, and refuses to start when the outcomes of its
  runs would not fit into the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resilim.engine.simulate import has_numba
from resilim.plan import Plan, plan, replication_seed
from resilim.run import ROW_DTYPE
from resilim.spec import LoadedExperiment
from resilim.study.estimate import Study, estimate
from resilim.study.execute import Done, Setting, Task, cores, run_tasks
from resilim.study.observation import Observation
from resilim.study.result import Result
from resilim.study.store import Store, StoreError, folder_digest

# Calls to simulate below which the interpreted engine is done before the compiled one is loaded.
SMALL_STUDY = 100_000

_BYTES_A_PROCESS = 250 << 20  # interpreter, libraries, compiled code
_BYTES_A_REQUEST = 2 * ROW_DTYPE.itemsize + 24  # its outcome, and what observing it needs


class NoCompiler(Exception):
    """The compiled engine was asked for, and there is no numba."""


class TooLarge(Exception):
    """The study would take more memory than there is."""


@dataclass(frozen=True)
class Progress:
    """What the study tells while it runs; every part may be replaced."""

    say: Callable[[str], None]  # one line of talk
    advanced: Callable[[int, int], None]  # (finished, all) runs


def prepare(loaded: LoadedExperiment) -> Study:
    """Plan every arm; the digest names the result folder."""
    plans = tuple(plan(arm) for arm in loaded.arms)
    replications = loaded.experiment.replications
    parts = [one.run.digest() for one in plans]
    parts += [arm.name for arm in loaded.arms]
    parts += [str(replications.seed), replications.pairing]
    return Study(loaded, plans, folder_digest(parts))


def choose_engine(wanted: str | None, study: Study, progress: Progress) -> str:
    """The engine to use; says why when nobody asked for it."""
    calls = sum(one.requests * one.calls_per_request for one in study.plans)
    calls *= study.loaded.experiment.replications.min
    if wanted == "compiled" and not has_numba():
        raise NoCompiler("the compiled engine needs numba, which is not installed: pip install numba")
    if wanted is not None:
        engine = wanted
    elif not has_numba():
        progress.say("engine: python, because numba is not installed; with it, runs are 20 times faster")
        engine = "python"
    elif calls < SMALL_STUDY:
        progress.say(f"engine: python, because the study is small ({calls:,.0f} calls)")
        engine = "python"
    else:
        engine = "compiled"
    if engine == "compiled":
        _load_compiled(progress)
    return engine


def _load_compiled(progress: Progress) -> None:
    """Compile now, once, so that workers find the code on disk."""
    from resilim.engine import compiled  # numba is heavy

    if not compiled.is_cached():
        progress.say("compiling the data plane: about half a minute, once for this version of resilim")
    compiled.functions()


def check_memory(plans: tuple[Plan, ...], jobs: int) -> None:
    """Raise `TooLarge` when `jobs` runs at once would not fit into the memory that is free."""
    needed = jobs * (_BYTES_A_PROCESS + int(max(one.requests for one in plans) * _BYTES_A_REQUEST))
    free = _free_memory()
    if free is not None and needed > free:
        raise TooLarge(
            f"{jobs} runs at once would need about {needed / 2**30:.1f} GiB of memory, and "
            f"{free / 2**30:.1f} GiB are free: lower load.rate or time, or use fewer --jobs"
        )


def _free_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
    return int(kilobytes["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in kilobytes else None


def run_experiment(
    study: Study,
    results: Path,
    progress: Progress,
    engine: str | None = None,
    jobs: int | None = None,
    fresh: bool = False,
    stats: bool = False,
) -> tuple[Result, Store]:
    """Run what is not stored yet, and estimate. Raises `TooLarge`, `StoreError`, `TooManyInFlight`.

    `stats`: write Envoy's statistics of every run as well.

    Ctrl-C ends the runs in flight; the result is then that of the replications that are finished in
    every arm, and `Result.replications` is below `Result.requested`.
    """
    replications = study.loaded.experiment.replications
    store = Store(results / study.loaded.experiment.name / study.digest)
    stored = {} if fresh else store.load()
    names = [arm.name for arm in study.loaded.arms]
    tasks = [
        Task(number, replication, _seed(study, replication, name))
        for replication in range(replications.min)
        for number, name in enumerate(names)
        if (name, replication) not in stored or (stats and not store.has_stats(name, replication))
    ]
    jobs = min(jobs or cores(), max(1, len(tasks)))
    if tasks:
        check_memory(study.plans, jobs)
        store.begin(study.loaded.resolved(), fresh)
        again = sum((names[task.arm], task.replication) in stored for task in tasks)
        if again:
            runs = "1 stored run has" if again == 1 else f"{again} stored runs have"
            progress.say(f"{runs} no statistics: computed again, for these only")
        setting = Setting(study.plans, choose_engine(engine, study, progress), study.fault_window, stats)
        finished = len(stored) - again
        total = finished + len(tasks)
        try:
            for task, done in run_tasks(setting, tasks, jobs):
                _keep(store, names[task.arm], task, done, stored)
                finished += 1
                progress.advanced(finished, total)
        except KeyboardInterrupt:
            progress.say("interrupted; what is finished is kept, and the same command goes on with it")
    else:
        store.begin(study.loaded.resolved(), fresh=False)
        progress.say(f"all {len(stored)} runs are stored already (--fresh computes them again)")
    return _conclude(study, store, stored, replications.min), store


def _keep(store: Store, arm: str, task: Task, done: Done, stored: dict[tuple[str, int], Observation]) -> None:
    """Store what comes back of a task; its statistics first, so that a stored run has them."""
    before = stored.get((arm, task.replication))
    if before is not None and before.recording != done.observation.recording:
        raise StoreError(f"{store.folder}: computed again, a stored run is another one; run with --fresh")
    if done.stats:
        store.write_stats(arm, task.replication, done.stats)
    if before is None:
        store.append(arm, task.replication, task.seed, done.observation)
        stored[arm, task.replication] = done.observation


def _seed(study: Study, replication: int, arm: str) -> int:
    replications = study.loaded.experiment.replications
    paired = replications.pairing == "common random numbers"
    return replication_seed(replications.seed, replication, "" if paired else arm)


def _conclude(
    study: Study, store: Store, stored: dict[tuple[str, int], Observation], requested: int
) -> Result:
    """Estimate, and write the summary; KeyboardInterrupt when not a single replication is complete."""
    arms = [arm.name for arm in study.loaded.arms]
    if not any(all((arm, number) in stored for arm in arms) for number in range(requested)):
        raise KeyboardInterrupt
    result = estimate(study, stored, requested)
    store.write_summary(result.to_json())
    return result
