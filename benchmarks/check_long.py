"""Checks too long for CI: thousands of faults and random allocations, resumed where they stopped.

Run with ``python -m benchmarks.check_long`` (or ``make check-long``), or name checks and a number
of tries: ``python -m benchmarks.check_long writer_kills --tries 50``. Each writes
``benchmarks/results/<check>.json`` with the revision it ran on; a try that fails is listed there
with its seed, and the command ends with exit code 1. A change of the part of the library that a
check is about starts it anew.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import allocation_oracle as oracle
from benchmarks import collection_cycles, damaged_files, explanation_oracle
from benchmarks.explanation_problems import random_problem
from cloudarb_lib import allocate
from cloudarb_lib.base.errors import CloudArbError
from cloudarb_lib.base.progress import progress
from cloudarb_lib.store import ingest_files, open_snapshot

RESULTS = Path(__file__).resolve().parent / "results"
NOW = pd.Timestamp("2026-06-01", tz="UTC")


def prices(path: Path, rng: np.random.Generator, rows: int) -> Path:
    """Write a valid price file of ``rows`` random rows."""
    times = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(
        np.sort(rng.integers(0, 3_000_000, rows)), "s"
    )
    frame = pd.DataFrame(
        {
            "provider": "gcp",
            "region": rng.choice(["us-a", "us-b", "eu-a"], rows),
            "instance_type": rng.choice([f"m-{i}" for i in range(500)], rows),
            "purchase_option": rng.choice(["spot", "on_demand"], rows),
            "effective_at": times.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "price_usd_per_hour": rng.uniform(0.1, 9.0, rows).round(4),
        }
    )
    frame.to_csv(path, index=False)
    return path


def stored(store: Path) -> tuple[str, int]:
    """Return digest and number of price events of the newest snapshot, read in full."""
    with open_snapshot(store) as snapshot:
        return snapshot.digest, len(snapshot.table("price_events"))


def writer_kills(rng: np.random.Generator) -> str:
    """Kill a writer at a random moment: the last snapshot stays, the next run finishes."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        ingest_files([prices(Path(folder) / "a.csv", rng, 200)], store_dir=store, now=NOW)
        before = stored(store)
        second_file = prices(Path(folder) / "b.csv", rng, 100_000)
        command = [
            sys.executable,
            "-m",
            "pipelines.cli",
            "ingest",
            "--store",
            str(store),
            str(second_file),
        ]
        writer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.2, 2.5))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        after_kill = stored(store)
        ingest_files([second_file], store_dir=store, now=NOW)
        finished = stored(store)
        if after_kill not in (before, finished):
            return f"the kill left {after_kill}, neither {before} nor {finished}"
        if finished[1] < before[1] + 90_000:
            return f"the run after the kill did not finish the file: {finished[1]} rows"
    return ""


