"""Every table: column, type, unit, meaning, as the data dictionary (data/tables.md) has them.

Stored tables first, then those stages hand over.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cloudarb_lib.errors import DataError

PURCHASE_OPTIONS = ("on_demand", "spot", "reserved")
TERMS = ("", "1y", "3y")
PRICE_KINDS = ("administered", "market")
QUALITIES = ("ok", "glitch_reverted", "glitch_low_for_gpu")


@dataclass(frozen=True)
class Column:
    """One column: DuckDB type, unit ('' where none applies), meaning, and whether null is legal."""

    name: str
    dtype: str
    unit: str
    meaning: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """One table: its meaning, the columns that identify a row, and all columns in order."""

    name: str
    meaning: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def ddl(self) -> str:
        """Return the CREATE TABLE statement of the stored table."""
        body = ", ".join(f"{c.name} {c.dtype}{'' if c.nullable else ' NOT NULL'}" for c in self.columns)
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({body})"


def _tables(text: str) -> dict[str, Table]:
    """Return the tables of a part of the data dictionary: a heading, meaning and key each, then a row a column."""
    tables: dict[str, Table] = {}
    for block in text.split("\n#### ")[1:]:
        name, meaning, key, _, _, *rows = filter(None, block.splitlines())
        cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
        columns = tuple(Column(c, dtype, unit, what, null == "yes") for c, dtype, unit, what, null in cells)
        tables[name] = Table(name, meaning, tuple(key.removeprefix("Key: ").rstrip(".").split(", ")), columns)
    return tables


DICTIONARY = Path(__file__).resolve().parent.parent / "data" / "tables.md"
STORED, HANDED_OVER = map(_tables, DICTIONARY.read_text(encoding="utf-8").split("\n### ")[1:])

_PANDAS_KIND = {
    "VARCHAR": "OSUT", "DOUBLE": "fiu", "INTEGER": "iu", "BIGINT": "iu",
    "TIMESTAMPTZ": "M", "BOOLEAN": "b",
}  # fmt: skip


def nearest(name: str, known: list[str]) -> str:
    """Return ' (did you mean ...?)' for the closest known name, or ''."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def validate(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return ``frame`` with the columns of table ``name`` first, in order; extra columns stay.

    Raises DataError naming table, column and dtype where a column is missing, has the wrong
    kind, holds a null that is not legal or an infinite number, a time is naive, or a key repeats.
    """
    table = {**STORED, **HANDED_OVER}[name]
    missing = [c for c in table.names if c not in frame.columns]
    if missing:
        raise DataError(
            f"table {name} lacks column {missing[0]!r}"
            f"{nearest(missing[0], [c for c in frame.columns if c not in table.names])}.",
            f"It needs {', '.join(table.names)}.",
        )
    for column in table.columns:
        values = frame[column.name]
        if values.isna().any():
            if not column.nullable:
                row = int(values.isna().to_numpy().argmax())
                raise DataError(f"table {name}, column {column.name}, row {row}: empty value.")
            if values.isna().all():
                continue
        dtype = values.dtype
        categories = getattr(dtype, "categories", None)
        kind = categories.dtype.kind if categories is not None else dtype.kind
        if kind not in _PANDAS_KIND[column.dtype]:
            raise DataError(f"table {name}, column {column.name}: {dtype} is not {column.dtype}.")
        if column.dtype == "TIMESTAMPTZ" and getattr(values.dt, "tz", None) is None:
            raise DataError(f"table {name}, column {column.name}: naive times.", "Localise to UTC.")
        if kind == "f" and np.isinf(values.to_numpy(float, na_value=np.nan)).any():
            raise DataError(f"table {name}, column {column.name}: infinite value.")
    if frame.duplicated(list(table.key)).any():
        row = int(frame.duplicated(list(table.key)).to_numpy().argmax())
        raise DataError(f"table {name}, row {row}: key ({', '.join(table.key)}) repeats.")
    return frame[table.names + [c for c in frame.columns if c not in table.names]]
