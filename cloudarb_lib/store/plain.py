"""Prices in our own unit: their texts are judged apart from times and prices, once each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template

import pyarrow as pa

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
    """

    texts: tuple[str, ...]
    stand_ins: str
    sql: str


def plain_prices(
    given: dict[str, tuple[str, pa.DataType]], context: Mapping[str, str]
) -> PlainPrices:
    """Return how texts are judged apart; ``given`` says where each column stands, and its type."""
    queries = column_queries("price_events", given, context)
    types = {column.name: column for column in STORED["price_events"].columns}
    texts = {place for name, (place, _) in given.items() if name not in _VALUES}
    written = []
    stand_ins = []
    for name in _VALUES:
        if given[name] == AS_EFFECTIVE:
            continue
        place, arrow_type = given[name]
        good = "1.0" if name == PRICE else f"TIMESTAMPTZ '{EARLIEST_TIME} 00:00:00Z'"
        text = place
        if not holds_type(arrow_type, types[name]):
            good = "'1'" if name == PRICE else f"'{EARLIEST_TIME}T00:00:00Z'"
            text = f"nullif({place}::VARCHAR, '')"  # one with spaces around is judged by itself
        written.append(f"{text} AS {name}_read")
        if not place.startswith("TIMESTAMPTZ"):
            stand_ins.append(f"{good} AS {place}")
    values = ", ".join(queries[name].value for name in _VALUES)
    sql = f"""
        SELECT
            {", ".join([ROW, f"{LINE} AS line", *sorted(texts), *_VALUES])},
            coalesce({Template(_GOOD_VALUES).substitute(context)}, false) AS is_good
        FROM (SELECT *, {values} FROM (SELECT *, {", ".join(written)} FROM raw))
    """
    return PlainPrices(tuple(sorted(texts)), ", ".join(stand_ins), sql)
