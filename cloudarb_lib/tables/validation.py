"""What makes a frame one of the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, did_you_mean
from cloudarb_lib.tables.run_schema import RUN_TABLES
from cloudarb_lib.tables.schema import Column, ColumnType, Table
from cloudarb_lib.tables.stored_schema import STORED

PANDAS_KINDS: dict[ColumnType, str] = {
    "VARCHAR": "OSUT",
    "DOUBLE": "fiu",
    "INTEGER": "iu",
    "BIGINT": "iu",
    "TIMESTAMPTZ": "M",
    "BOOLEAN": "b",
}
"""Kinds of numpy's types (``dtype.kind``) that may stand for a type of DuckDB."""


def validate(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return ``frame`` as table ``name``.

    Parameters
    ----------
    frame : DataFrame
        Rows with the columns of the table, and others.
    name : str
        A table of ``STORED`` or ``RUN_TABLES``.

    Returns
    -------
    DataFrame
        The same rows, columns of the table first and in order; extra columns stay.

    Raises
    ------
    DataError
        Naming table, column and type, where a column is missing, has the wrong kind, holds a null
        that is not legal or an infinite number, a time is naive, or a key repeats.
    """
    table = {**STORED, **RUN_TABLES}[name]
    extra = [column for column in frame.columns if column not in table.names]
    for lacking in [column for column in table.names if column not in frame.columns]:
        raise DataError(
            f"table {name} lacks column {lacking!r}{did_you_mean(lacking, extra)}.",
            f"It needs {', '.join(table.names)}.",
        )
    for column in table.columns:
        _check_column(frame[column.name], column, f"table {name}, column {column.name}")
    _check_key(frame, table)
    return frame[table.names + extra]


def _check_column(values: pd.Series, column: Column, where: str) -> None:
    """Refuse values that ``column`` may not hold."""
    empty = values.isna()
    if empty.any() and not column.nullable:
        raise DataError(f"{where}, row {int(empty.argmax())}: empty value.")
    dtype = getattr(values.dtype, "categories", values).dtype
    all_empty = empty.any() and empty.all()
    if dtype.kind not in PANDAS_KINDS[column.dtype] and not all_empty:
        raise DataError(f"{where}: {dtype} is not {column.dtype}.")
    if dtype.kind == "M" and getattr(dtype, "tz", None) is None:
        raise DataError(f"{where}: naive times.", "Localise to UTC.")
    if dtype.kind == "f" and np.isinf(values.to_numpy(float, na_value=np.nan)).any():
        raise DataError(f"{where}: infinite value.")


def _check_key(frame: pd.DataFrame, table: Table) -> None:
    """Refuse two rows with one key."""
    repeated = frame.duplicated(list(table.key))
    if repeated.any():
        row = int(repeated.argmax())
        raise DataError(f"table {table.name}, row {row}: key ({', '.join(table.key)}) repeats.")
