"""Ingestion beside a bare DuckDB COPY of the same files, and panels from a snapshot.

Run with ``python -m benchmarks.store``; figures of small files are the best of 3, seconds of wall
clock and (CPU seconds of all threads, which a busy machine does not move). ``--rows 10_000_000``
makes the large file as long as that; ``python -m benchmarks.store_large`` takes one into a store
that is large already.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.store_large import time_large_csv
from cloudarb_lib import store
from cloudarb_lib.base import locations
from cloudarb_lib.base.types import Panel
from cloudarb_lib.market.panel import to_panel
from cloudarb_lib.store import BUNDLED_AT, BUNDLED_FILES, ingest_files, open_snapshot

PRICE_FILES = ("instances.csv", "looks.parquet", "price_events.parquet")
AS_OF = "2026-04-29"


@dataclass(frozen=True)
class TimeTaken:
    """Seconds of wall clock and of CPU."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} s (CPU {self.cpu:.2f})"


def best(run: Callable[[Path], object]) -> TimeTaken:
    """Return the shortest of three runs, each in an empty folder."""
    wall = []
    cpu = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            wall_start = time.perf_counter()
            cpu_start = time.process_time()
            run(Path(folder))
            wall.append(time.perf_counter() - wall_start)
            cpu.append(time.process_time() - cpu_start)
    return TimeTaken(min(wall), min(cpu))


def copy(folder: Path, files: list[Path]) -> None:
    """Copy the files into a DuckDB file as they are: no check, no key, no flag, no snapshot."""
    con = store.connect(folder / "bare.duckdb")
    for i, file in enumerate(files):
        con.execute(f"CREATE TABLE t{i} AS SELECT * FROM '{file}' LIMIT 0")
        con.execute(f"COPY t{i} FROM '{file}'")
    con.close()


def prices_as_csv(path: Path) -> Path:
    """Write the bundled price events as CSV."""
    prices = locations.data() / "price_events.parquet"
    con = store.connect()
    con.execute(f"COPY (SELECT * FROM '{prices}') TO '{path}'")
    con.close()
    return path


def time_ingestion(filled: Path, csv: Path) -> None:
    """Print what ingestion takes; ``filled`` is a store of the bundled history."""
    data = locations.data()
    cases = {
        "price events with machines and looks, flags included": [data / n for n in PRICE_FILES],
        "the whole bundled history, 2015 ticks included": [data / n for n in BUNDLED_FILES],
        "the price events as CSV": [csv],
    }
    print("ingestion into an empty store, beside a bare DuckDB COPY of the same files")
    for name, files in cases.items():
        ours = best(lambda d, files=files: ingest_files(files, store_dir=d, now=BUNDLED_AT))
        bare = best(lambda d, files=files: copy(d, files))
        print(f"  {name}: {ours}, COPY {bare}, ratio {ours.cpu / bare.cpu:.1f}")
    again = best(lambda d: ingest_files([], store_dir=filled, now=BUNDLED_AT))
    print(f"  the whole history again, nothing new: {again}")


def gcp_spot_panel(filled: Path, how: str, *, gpu_only: bool) -> Panel:
    """Return weekly prices of the whole history, read from the store."""
    with open_snapshot(filled) as snapshot:
        events = snapshot.events(
            as_of=AS_OF, providers=["gcp"], purchase_options=["spot"], gpu_only=gpu_only
        )
        looks = snapshot.looks(as_of=AS_OF)
    return to_panel(events, looks, freq="7D", as_of=AS_OF, how=how)


def time_panels(filled: Path) -> None:
    """Print what panels take."""
    print("panels, weekly, whole history, the read from the snapshot included")
    for name, gpu_only in (("all GCP spot", False), ("GCP spot with GPUs", True)):
        for how in ("last", "mean"):
            make = partial(gcp_spot_panel, filled, how, gpu_only=gpu_only)
            print(f"  {name}, {how}: {best(lambda _, make=make: make())}, {make()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of the large CSV")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        time_large_csv(rows, 0, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        filled = Path(folder) / "filled"
        ingest_files([], store_dir=filled, now=BUNDLED_AT)
        time_ingestion(filled, prices_as_csv(Path(folder) / "price_events.csv"))
        time_panels(filled)


if __name__ == "__main__":
    main()
