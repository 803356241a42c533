"""A working folder with a small record, a small demand, and the notebooks on small parameters."""

from __future__ import annotations

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd

from cloudarb_lib import store
from cloudarb_lib.base import locations

_END = pd.Timestamp("2026-04-01", tz="UTC")
_WEEKS = 60
_LISTED = """
gcp us-central1 a3-highgpu-8g H100 8 spot 24
gcp us-central1 a3-highgpu-8g H100 8 on_demand 80
gcp us-east4 a3-highgpu-8g H100 8 spot 22
gcp us-east4 a3-highgpu-8g H100 8 on_demand 84
gcp us-central1 a2-ultragpu-1g A100-80GB 1 spot 2.2
gcp us-central1 a2-ultragpu-1g A100-80GB 1 on_demand 5.1
aws us-east-1 p5.48xlarge H100 8 spot 30
aws us-east-1 p5.48xlarge H100 8 on_demand 60
azure eastus ND96isr_H100_v5 H100 8 on_demand 98
"""
"""Provider, region, machine, GPU model, GPUs, option, first price in USD per hour."""
_DEMAND = """
demand:
  - {workload: train, needs: 16 H100, hours_a_week: 168, interruptible: yes, in: [us-*]}
  - {workload: serve, needs: 2 A100-80GB, hours_a_week: 100, interruptible: no, in: [us-*]}
"""
_SMALL = {"horizon_steps": 2, "n_paths": 40, "lookback_steps": 2}
"""Parameters of the notebooks that make them quick."""


def write_home(home: Path) -> None:
    """Write ``data/store``, ``data/demand.yaml`` and ``notebooks`` into a working folder."""
    (home / "data").mkdir(parents=True)
    (home / "data" / "demand.yaml").write_text(_DEMAND)
    _ingest_record(home)
    (home / "notebooks").mkdir()
    for file in locations.notebooks().glob("*.ipynb"):
        notebook = nbformat.read(file, as_version=nbformat.NO_CONVERT)
        for cell in notebook.cells:
            if "parameters" in cell.metadata.get("tags", []):
                cell.source = "\n".join(map(_smaller, cell.source.splitlines()))
        nbformat.write(notebook, home / "notebooks" / file.name)


def _ingest_record(home: Path) -> None:
    """Make a store of weekly prices; every third price of spot moves by a tenth."""
    random = np.random.default_rng(7)
    offers = [line.split() for line in _LISTED.split("\n") if line]
    prices = []
    for provider, region, machine, model, count, option, first in offers:
        moves = random.choice([0.9, 1.0, 1.1], p=[0.1, 0.7, 0.2], size=_WEEKS)
        path = float(first) * (np.cumprod(moves) if option == "spot" else np.ones(_WEEKS))
        prices.append(
            pd.DataFrame(
                {
                    "provider": provider,
                    "region": region,
                    "instance_type": machine,
                    "gpu_model": model,
                    "gpu_count": count,
                    "vcpus": 26 * int(count),
                    "memory_gib": 230 * int(count),
                    "purchase_option": option,
                    "effective_at": pd.date_range(end=_END, periods=_WEEKS, freq="7D"),
                    "price_usd_per_hour": path,
                }
            )
        )
    listed = pd.concat(prices)
    listed["effective_at"] = listed["effective_at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    sold = listed[["provider", "region", "instance_type"]].drop_duplicates()
    sold = sold.assign(zone="", purchase_option="", kind="zone_list", source="test")
    sold = sold.assign(seen_at="2025-01-01T00:00:00Z", sold="true", note="")
    files = [home / "prices.csv", home / "evidence.csv"]
    listed.to_csv(files[0], index=False)
    sold.to_csv(files[1], index=False)
    store.ingest_files(files, store_dir=home / "data" / "store", now=_END + pd.Timedelta(days=9))


def _smaller(line: str) -> str:
    name = line.split(":")[0]
    return f"{name}: int = {_SMALL[name]}  # small" if name in _SMALL else line
