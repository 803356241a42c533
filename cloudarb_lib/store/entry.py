"""The two ways into a store: reading its newest snapshot, and taking files in.

The folder '' means data/store, which is built from the bundled history where it is not there yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import StoreError
from cloudarb_lib.base.tracing import traced
from cloudarb_lib.base.units import ensure_utc
from cloudarb_lib.store.batch import Batch
from cloudarb_lib.store.bundle import build_bundled, bundled_paths
from cloudarb_lib.store.machines import machines_first
from cloudarb_lib.store.report import IngestReport
from cloudarb_lib.store.snapshot import Snapshot, current
from cloudarb_lib.store.writer import add_files, writer_lock


def store_folder(store_dir: str | Path) -> Path:
    """Return the folder of a store; '' means data/store."""
    return Path(store_dir) if str(store_dir) else locations.store()


def open_snapshot(store_dir: str | Path = "") -> Snapshot:
    """Return the newest snapshot of a store; close it, or use it in a with statement.

    Parameters
    ----------
    store_dir : str or Path
        Folder of the store; '' means data/store, built if need be.

    Raises
    ------
    StoreError
        Where another store than data/store is empty, or the store is damaged.
    """
    folder = store_folder(store_dir)
    path = current(folder)
    if path is None and not str(store_dir):
        build_bundled(folder)
        path = current(folder)
    if path is None:
        raise StoreError(f"no store at {folder}.", "Fill it with cloudarb ingest first.")
    return Snapshot(path)


@traced("ingest")
def ingest_files(
    files: Sequence[str | Path | Batch], *, store_dir: str | Path, now: pd.Timestamp
) -> IngestReport:
    """Take files into a store and publish one new snapshot.

    Parameters
    ----------
    files : sequence of str, Path or Batch
        Files of the sources in ``cloudarb_lib.sources``, with what they do not say themselves where
        that is known; none means the bundled history.
    store_dir : str or Path
        Folder of the store; '' means data/store, which is built from the bundled history before
        the first file is added.
    now : Timestamp
        Time of ingestion: later prices go to quarantine.

    Returns
    -------
    IngestReport
        What came of the rows, and the digest of the snapshot in force.

    Raises
    ------
    DataError
        Names the files that cannot be read: each is refused whole, the others have landed.
    StoreError
        Where another writer is at work, the disk is full or the store damaged; the last snapshot
        then stays.
    """
    folder = store_folder(store_dir)
    given = files or bundled_paths()
    batches = [file if isinstance(file, Batch) else Batch(Path(file)) for file in given]
    if files and not str(store_dir):
        build_bundled(folder)
    with writer_lock(folder):
        return add_files(machines_first(batches), folder, ensure_utc(now, "now"))
