"""Fixtures of the tests of `spec`."""

from __future__ import annotations

from pathlib import Path

import pytest

from .files import Folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    return Folder()
