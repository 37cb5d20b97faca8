"""Bad input at the command line: located messages, exit code 2, nothing written, never a traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from resilim.cli import BAD_INPUT, INCOMPLETE, main

MODEL = """\
kind: Model
name: small
services:
  web:
    hosts: 2
    workers: 8
    queue: 10
    endpoints:
      GET /:
        steps:
          - work: 1ms
          - call: cart.GET /cart
  cart:
    hosts: 2
    workers: 8
    queue: 10
    endpoints:
      GET /cart:
        steps:
          - work: 3ms
"""
EXPERIMENT = """\
kind: Experiment
name: small
model: m.yaml
load: {rate: 20/s}
time: {warmUp: 0s, before: 1s, fault: 1s, after: 1s}
faults:
  - {name: slow, kind: slow-host, service: cart, hosts: 1, factor: 20}
arms:
  - name: today
  - name: eject
    set:
      trafficPolicies.cart.outlierDetection: {interval: 1s}
replications: {min: 2}
"""
LOCATED = re.compile(r".*?:[0-9]+:[0-9]+: .+|[0-9]+ problems?")
RUN = ("run", "e.yaml", "--jobs", "1", "--engine", "python", "--results", "res")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text(MODEL, encoding="utf-8")
    Path("e.yaml").write_text(EXPERIMENT, encoding="utf-8")


def resilim(*words: str) -> Result:
    return CliRunner().invoke(main, words, color=True)  # escapes are not taken out


def refused(*words: str) -> list[str]:
    """The messages of a command that must refuse its input."""
    result = resilim(*words)
    assert result.exit_code == BAD_INPUT, result.output
    assert isinstance(result.exception, SystemExit)
    assert not Path("res").exists()
    lines = result.stderr.splitlines()
    assert lines
    for line in lines:
        assert LOCATED.fullmatch(line), line
        assert line.isprintable(), line
    return lines


def laughs() -> str:
    level = "[" + ", ".join(["*a{0}"] * 9) + "]"
    rest = "".join(f"a{n}: &a{n} {level.format(n - 1)}\n" for n in range(1, 101))
    return f"a0: &a0 [x, x]\n{rest}"


CONTENTS = {
    "empty": b"",
    "comments": b"# hi\n\n# there\n",
    "null": b"null\n",
    "scalar": b"hello\n",
    "list": b"- a\n- b\n",
    "two documents": EXPERIMENT.encode() + b"---\n" + EXPERIMENT.encode(),
    "binary": bytes(range(256)) * 8,
    "UTF-16": EXPERIMENT.encode("utf-16"),
    "Latin-1": b"kind: caf\xe9\n",
    "NUL": b"kind: Exp\0eriment\n",
    "tabs": b"kind:\n\tx: y\n",
    "unclosed": b"kind: [Experiment\n",
    "laughs": laughs().encode(),
    "recursive": b"kind: &a [*a]\n",
    "recursive key": b"? &a [*a]\n: x\n",
    "deep": b"[" * 100_000,
    "deep blocks": b"".join(b" " * n + b"a:\n" for n in range(500)),
    "long line": b"kind: Experiment\n" + b"x" * 3_000_000 + b"\n",
    "too large": b"kind: " + b"x" * 11_000_000,
    "tag": b"kind: !!python/object/apply:os.system [ls]\n",
    "merge": b"kind: Experiment\n<<: {name: x}\n",
    "escapes": b'kind: Experiment\n"\\e[2J\\e]0;x\\a": 1\n"a\\nb": 2\n"\\u202e": 3\n',
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=list(CONTENTS))
def test_odd_contents(content: bytes) -> None:
    Path("e.yaml").write_bytes(content)
    refused(*RUN)
    refused("validate", "e.yaml")


@pytest.mark.parametrize("name", ["bom", "crlf"])
def test_harmless_encodings(name: str) -> None:
    changed = EXPERIMENT.replace("\n", "\r\n") if name == "crlf" else f"\ufeff{EXPERIMENT}"
    Path("e.yaml").write_text(changed, encoding="utf-8", newline="")
    assert resilim("validate", "e.yaml").exit_code == 0


@pytest.mark.parametrize(
    "path",
    [
        "missing.yaml",
        "",
        ".",
        "..",
        "loop",
        "dangling",
        "pipe",
        "/dev/zero",
        "/dev/null",
        "/dev/stdin",
        "m.yaml/x",
        "a\nb",
        "\x1b[31mred",
        "[red]",
        "x" * 5000,
        "a\0b",
    ],
)
def test_odd_files(path: str) -> None:
    os.symlink("loop", "loop")
    os.symlink("nothing", "dangling")
    os.mkfifo("pipe")
    refused("validate", "--", path)
    refused("run", "--results", "res", "--", path)


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root reads everything")
def test_unreadable_file() -> None:
    Path("e.yaml").chmod(0)
    assert refused("validate", "e.yaml")[0] == "e.yaml:1:1: cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("load: {rate: 20/s}", "load: {rate: 1/s, arivals: even}", '"arivals" (did you mean "arrivals"?)'),
        ("load: {rate: 20/s}", "load: {rate: 20}", '"20" needs a unit'),
        ("load: {rate: 20/s}", "load: {rate: nan/s}", "is not a rate"),
        ("load: {rate: 20/s}", "load: {rate: 1/s, entry: wbe}", 'did you mean "web"?'),
        ("load: {rate: 20/s}", "load: {rate: 1/s, mix: {GET: 100%}}", 'did you mean "GET /"?'),
        ("before: 1s", "before: -1s", "is negative"),
        ("before: 1s", "before: 1e999s", "is not a duration"),
        ("before: 1s", f"before: {'9' * 4000}h", "is out of range"),
        ("after: 1s", "after: 200h", "too long"),
        ("service: cart", "service: crat", 'there is no service "crat" (did you mean "cart"?)'),
        ("hosts: 1", "hosts: 3", "3 hosts of 2: cart has no more"),
        ("hosts: 1", "version: v9", 'there is no version of cart "v9"'),
        ("name: small", "name: ..", "is not a name that can be used here"),
        ("name: small", "name: .", "is not a name that can be used here"),
        ("name: small", "name: ../x", "is not a name that can be used here"),
        ("name: small", f"name: {'x' * 81}", "longer than 80 characters"),
        ("model: m.yaml", "model: .", 'e.yaml:3:8: model: "." is a directory'),
        ("model: m.yaml", "model: n.yaml", 'e.yaml:3:8: model: there is no file "n.yaml"'),
        ("model: m.yaml", "model: /dev/zero", "/dev/zero:1:1: this is not a regular file"),
        ("name: eject", "name: today", "is there already"),
        ("    set:\n", "    from: tody\n    set:\n", 'did you mean "today"?'),
        ("    set:\n", "    manifests: [x.yaml]\n    set:\n", "arms[1].manifests[0]: there is no file"),
        ("    set:\n", "    set:\n      time.before: 2s\n", "time is the same in every arm"),
        ("{min: 2}", "{min: 1}", "1 is too small: at least 2"),
        ("{min: 2}", "{seed: 9223372036854775808}", "is too large"),
    ],
)
def test_bad_experiments(old: str, new: str, expected: str) -> None:
    assert old in EXPERIMENT
    Path("e.yaml").write_text(EXPERIMENT.replace(old, new, 1), encoding="utf-8")
    (line,) = refused(*RUN)
    assert expected in line


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("hosts: 2", "hosts: 0", "0 is too small: at least 1"),
        ("hosts: 2", "hosts: .inf", "is not a whole number"),
        ("hosts: 2", "hosts: 2\n    hosts: 3", 'the key "hosts" is there twice; first in line 5'),
        ("work: 3ms", "work: 3", '"3" needs a unit, e.g. 3ms'),
        ("work: 3ms", "call: cart.GET /cart", "calls that never end"),
        ("work: 3ms", "call: web.GET /", "calls that never end"),
        ("work: 3ms", "work: {uniform: [1ms]}", "two times are needed here"),
        ("call: cart", "call: crat", 'there is no service "crat" (did you mean "cart"?)'),
        (
            "- call: cart.GET /cart",
            f"- parallel: [{', '.join(['{call: cart.GET /cart}'] * 65)}]",
            "more than 64",
        ),
    ],
)
def test_bad_models(old: str, new: str, expected: str) -> None:
    assert old in MODEL
    Path("m.yaml").write_text(MODEL.replace(old, new, 1), encoding="utf-8")
    (line,) = refused(*RUN)
    assert expected in line


def test_all_problems_at_once() -> None:
    Path("e.yaml").write_text(EXPERIMENT.replace("20/s", "20").replace("min: 2", "min: 1"), encoding="utf-8")
    Path("m.yaml").write_text(
        MODEL.replace("3ms", "3").replace("workers: 8", "wrkers: 8", 1), encoding="utf-8"
    )
    assert [line.split(": ")[0] for line in refused(*RUN)] == [
        "e.yaml:4:14",
        "e.yaml:13:21",
        "m.yaml:4:3",
        "m.yaml:6:5",
        "m.yaml:20:19",
    ]


def test_names_steer_no_terminal() -> None:
    Path("m.yaml").write_text(MODEL.replace("  cart:\n", '  "\\e[2Jcart\\n\\u202e":\n'), encoding="utf-8")
    lines = refused(*RUN)
    assert any(r"\x1b[2Jcart\n\u202e" in line for line in lines)


@pytest.mark.parametrize(
    "override",
    [
        "",
        "=",
        "load.rate",
        "load..rate=1/s",
        "lod.rate=1/s",
        "load.rate=[",
        "load.rate='1/s",
        "load.rate=*a",
        "x[=1",
        "faults[7].factor=2",
        "faults[-1].factor=2",
        "faults.slo.factor=2",
        "load.rate=\x1b[31m",
        "\x1b[31m=1",
        "arms=[]",
        "load.rate=\ud800",
        "name=../../x",
        "model=/dev/zero",
        "services.cart=null",
        "[0]=1",
        f"load.rate={'[' * 70}",
    ],
)
def test_bad_overrides(override: str) -> None:
    refused(*RUN, "-S", override)


@pytest.mark.parametrize(
    "options",
    [["--replications", "1"], ["--seed", "-1"], ["--seed", str(2**63)], ["--jobs", "0"], ["--engine", "c"]],
)
def test_bad_options(options: list[str]) -> None:
    result = resilim("run", "e.yaml", *options)
    assert result.exit_code == BAD_INPUT
    assert "Invalid value" in result.stderr


def test_names_of_all_kinds_in_terminal_and_page() -> None:
    odd = "[red]<script>alert(1)</script> 🛒 ../x"
    Path("e.yaml").write_text(EXPERIMENT.replace("name: eject", f'name: "{odd}"'), encoding="utf-8")
    result = resilim(*RUN)
    assert result.exit_code == 0, result.output
    assert "[red]<script>" in result.stdout
    (page,) = Path("res/small").glob("*/report.html")
    assert "<script>alert(1)" not in page.read_text(encoding="utf-8")
    assert sorted(path.name for path in Path("res").iterdir()) == ["small"]


def test_stored_runs_torn_and_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resilim.cli._write_report", lambda *_: None)
    assert resilim(*RUN).exit_code == 0
    (runs,) = Path("res/small").glob("*/runs.jsonl")
    (summary,) = Path("res/small").glob("*/summary.json")
    whole, answer = runs.read_bytes(), summary.read_bytes()
    runs.write_bytes(whole[:-100])
    assert resilim(*RUN).exit_code == 0
    assert summary.read_bytes() == answer
    for damage in (b"garbage\n", b'{"a": 1}\n', b"\xff\xfe\n"):
        runs.write_bytes(whole + damage)
        result = resilim(*RUN)
        assert result.exit_code == BAD_INPUT, damage
        assert "runs.jsonl:5: damaged" in result.stderr
    assert resilim(*RUN, "--fresh").exit_code == 0
    assert summary.read_bytes() == answer
    assert len([json.loads(line) for line in runs.read_text(encoding="utf-8").splitlines()]) == 4


def test_results_where_no_folder_can_be() -> None:
    Path("taken").write_text("", encoding="utf-8")
    result = resilim(*RUN[:-1], "taken")
    assert result.exit_code == BAD_INPUT
    assert "choose another folder with --results" in result.stderr


def test_too_much_memory_is_said_before_it_starts() -> None:
    if not Path("/proc/meminfo").exists():
        pytest.skip("nothing tells how much memory is free")
    result = resilim(*RUN, "-S", "load.rate=10000000/s", "-S", "time.after=160h")
    assert result.exit_code == BAD_INPUT
    assert "GiB of memory" in result.stderr
    assert not Path("res").exists()


def test_an_overload_that_nothing_bounds_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resilim.plan.MOST_IN_FLIGHT", 2000)
    result = resilim(
        *RUN,
        "-S",
        "services.cart.endpoints['GET /cart'].steps[0].work=1h",
        "-S",
        "load.rate=5000/s",
        "-S",
        "services.web.workers=100000",
        "-S",
        "services.cart.queue=100000",
    )
    assert result.exit_code == INCOMPLETE
    assert "more than 2,000 calls in flight at once" in result.stderr


@pytest.mark.parametrize(
    "override",
    [
        "load.arrivals=even",
        "time.before=0s",
        "services.cart.queue=0",
        "replications.seed=9223372036854775807",
        "routes.cart.timeout=1ms",
    ],
)
def test_edges_that_must_run(override: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resilim.cli._write_report", lambda *_: None)  # 2 MB each
    assert resilim(*RUN, "-S", override).exit_code == 0


def test_head_closes_the_pipe() -> None:
    command = [sys.executable, "-c", "from resilim.cli import main; main()", *RUN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        errors = process.stderr.read().decode()
        assert process.wait(timeout=30) in (0, 1)
    assert "Traceback" not in errors


def test_python_engine_is_chosen_and_said_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resilim.study.conduct.has_numba", lambda: False)
    monkeypatch.setattr("resilim.cli._write_report", lambda *_: None)
    result = resilim("run", "e.yaml", "--jobs", "1", "--results", "res")
    assert result.exit_code == 0
    assert "engine: python, because numba is not installed" in " ".join(result.stderr.split())
