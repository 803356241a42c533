"""How the first rows of a file would be read: what ``cloudarb ingest --explain`` shows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.units import ensure_utc
from cloudarb_lib.sources.base import LINE, OWN_COLUMNS, Parsed, UnreadRow
from cloudarb_lib.store.batch import Batch, scope_text
from cloudarb_lib.store.column_sql import ROW
from cloudarb_lib.store.columns import columns_of
from cloudarb_lib.store.entry import open_snapshot
from cloudarb_lib.store.readings import know_names
from cloudarb_lib.store.rows import CONVERTED, rows_query
from cloudarb_lib.store.snapshot import connect, current
from cloudarb_lib.tables.stored_schema import STORED

ROWS_SHOWN = 5
_NOTHING_STORED = "Nothing was stored."


def explain(batch: Batch, *, store_dir: str | Path, now: pd.Timestamp) -> str:
    """Say how a file would be read; nothing is stored.

    Parameters
    ----------
    batch : Batch
        The file, and what is said of it.
    store_dir : str or Path
        The store that it would go to: its machines tell how many GPUs a price is for. It may be
        empty; '' means data/store, built if need be.
    now : pandas.Timestamp
        Time of ingestion.

    Returns
    -------
    str
        The source, the columns, notices, the first rows as they would be stored, and what of the
        first piece of the file would be held back, and why.

    Raises
    ------
    DataError
        Where the file would be refused.
    """
    pieces = list(islice(batch.read(), 2))
    if not pieces:
        raise DataError(f"{batch.path.name} has no row.", "Give a file with rows.")
    piece = pieces[0]
    notices = dict.fromkeys(notice for each in pieces for notice in each.notices)
    lines = [f"{batch.path.name}: read as {piece.source}", *map("  {}".format, notices)]
    lines += [f"  it shows {scope_text(scope)} whole" for scope in (*piece.whole, *batch.whole)]
    if batch.mapping:
        pairs = [f"{theirs} -> {ours}" for ours, theirs in batch.mapping.columns.items()]
        lines.append(f"  by the map: {', '.join(pairs)}")
    with _judge(store_dir) as con:
        for name, rows in piece.tables.items():
            if len(rows):
                lines += _table(con, name, rows, piece, batch, now)
    lines += _unread(piece.unread)
    return "\n".join([*lines, _NOTHING_STORED])


def _judge(store_dir: str | Path) -> duckdb.DuckDBPyConnection:
    """Return a database in memory that can judge rows: it knows the machines of a store."""
    con = connect()
    know_names(con)
    con.execute(STORED["instances"].ddl())
    if not str(store_dir) or current(Path(store_dir)) is not None:
        with open_snapshot(store_dir) as stored:
            con.register("machines", stored.table("instances"))
        con.execute("INSERT INTO instances BY NAME FROM machines")
    return con


def _table(
    con: duckdb.DuckDBPyConnection,
    name: str,
    rows: pa.Table,
    piece: Parsed,
    batch: Batch,
    now: pd.Timestamp,
) -> list[str]:
    """Return what becomes of the rows of a table."""
    seen_at = _seen_at(batch, piece, now, is_own=name == OWN_COLUMNS)
    query = rows_query(
        rows.schema, name, source=batch.path.stem, now=now, seen_at=seen_at, rates=batch.rates
    )
    names = rows.schema.names[:-1]
    columns = columns_of(names, name, dated=seen_at is not None)
    read = [
        ours if names[i] == ours else f"{names[i]} -> {ours}"
        for ours, i in columns.positions.items()
    ]
    lines = [f"  {len(rows):,} rows for {query.table}: {', '.join(read)}"]
    if query.timeless and seen_at is not None:
        lines.append(f"  rows have no time of their own: they are of {seen_at.isoformat()}")
    lines += [f"  {notice}" for notice in query.notices]
    raw = rows.rename_columns([*[f"c{i}" for i in range(len(names))], LINE])
    con.register("raw", raw.append_column(ROW, pa.array(np.arange(len(rows)))))
    judged = con.sql(f"FROM ({query.sql}) ORDER BY {ROW}").df()
    is_good = judged["wrong"].isna()
    lines += map("  {}".format, _rows(judged[is_good].head(ROWS_SHOWN), query.table))
    faults = judged[~is_good]
    return lines + _held_back(
        [
            (line, wrong["reason"], wrong["detail"])
            for line, wrong in zip(faults["line"], faults["wrong"], strict=True)
        ]
    )


def _seen_at(
    batch: Batch, piece: Parsed, now: pd.Timestamp, *, is_own: bool
) -> pd.Timestamp | None:
    """Return when a file counts as seen, as ingestion has it."""
    if batch.seen_at is not None:
        return batch.seen_at
    if piece.seen_at:
        return ensure_utc(piece.seen_at, "seen_at")
    if is_own:
        return None
    changed_at = pd.Timestamp(batch.path.stat().st_mtime, unit="s", tz="UTC").floor("s")
    return min(changed_at, now)


def _rows(judged: pd.DataFrame, table: str) -> Iterator[str]:
    """Yield rows as they would be stored, empty columns left out."""
    names = [name for name in STORED[table].names if name in judged]
    for row in judged.to_dict("records"):
        values = [f"{name} {row[name]}" for name in names if not _is_empty(row[name])]
        if not _is_empty(row.get(CONVERTED)):
            values.append(f"converted from {row[CONVERTED]['currency']}")
        yield f"line {row['line']}: {', '.join(values)}"


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or (not isinstance(value, dict) and bool(pd.isna(value)))


def _unread(unread: list[UnreadRow]) -> list[str]:
    return _held_back([(row.line, row.reason.name, row.detail) for row in unread])


def _held_back(faults: list[tuple[int, str, str]]) -> list[str]:
    """Return by reason how many rows would be held back, and the first of them."""
    first: dict[str, str] = {}
    count: dict[str, int] = {}
    for line, reason, detail in faults:
        first.setdefault(reason, f"line {line}: {detail}")
        count[reason] = count.get(reason, 0) + 1
    return [f"  held back, {reason} ({count[reason]:,}): {first[reason]}" for reason in first]
