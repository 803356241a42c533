"""Progress: a bar at a terminal, lines without control characters elsewhere."""

import io

import nbformat
import pytest
from nbclient import NotebookClient

from cloudarb_lib.base import progress as module
from cloudarb_lib.base.progress import LINE_EVERY_S, progress


class Terminal(io.StringIO):
    """A terminal that keeps what was written to it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by six seconds whenever it is read."""
    seconds = iter(range(0, 10_000, 6))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(seconds)))


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert list(progress(range(3), "look back", unit="step")) == [0, 1, 2]
    assert "look back" in terminal.getvalue()
    assert "\r" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


def test_elsewhere_there_are_plain_lines(clock, capsys):
    assert list(progress(range(7), "look back", unit="step")) == list(range(7))
    assert LINE_EVERY_S == 15
    assert capsys.readouterr().err == (
        "look back, step 3 of 7, 18 s\nlook back, step 6 of 7, 36 s\nlook back, step 7 of 7, 42 s\n"
    )


def test_what_is_soon_over_writes_nothing(capsys):
    assert list(progress("ab", "score")) == ["a", "b"]
    assert capsys.readouterr().err == ""


def test_what_was_done_before_counts(clock, capsys):
    list(progress(range(3, 6), "writer kills", unit="try", done=3))
    assert capsys.readouterr().err == "writer kills, try 6 of 6, 18 s\n"


def test_items_without_a_length_are_counted(clock, capsys):
    list(progress(iter("abc"), "read", unit="file"))
    assert capsys.readouterr().err == "read, file 3, 18 s\n"


@pytest.mark.slow
def test_a_notebook_gets_lines_too():
    code = (
        "from cloudarb_lib.base import progress\nprogress.LINE_EVERY_S = 0\n"
        "done = list(progress.progress('ab', 'look back', unit='step'))"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, kernel_name="python3").execute()
    written = "".join(output["text"] for output in notebook.cells[0].outputs)
    assert written.splitlines() == ["look back, step 1 of 2, 0 s", "look back, step 2 of 2, 0 s"]
    assert "\r" not in written
    assert "\x1b" not in written
