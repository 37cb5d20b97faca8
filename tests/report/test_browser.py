"""A browser draws every picture, offline and without an error."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from resilim.report.page import write_page
from resilim.study.result import Result

from .results import small, with_names

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=30000",
    "--dump-dom",
)


def drawn(result: Result, folder: Path) -> tuple[str, str]:
    """The document after its scripts ran, and what the browser's console said."""
    write_page(result, folder / "report.html", "resilim run experiment.yaml")
    command = [
        str(CHROMIUM),
        *FLAGS,
        f"--user-data-dir={folder / 'profile'}",
        (folder / "report.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.parametrize(
    "result",
    [
        small(),
        small(("today", "eject", "both")),
        with_names("<img src=x onerror=\"document.title='owned'\">"),
    ],
    ids=["small", "three arms", "hostile"],
)
def test_every_picture_is_drawn(result: Result, tmp_path: Path) -> None:
    document, console = drawn(result, tmp_path)
    assert console == ""
    places = document.count('role="img"')
    assert f'data-plots="drawn {places}"' in document
    assert len(re.findall(r'class="plot [^"]*js-plotly-plot', document)) == places
    assert "<title>owned" not in document
