"""Every table as tables.txt has it: column, type, unit, meaning; and what makes a frame one of them.

The data dictionary in data/README.md is generated from it (``python tests/test_dictionary.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, did_you_mean
from cloudarb_lib.base.types import OFFER_PARTS

PURCHASE_OPTIONS = ("on_demand", "spot", "reserved")
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
        body = ", ".join(
            f"{c.name} {c.dtype}{'' if c.nullable else ' NOT NULL'}" for c in self.columns
        )
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({body})"


_TEXT = (Path(__file__).parent / "tables.txt").read_text(encoding="utf-8")
_OFFER = _TEXT.split("OFFER | |\n")[1].split("\n\n")[0]


def _tables(section: str) -> dict[str, Table]:
    """Read the tables of a section of tables.txt, which begins with its title."""
    tables: dict[str, Table] = {}
    for block in re.split(r"\n(?=\S)", section.strip().replace("    OFFER", _OFFER))[1:]:
        (name, keys, meaning), *lines = (
            [part.strip() for part in line.split("|")] for line in block.splitlines()
        )
        columns = [
            Column(column, dtype.rstrip("?"), unit, about, dtype.endswith("?"))
            for columns, dtype, unit, about in lines
            for column in columns.split()
        ]
        key = tuple(keys.replace("OFFER", " ".join(OFFER_PARTS)).split())
        tables[name] = Table(name, meaning, key, tuple(columns))
    return tables


STORED, HANDED_OVER = map(_tables, _TEXT.split("\n# ")[2:])

_PANDAS_KIND = {
    "VARCHAR": "OSUT",
    "DOUBLE": "fiu",
    "INTEGER": "iu",
    "BIGINT": "iu",
    "TIMESTAMPTZ": "M",
    "BOOLEAN": "b",
}


def validate(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return ``frame`` with the columns of table ``name`` first, in order; extra columns stay.

    Raises DataError naming table, column and dtype where a column is missing, has the wrong
    kind, holds a null that is not legal or an infinite number, a time is naive, or a key repeats.
    """
    table = {**STORED, **HANDED_OVER}[name]
    more = [c for c in frame.columns if c not in table.names]
    for lacking in [c for c in table.names if c not in frame.columns]:
        what = f"table {name} lacks column {lacking!r}{did_you_mean(lacking, more)}."
        raise DataError(what, f"It needs {', '.join(table.names)}.")
    for column in table.columns:
        values, where = frame[column.name], f"table {name}, column {column.name}"
        empty = values.isna()
        if empty.any() and not column.nullable:
            raise DataError(f"{where}, row {int(empty.argmax())}: empty value.")
        dtype = getattr(values.dtype, "categories", values).dtype
        if dtype.kind not in _PANDAS_KIND[column.dtype] and not (empty.any() and empty.all()):
            raise DataError(f"{where}: {dtype} is not {column.dtype}.")
        if dtype.kind == "M" and getattr(dtype, "tz", None) is None:
            raise DataError(f"{where}: naive times.", "Localise to UTC.")
        if dtype.kind == "f" and np.isinf(values.to_numpy(float, na_value=np.nan)).any():
            raise DataError(f"{where}: infinite value.")
    repeated = frame.duplicated(list(table.key))
    if repeated.any():
        raise DataError(
            f"table {name}, row {int(repeated.argmax())}: key ({', '.join(table.key)}) repeats."
        )
    return frame[table.names + more]
