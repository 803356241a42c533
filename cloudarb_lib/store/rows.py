"""Rows of a file as one of our tables has them, each judged by the rules: one query for all."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

import pandas as pd
import pyarrow as pa

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import LINE, MISSING_COLUMN, OWN_COLUMNS, Reason
from cloudarb_lib.store.rules import KEY, NEEDED, reading_of, rules_for
from cloudarb_lib.tables.schema import Column
from cloudarb_lib.tables.stored_schema import STORED

COLUMN_TWICE = Reason("column_twice", "is there twice", "keep one of them")
ALIASES = {"price_usd_hour": "price_usd_per_hour"}
"""Other names of our columns, as files may have them."""
_WORKED_OUT = {"offer_id", "quality", "flagged_at"}
"""Columns of our own exports that ingestion works out itself."""
TIMES_SEEN = {
    "price_events": ("effective_at", "observed_at"),
    "evidence": ("seen_at",),
    "interruption_bands": ("as_of",),
}
"""Columns by their table in which a file without times of its own has the time it was seen."""
ROW = "row_read"
"""Name of the column of ``raw`` that numbers its rows: a line may give several."""
_NOT_GIVEN = ("ingest_log", "quarantine", "doubts", "verdicts", "flags")
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
    wrong: str
    """SQL that is true where the value has a fault."""


@dataclass(frozen=True)
class RowsQuery:
    """How the rows of a file become rows of a table.

    Parameters
    ----------
    table : str
        Name of the stored table.
    sql : str
        See ``rows_query``.
    timeless : bool
        Whether the rows carry no time of their own, so that they are of when the file was seen.
    notices : tuple of str
        What the person who brought the file should know of its columns.
    """

    table: str
    sql: str
    timeless: bool = False
    notices: tuple[str, ...] = ()


def table_of(columns: Sequence[str], *, dated: bool = False) -> tuple[str, Misfit | None]:
    """Return the stored table that the columns of a file belong to, and whether they fit it.

    Parameters
    ----------
    columns : sequence of str
        Their names; those that are no column of the table do not count.
    dated : bool
        Whether it is known when the file was seen: it may lack the times of the table then.

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
        if name in ours and names.count(name) > 1:
            return table, Misfit(COLUMN_TWICE, f"column {name!r}")
    times = TIMES_SEEN.get(table, ()) if dated else ()
    missing = [name for name in needed[table] if name not in names and name not in times]
    if not missing:
        return table, None
    subject = f"column {missing[0]!r}"
    alike = difflib.get_close_matches(missing[0], unknown_columns(columns, table), n=1)
    if alike and not missing[0].startswith("price"):  # a name alike says nothing of the unit
        subject += f" (perhaps {alike[0]!r})"
    return table, Misfit(MISSING_COLUMN, subject)


def unknown_columns(columns: Sequence[str], table: str) -> list[str]:
    """Return the columns of a file, by name, that a table has not: they are passed over."""
    ours = {*STORED[table].names, *_WORKED_OUT}
    return [name for name in columns if name and ALIASES.get(name, name) not in ours]


def rows_query(
    schema: pa.Schema,
    table: str,
    *,
    source: str,
    now: pd.Timestamp,
    seen_at: pd.Timestamp | None = None,
) -> RowsQuery:
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
    seen_at : pandas.Timestamp, optional
        When the file was seen: the time of its rows where it lacks the columns ``TIMES_SEEN``.

    Returns
    -------
    RowsQuery
        Its SQL is over a table ``raw``, which has the columns of the schema as c0, c1 ..., the last
        as ``LINE``, then ``ROW``, and over a function canonical(), which names GPU models. It gives
        ``ROW``, line, the stored columns, ``wrong``: reason and detail of the first fault of a row,
        null where the row is good, and ``named``: whether all columns of the key can be read, null
        where the row is good. Columns that do not quite fit are a fault of every row.

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
        table, misfit = table_of(schema.names[:-1], dated=seen_at is not None)
    notices = tuple(
        f"column {name!r} is no column of {table}: it was passed over"
        for name in sorted(set(unknown_columns(schema.names[:-1], table)))
    )
    if misfit:
        fault = _fault(misfit.reason, _literal(misfit.subject))
        sql = f"SELECT {ROW}, {LINE} AS line, {fault} AS wrong, false AS named FROM raw"
        return RowsQuery(table, sql, notices=notices)
    given = {
        ALIASES.get(field.name, field.name): (f"c{i}", field.type) for i, field in enumerate(schema)
    }
    times = TIMES_SEEN.get(table, ())
    timeless = bool(times) and times[0] not in given
    if seen_at is not None and timeless:
        given |= dict.fromkeys(times, (_time_literal(seen_at), pa.timestamp("us", tz="UTC")))
    elif table == "price_events" and "effective_at" in given:
        given.setdefault("observed_at", given["effective_at"])
    context = {"source": _literal(source), "now": _time_literal(now)}
    return RowsQuery(table, _judging_sql(table, given, context), timeless, notices)


def _judging_sql(
    table: str, given: dict[str, tuple[str, pa.DataType]], context: dict[str, str]
) -> str:
    """Return the SQL of ``RowsQuery``; ``given`` says where each column stands, and its type."""
    kept = [column for column in STORED[table].columns if column.name not in _WORKED_OUT]
    queries = {
        column.name: _column_query(
            table, column, *given.get(column.name, ("NULL", pa.null())), context
        )
        for column in kept
    }
    names = ", ".join(_stored_value(column) for column in kept)
    faults = " ".join(fault for query in queries.values() for fault in query.faults)
    key_wrong = " OR ".join(queries[name].wrong for name in STORED[table].key)
    written = ", ".join(query.written for query in queries.values())
    values = ", ".join(query.value for query in queries.values())
    return f"""
        SELECT
            {ROW},
            line,
            {names},
            CASE {faults} END AS wrong,
            CASE WHEN wrong IS NOT NULL THEN NOT ({key_wrong}) END AS named
        FROM (SELECT *, {values} FROM (SELECT {ROW}, {LINE} AS line, {written} FROM raw))
    """


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
    rules = rules_for(table, name, _kinds(table, column))
    conditions = [f"({Template(rule.condition).substitute(words)})" for rule in rules]
    faults = [
        f"WHEN {condition} THEN {_fault(rule, shown)}"
        for condition, rule in zip(conditions, rules, strict=True)
    ]
    text = f"nullif(trim({place}::VARCHAR), '')"
    return ColumnQuery(
        written=f"{place if is_typed else text} AS {written}",
        value=f"{value} AS {name}",
        faults=faults,
        wrong=" OR ".join(f"coalesce({condition}, false)" for condition in conditions) or "false",
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


def _time_literal(time: pd.Timestamp) -> str:
    return f"TIMESTAMPTZ '{time.isoformat()}'"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _fault(reason: Reason, subject: str) -> str:
    """Return SQL of a fault; ``subject`` is SQL too, of what the reason is about."""
    sentence = f"concat({subject}, {_literal(f' {reason.predicate}.')})"
    return f"{{'reason': '{reason.name}', 'detail': {sentence}}}"
