"""The bundled history, and the default store that is built from it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cloudarb_lib.base import locations
from cloudarb_lib.store.batch import Batch
from cloudarb_lib.store.report import RefusedFiles
from cloudarb_lib.store.writer import add_files, writer_lock

BUNDLED_FILES = (
    "instances.csv",
    "looks.parquet",
    "grid_carbon.csv",
    "interruption_bands.parquet",
    "price_events.parquet",
    "gpu_marketplace.parquet",
    "aws_spot_2015.parquet",
    "evidence.csv",
)
"""Their names in the folder of the data, in the order in which they are taken in."""
BUNDLED_AT = pd.Timestamp("2026-08-01", tz="UTC")
"""Time of ingestion of the bundled history: after its last look, the same on every machine."""


def bundled_paths() -> list[Path]:
    """Return the files of the bundled history."""
    return [locations.data() / name for name in BUNDLED_FILES]


def build_bundled(folder: Path) -> None:
    """Build a store from the bundled history; wait for another process that is doing so."""
    with writer_lock(folder, wait=True):
        if not (folder / "current").exists():
            try:
                add_files([Batch(path) for path in bundled_paths()], folder, BUNDLED_AT)
            except RefusedFiles:
                # a part of the history would pass for all of it from then on
                (folder / "current").unlink(missing_ok=True)
                raise
