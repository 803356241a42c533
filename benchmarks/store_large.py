"""Large CSVs of prices into an empty store and into a large one, beside a bare DuckDB COPY.

Run with ``python -m benchmarks.store_large`` (``--stored 0``: the empty store alone). Files and the
large store stay in ``--folder``: a run that was broken off goes on where it stopped, and later runs
do not build them again. Each figure is of a process of its own; wall time says little on a machine
that does other things too, so CPU seconds of all threads stand beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType

import pandas as pd

from cloudarb_lib import store
from cloudarb_lib.base.errors import StoreError
from cloudarb_lib.store import ingest_files, intake, writer

OFFERS = 20_000
HOURS_APART = 18
"""Between two prices of an offer: 60 million rows end before ``NOW``."""
ROWS_CHANGED = 1_000
ROWS = 10_000_000
ROWS_STORED = 50_000_000
NOW = pd.Timestamp("2026-06-01", tz="UTC")
_ROWS = """
    COPY (
        SELECT
            ['aws', 'gcp', 'azure', 'renter'][1 + offer % 4] AS provider,
            'region-' || (offer // 4 % 40) AS region,
            'zone-' || (offer % 3) AS zone,
            'machine-' || (offer // 160) || '.large' AS instance_type,
            CASE WHEN offer % 7 = 0 THEN 'on_demand' ELSE 'spot' END AS purchase_option,
            strftime(
                TIMESTAMP '2020-01-01' + INTERVAL 1 HOUR * (turn * {hours} + offer % 18),
                '%Y-%m-%dT%H:%M:%SZ'
            ) AS effective_at,
            round(0.5 + offer % 1000 / 100 + (turn * 7919 + offer * 31) % 1000 / 5000, 4)
                AS price_usd_per_hour
        FROM range({first}, {last}) turns(turn), range({offers}) offers(offer)
        ORDER BY turn, offer
    ) TO '{path}' (HEADER)
"""
STEPS = {
    "staging": (writer, "take_in"),  # of this the merge is taken off
    "merge": (intake, "merge_staged"),
    "checks": (writer, "flag_wrong_prices"),
}
"""Functions of ingestion whose time is told; what remains of it is publishing."""


@dataclass
class Measured:
    """What a run in a process of its own took."""

    wall_s: float
    cpu_s: float
    peak_mib: int
    steps: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __str__(self) -> str:
        steps = ", ".join(f"{name} {wall:.1f} ({cpu:.1f})" for name, (wall, cpu) in self.per_step())
        return (
            f"{self.wall_s:.1f} s (CPU {self.cpu_s:.1f}), {self.peak_mib:,} MiB"
            f"{'; ' if steps else ''}{steps}"
        )

    def per_step(self) -> Iterator[tuple[str, tuple[float, float]]]:
        """Yield wall and CPU seconds by step, publishing the last: what the others leave."""
        if not self.steps:
            return
        merge_wall, merge_cpu = self.steps["merge"]
        left_wall = self.wall_s
        left_cpu = self.cpu_s
        for name, (wall, cpu) in self.steps.items():
            if name == "staging":
                wall -= merge_wall
                cpu -= merge_cpu
            left_wall -= wall
            left_cpu -= cpu
            yield name, (wall, cpu)
        yield "publishing", (left_wall, left_cpu)


def write_prices(path: Path, turns: range, offers: int = OFFERS) -> Path:
    """Write a CSV with a price of each offer at each turn, unless it is there already."""
    if not path.exists():
        con = store.connect()
        con.execute("SET enable_progress_bar = false")
        new = path.with_suffix(".new")
        words = {"first": turns.start, "last": turns.stop, "hours": HOURS_APART}
        con.execute(_ROWS.format(offers=offers, path=new, **words))
        con.close()
        new.rename(path)
    return path


def time_empty(csv: Path, folder: Path) -> tuple[Measured, Measured]:
    """Print what a file takes into an empty store, beside COPY; return both figures."""
    bare = measured("copy", csv, folder / "bare.duckdb")
    print(f"  COPY: {bare}")
    ours = measured("ingest", csv, folder / "store")
    print(f"  into an empty store: {ours}")
    print_ratio(ours, bare)
    return ours, bare


def time_stored(csvs: list[Path], more: Path, changed: Path, folder: Path, bare: Measured) -> None:
    """Print what a file, and a few rows, take into a store that holds large files already."""
    large = folder / "large"
    start = time.perf_counter()
    taken_in = build(large, csvs)
    seconds = time.perf_counter() - start
    how = f"{taken_in} of {len(csvs)} files taken in now, {seconds:.0f} s"
    print(f"into a store of {rows_of(large):,} rows ({how}; {mib(large):,} MiB)")
    for what, csv in (("as many rows more", more), (f"{ROWS_CHANGED:,} rows changed", changed)):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            copied = Path(scratch) / "store"
            lock = shutil.ignore_patterns("lock")
            shutil.copytree(large, copied, copy_function=os.link, ignore=lock)  # they never change
            ours = measured("ingest", csv, copied)
            print(f"  {what}: {ours}; {mib(copied, beside=large):,} MiB written that stay")
        if csv == more:
            print_ratio(ours, bare)


def print_ratio(ours: Measured, bare: Measured) -> None:
    """Print how many times the cost of COPY ingestion takes."""
    wall = ours.wall_s / bare.wall_s
    cpu = ours.cpu_s / bare.cpu_s
    print(f"  that is {wall:.1f} times COPY in wall time, {cpu:.1f} times in CPU")


def build(large: Path, csvs: list[Path]) -> int:
    """Take files into a store, each once; return how many were not there yet."""
    done = large.with_name(f"{large.name}.done")
    if large.exists() and not _is_of_this_version(large):
        shutil.rmtree(large)
        done.unlink(missing_ok=True)
    large.mkdir(exist_ok=True)
    known = done.read_text().splitlines() if done.exists() else []
    lacking = [csv for csv in csvs if csv.name not in known]
    for csv in lacking:
        measured("ingest", csv, large)
        known.append(csv.name)
        done.write_text("\n".join(known) + "\n")
    return len(lacking)


def _is_of_this_version(folder: Path) -> bool:
    """Tell whether a store can be read and added to."""
    try:
        store.open_snapshot(folder).close()
    except StoreError:
        return False
    return True


def rows_of(folder: Path) -> int:
    """Return how many rows were taken into a store."""
    with store.open_snapshot(folder) as snapshot:
        return int(snapshot.table("ingest_log")["rows_new"].sum())


def mib(folder: Path, beside: Path | None = None) -> int:
    """Return the size of all files in a folder, but for those that another one has as well."""
    known = {path.relative_to(beside) for path in beside.rglob("*")} if beside else set()
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files if path.relative_to(folder) not in known) // (
        2**20
    )


def measured(run: str, csv: Path, target: Path) -> Measured:
    """Return what a run of ``RUNS`` takes."""
    command = [sys.executable, "-m", "benchmarks.store_large", "--run", run, str(csv), str(target)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def measure(run: str, csv: Path, target: Path) -> Measured:
    """Do one of the runs in this process."""
    steps: dict[str, list[float]] = {}
    wall_start = time.perf_counter()
    cpu_start = time.process_time()
    if run == "copy":
        _copy(csv, target)
    else:
        for name, (module, function) in STEPS.items():
            steps[name] = [0.0, 0.0]
            _time_function(module, function, steps[name])
        ingest_files([csv], store_dir=target, now=NOW)
    return Measured(
        wall_s=time.perf_counter() - wall_start,
        cpu_s=time.process_time() - cpu_start,
        peak_mib=_peak_kib() // 1024,
        steps={name: (wall, cpu) for name, (wall, cpu) in steps.items()},
    )


def _copy(csv: Path, target: Path) -> None:
    """Copy a file into a DuckDB file as it is: no check, no key, no flag, no snapshot."""
    target.unlink(missing_ok=True)
    con = store.connect(target)
    con.execute(f"CREATE TABLE prices AS SELECT * FROM '{csv}' LIMIT 0")
    con.execute(f"COPY prices FROM '{csv}'")
    con.close()


def _time_function(module: ModuleType, name: str, seconds: list[float]) -> None:
    """Let a function of a module add its wall and CPU seconds to a list."""
    function = getattr(module, name)

    def timed(*args: object, **words: object) -> object:
        wall_start = time.perf_counter()
        cpu_start = time.process_time()
        try:
            return function(*args, **words)
        finally:
            seconds[0] += time.perf_counter() - wall_start
            seconds[1] += time.process_time() - cpu_start

    setattr(module, name, timed)


def _peak_kib() -> int:
    """Return the peak memory of this process; getrusage would count its parent's too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def time_large_csv(rows: int, rows_stored: int, folder: Path) -> None:
    """Print what a large file takes into an empty store, and into one of so many rows.

    Parameters
    ----------
    rows, rows_stored : int
        Multiples of ``OFFERS``; the second one of the first, 0 for the empty store alone.
    folder : Path
        Where files and the large store stay.
    """
    turns = rows // OFFERS
    files = rows_stored // rows
    csvs = [
        write_prices(folder / f"prices_{rows}_{i}.csv", range(i * turns, (i + 1) * turns))
        for i in range(files + 1)
    ]
    print(f"{turns * OFFERS:,} rows of CSV, {csvs[0].stat().st_size // 2**20:,} MiB")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        _, bare = time_empty(csvs[0], Path(scratch))
    if files:
        last = range((files + 1) * turns, (files + 1) * turns + 1)
        changed = write_prices(folder / f"changed_{rows}.csv", last, ROWS_CHANGED)
        time_stored(csvs[:-1], csvs[-1], changed, folder, bare)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="of a file")
    parser.add_argument("--stored", type=int, default=ROWS_STORED, help="rows of the large store")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "cloudarb-benchmark",
        help="where files and the large store stay",
    )
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        run, csv, target = given.run
        print(json.dumps(asdict(measure(run, Path(csv), Path(target)))))
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    time_large_csv(given.rows, given.stored, given.folder)


if __name__ == "__main__":
    main()
