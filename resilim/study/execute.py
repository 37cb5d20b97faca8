"""Running the replications: on all cores by default, through `concurrent.futures`.

* A task is one replication of one arm; what comes back is its observation, not its recording, and Envoy's
  statistics as a text when they are asked for.
* The order of completion does not matter: whoever collects sorts by arm and replication.
* Workers ignore Ctrl-C; the parent stops handing out tasks, and what was finished is kept.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass

from resilim.engine.simulate import simulate
from resilim.plan import Plan
from resilim.study.envoy_stats import stats_text
from resilim.study.observation import Observation, observe


@dataclass(frozen=True)
class Task:
    """One replication of one arm."""

    arm: int
    replication: int
    seed: int


@dataclass(frozen=True)
class Setting:
    """What all tasks of a study share."""

    plans: tuple[Plan, ...]
    engine: str
    fault_window: int | None
    stats: bool = False  # Envoy's statistics are wanted


@dataclass(frozen=True)
class Done:
    """What comes back of a task."""

    observation: Observation
    stats: str  # Envoy's statistics at the end; empty when they are not wanted


_LOOK_EVERY = 2.0  # seconds between looks at whether the parent lives


class WorkerLost(Exception):
    """A worker process was killed from outside."""


_setting: Setting | None = None  # of this worker process


def perform(setting: Setting, task: Task) -> Done:
    """Run one task here."""
    plan = setting.plans[task.arm]
    run = plan.run.with_seed(task.seed)
    recording = simulate(run, setting.engine)
    stats = stats_text(recording, plan.names) if setting.stats else ""
    return Done(observe(run, plan.names, recording, setting.fault_window), stats)


def _begin_worker(setting: Setting, parent: int) -> None:
    global _setting
    _setting = setting
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this worker when the process that asked for it is gone, however it went."""
    while True:
        try:
            os.kill(parent, 0)
        except OSError:
            os._exit(1)
        time.sleep(_LOOK_EVERY)


def _perform_in_worker(task: Task) -> Done:
    if _setting is None:
        raise RuntimeError("the worker process was not set up")
    return perform(_setting, task)


def run_tasks(setting: Setting, tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Done]]:
    """Run the tasks and yield each with what comes back, as it is finished.

    `jobs` worker processes; with 1 everything runs in this process. Closing the iterator ends the workers.
    """
    if jobs == 1 or len(tasks) <= 1:
        for task in tasks:
            yield task, perform(setting, task)
        return
    with _workers(setting, min(jobs, len(tasks))) as pool:
        yield from _as_finished(pool, tasks, ahead=2 * jobs)


def _as_finished(pool: Executor, tasks: Sequence[Task], ahead: int) -> Iterator[tuple[Task, Done]]:
    """Hand out tasks, `ahead` of them at once, and yield them as they are finished."""
    waiting = iter(tasks)
    pending: dict[Future[Done], Task] = {}
    for task in waiting:
        pending[pool.submit(_perform_in_worker, task)] = task
        if len(pending) < ahead:
            continue
        yield from _finished(pending)
    while pending:
        yield from _finished(pending)


def _finished(pending: dict[Future[Done], Task]) -> Iterator[tuple[Task, Done]]:
    done, _ = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        try:
            finished = future.result()
        except BrokenExecutor as error:
            raise WorkerLost(
                "a worker process was killed, perhaps for lack of memory; what is finished is kept: "
                "run the same command again, with fewer --jobs"
            ) from error
        yield pending.pop(future), finished


@contextmanager
def _workers(setting: Setting, jobs: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of worker processes that are gone at the end, finished or not."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    pool = ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_begin_worker, initargs=(setting, os.getpid())
    )
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
