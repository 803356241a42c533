"""The tables of one run: where they lie, how they are written, read and checked."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import DataError, did_you_mean
from cloudarb_lib.base.files import replaced
from cloudarb_lib.tables.schema import HANDED_OVER, validate


def folder(run_dir: str | Path = "") -> Path:
    """Return the folder of a run, '' being reports/scratch."""
    return Path(run_dir) if str(run_dir) else locations.scratch()


def _path(name: str, run_dir: str | Path) -> Path:
    return folder(run_dir) / "tables" / f"{name}.parquet"


def save_table(frame: pd.DataFrame, name: str, run_dir: str | Path = "") -> Path:
    """Validate ``frame`` as table ``name`` and write it into the run's folder, '' being reports/scratch.

    Tables that ``schema.HANDED_OVER`` fixes are checked against it; other names are free, for
    what a single notebook keeps. Returns the path written.
    """
    if name in HANDED_OVER:
        frame = validate(frame, name)
    elif not name.isidentifier():
        raise DataError(
            f"table name {name!r} is not a plain name{did_you_mean(name, list(HANDED_OVER))}."
        )
    path = _path(name, run_dir)
    with replaced(path) as part:
        frame.to_parquet(part, index=False)
    return path


def load_table(name: str, run_dir: str | Path = "") -> pd.DataFrame | None:
    """Return table ``name`` of the run, checked where the schema fixes it; None if not there.

    Without a run folder the answer is None: what lies in reports/scratch may come from other
    parameters, so a notebook run alone computes what it needs.
    """
    path = _path(name, run_dir)
    if not str(run_dir) or not path.exists():
        return None
    frame = pd.read_parquet(path)
    return validate(frame, name) if name in HANDED_OVER else frame


def digest(*parts: object) -> str:
    """Return the SHA-256 of numbers, texts and arrays, the latter by type, shape and bytes."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(
                repr((part.dtype, part.shape)).encode() + np.ascontiguousarray(part).tobytes()
            )
        else:
            found.update(repr(part).encode())
    return found.hexdigest()


def provenance(snapshot_digest: str, as_of: pd.Timestamp) -> pd.DataFrame:
    """Return what a notebook's tables rest on: snapshot, as_of and package versions."""
    rows = {"snapshot": snapshot_digest, "as_of": as_of.isoformat()}
    for package in ("cloudarb", "numpy", "pandas", "duckdb", "ortools", "statsmodels"):
        rows[package] = metadata.version(package)
    return pd.DataFrame({"value": rows}).rename_axis("what")
