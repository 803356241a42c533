"""Rows of our own tables: what makes one good, as conditions that the store checks all rows by at once."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from string import Template

import pandas as pd
import pyarrow as pa

from cloudarb_lib.base.errors import DataError, did_you_mean
from cloudarb_lib.sources.files import LINE
from cloudarb_lib.tables.schema import Column
from cloudarb_lib.tables.stored_schema import STORED

ALIASES = {"price_usd_hour": "price_usd_per_hour"}
_IGNORED = {"offer_id", "quality", "flagged_at"}  # of our own exports: ingestion works them out
_NEEDED = (
    "provider",
    "region",
    "instance_type",
    "purchase_option",
    "effective_at",
    "price_usd_per_hour",
)
_LINES = Path(__file__).with_name("rules.txt").read_text(encoding="utf-8").splitlines()
_PARTS = [
    [part.strip() for part in line.split(" | ")] for line in _LINES if line[:1] not in ("", "#")
]
_READ = {parts[0]: parts[1] for parts in _PARTS if len(parts) == 2}
_RULES = [parts for parts in _PARTS if len(parts) == 4]
REASONS = {reason: way_out for reason, *_, way_out in _RULES}
"""Why a row goes to quarantine, and the way out."""


def fit(columns: Collection[str]) -> tuple[str, tuple[str, str] | None]:
    """Return the stored table that the columns of a file belong to, and (reason, what) where they
    do not quite fit; DataError if no table is likely."""
    names = [ALIASES.get(c, c) for c in columns]
    needed = {n: t.names for n, t in STORED.items() if n not in ("ingest_log", "quarantine")}
    needed["price_events"] = list(_NEEDED)
    share = {n: len(set(names) & set(c)) / len(c) for n, c in needed.items()}
    table = max(share, key=lambda n: share[n])
    if share[table] < 0.5:
        what = f"its columns, which begin {', '.join(names)[:80]!r}, are no table of ours."
        raise DataError(
            what, "See data/README.md for the tables; CSV needs a header line and commas."
        )
    known = STORED[table].names
    for name in names:
        if (name not in known and name not in _IGNORED) or names.count(name) > 1:
            return table, ("unknown_column", f"column {name!r}{did_you_mean(name, known)}")
    missing = [n for n in needed[table] if n not in names]
    return table, ("missing_column", f"column {missing[0]!r}") if missing else None


def check(columns: pa.Schema, *, source: str, now: pd.Timestamp) -> tuple[str, str]:
    """Return the stored table that a file's columns belong to, and the query of its rows as that has them.

    The query reads ``raw``, which has these columns as c0, c1 ..., the last as ``LINE``; it gives line, the
    stored columns and ``wrong``: the first fault of a row, its reason and a sentence, null where the row is
    good. Columns that do not quite fit are a fault of every row; DataError if no table is likely. A price
    file may leave out zone and term '', region unstated, currency USD, observed_at = effective_at,
    ``source``, price_kind market for AWS spot, else administered, and offer_count. The function
    canonical() names GPU models.
    """
    table, misfit = fit(columns.names[:-1])
    if misfit:
        return (
            table,
            f"SELECT {LINE} AS line, {_fault(misfit[0], _literal(misfit[1]))} AS wrong FROM raw",
        )
    given = {ALIASES.get(f.name, f.name): (f"c{i}", f.type) for i, f in enumerate(columns)}
    if table == "price_events":
        given.setdefault("observed_at", given["effective_at"])
    kept = [c for c in STORED[table].columns if c.name not in _IGNORED]
    own = {about for _, about, *_ in _RULES} & {c.name for c in kept}
    reads, values, faults = [], [], []
    for column in kept:
        name, read = column.name, f"{column.name}_read"
        place, kind = given.get(name, ("NULL", pa.null()))
        typed = _typed(kind, column)
        reads.append(
            f"{place} AS {read}" if typed else f"nullif(trim({place}::VARCHAR), '') AS {read}"
        )
        told = {
            "x": name,
            "r": read,
            "source": _literal(source),
            "now": f"TIMESTAMPTZ '{now.isoformat()}'",
        }
        dtype = f"{column.dtype} as such" if typed else column.dtype
        how = next(_READ[about] for about in (f"{table}.{name}", name, dtype) if about in _READ)
        values.append(f"{Template(how).substitute(told)} AS {name}")
        kinds = {column.dtype}
        if column.dtype != "TIMESTAMPTZ" and not column.nullable and name != "zone":
            kinds.add("key" if name in STORED[table].key else "needed")
        what = f"concat('{name} ''', left({read}::VARCHAR, 60), '''')"
        for reason, about, condition, _ in _RULES:
            if about in ({name} & own or kinds):
                faults.append(
                    f"WHEN {Template(condition).substitute(told)} THEN {_fault(reason, what)}"
                )
    names = ", ".join(c.name for c in kept)
    names += ", 'ok' AS quality" if table == "price_events" else ""
    typed_rows = (
        f"SELECT *, {', '.join(values)} FROM (SELECT {LINE} AS line, {', '.join(reads)} FROM raw)"
    )
    return table, f"SELECT line, {names}, CASE {' '.join(faults)} END AS wrong FROM ({typed_rows})"


def _typed(kind: pa.DataType, column: Column) -> bool:
    """Tell whether a file holds the values of a column as such, so that no text has to be understood."""
    if column.dtype == "TIMESTAMPTZ":
        return pa.types.is_timestamp(kind) and kind.tz is not None
    return column.dtype != "VARCHAR" and (pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _fault(reason: str, what: str) -> str:
    return f"{{'reason': '{reason}', 'detail': concat({what}, {_literal(f' {REASONS[reason]}.')})}}"
