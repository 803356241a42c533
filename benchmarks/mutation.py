"""Do tests notice small faults in core modules? ``python -m benchmarks.mutation``.

mutmut makes the faults and runs the tests that reach them, in a copy of the last commit below
``reports/.state/mutation``, so it goes on where it was stopped; a change of the module, of what it
may rest on or of its tests begins it anew. Name modules to try these alone, and ``--minutes`` to
stop after a while. Tests that solve many problems (``solver``) are left out: they would take too
long for each. Results go into ``benchmarks/results/mutation.json``: how many mutants there
are, were tried, and were killed by a test; a mutant that makes its tests run out of time counts as
killed. Those that survived are named, and ``mutmut show NAME`` in the copy shows what was changed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cloudarb_lib.base import locations
from pipelines.quality.mutation import RESULTS, said
from pipelines.run.files import write_json

ROOT = Path(__file__).resolve().parent.parent
KILLED = "killed"
SURVIVED = "survived"
_SURVIVED_CODES = (0, 33)
"""Exit codes of a mutant that no test noticed, and of one that no test reaches."""
_CONFIGURATION = """

[tool.mutmut]
source_paths = ["cloudarb_lib"]
only_mutate = ["{module}"]
also_copy = ["pipelines", "benchmarks", "data"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not long and not solver"]
pytest_add_cli_args_test_selection = {tests}
use_git_change_detection = false
"""


@dataclass(frozen=True)
class Tried:
    """A module, and the tests that are to notice what is wrong with it."""

    module: str
    tests: tuple[str, ...]


CORE = (
    Tried(
        "cloudarb_lib/base/measures.py",
        ("tests/base/test_measures.py", "tests/risk/test_var_and_cvar.py"),
    ),
    Tried("cloudarb_lib/forecast/conformal.py", ("tests/forecast/test_conformal.py",)),
    Tried(
        "cloudarb_lib/allocate/check.py",
        ("tests/allocate/test_check.py", "tests/allocate/test_check_by_hand.py"),
    ),
)
"""Measures of risk, coverage of the forecast, and the check that every plan passes."""


def git(*words: str) -> str:
    """Return what git says."""
    return subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def copy_of(tried: Tried, state: Path) -> Path:
    """Return a folder with the last commit, configured to try one module; it may be there already.

    Parameters
    ----------
    tried : Tried
        Which.
    state : Path
        Where copies lie, each by what its results rest on.
    """
    rests_on = ["cloudarb_lib", *tried.tests]
    digest = "".join(git("rev-parse", f"HEAD:{path}")[:6] for path in rests_on)
    folder = state / f"{Path(tried.module).stem}-{digest}"
    if folder.exists():
        return folder
    unfinished = folder.with_suffix(".part")
    unfinished.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(
        ["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    subprocess.run(["tar", "-x", "-C", str(unfinished)], input=archive.stdout, check=True)
    with (unfinished / "pyproject.toml").open("a") as file:
        file.write(_CONFIGURATION.format(module=tried.module, tests=json.dumps(tried.tests)))
    unfinished.rename(folder)
    return folder


def outcome(folder: Path, module: str) -> dict[str, Any]:
    """Return what became of the mutants of a module, as mutmut notes it.

    Parameters
    ----------
    folder : Path
        The copy.
    module : str
        Path of the module in it.

    Returns
    -------
    dict
        Counts ``mutants``, ``tried`` and ``killed``, and the names that ``survived``.
    """
    notes = json.loads((folder / "mutants" / f"{module}.meta").read_text())
    codes: dict[str, int | None] = notes["exit_code_by_key"]
    tried = {name: code for name, code in codes.items() if code is not None}
    survived = [name for name, code in tried.items() if code in _SURVIVED_CODES]
    return {
        "mutants": len(codes),
        "tried": len(tried),
        KILLED: len(tried) - len(survived),
        SURVIVED: survived,
    }


def mutate(tried: Tried, state: Path, minutes: float | None) -> dict[str, Any]:
    """Go on with the mutants of a module; return what became of them so far."""
    folder = copy_of(tried, state)
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", "1"]
    log = folder / "mutmut.log"
    # the copy is what is imported, whatever the path of ours says
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file, env=environment)
        try:
            code = process.wait(None if minutes is None else 60 * minutes)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
            code = 0
    if not (folder / "mutants" / f"{tried.module}.meta").exists():
        raise SystemExit(f"mutmut ended with {code} before the first mutant: see {log}")
    return outcome(folder, tried.module)


def main(words: Sequence[str]) -> int:
    """Try mutants, write and print what became of them; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutation")
    names = [tried.module for tried in CORE]
    parser.add_argument("module", nargs="*", help=f"which, all without: {', '.join(names)}")
    parser.add_argument("--minutes", type=float, metavar="N", help="stop each after so long")
    given = parser.parse_args(words)
    unknown = sorted(set(given.module) - set(names))
    if unknown:
        parser.error(f"no module {', '.join(unknown)} is tried. Known: {', '.join(names)}.")
    if find_spec("mutmut") is None:
        print("mutmut is not installed: make platform", file=sys.stderr)
        return 0
    path = ROOT / RESULTS
    results = json.loads(path.read_text()) if path.exists() else {"modules": {}}
    state = locations.reports() / ".state" / "mutation"
    for tried in CORE:
        if given.module and tried.module not in given.module:
            continue
        found = mutate(tried, state, given.minutes)
        results["modules"][tried.module] = found | {"revision": git("rev-parse", "HEAD")}
        write_json(path, results)
        print(f"{tried.module}: {said(found)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
