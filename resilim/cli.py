"""The command line: what users type, and exit codes. No logic lives here.

* Data goes to stdout, talk to stderr; progress is drawn on a terminal only.
* Exit codes: 0 all went well; 2 the command line or a file is wrong, nothing ran; 6 incomplete: a limit was
  hit, what is finished is kept; 130 interrupted, what is finished is kept.
* Heavy libraries are imported by the command that needs them.
"""

from __future__ import annotations

import io
import os
import shlex
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

import resilim

if TYPE_CHECKING:
    from rich.console import Console

    from resilim.spec import SpecError
    from resilim.study.conduct import Progress
    from resilim.study.estimate import Study
    from resilim.study.result import Result
    from resilim.study.store import Store

BAD_INPUT = 2
INCOMPLETE = 6
INTERRUPTED = 130

_WIDTH_OF_A_FILE = 100  # columns of the table when it does not go to a terminal


def entry() -> None:
    """The console script: `main`, with output that cannot fail on a character, and clear ends."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: workers end, finished runs stay
    try:
        main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except OSError as error:  # of the output: what reads it is gone, or a disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        click.echo(f"resilim: {error.strerror}", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(resilim.__version__, prog_name="resilim")
def main() -> None:
    """What will this failure do to your services, with and without a service mesh?"""


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def validate(files: tuple[str, ...]) -> None:
    """Check models and experiments; every problem at once, with its place."""
    from resilim.spec import SpecError
    from resilim.spec.load import load_any

    wrong = 0
    for file in files:
        try:
            click.echo(f"{file}: {load_any(file)}")
        except SpecError as error:
            wrong += len(error.problems)
            _tell_problems(error)
    if wrong:
        click.echo(f"{wrong} {'problem' if wrong == 1 else 'problems'}", err=True)
        sys.exit(BAD_INPUT)


@main.command()
@click.argument("experiment", metavar="EXPERIMENT")
@click.option(
    "-S", "overrides", multiple=True, metavar="PATH=VALUE", help="Change a value, e.g. load.rate=200/s."
)
@click.option("--engine", type=click.Choice(["python", "compiled"]), help="Both give the same numbers.")
@click.option("--replications", type=click.IntRange(2, 100_000), help="In place of the experiment's number.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="In place of the experiment's seed.")
@click.option("--jobs", type=click.IntRange(1, 1024), help="Runs at once; default: one per core.")
@click.option(
    "--results", type=click.Path(path_type=Path), default="results", show_default=True, help="Result folder."
)
@click.option("--fresh", is_flag=True, help="Compute stored runs again.")
@click.option("--stats", is_flag=True, help="Write Envoy's counters and gauges of all proxies.")
def run(
    experiment: str,
    overrides: tuple[str, ...],
    engine: str | None,
    replications: int | None,
    seed: int | None,
    jobs: int | None,
    results: Path,
    fresh: bool,
    stats: bool,
) -> None:
    """Run an experiment: all arms, all replications; table, result folder, report."""
    from resilim.study.store import StoreError

    if replications is not None:
        overrides += (f"replications.min={replications}",)
    if seed is not None:
        overrides += (f"replications.seed={seed}",)
    study = _load(experiment, overrides)
    result, store = _run(study, results, engine, jobs, fresh, stats)
    try:
        _write_report(result, store, _command(experiment, overrides))
    except StoreError as error:
        click.echo(f"resilim: {error}", err=True)
    _show(result)
    also = "   stats/" if stats else ""
    click.echo(f"\n{store.folder}/report.html   summary.json   runs.jsonl   resolved.json{also}")
    if result.replications < result.requested:
        sys.exit(INTERRUPTED)


@main.command()
@click.argument("words", nargs=-1, metavar="[WORD...]")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def explain(words: tuple[str, ...], as_json: bool) -> None:
    """What a response flag, a status, a counter or a gauge of Envoy's means, and what to do.

    WORD: for example UO, UF,URX, 503, upstream_rq_pending_overflow, or a line of Envoy's /stats. Without a
    word: all that there are.
    """
    from resilim.report import explain as glossary

    try:
        found = glossary.look_up(words) if words else []
    except glossary.Unknown as error:
        _tell_unknown(error.words)
        sys.exit(BAD_INPUT)
    if as_json:
        click.echo(_json(glossary.to_json(found) if words else glossary.list_json()))
    elif words:
        glossary.render(found, _console())
    else:
        glossary.render_list(_console())


def _tell_unknown(words: Iterable[tuple[str, str]]) -> None:
    from resilim.spec.units import shortened

    for word, meant in words:
        hint = f' (did you mean "{meant}"?)' if meant else "; resilim explain lists all words"
        click.echo(f'resilim: no explanation of "{shortened(word)}"{hint}', err=True)


def _json(data: object) -> str:
    import json

    return json.dumps(data, indent=1, ensure_ascii=False)


def _load(experiment: str, overrides: tuple[str, ...]) -> Study:
    from resilim.spec import SpecError, load_experiment
    from resilim.study.conduct import prepare

    try:
        return prepare(load_experiment(experiment, overrides))
    except SpecError as error:
        _tell_problems(error)
        sys.exit(BAD_INPUT)


def _run(
    study: Study, results: Path, engine: str | None, jobs: int | None, fresh: bool, stats: bool
) -> tuple[Result, Store]:
    from resilim.engine.limits import TooManyInFlight
    from resilim.study.conduct import NoCompiler, TooLarge, run_experiment
    from resilim.study.execute import WorkerLost
    from resilim.study.store import StoreError

    loaded = study.loaded.experiment
    click.echo(
        f"{loaded.name}: {_counted(len(study.plans), 'arm')} x {loaded.replications.min} replications, "
        f"seed {loaded.replications.seed}, {loaded.replications.pairing}",
        err=True,
    )
    try:
        with _progress() as progress:
            return run_experiment(study, results, progress, engine, jobs, fresh, stats)
    except (NoCompiler, TooLarge, StoreError) as error:
        click.echo(f"resilim: {error}", err=True)
        sys.exit(BAD_INPUT)
    except (TooManyInFlight, WorkerLost) as error:
        click.echo(f"resilim: {error}", err=True)
        sys.exit(INCOMPLETE)
    except KeyboardInterrupt:
        click.echo("\ninterrupted", err=True)
        sys.exit(INTERRUPTED)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Talk on stderr, and a bar over the runs when that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from resilim.study.conduct import Progress

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("running"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("running", total=None)
        yield Progress(
            say=lambda line: console.print(line, markup=False),
            advanced=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _show(result: Result) -> None:
    from resilim.report.terminal import render

    render(result, _console())


def _console() -> Console:
    """Where tables go."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_FILE
    return console


def _write_report(result: Result, store: Store, command: str) -> None:
    from resilim.report.page import page

    store.write("report.html", page(result, command))


def _command(experiment: str, overrides: tuple[str, ...]) -> str:
    """The command that gives this result again."""
    words = ["resilim", "run", experiment]
    for override in overrides:
        words += ["-S", override]
    return shlex.join(words)


def _tell_problems(error: SpecError) -> None:
    for problem in error.problems:
        click.echo(str(problem), err=True)


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
