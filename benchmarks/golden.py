"""A net under a change that should change no result: digests of what the program computes.

``python -m benchmarks.golden --file FILE [PART ...]`` compares with the digests in FILE and exits 1
where anything differs; ``--write`` stores what is found there. Parts, without any all of them:
``store`` (digest of the bundled snapshot), ``instances`` (plans of the three instances),
``demands`` (plans of the demand files), ``weekly`` and ``marketplace`` (every table that a run of
the configuration leaves behind; points of ``plan_frontier`` may stop at a time limit and differ).

A digest is of the bits of every value. Another processor may round otherwise, so no file is kept
with the code: check out the revision before, ``--write`` there, and compare on the same machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
DEMANDS = {
    "demand": ["--as-of", "2026-04-29"],
    "demand_futures": [
        "--as-of",
        "2026-04-29",
        "--terms",
        "1y",
        "3y",
        "--paths",
        "history",
        "--periods",
        "2",
    ],
    "demand_marketplace": ["--as-of", "2025-11-09", "--freq", "1D", "--horizon-steps", "7"],
}
"""Arguments of ``cloudarb allocate`` for each demand file of data/."""
LIMITS = ("none", "cvar", "cvar+diversification")
"""Sets of limits under which the instances are solved."""


def cloudarb(*words: str) -> str:
    """Run the command line of the tree at hand and return what it printed."""
    command = [sys.executable, "-m", "pipelines.cli", *words]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def frame_digest(frame: pd.DataFrame) -> str:
    """Return 16 hex digits of the names and bits of all values of a table, rows in order."""
    found = hashlib.sha256(",".join(map(str, frame.columns)).encode())
    plain = frame.astype(dict.fromkeys(frame.select_dtypes("category"), object))
    found.update(pd.util.hash_pandas_object(plain, index=False).to_numpy().tobytes())
    return f"{len(frame)} rows {found.hexdigest()[:16]}"


def tables_in(folder: Path) -> dict[str, str]:
    """Return the digest of each Parquet table below ``folder``, by its name."""
    return {
        path.stem: frame_digest(pd.read_parquet(path)) for path in sorted(folder.glob("*.parquet"))
    }


def store(folder: Path) -> dict[str, str]:
    """Return the digest of the snapshot of the bundled history."""
    return {
        "snapshot": cloudarb("ingest", "--store", str(folder / "store"))
        .split("snapshot ")[1]
        .split()[0]
    }


def instances(_: Path) -> dict[str, str]:
    """Return the plan of each instance under each set of limits: its objective and machines."""
    from benchmarks.allocation import INSTANCES, load_instance
    from cloudarb_lib import allocate

    found = {}
    for file in sorted(INSTANCES.glob("*.npz")):
        for limits in LIMITS:
            problem = load_instance(file, limits)
            plan = allocate.solve(problem, allocate.SolveOptions(gap=1e-3, work_limit=600.0))
            counts = hashlib.sha256(plan.counts.tobytes()).hexdigest()[:16]
            found[f"{file.stem} {limits}"] = f"{plan.status} {plan.objective_usd!r} {counts}"
    return found


def demands(folder: Path) -> dict[str, str]:
    """Return the tables that ``cloudarb allocate`` writes for each demand file."""
    found = {}
    for name, words in DEMANDS.items():
        out = folder / name
        cloudarb("allocate", f"data/{name}.yaml", "--out", str(out), *words)
        found |= {f"{name} {table}": digest for table, digest in tables_in(out / "tables").items()}
    return found


def run_of(name: str) -> Callable[[Path], dict[str, str]]:
    """Return what gives the tables of a whole run of a configuration, notebooks included."""

    def run(folder: Path) -> dict[str, str]:
        cloudarb("run", f"pipelines/{name}.yaml", "--reports", str(folder / "reports"))
        (tables,) = (folder / "reports").glob(f"{name}-*/tables")
        return tables_in(tables)

    return run


PARTS: dict[str, Callable[[Path], dict[str, str]]] = {
    "store": store,
    "instances": instances,
    "demands": demands,
    "weekly": run_of("weekly"),
    "marketplace": run_of("marketplace"),
}


def main() -> int:
    """Compute the parts asked for, then compare with the file or write it; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument(
        "--write", action="store_true", help="store what is found instead of comparing"
    )
    parser.add_argument("--file", type=Path, required=True, help="where the digests lie")
    given = parser.parse_args()
    known = json.loads(given.file.read_text()) if given.file.exists() else {}
    differing = 0
    for part in given.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            found = PARTS[part](Path(folder))
        before = known.get(part, {})
        for name in sorted({*before, *found}):
            if before.get(name) != found.get(name) and not given.write:
                differing += 1
                print(f"{part} {name}: {before.get(name)} -> {found.get(name)}")
        print(f"{part}: {len(found)} digests", flush=True)
        known[part] = found
    if given.write:
        given.file.write_text(json.dumps(known, indent=1) + "\n")
    print(
        f"{differing} differ" if differing else "all as they were" if not given.write else "written"
    )
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
