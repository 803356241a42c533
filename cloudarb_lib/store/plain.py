"""Prices in our own unit: their texts are judged apart from times and prices, once each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template

import pyarrow as pa
import pyarrow.compute as pc

from cloudarb_lib.sources.base import LINE
from cloudarb_lib.store.column_sql import AS_EFFECTIVE, ROW, column_queries, holds_type
from cloudarb_lib.store.columns import PRICE
from cloudarb_lib.store.rules import EARLIEST_TIME, HIGHEST_PRICE_USD_PER_HOUR
from cloudarb_lib.tables.stored_schema import STORED

_GOOD_VALUES = f"""
    ({PRICE}_read IS NULL OR ({PRICE} > 0 AND {PRICE} <= {HIGHEST_PRICE_USD_PER_HOUR}))
    AND effective_at BETWEEN TIMESTAMPTZ '{EARLIEST_TIME} 00:00:00Z' AND $now
    AND observed_at BETWEEN TIMESTAMPTZ '{EARLIEST_TIME} 00:00:00Z' AND $now
"""
"""True of times and a price that break no rule, as nearly all are."""
_VALUES = ("effective_at", "observed_at", PRICE)
_TIME = pa.timestamp("us", tz="UTC")
_TIME_CHARACTERS = len("2026-04-29T00:00:00Z")
"""Arrow reads times of this length to the same values as our readings do; of other lengths it takes
some that these do not, such as offsets that no clock on earth has."""


@dataclass(frozen=True)
class PlainPrices:
    """How prices in our own unit are read and judged, their texts apart from times and prices.

    Parameters
    ----------
    texts : tuple of str
        The columns of ``raw`` that hold texts.
    stand_ins : str
        SQL of the other columns that are read: times and a price that break no rule.
    sql : str
        Query of ``ROW``, line, the texts, the times and the price as read, and ``is_good``: whether
        these break no rule.
    written : tuple of (str, str)
        Each time and price that is written as text, and the column of ``raw`` in which it is.
    sql_of_values : str
        The same query where these hold values, see ``with_values``.
    """

    texts: tuple[str, ...]
    stand_ins: str
    sql: str
    written: tuple[tuple[str, str], ...]
    sql_of_values: str


def plain_prices(
    given: dict[str, tuple[str, pa.DataType]], context: Mapping[str, str]
) -> PlainPrices:
    """Return how texts are judged apart; ``given`` says where each column stands, and its type."""
    texts = {place for name, (place, _) in given.items() if name not in _VALUES}
    written = tuple((name, given[name][0]) for name in _VALUES if _is_written(name, given))
    stand_ins = []
    for name in _VALUES:
        place, _ = given[name]
        if given[name] == AS_EFFECTIVE or place.startswith("TIMESTAMPTZ"):
            continue
        good = "1.0" if name == PRICE else f"TIMESTAMPTZ '{EARLIEST_TIME} 00:00:00Z'"
        if _is_written(name, given):
            good = "'1'" if name == PRICE else f"'{EARLIEST_TIME}T00:00:00Z'"
        stand_ins.append(f"{good} AS {place}")
    as_values = {name: (place, pa.float64() if name == PRICE else _TIME) for name, place in written}
    return PlainPrices(
        texts=tuple(sorted(texts)),
        stand_ins=", ".join(stand_ins),
        sql=_reading_sql(given, context),
        written=written,
        sql_of_values=_reading_sql(given | as_values, context),
    )


def with_values(raw: pa.Table, plain: PlainPrices) -> pa.Table | None:
    """Return rows with their times and price as values, as the query would read them.

    Arrow reads them several times faster than DuckDB, but only as they are written most often.

    Parameters
    ----------
    raw : pyarrow.Table
        The rows as ``RowsQuery`` describes them.
    plain : PlainPrices
        How they are read.

    Returns
    -------
    pyarrow.Table or None
        None where one is written in another way.
    """
    for name, place in plain.written:
        column = raw[place]
        if not pa.types.is_string(column.type):
            return None
        try:
            values = _prices(column) if name == PRICE else _times(column)
        except pa.ArrowInvalid:
            return None
        raw = raw.set_column(raw.schema.get_field_index(place), place, values)
    return raw


def _times(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times; ArrowInvalid where one is not written as it is most often."""
    if not pc.all(pc.equal(pc.binary_length(texts), _TIME_CHARACTERS)).as_py():
        raise pa.ArrowInvalid("a time of another length")
    return pc.cast(texts, _TIME)


def _prices(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return prices, null where none is written; ArrowInvalid where one is no plain number."""
    is_empty = pc.equal(texts, "")
    if pc.any(is_empty).as_py():
        texts = pc.if_else(is_empty, None, texts)
    return pc.cast(texts, pa.float64())


def _is_written(name: str, given: dict[str, tuple[str, pa.DataType]]) -> bool:
    """Tell whether a file holds a time or the price as text."""
    column = next(each for each in STORED["price_events"].columns if each.name == name)
    return given[name] != AS_EFFECTIVE and not holds_type(given[name][1], column)


def _reading_sql(given: dict[str, tuple[str, pa.DataType]], context: Mapping[str, str]) -> str:
    """Return the query of ``PlainPrices``."""
    queries = column_queries("price_events", given, context)
    texts = sorted(place for name, (place, _) in given.items() if name not in _VALUES)
    written = []
    for name in _VALUES:
        place, _ = given[name]
        if _is_written(name, given):  # one with spaces around is judged by itself
            place = f"nullif({place}::VARCHAR, '')"
        if given[name] != AS_EFFECTIVE:
            written.append(f"{place} AS {name}_read")
    values = ", ".join(queries[name].value for name in _VALUES)
    return f"""
        SELECT
            {", ".join([ROW, f"{LINE} AS line", *texts, *_VALUES])},
            coalesce({Template(_GOOD_VALUES).substitute(context)}, false) AS is_good
        FROM (SELECT *, {values} FROM (SELECT *, {", ".join(written)} FROM raw))
    """
