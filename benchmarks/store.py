"""Ingestion beside a bare DuckDB COPY of the same files, and panels from a snapshot.

Run with ``python -m benchmarks.store``; every figure is seconds of wall clock, the best of 3.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cloudarb_lib import history, store
from cloudarb_lib.ingest import BUNDLE, BUNDLED_AT, ingest_files
from cloudarb_lib.store import BUNDLED, open_snapshot

PRICES = ("instances.csv", "looks.parquet", "price_events.parquet")


def best(run: Callable[[Path], object]) -> float:
    """Return the shortest of three runs, each in an empty folder."""
    taken = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            run(Path(folder))
            taken.append(time.perf_counter() - start)
    return min(taken)


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
        ingest_files([], store_dir=filled, now=BUNDLED_AT, progress=False)
        with open_snapshot(filled) as snapshot:
            con = store.connect(snapshot.path, read_only=True)
            csv = Path(folder) / "price_events.csv"
            con.execute(f"COPY (SELECT * FROM '{BUNDLED / 'price_events.parquet'}') TO '{csv}'")
            con.close()
        print("ingestion into an empty store, beside a bare DuckDB COPY of the same files")
        for name, files in (
            ("price events with machines and looks, flags included", [BUNDLED / n for n in PRICES]),
            ("the whole bundled history, 2015 ticks included", [BUNDLED / n for n in BUNDLE]),
            ("the price events as CSV", [csv]),
        ):
            ours = best(
                lambda d, files=files: ingest_files(files, store_dir=d, now=BUNDLED_AT, progress=False)
            )
            bare = best(lambda d, files=files: copy(d, files))
            print(f"  {name}: {ours:.2f} s, COPY {bare:.2f} s, ratio {ours / bare:.1f}")
        again = best(lambda d: ingest_files([], store_dir=filled, now=BUNDLED_AT, progress=False))
        print(f"  the whole history again, nothing new: {again:.2f} s")

        print("panels, weekly, whole history, the read from the snapshot included")
        for name, options in (("all GCP spot", {}), ("GCP spot with GPUs", {"gpu_only": True})):
            for how in ("last", "mean"):

                def panel(_: Path, options: dict = options, how: str = how) -> history.Panel:
                    with open_snapshot(filled) as snapshot:
                        events = snapshot.events(
                            as_of="2026-04-29", providers=["gcp"], purchase_options=["spot"], **options
                        )
                        looks = snapshot.looks(as_of="2026-04-29")
                    return history.to_panel(events, looks, freq="7D", as_of="2026-04-29", how=how)

                print(f"  {name}, {how}: {best(panel):.2f} s, {panel(Path())}")


if __name__ == "__main__":
    main()
