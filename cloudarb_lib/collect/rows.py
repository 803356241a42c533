"""Rows of our own tables: what makes one good, as conditions that the store checks all rows by at once."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from string import Template

import pandas as pd
import pyarrow as pa

from cloudarb_lib.errors import DataError
from cloudarb_lib.schema import STORED, Column, nearest

LINE = "line_read"
"""Column of rows as read that holds their line."""
ALIASES = {"price_usd_hour": "price_usd_per_hour"}
_IGNORED = {"offer_id", "quality", "flagged_at"}  # of our own exports: ingestion works them out
_NEEDED = ("provider", "region", "instance_type", "purchase_option", "effective_at", "price_usd_per_hour")
# Option/term as they may be written, and what they mean.
_OFFERED = {"on_demand/": "on_demand/", "spot/": "spot/"}
for _t in ("1y", "3y"):
    _OFFERED |= dict.fromkeys((f"reserved/{_t}", f"reserved_{_t}/", f"reserved_{_t}/{_t}"), f"reserved/{_t}")
_NUMBER = r"(?i)[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?"
_DATE, _CLOCK = r"(?i)\d{4}-\d\d-\d\d", r"[T ]([01]\d|2[0-3]):\d\d(:\d\d([.,]\d+)?)?"
_ZONED = rf"{_DATE}{_CLOCK} ?(Z|UTC|[+-]\d\d:?(\d\d)?)"
_RULES = [
    [Template(part.strip()).safe_substitute(date=_DATE, clock=_CLOCK) for part in line.split(" | ")]
    for line in Path(__file__).with_name("rules.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
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
        raise DataError(what, "See data/README.md for the tables; CSV needs a header line and commas.")
    known = STORED[table].names
    for name in names:
        if (name not in known and name not in _IGNORED) or names.count(name) > 1:
            return table, ("unknown_column", f"column {name!r}{nearest(name, known)}")
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
        return table, f"SELECT {LINE} AS line, {_fault(misfit[0], _literal(misfit[1]))} AS wrong FROM raw"
    given = {ALIASES.get(f.name, f.name): (f"c{i}", f.type) for i, f in enumerate(columns)}
    if table == "price_events":
        given.setdefault("observed_at", given["effective_at"])
    kept = [c for c in STORED[table].columns if c.name not in _IGNORED]
    reads, values, faults = [], [], []
    for column in kept:
        name, read = column.name, f"{column.name}_read"
        place, kind = given.get(name, ("NULL", pa.null()))
        typed = _typed(kind, column)
        reads.append(f"{place} AS {read}" if typed else f"nullif(trim({place}::VARCHAR), '') AS {read}")
        values.append(f"{_value(column, table, source, typed)} AS {name}")
        for reason, condition in _rules(column, key=name in STORED[table].key, now=now):
            what = f"concat('{name} ''', left({read}::VARCHAR, 60), '''')"
            faults.append(f"WHEN {condition} THEN {_fault(reason, what)}")
    names = ", ".join(c.name for c in kept)
    names += ", 'ok' AS quality" if table == "price_events" else ""
    typed_rows = f"SELECT *, {', '.join(values)} FROM (SELECT {LINE} AS line, {', '.join(reads)} FROM raw)"
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


def _value(column: Column, table: str, source: str, typed: bool) -> str:
    """Return the SQL of a column's value, null where what was read is none of its type."""
    read = f"{column.name}_read"
    offered = f"coalesce(MAP {_OFFERED}[concat(purchase_option_read, '/', term_read)], '')"
    spot = "lower(provider_read) = 'aws' AND purchase_option_read = 'spot'"
    usual = {"region": "unstated", "source": source} if table == "price_events" else {}
    special = {
        "provider": "lower(coalesce(provider_read, ''))",
        "currency": "'USD'",
        "purchase_option": f"split_part({offered}, '/', 1)",
        "term": f"split_part({offered}, '/', 2)",
        "price_kind": f"coalesce({read}, CASE WHEN {spot} THEN 'market' ELSE 'administered' END)",
        "gpu_model": "canonical(gpu_model_read, TRY_CAST(gpu_memory_gib_read AS DOUBLE))",
    }
    if column.dtype == "VARCHAR":
        return special.get(column.name, f"coalesce({read}, {_literal(usual.get(column.name, ''))})")
    if column.dtype == "TIMESTAMPTZ":
        pattern, value = _ZONED, f"TRY_CAST(replace(upper({read}), ',', '.') AS TIMESTAMPTZ)"
        return (
            f"{read}::TIMESTAMPTZ"
            if typed
            else f"CASE WHEN regexp_full_match({read}, '{pattern}') THEN {value} END"
        )
    if typed:
        return f"nullif({read}::DOUBLE, 'nan')"
    return f"CASE WHEN regexp_full_match({read}, '{_NUMBER}') THEN TRY_CAST({read} AS DOUBLE) END"


def _rules(column: Column, *, key: bool, now: pd.Timestamp) -> list[tuple[str, str]]:
    """Return (reason, condition) of the rules about a column: its own, else those of its kind."""
    own = {column.name} & {about for _, about, *_ in _RULES}
    kinds = {column.dtype}
    if column.dtype != "TIMESTAMPTZ" and not column.nullable and column.name != "zone":
        kinds.add("key" if key else "needed")
    told = {"x": column.name, "r": f"{column.name}_read", "now": f"TIMESTAMPTZ '{now.isoformat()}'"}
    return [
        (reason, Template(condition).substitute(told))
        for reason, about, condition, _ in _RULES
        if about in (own or kinds)
    ]