def broken_files(rng: np.random.Generator) -> str:
    """Damage a file at random: it lands in part or is refused, and nothing stored is lost."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        file = Path(folder) / "b.csv"
        ingest_files([prices(Path(folder) / "a.csv", rng, 50)], store_dir=store, now=NOW)
        before = stored(store)
        data = bytearray(prices(file, rng, 60).read_bytes())
        for _ in range(rng.integers(1, 12)):
            at = int(rng.integers(len(data)))
            length = int(rng.integers(1, 40))
            damage = (
                bytes(rng.integers(0, 256, length).astype(np.uint8)),
                b"",
                data[at : at + length] * 2,
                b'"',
                b"\n",
                b",,",
            )
            data[at : at + int(rng.choice([0, 1, length]))] = damage[rng.integers(len(damage))]
        file.write_bytes(data)
        try:
            report = ingest_files([file], store_dir=store, now=NOW)
        except CloudArbError:
            return "" if stored(store) == before else "a refused file changed the store"
        kept = report.new + report.unchanged + report.superseded
        accounted = kept + sum(report.quarantined.values())
        if accounted != report.read:
            return f"{report.read} rows read, {accounted} accounted for"
        return "" if stored(store)[1] >= before[1] + report.new else "rows were lost"


def allocations(rng: np.random.Generator) -> str:
    """Solve a random problem to 0.1 %: status, plan and bound against an oracle."""
    size = str(rng.choice(list(oracle.SIZES), p=(0.4, 0.35, 0.2, 0.05)))
    problem = oracle.random_problem(rng, size)
    plan = allocate.solve(problem, allocate.SolveOptions(gap=1e-3))
    if size == "tiny":
        answer = oracle.by_hand(problem)
    else:
        answer = oracle.by_scipy(problem, gap=1e-4, time_limit_s=20)
    finding = oracle.disagreement(problem, plan, answer)
    return f"{finding} ({size})" if finding else ""


def explanations(rng: np.random.Generator) -> str:
    """Explain a small problem of any shape: every claim against all of its plans."""
    return "; ".join(explanation_oracle.findings(random_problem(rng)))


@dataclass(frozen=True)
class Check:
    """Returns what is wrong, from random draws, or an empty text."""

    run: Callable[[np.random.Generator], str]
    tries: int
    folders: tuple[str, ...]
    """The parts of the repository that it is about."""
    unsolved_share: float = 0.0
    """Share of tries that time may run out on."""


CHECKS = {
    "writer_kills": Check(writer_kills, 200, ("cloudarb_lib",)),
    "broken_files": Check(broken_files, 1000, ("cloudarb_lib",)),
    "damaged_files": Check(damaged_files.damaged_files, 1000, ("cloudarb_lib/sources",)),
    "collection_cycles": Check(
        collection_cycles.cycles,
        170,
        ("cloudarb_lib/live", "cloudarb_lib/sources", "cloudarb_lib/store"),
    ),
    "allocations": Check(allocations, 1000, ("cloudarb_lib/allocate",), unsolved_share=0.008),
    "explanations": Check(explanations, 1000, ("cloudarb_lib/allocate",)),
}


def git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], capture_output=True, text=True, check=True, cwd=RESULTS
    ).stdout.strip()


def run(name: str, tries: int) -> bool:
    """Run one check up to ``tries`` tries, going on from its file; return whether all held."""
    path = RESULTS / f"{name}.json"
    check = CHECKS[name]
    source = " ".join(git("rev-parse", f"HEAD:{folder}") for folder in check.folders)
    state = json.loads(path.read_text()) if path.exists() else {}
    if state.get("source") != source:
        state = {"check": name, "source": source, "tries": 0, "failures": [], "seconds": 0.0}
    state["revision"] = git("rev-parse", "HEAD")
    for number in progress(range(state["tries"], tries), name, unit="try", done=state["tries"]):
        start = time.perf_counter()
        try:
            finding = check.run(np.random.default_rng([number, 7]))
        except Exception as error:  # any crash is a finding
            finding = f"{type(error).__name__}: {error}"
        if finding:
            state["failures"].append({"seed": number, "said": finding})
        state["tries"] = number + 1
        state["seconds"] = round(state["seconds"] + time.perf_counter() - start, 1)
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(state, indent=1) + "\n")
        os.replace(unfinished, path)
    failures = len(state["failures"])
    passed = state["tries"] - failures
    print(f"{name}: {passed} of {state['tries']} held ({state['revision'][:8]})")
    unsolved = sum(failure["said"].startswith("unsolved") for failure in state["failures"])
    return unsolved == failures and unsolved <= check.unsolved_share * state["tries"]


def asked(words: list[str]) -> tuple[list[str], int | None]:
    """Return the checks that the command line names, all without a name, and the number of tries.

    It ends with a usage text for ``--help``, and for what is no check.
    """
    said = __doc__ or ""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.check_long", description=said.split("\n")[0]
    )
    known = [f"{name} ({check.tries})" for name, check in CHECKS.items()]
    parser.add_argument(
        "check", nargs="*", help=f"which, and how often unless told: {', '.join(known)}; all"
    )
    parser.add_argument("--tries", type=int, metavar="N", help="how often each is tried")
    given = parser.parse_args(words)
    unknown = [name for name in given.check if name not in CHECKS]
    if unknown:
        parser.error(f"no check is named {', '.join(unknown)}. Known: {', '.join(CHECKS)}.")
    if given.tries is not None and given.tries < 1:
        parser.error(f"--tries is {given.tries}. Try once at least.")
    return given.check or list(CHECKS), given.tries


def main() -> int:
    names, tries = asked(sys.argv[1:])
    passed = [run(name, tries or CHECKS[name].tries) for name in names]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
