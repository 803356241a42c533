"""Ingestion beside a bare DuckDB COPY of the same files, and panels from a snapshot.

Run with ``python -m benchmarks.store``; every figure is the best of 3, seconds of wall clock and
(CPU seconds of all threads, which a busy machine does not move).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloudarb_lib import store
from cloudarb_lib.base import locations
from cloudarb_lib.base.types import Panel
from cloudarb_lib.market.panel import to_panel
from cloudarb_lib.store import BUNDLED_AT, BUNDLED_FILES, ingest_files, open_snapshot

PRICES = ("instances.csv", "looks.parquet", "price_events.parquet")


@dataclass(frozen=True)
class Taken:
    """Seconds of wall clock and of CPU."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} s (CPU {self.cpu:.2f})"


def best(run: Callable[[Path], object]) -> Taken:
    """Return the shortest of three runs, each in an empty folder."""
    wall, cpu = [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            start, begun = time.perf_counter(), time.process_time()
            run(Path(folder))
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - begun)
    return Taken(min(wall), min(cpu))


def copy(folder: Path, files: list[Path]) -> None:
    """Copy the files into a DuckDB file as they are: no check, no key, no flag, no snapshot."""
    con = store.connect(folder / "bare.duckdb")
    for i, file in enumerate(files):
        con.execute(f"CREATE TABLE t{i} AS SELECT * FROM '{file}' LIMIT 0")
        con.execute(f"COPY t{i} FROM '{file}'")
    con.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        filled = Path(folder) / "filled"
        ingest_files([], store_dir=filled, now=BUNDLED_AT)
        with open_snapshot(filled) as snapshot:
            con = store.connect(snapshot.path, read_only=True)
            csv = Path(folder) / "price_events.csv"
            con.execute(
                f"COPY (SELECT * FROM '{locations.data() / 'price_events.parquet'}') TO '{csv}'"
            )
            con.close()
        print("ingestion into an empty store, beside a bare DuckDB COPY of the same files")
        for name, files in (
            (
                "price events with machines and looks, flags included",
                [locations.data() / n for n in PRICES],
            ),
            (
                "the whole bundled history, 2015 ticks included",
                [locations.data() / n for n in BUNDLED_FILES],
            ),
            ("the price events as CSV", [csv]),
        ):
            ours = best(lambda d, files=files: ingest_files(files, store_dir=d, now=BUNDLED_AT))
            bare = best(lambda d, files=files: copy(d, files))
            print(f"  {name}: {ours}, COPY {bare}, ratio {ours.cpu / bare.cpu:.1f}")
        again = best(lambda d: ingest_files([], store_dir=filled, now=BUNDLED_AT))
        print(f"  the whole history again, nothing new: {again}")

        print("panels, weekly, whole history, the read from the snapshot included")
        for name, options in (("all GCP spot", {}), ("GCP spot with GPUs", {"gpu_only": True})):
            for how in ("last", "mean"):

                def panel(_: Path, options: dict = options, how: str = how) -> Panel:
                    with open_snapshot(filled) as snapshot:
                        events = snapshot.events(
                            as_of="2026-04-29",
                            providers=["gcp"],
                            purchase_options=["spot"],
                            **options,
                        )
                        looks = snapshot.looks(as_of="2026-04-29")
                    return to_panel(events, looks, freq="7D", as_of="2026-04-29", how=how)

                print(f"  {name}, {how}: {best(panel)}, {panel(Path())}")


if __name__ == "__main__":
    main()
