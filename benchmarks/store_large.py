"""A large CSV of prices into an empty store, beside a bare DuckDB COPY, each in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from cloudarb_lib import store
from cloudarb_lib.store import ingest_files

OFFERS = 20_000
ROWS_ADDED = 1_000
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
                TIMESTAMP '2020-01-01' + INTERVAL 1 HOUR * (turn * 97 + offer % 24),
                '%Y-%m-%dT%H:%M:%SZ'
            ) AS effective_at,
            round(0.5 + offer % 1000 / 100 + (turn * 7919 + offer * 31) % 1000 / 5000, 4)
                AS price_usd_per_hour
        FROM range({first}, {last}) turns(turn), range({offers}) offers(offer)
        ORDER BY turn, offer
    ) TO '{path}' (HEADER)
"""


def _copy(folder: Path) -> None:
    con = store.connect(folder / "bare.duckdb")
    con.execute(f"CREATE TABLE prices AS SELECT * FROM '{folder / 'prices.csv'}' LIMIT 0")
    con.execute(f"COPY prices FROM '{folder / 'prices.csv'}'")
    con.close()


def _ingest(folder: Path) -> None:
    ingest_files([folder / "prices.csv"], store_dir=folder / "store", now=NOW)


def _add(folder: Path) -> None:
    ingest_files([folder / "added.csv"], store_dir=folder / "store", now=NOW)


RUNS: dict[str, Callable[[Path], None]] = {"COPY": _copy, "ingestion": _ingest, "adding": _add}


def time_large_csv(folder: Path, rows: int) -> None:
    """Print what ingestion of so many rows takes, and of 1,000 more into that store.

    Parameters
    ----------
    folder : Path
        An empty one, for the file and the store.
    rows : int
        A multiple of ``OFFERS``.
    """
    turns = rows // OFFERS
    con = store.connect()
    con.execute("SET enable_progress_bar = false")
    path = folder / "prices.csv"
    con.execute(_ROWS.format(first=0, last=turns, offers=OFFERS, path=path))
    path = folder / "added.csv"
    con.execute(_ROWS.format(first=turns, last=turns + 1, offers=ROWS_ADDED, path=path))
    con.close()
    print(f"{turns * OFFERS:,} rows of CSV into an empty store")
    figures = {}
    for name in RUNS:
        command = [sys.executable, "-m", "benchmarks.store_large", name, str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        figures[name] = json.loads(done.stdout.splitlines()[-1])
        what = f"adding {ROWS_ADDED:,} rows to that store" if name == "adding" else name
        print("  {}: {wall:.1f} s (CPU {cpu:.1f}), {peak_mib:,} MiB".format(what, **figures[name]))
    for unit, words in (("wall", "wall time"), ("cpu", "CPU")):
        ratio = figures["ingestion"][unit] / figures["COPY"][unit]
        print(f"  ratio of ingestion to COPY, {words}: {ratio:.1f}")


def _peak_kib() -> int:
    """Return the peak memory of this process; getrusage would count its parent's too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Run one of ``RUNS`` and print its time and the peak memory of the process as JSON."""
    run = RUNS[sys.argv[1]]
    wall_start = time.perf_counter()
    cpu_start = time.process_time()
    run(Path(sys.argv[2]))
    figures = {
        "wall": time.perf_counter() - wall_start,
        "cpu": time.process_time() - cpu_start,
        "peak_mib": _peak_kib() // 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
