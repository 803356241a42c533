"""The tables of one run: where they lie, how they are written and read, what they rest on."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pandas as pd

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import DataError, did_you_mean
from cloudarb_lib.base.files import replaced
from cloudarb_lib.base.wording import last_day
from cloudarb_lib.tables.run_schema import RUN_TABLES
from cloudarb_lib.tables.validation import validate

DECIDING_PACKAGES = (
    "cloudarb",
    "arch",
    "duckdb",
    "highspy",
    "keras",
    "lightgbm",
    "numpy",
    "ortools",
    "pandas",
    "prophet",
    "river",
    "scikit-learn",
    "scipy",
    "statsmodels",
    "tensorflow-cpu",
)
"""Distributions whose version can change a figure of a run."""


def folder(run_dir: str | Path = "") -> Path:
    """Return the folder of a run, '' being reports/scratch."""
    return Path(run_dir) if str(run_dir) else locations.scratch()


def _path(name: str, run_dir: str | Path) -> Path:
    """Return the file of a table of a run."""
    return folder(run_dir) / "tables" / f"{name}.parquet"


def save_table(frame: pd.DataFrame, name: str, run_dir: str | Path = "") -> Path:
    """Check a table and write it into the folder of a run.

    Parameters
    ----------
    frame : DataFrame
        The table. One of ``RUN_TABLES`` is checked; other names are free, for what a single
        notebook keeps.
    name : str
        Its name.
    run_dir : str or Path
        The folder of the run, '' being reports/scratch.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    DataError
        Where the table is not what its schema says, or the name is not a plain one.
    """
    if name in RUN_TABLES:
        frame = validate(frame, name)
    elif not name.isidentifier():
        raise DataError(
            f"table name {name!r} is not a plain name{did_you_mean(name, list(RUN_TABLES))}."
        )
    path = _path(name, run_dir)
    with replaced(path) as unfinished:
        _write(frame, unfinished)
    return path


def _write(frame: pd.DataFrame, path: Path) -> None:
    """Write a table; bytes of numbers lie beside their like, which takes a third less room."""
    numbers = [name for name in frame.columns if frame[name].dtype.kind == "f"]
    frame.to_parquet(
        path,
        index=False,
        compression="zstd",
        use_dictionary=[name for name in frame.columns if name not in numbers],
        column_encoding=dict.fromkeys(numbers, "BYTE_STREAM_SPLIT"),
    )


def load_table(name: str, run_dir: str | Path = "") -> pd.DataFrame | None:
    """Read a table of a run.

    Parameters
    ----------
    name : str
        Its name.
    run_dir : str or Path
        The folder of the run.

    Returns
    -------
    DataFrame or None
        The table, checked where it is one of ``RUN_TABLES``; None where it is not there. Without a
        run folder the answer is None: what lies in reports/scratch may come from other parameters,
        so a notebook run alone computes what it needs.

    Raises
    ------
    DataError
        Where the file is damaged, or is not the table.
    """
    path = _path(name, run_dir)
    if not str(run_dir) or not path.exists():
        return None
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as cause:
        raise DataError(
            f"table {name} of {Path(run_dir).name} cannot be read: {cause}", "Make that run anew."
        ) from cause
    return validate(frame, name) if name in RUN_TABLES else frame


def provenance(snapshot_digest: str, as_of: pd.Timestamp) -> pd.DataFrame:
    """Return what the tables of a notebook rest on.

    Parameters
    ----------
    snapshot_digest : str
        Names the content of the price store.
    as_of : Timestamp
        Up to when prices were known.

    Returns
    -------
    DataFrame
        Column ``value``, indexed by ``what``: the snapshot, until when prices were known, and the
        version of each package that can change a figure.
    """
    versions = [f"{package} {metadata.version(package)}" for package in DECIDING_PACKAGES]
    rows = {
        "snapshot": snapshot_digest,
        "prices known at": f"end of {last_day(as_of)} (UTC)",
        "packages": ", ".join(versions),
    }
    return pd.DataFrame({"value": rows}).rename_axis("what")


def paid_usd(table: pd.DataFrame) -> pd.Series:
    """Return what each row of table ``plan`` is expected to cost in all.

    Rent and fees, and hours taken away and bought elsewhere: their sum is the expected cost that a
    budget limits. Plans stored before these were counted have none.
    """
    elsewhere = table.get("fallback_usd", 0.0)
    return table["expected_cost_usd"] + elsewhere
