"""How much of the code tests run, by lines and branches; measured folder by folder of the tests.

What was measured last is kept in ``benchmarks/results/coverage.json``, with its revision.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cloudarb_lib.base.digests import digest_files
from cloudarb_lib.base.progress import progress
from pipelines.quality.complexity import PACKAGES
from pipelines.quality.figure import Figure
from pipelines.run.files import read_json, write_json, write_text

GOALS = {"lines": 94.7, "branches": 90.0}
"""Per cent."""
NOT_LONG = "not long"
RESULTS = "benchmarks/results/coverage.json"
MOST_MISSED = 10
"""Files of which results name the lines missed."""
_PART = "coverage"
_DONE = "done.json"
_PASSED = (0, 5)
"""Exit codes of pytest where all passed, or none was chosen."""
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


def state_folder(root: Path, state: Path) -> Path:
    """Return where the data of these very sources, and these tests, lie."""
    files = [path for name in (*PACKAGES, "tests") for path in sorted((root / name).rglob("*.py"))]
    return state / "coverage" / digest_files(files)[:16]


def measure(root: Path, state: Path, marks: str) -> None:
    """Run the tests under coverage, a folder of them at a time; goes on where it was stopped.

    Tests of other marks that were measured on the same sources count too.

    Parameters
    ----------
    root : Path
        The checkout.
    state : Path
        Keeps the data; a change of the sources begins anew.
    marks : str
        Which tests, as pytest's -m takes it.
    """
    chosen = "".join(letter if letter.isalnum() else "_" for letter in marks)
    folder = state_folder(root, state) / chosen
    waiting = [shard for shard in shards(root) if not (_part(folder, root, shard) / _DONE).exists()]
    for shard in progress(waiting, "coverage", unit="folder"):
        data = _part(folder, root, shard)
        write_text(data / "rc", _RC.format(data_file=data / "data"))
        for old in data.glob("data.*"):  # of a try that was stopped
            old.unlink()
        tests = [str(path) for path in sorted(shard.glob("test_*.py"))]
        words = ["run", f"--rcfile={data / 'rc'}", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        words += ["-n", "auto", "--dist", "loadscope"]
        done = subprocess.run(
            [sys.executable, "-m", "coverage", *words, "-m", marks, *tests],
            cwd=root,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        write_json(data / _DONE, {"exit_code": done.returncode, "marks": marks})


def measured(root: Path, state: Path) -> dict[str, Any] | None:
    """Return what is covered by the tests that were run on these sources; None where none were.

    Returns
    -------
    dict
        ``lines`` and ``branches``, each [covered, of all]; ``tests``, which they were; and
        ``most_missed``, lines missed by file.
    """
    folder = state_folder(root, state)
    done = {path.parent: read_json(path) or {} for path in sorted(folder.glob(f"*/*/{_DONE}"))}
    data = [path for part in done for path in part.glob("data.*")]
    if not data:
        return None
    of_all = len(shards(root))
    ended = Counter(told["marks"] for told in done.values())
    told = "; ".join(f"tests '{marks}', {n} of {of_all} folders" for marks, n in ended.items())
    failed = [part.name for part, told in done.items() if told["exit_code"] not in _PASSED]
    told += f"; tests failed in {', '.join(failed)}" if failed else ""
    return {"tests": told} | _totals(data, folder, root)


def keep(root: Path, state: Path) -> None:
    """Keep what was measured of these sources, with their revision."""
    found = measured(root, state)
    if found is not None:
        words = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True)
        write_json(root / RESULTS, found | {"revision": done.stdout.strip()})


def figures(root: Path, state: Path, data_file: Path | None = None) -> list[Figure]:
    """Return what is covered by lines and branches.

    Parameters
    ----------
    root, state
        As ``measure`` takes them.
    data_file : Path, optional
        Data of coverage to read in place of what ``measure`` left.

    Returns
    -------
    list of Figure
        Of these sources, else as kept of the revision named; without a value where neither is.
    """
    kept = read_json(root / RESULTS)
    if find_spec("coverage") is None:
        return _told(kept) if kept else _not_measured("coverage is not installed: make platform")
    if data_file is not None:
        found = _totals([data_file], state / "coverage", root)
        return _told(found | {"tests": str(data_file)})
    newest = measured(root, state) or kept
    return _told(newest) if newest else _not_measured("cloudarb quality --cover measures it")


def _totals(data: list[Path], folder: Path, root: Path) -> dict[str, Any]:
    """Return counts of several files of coverage's data, as ``measured`` does."""
    from coverage import Coverage

    folder.mkdir(parents=True, exist_ok=True)
    rc = folder / "rc"
    write_text(rc, _RC.format(data_file=folder / "combined"))
    combined = Coverage(config_file=str(rc), data_suffix=False)
    combined.combine([str(path) for path in data], keep=True)
    report = folder / "report.json"
    combined.json_report(outfile=str(report), ignore_errors=True)
    found = json.loads(report.read_text())
    totals = found["totals"]
    missed = {name: told["summary"]["missing_lines"] for name, told in found["files"].items()}
    most = sorted(missed, key=lambda name: -missed[name])[:MOST_MISSED]
    return {
        "lines": [totals["covered_lines"], totals["num_statements"]],
        "branches": [totals["covered_branches"], totals["num_branches"]],
        "most_missed": {
            Path(name).resolve().relative_to(root.resolve()).as_posix(): missed[name]
            for name in most
        },
    }


def _told(found: dict[str, Any]) -> list[Figure]:
    """Return the figures of what ``measured`` returns."""
    of = f"; revision {found['revision'][:8]}" if "revision" in found else ""
    return [
        Figure(
            _PART,
            what,
            100 * found[what][0] / found[what][1] if found[what][1] else None,
            "%",
            f"{found[what][0]:,} of {found[what][1]:,}; {found['tests']}{of}",
            goal,
        )
        for what, goal in GOALS.items()
    ]


def _not_measured(told: str) -> list[Figure]:
    return [Figure(_PART, what, None, "%", told, goal) for what, goal in GOALS.items()]


def _part(folder: Path, root: Path, shard: Path) -> Path:
    """Return where the data of a folder of tests lie."""
    return folder / "-".join(shard.relative_to(root).parts)
