"""Rows of a file as one of our tables has them, each judged by the rules: one query for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

import pandas as pd
import pyarrow as pa

from cloudarb_lib.base.errors import DataError, did_you_mean
from cloudarb_lib.sources.base import LINE, MISSING_COLUMN, OWN_COLUMNS, UNKNOWN_COLUMN, Reason
from cloudarb_lib.store.rules import KEY, NEEDED, reading_of, rules_for
from cloudarb_lib.tables.schema import Column
from cloudarb_lib.tables.stored_schema import STORED

ALIASES = {"price_usd_hour": "price_usd_per_hour"}
"""Other names of our columns, as files may have them."""
_WORKED_OUT = {"offer_id", "quality", "flagged_at"}
"""Columns of our own exports that ingestion works out itself."""
_NOT_GIVEN = ("ingest_log", "quarantine", "doubts", "verdicts")
"""Stored tables that no file brings."""
_MAY_BE_EMPTY = {
    ("price_events", "zone"),
    ("looks", "region"),
    ("looks", "purchase_option"),
    ("evidence", "zone"),
    ("evidence", "purchase_option"),
}
"""Columns by their table in which '' says something: a regional price, every region or option."""
_NEEDED_OF_PRICES = (
    "provider",
    "region",
    "instance_type",
    "purchase_option",
    "effective_at",
    "price_usd_per_hour",
)


@dataclass(frozen=True)
class Misfit:
    """Why the columns of a file do not quite fit a table, and which column that is about."""

    reason: Reason
    subject: str


@dataclass(frozen=True)
class ColumnQuery:
    """SQL of one stored column: what the file holds, its value, and the faults it may have."""

    written: str
    value: str
    faults: list[str]


def table_of(columns: Sequence[str]) -> tuple[str, Misfit | None]:
    """Return the stored table that the columns of a file belong to, and whether they fit it.

    Raises
    ------
    DataError
        Where no table is likely.
    """
    names = [ALIASES.get(column, column) for column in columns]
    needed = {
        name: [column for column in table.names if (name, column) not in _MAY_BE_EMPTY]
        for name, table in STORED.items()
        if name not in _NOT_GIVEN
    }
    needed["price_events"] = list(_NEEDED_OF_PRICES)
    share = {name: len(set(names) & set(of)) / len(of) for name, of in needed.items()}
    table = max(share, key=lambda name: share[name])
    if share[table] < 0.5:
        what = f"its columns, which begin {', '.join(names)[:80]!r}, are no table of ours."
        raise DataError(
            what, "See data/README.md for the tables; CSV needs a header line and commas."
        )
    ours = STORED[table].names
    for name in names:
        if (name not in ours and name not in _WORKED_OUT) or names.count(name) > 1:
            return table, Misfit(UNKNOWN_COLUMN, f"column {name!r}{did_you_mean(name, ours)}")
    missing = [name for name in needed[table] if name not in names]
    return table, Misfit(MISSING_COLUMN, f"column {missing[0]!r}") if missing else None


def rows_query(schema: pa.Schema, table: str, *, source: str, now: pd.Timestamp) -> tuple[str, str]:
    """Return the stored table that parsed rows belong to, and the query that reads and judges them.

    Parameters
    ----------
    schema : pyarrow.Schema
        Columns of the parsed rows, the last one ``LINE``.
    table : str
        The stored table that they belong to, or ``OWN_COLUMNS``: their names tell it.
    source : str
        What column source says where the file does not.
    now : pandas.Timestamp
        Time of ingestion: no price is of later.

    Returns
    -------
    table : str
        Name of the stored table.
    query : str
        SQL over a table ``raw``, which has the columns of the schema as c0, c1 ..., the last as
        ``LINE``, and over a function canonical(), which names GPU models. It gives line, the
        stored columns and ``wrong``: reason and detail of the first fault of a row, null where
        the row is good. Columns that do not quite fit are a fault of every row.

    Raises
    ------
    DataError
        Where no table is likely.

    Notes
    -----
    A price file may leave out zone and term (''), region (unstated), currency (USD), observed_at
    (effective_at), source, price_kind (market for AWS spot, else administered) and offer_count.
    """
    misfit = None
    if table == OWN_COLUMNS:
        table, misfit = table_of(schema.names[:-1])
    if misfit:
        fault = _fault(misfit.reason, _literal(misfit.subject))
        return table, f"SELECT {LINE} AS line, {fault} AS wrong FROM raw"
    given = {
        ALIASES.get(field.name, field.name): (f"c{i}", field.type) for i, field in enumerate(schema)
    }
    if table == "price_events":
        given.setdefault("observed_at", given["effective_at"])
    kept = [column for column in STORED[table].columns if column.name not in _WORKED_OUT]
    context = {"source": _literal(source), "now": f"TIMESTAMPTZ '{now.isoformat()}'"}
    queries = [
        _column_query(table, column, *given.get(column.name, ("NULL", pa.null())), context)
        for column in kept
    ]
    names = [_stored_value(column) for column in kept]
    if table == "price_events":
        names.append("'ok' AS quality")
    faults = [fault for query in queries for fault in query.faults]
    written = ", ".join(query.written for query in queries)
    values = ", ".join(query.value for query in queries)
    return (
        table,
        f"""
        SELECT line, {", ".join(names)}, CASE {" ".join(faults)} END AS wrong
        FROM (SELECT *, {values} FROM (SELECT {LINE} AS line, {written} FROM raw))
        """,
    )


def _column_query(
    table: str, column: Column, place: str, arrow_type: pa.DataType, context: dict[str, str]
) -> ColumnQuery:
    """Return the SQL of a column that stands at ``place`` in the file."""
    name = column.name
    written = f"{name}_read"
    is_typed = _holds_type(arrow_type, column)
    reading = reading_of(table, name, column.dtype)
    words = {"value": name, "written": written, **context}
    value = Template(reading.of_type if is_typed else reading.of_text).substitute(words)
    shown = f"concat('{name} ''', left({written}::VARCHAR, 60), '''')"
    faults = [
        f"WHEN {Template(rule.condition).substitute(words)} THEN {_fault(rule, shown)}"
        for rule in rules_for(table, name, _kinds(table, column))
    ]
    text = f"nullif(trim({place}::VARCHAR), '')"
    return ColumnQuery(
        written=f"{place if is_typed else text} AS {written}",
        value=f"{value} AS {name}",
        faults=faults,
    )


def _stored_value(column: Column) -> str:
    """Return SQL of a value as the table holds it; a number too large for it is a fault already."""
    if column.dtype == "INTEGER":
        return f"TRY_CAST({column.name} AS INTEGER) AS {column.name}"
    return column.name


def _kinds(table: str, column: Column) -> set[str]:
    """Return by which general rules a column goes."""
    kinds: set[str] = {column.dtype}
    # Of a time without a value the rules of its type speak.
    if (
        column.dtype != "TIMESTAMPTZ"
        and not column.nullable
        and (table, column.name) not in _MAY_BE_EMPTY
    ):
        kinds.add(KEY if column.name in STORED[table].key else NEEDED)
    return kinds


def _holds_type(arrow_type: pa.DataType, column: Column) -> bool:
    """Tell whether a file holds the values of a column as such: no text has to be understood."""
    if column.dtype == "TIMESTAMPTZ":
        return pa.types.is_timestamp(arrow_type) and arrow_type.tz is not None
    is_number = pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type)
    return column.dtype != "VARCHAR" and is_number


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _fault(reason: Reason, subject: str) -> str:
    """Return SQL of a fault; ``subject`` is SQL too, of what the reason is about."""
    sentence = f"concat({subject}, {_literal(f' {reason.predicate}.')})"
    return f"{{'reason': '{reason.name}', 'detail': {sentence}}}"
