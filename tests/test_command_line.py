"""Benchmarks take minutes, so that what is not meant is refused before one begins."""

import ast
from pathlib import Path

import pytest

from benchmarks.command_line import names_of

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
TAKES_FOLDERS = {"house", "launch_schemas", "tracing"}
"""What these are given are folders, and nothing runs for long without one."""


def test_all_are_meant_without_a_name():
    assert names_of("about", ("a", "b"), []) == ["a", "b"]
    assert names_of("about", ("a", "b"), ["b"]) == ["b"]
    assert names_of("about", (), []) == []


@pytest.mark.parametrize(
    ("known", "words", "code"),
    [(("a",), ["b"], 2), ((), ["a"], 2), ((), ["--all"], 2), ((), ["-h"], 0), (("a",), ["-h"], 0)],
)
def test_what_is_no_name_and_help_run_nothing(known, words, code):
    with pytest.raises(SystemExit) as ended:
        names_of("about", known, words)
    assert ended.value.code == code


def test_every_benchmark_reads_its_command_line():
    read = []
    for path in sorted(BENCHMARKS.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "__main__" in text and path.stem not in TAKES_FOLDERS:
            called = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
            read.append((path.stem, bool(called & {"argparse", "names_of"})))
    assert len(read) > 12
    assert [name for name, reads in read if not reads] == []
