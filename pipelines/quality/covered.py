"""How much of the code tests run, by lines and branches; measured folder by folder of the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cloudarb_lib.base.digests import digest_files
from cloudarb_lib.base.progress import progress
from pipelines.quality.complexity import PACKAGES
from pipelines.quality.figure import Figure
from pipelines.run.files import write_text

GOALS = {"lines": 94.7, "branches": 90.0}
"""Per cent."""
NOT_LONG = "not long"
_PART = "coverage"
_RC = """[run]
branch = true
source = cloudarb_lib, pipelines
data_file = {data_file}
parallel = true
patch =
    subprocess
    _exit
sigterm = true
[report]
omit = */testing/*, */testing.py
"""
"""Builders for tests are no part of the product."""


def shards(root: Path) -> list[Path]:
    """Return the folders that hold tests, each measured at a time."""
    return sorted({path.parent for path in (root / "tests").rglob("test_*.py")})


def state_folder(root: Path, state: Path, marks: str) -> Path:
    """Return where the data of these very sources, and these tests, lie."""
    files = [path for name in (*PACKAGES, "tests") for path in sorted((root / name).rglob("*.py"))]
    chosen = "".join(letter if letter.isalnum() else "_" for letter in marks)
    return state / "coverage" / f"{digest_files(files)[:16]}-{chosen}"


def measure(root: Path, state: Path, marks: str) -> None:
    """Run the tests under coverage, a folder of them at a time; goes on where it was stopped.

    Parameters
    ----------
    root : Path
        The checkout.
    state : Path
        Keeps the data; a change of the sources begins anew.
    marks : str
        Which tests, as pytest's -m takes it.
    """
    folder = state_folder(root, state, marks)
    waiting = [shard for shard in shards(root) if not _done_file(folder, root, shard).exists()]
    for shard in progress(waiting, "coverage", unit="folder"):
        data = folder / _name(root, shard)
        write_text(data / "rc", _RC.format(data_file=data / "data"))
        for old in data.glob("data.*"):  # of a try that was stopped
            old.unlink()
        tests = [str(path) for path in sorted(shard.glob("test_*.py"))]
        words = ["run", f"--rcfile={data / 'rc'}", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [sys.executable, "-m", "coverage", *words, "-m", marks, *tests],
            cwd=root,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        write_text(_done_file(folder, root, shard), json.dumps({"exit_code": done.returncode}))


def figures(root: Path, state: Path, marks: str, data_file: Path | None = None) -> list[Figure]:
    """Return what is covered by lines and branches.

    Parameters
    ----------
    root, state, marks
        As ``measure`` takes them.
    data_file : Path, optional
        Data of coverage to read in place of what ``measure`` left.

    Returns
    -------
    list of Figure
        Without a value where there are no data of these sources.
    """
    if find_spec("coverage") is None:
        return _not_measured("coverage is not installed: make platform")
    if data_file is not None:
        return _from(_totals([data_file], state / "coverage"), str(data_file))
    folder = state_folder(root, state, marks)
    ended = [shard for shard in shards(root) if _done_file(folder, root, shard).exists()]
    data = [path for shard in ended for path in (folder / _name(root, shard)).glob("data.*")]
    if not data:
        return _not_measured("cloudarb quality --cover measures it")
    told = f"tests '{marks}', {len(ended)} of {len(shards(root))} folders"
    failed = [shard.name for shard in ended if _exit_code(folder, root, shard) not in (0, 5)]
    told += f"; tests failed in {', '.join(failed)}" if failed else ""
    return _from(_totals(data, folder), told)


def _totals(data: list[Path], folder: Path) -> dict[str, Any]:
    """Return coverage's totals of several files of data."""
    from coverage import Coverage

    folder.mkdir(parents=True, exist_ok=True)
    rc = folder / "rc"
    combined = folder / "combined"
    write_text(rc, _RC.format(data_file=combined))
    measured = Coverage(config_file=str(rc), data_suffix=False)
    measured.combine([str(path) for path in data], keep=True)
    report = folder / "report.json"
    measured.json_report(outfile=str(report), ignore_errors=True)
    totals: dict[str, Any] = json.loads(report.read_text())["totals"]
    return totals


def _from(totals: dict[str, Any], told: str) -> list[Figure]:
    counts = {
        "lines": (totals["covered_lines"], totals["num_statements"]),
        "branches": (totals["covered_branches"], totals["num_branches"]),
    }
    return [
        Figure(
            _PART,
            what,
            100 * covered / count if count else None,
            "%",
            f"{covered:,} of {count:,}; {told}",
            GOALS[what],
        )
        for what, (covered, count) in counts.items()
    ]


def _not_measured(told: str) -> list[Figure]:
    return [Figure(_PART, what, None, "%", told, goal) for what, goal in GOALS.items()]


def _name(root: Path, shard: Path) -> str:
    return "-".join(shard.relative_to(root).parts)


def _done_file(folder: Path, root: Path, shard: Path) -> Path:
    return folder / _name(root, shard) / "done.json"


def _exit_code(folder: Path, root: Path, shard: Path) -> int:
    return int(json.loads(_done_file(folder, root, shard).read_text())["exit_code"])
