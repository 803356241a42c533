"""SQL of single columns: what a file holds, the value that is read, and the faults it may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template

import pyarrow as pa

from cloudarb_lib.sources.base import Reason
from cloudarb_lib.store.columns import MAY_BE_EMPTY, ONE_SERIES, WORKED_OUT
from cloudarb_lib.store.readings import reading_of
from cloudarb_lib.store.rules import KEY, NEEDED, Rule, rules_for
from cloudarb_lib.tables.schema import Column
from cloudarb_lib.tables.stored_schema import STORED

ROW = "row_read"
"""Name of the column of ``raw`` that numbers its rows: a line may give several."""
OTHER_SERIES = Reason(
    "other_series", "is another series of prices", "only Linux on shared machines is compared"
)
AS_EFFECTIVE = ("effective_at", pa.null())
"""Where column observed_at stands in a file without it: a price is seen when it takes effect."""


@dataclass(frozen=True)
class ColumnQuery:
    """SQL of one stored column: what the file holds, its value, and the faults it may have."""

    written: str
    value: str
    faults: list[str]
    wrong: str
    """SQL that is true where the value has a fault."""


def kept_columns(table: str) -> list[Column]:
    return [column for column in STORED[table].columns if column.name not in WORKED_OUT]


def column_queries(
    table: str, given: dict[str, tuple[str, pa.DataType]], context: Mapping[str, str]
) -> dict[str, ColumnQuery]:
    """Return the SQL of each stored column by its name."""
    queries = {
        column.name: _column_query(
            table, column, *given.get(column.name, ("NULL", pa.null())), context
        )
        for column in kept_columns(table)
    }
    if given.get("observed_at") == AS_EFFECTIVE:
        queries["observed_at"] = ColumnQuery(
            written="NULL AS observed_at_read",
            value="effective_at AS observed_at",
            faults=[],
            wrong="observed_at IS NULL",
        )
    return queries


def _column_query(
    table: str, column: Column, place: str, arrow_type: pa.DataType, context: Mapping[str, str]
) -> ColumnQuery:
    """Return the SQL of a column that stands at ``place`` in the file."""
    name = column.name
    written = f"{name}_read"
    is_typed = holds_type(arrow_type, column)
    reading = reading_of(table, name, column.dtype)
    words = {"value": name, "written": written, **context}
    value = Template(reading.of_type if is_typed else reading.of_text).substitute(words)
    shown = f"concat('{name} ''', left({written}::VARCHAR, 60), '''')"
    rules = rules_for(table, name, _kinds(table, column))
    conditions = [f"({Template(rule.condition).substitute(words)})" for rule in rules]
    faults = [
        f"WHEN {condition} THEN {fault_of(rule, _subject(rule, words) or shown)}"
        for condition, rule in zip(conditions, rules, strict=True)
    ]
    text = f"nullif(trim({place}::VARCHAR), '')"
    return ColumnQuery(
        written=f"{place if is_typed else text} AS {written}",
        value=f"{value} AS {name}",
        faults=faults,
        wrong=" OR ".join(f"coalesce({condition}, false)" for condition in conditions) or "false",
    )


def series_query(name: str, place: str, _: pa.DataType) -> ColumnQuery:
    """Return the SQL of a column of ``ONE_SERIES``: it has no value, but a fault."""
    written = f"{name}_read"
    ours = ", ".join(literal(value) for value in ONE_SERIES[name])
    condition = f"lower({written}) NOT IN ({ours})"
    subject = f"concat('{name} ''', left({written}, 60), '''')"
    return ColumnQuery(
        written=f"nullif(trim({place}::VARCHAR), '') AS {written}",
        value="",
        faults=[f"WHEN {condition} THEN {fault_of(OTHER_SERIES, subject)}"],
        wrong=f"coalesce({condition}, false)",
    )


def _subject(rule: Rule, words: Mapping[str, str]) -> str:
    return Template(rule.subject).substitute(words)


def _kinds(table: str, column: Column) -> set[str]:
    """Return by which general rules a column goes."""
    kinds: set[str] = {column.dtype}
    # Of a time without a value the rules of its type speak.
    if (
        column.dtype != "TIMESTAMPTZ"
        and not column.nullable
        and (table, column.name) not in MAY_BE_EMPTY
    ):
        kinds.add(KEY if column.name in STORED[table].key else NEEDED)
    return kinds


def holds_type(arrow_type: pa.DataType, column: Column) -> bool:
    """Tell whether a file holds the values of a column as such: no text has to be understood."""
    if column.dtype == "TIMESTAMPTZ":
        return pa.types.is_timestamp(arrow_type) and arrow_type.tz is not None
    is_number = pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type)
    return column.dtype != "VARCHAR" and is_number


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def fault_of(reason: Reason, subject: str) -> str:
    """Return SQL of a fault; ``subject`` is SQL too, of what the reason is about."""
    sentence = f"concat({subject}, {literal(f' {reason.predicate}.')})"
    return f"{{'reason': '{reason.name}', 'detail': {sentence}}}"
