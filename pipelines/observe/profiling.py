"""Where time and memory of a notebook or a verb go, as one page: py-spy, memray, line_profiler.

Each profiler runs ``pipelines.observe.profiled`` in a process of its own, so a profile is of all
that happens from its start, and nothing of it stays in ours.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from cloudarb_lib.base.errors import ParameterError, WorkerError
from pipelines.run.files import scrub, write_text
from pipelines.run.stages import STAGES

_PROFILED = "pipelines.observe.profiled"
_NOT_PERMITTED = ("permission denied", "operation not permitted")
_WAY_TO_PTRACE = (
    "py-spy reads the memory of the process it starts (ptrace): run it as root, set"
    " kernel.yama.ptrace_scope to 0 or 1, or start the container with --cap-add SYS_PTRACE."
    " --memory and --line need no such right."
)


@dataclass(frozen=True)
class Profile:
    """A page, and how what was profiled ended.

    Parameters
    ----------
    page : Path
        Where it lies.
    exit_code : int
        Of the notebook or verb.
    """

    page: Path
    exit_code: int


def words_of(what: Sequence[str]) -> list[str]:
    """Return the words of a verb, or the name of a notebook without its folder and ending."""
    first = Path(what[0])
    is_notebook = len(what) == 1 and first.stem in STAGES and first.suffix in ("", ".ipynb")
    return [first.stem] if is_notebook else list(what)


def page_in(folder: Path, kind: str, words: Sequence[str], suffix: str) -> Path:
    """Return the path of a page in a folder, which is made: by kind, and the first of the words."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{kind}-{Path(words[0]).name}{suffix}"


def profile_cpu(words: Sequence[str], folder: Path) -> Profile:
    """Sample the stacks of a command and of its children, 100 times a second, with py-spy.

    Parameters
    ----------
    words : sequence of str
        As ``words_of`` returns them.
    folder : Path
        Gets the page: a flame graph, SVG that any browser opens.

    Raises
    ------
    ParameterError
        Where py-spy is not installed, or may not look at processes.
    """
    page = page_in(folder, "cpu", words, ".svg")
    record = [_program("py-spy"), "record", "--subprocesses", "--format", "flamegraph"]
    with tempfile.TemporaryDirectory() as scratch:
        ended = Path(scratch) / "ended.json"
        made = Path(scratch) / "flames.svg"
        command = [*record, "--output", str(made), "--", *_profiled(ended, words)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        said = done.stderr.lower()
        if not made.exists() and any(words in said for words in _NOT_PERMITTED):
            raise ParameterError("py-spy may not look at other processes.", _WAY_TO_PTRACE)
        sys.stderr.write(done.stderr)
        return _ended(ended, made, page)


def profile_memory(words: Sequence[str], folder: Path) -> Profile:
    """Record what a command allocates until its highest use of memory, with memray.

    Parameters
    ----------
    words : sequence of str
        As ``words_of`` returns them.
    folder : Path
        Gets the page: a flame graph, HTML. Children of the process are not in it.

    Raises
    ------
    ParameterError
        Where memray is not installed.
    """
    page = page_in(folder, "memory", words, ".html")
    memray = _program("memray")
    with tempfile.TemporaryDirectory() as scratch:
        ended = Path(scratch) / "ended.json"
        record = Path(scratch) / "record.bin"
        made = Path(scratch) / "flames.html"
        run = [memray, "run", "--quiet", "--output", str(record), *_profiled(ended, words)[1:]]
        subprocess.run(run, check=False)
        draw = [memray, "flamegraph", "--no-web", "--output", str(made), str(record)]
        subprocess.run(draw, stdout=subprocess.DEVNULL, check=False)
        return _ended(ended, made, page)


def profile_lines(words: Sequence[str], folder: Path, function: str) -> Profile:
    """Measure how often each line of a function runs in a command, and how long it takes.

    Parameters
    ----------
    words : sequence of str
        As ``words_of`` returns them.
    folder : Path
        Gets the page, HTML.
    function : str
        Its dotted name, such as cloudarb_lib.allocate.solve.

    Raises
    ------
    ParameterError
        Where there is no such function, or the command does not call it in its own process.
    """
    page = page_in(folder, "line", [function], ".html")
    with tempfile.TemporaryDirectory() as scratch:
        ended = Path(scratch) / "ended.json"
        subprocess.run(_profiled(ended, ["--line", function, *words]), check=False)
        told = _told(ended)
    if "timings" not in told:
        raise ParameterError(f"nothing of {function} was measured.", "See the message above.")
    if not told["timings"]:
        raise ParameterError(
            f"{function} is not called by {' '.join(words)}, or in another process or thread.",
            "Find who is called with --cpu, which sees children too.",
        )
    write_text(page, lines_page(function, words, told))
    return Profile(page, told["exit_code"])


def lines_page(function: str, words: Sequence[str], told: dict[str, Any]) -> str:
    """Return a page of what the lines of a function took.

    Parameters
    ----------
    function : str
        Its name.
    words : sequence of str
        What was run.
    told : dict
        As ``pipelines.observe.profiled.by_line`` returns it.
    """
    took = {line: (hits, seconds) for line, hits, seconds in told["timings"]}
    whole_s = sum(seconds for _, seconds in took.values())
    rows = []
    for number, text in enumerate(told["source"], told["first_line"]):
        hits, seconds = took.get(number, (0, 0.0))
        share = seconds / whole_s if whole_s else 0.0
        rows.append({"line": number, "hits": hits, "s": seconds, "share": share, "text": text})
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("lines.html")
    return template.render(
        function=function,
        command=" ".join(words),
        file=scrub(told["file"]),
        whole_s=whole_s,
        rows=rows,
    )


def _program(name: str) -> str:
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise ParameterError(f"{name} is not installed.", "Run make platform.")
    return found


def _profiled(ended: Path, words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", _PROFILED, str(ended), *words]


def _told(ended: Path) -> dict[str, Any]:
    """Return how the profiled process says that it ended."""
    if not ended.exists():
        raise WorkerError("what was profiled died before its end.", "Run it without profiling.")
    told: dict[str, Any] = json.loads(ended.read_text())
    return told


def _ended(ended: Path, made: Path, page: Path) -> Profile:
    """Move a page that a profiler has made to where it belongs."""
    told = _told(ended)
    if not made.exists():
        raise WorkerError(
            "the profiler has made no page.", "What ends within a moment has no samples."
        )
    shutil.move(made, page)
    return Profile(page, told["exit_code"])
