"""YAML text keeps its text and its places, and bad text is refused quickly with a place."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilim.spec.problems import Position, SpecError
from resilim.spec.tree import documents, parse, read


def test_scalars_stay_text() -> None:
    text = "a: on\nb: 12:30\nc: 1e3\nd: 1.30\ne: 017\nf: 2026-11-23\n'no': ~\ng: '~'\nh:\n"
    assert parse(text, Position("f")).plain() == {
        "a": "on",
        "b": "12:30",
        "c": "1e3",
        "d": "1.30",
        "e": "017",
        "f": "2026-11-23",
        "no": None,
        "g": "~",
        "h": None,
    }


def test_places() -> None:
    root = parse("a:\n  - é: {x: 1}\n  - two\n", Position("f"))
    items = root.entries()["a"].node
    assert root.entries()["a"].at == ("f", 1, 1)
    assert items.items()[0].key_at("é") == ("f", 2, 5)
    inner = items.items()[0].child("é")
    assert inner is not None
    assert inner.entries()["x"] == (("f", 2, 9), inner.child("x"))
    assert items.key_at(1) == ("f", 3, 5)


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1", 'the key "a" is there twice; first in line 1, column 1'),
        ("a:\n\tb: 1\n", "2:1", "YAML does not indent with tabs; use spaces"),
        ("a: [1, 2\nb: 3\n", "2:2", "YAML: "),
        ("a: 'x\n", "1:6", "YAML: found unexpected end of stream"),
        ("a: !!python/object:os.system x\n", "1:4", "YAML tag"),
        ("a: &x [*x]\n", "1:8", "a[0]: the alias *x has no complete anchor"),
        ("a: *y\n", "1:4", "the alias *y has no complete anchor"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "3:3", "merge keys (<<) are not supported"),
        ("? [a, b]\n: 1\n", "1:3", "a key must be text, not a list"),
        ("~: 1\n", "1:1", "a key must be text, not nothing"),
        ("a: 1\n---\nb: 2\n", "3:1", "a second document"),
        ("- a\n", "1:1", "a mapping (key: value) is needed here, not a list"),
        ("just text\n", "1:1", 'is needed here, not "just text"'),
        ("# nothing\n", "1:1", "the file is empty"),
        ("", "1:1", "the file is empty"),
        ("a: 1\nb: \x00\n", "2:4", "does not belong into a text file"),
        ("a: " + "[" * 100_000, "1:63", "nested deeper than 60 levels"),
        ("a: " + "{a: " * 100_000, "1:240", "nested deeper than 60 levels"),
        ("\n".join("  " * n + "a:" for n in range(1000)), "61:121", "nested deeper"),
        (LAUGHS, "6:10", "more than 200,000 values, aliases counted"),
        ("a: [" + "x," * 300_000 + "]", "1:399999", "more than 200,000 values"),
    ],
)
def test_refused(text: str, place: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(text, encoding="utf-8")
    start = time.perf_counter()
    with pytest.raises(SpecError) as error:
        read(path)
    assert time.perf_counter() - start < 5
    assert len(error.value.problems) == 1
    assert str(error.value).startswith(f"{path}:{place}: ")
    assert message in str(error.value)


def test_refused_files(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: caf\xe9\n")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (10 * 2**20 + 1))
    for path, expected in (
        (latin, f"{latin}:2:7: this is not UTF-8 text"),
        (large, f"{large}:1:1: larger than 10 MiB"),
        (tmp_path, f"{tmp_path}:1:1: this is a directory, a file is needed"),
        (Path("/dev/null"), "/dev/null:1:1: this is not a regular file, a file is needed"),
        (tmp_path / "none", f"{tmp_path / 'none'}:1:1: there is no such file"),
        (tmp_path / ("x" * 5000), "cannot be read: File name too long"),
    ):
        with pytest.raises(SpecError) as error:
            read(path)
        assert expected in str(error.value)


def test_documents_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbf---\na: &x 1\n---\n---\nb: 2\n...\n")
    assert [node.plain() for node in documents(path)] == [{"a": "1"}, {"b": "2"}]


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@`?, \n\t~<\x00é\ud800", max_size=60) | st.text())
def test_any_text_is_a_tree_or_a_spec_error(text: str) -> None:
    try:
        parse(text, Position("f")).plain()
    except SpecError as error:
        assert error.problems
