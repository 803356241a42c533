"""What a forecast in shards takes, by one worker and by two, and whether tables are the same.

usage: python -m benchmarks.shards [--series 5000] [--workers 1 2] [--jobs 8]

Series are offers of GCP on record at 2 April 2026, machines without a GPU among them, drawn evenly
over the list of their ids: spot, on demand and committed, weekly, 13 weeks ahead, 500 paths. Wall
clock is of the whole graph, start-up of its jobs included; one thread each.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from cloudarb_lib import store
from cloudarb_lib.base.digests import digest_files
from cloudarb_lib.base.types import Panel
from cloudarb_lib.base.units import parse_as_of
from cloudarb_lib.market.panel import to_panel
from pipelines.shards.forecast import Asked, forecast_in_shards

AS_OF = "2026-04-02"
ASKED = {"horizon_steps": 13, "n_paths": 500, "seed": 7}


def recorded(n_series: int) -> Panel:
    """Return the weekly prices of some offers that have one at the end."""
    with store.open_snapshot() as snapshot:
        events = snapshot.events(as_of=AS_OF, providers=["gcp"], gpu_only=False)
        looks = snapshot.looks(as_of=AS_OF)
    panel = to_panel(events, looks, freq="7D", as_of=parse_as_of(AS_OF))
    priced = np.flatnonzero(panel.price[-1] > 0)
    drawn = priced[np.linspace(0, len(priced) - 1, n_series).astype(int)]
    return panel.select(np.isin(np.arange(len(panel.offers)), drawn))


def timed(panel: Panel, workers: int, jobs: int) -> str:
    """Print what a forecast by some workers takes; return the digest of its tables."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        before = os.times()
        asked = Asked(**ASKED, blocks=jobs, shares=jobs)
        tables = forecast_in_shards(panel, Path(folder), asked, cores=workers)
        took_s = time.perf_counter() - began
        after = os.times()
        cpu_s = sum(after[:4]) - sum(before[:4])
        digest = digest_files(tables)
        size_mib = sum(table.stat().st_size for table in tables) / 2**20
    print(
        f"{len(panel.offers):>7,} series, {workers} workers: {took_s:7.1f} s, {cpu_s:7.1f} CPU s, "
        f"{len(tables)} tables of {size_mib:,.1f} MiB together, digest {digest}",
        flush=True,
    )
    return digest


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=int, default=5000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--jobs", type=int, default=8)
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    panel = recorded(given.series)
    digests = {timed(panel, workers, given.jobs) for workers in given.workers}
    if len(given.workers) > 1:
        print("tables are the same" if len(digests) == 1 else "tables differ")


if __name__ == "__main__":
    main()
