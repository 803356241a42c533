"""How prices in other currencies came to USD: the rate is kept with each of them.

Temporary table ``converting`` of the writer's connection, for one file: the key of each good price
that was converted, and the other columns of ``conversions``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import duckdb
import pandas as pd

from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.store.rows import CONVERTED
from cloudarb_lib.store.snapshot import Snapshot
from cloudarb_lib.tables.stored_schema import CONVERSIONS

KEY = list(CONVERSIONS.key)
_KEY = ", ".join(KEY)
_RATE = "currency, usd_per_unit, rate_as_of, rate_source, rate_file"
_FRESH = "CREATE OR REPLACE TEMP TABLE converting AS SELECT * FROM conversions LIMIT 0"
_NOTE = f"""
    INSERT INTO converting BY NAME
    SELECT {_KEY}, unnest({CONVERTED})
    FROM judged_rows
    WHERE wrong IS NULL AND {CONVERTED} IS NOT NULL
"""
_KEEP = f"""
    INSERT INTO conversions
    SELECT DISTINCT ON ({_KEY}) {", ".join(CONVERSIONS.names)}
    FROM converting
    JOIN price_offers USING ({", ".join(OFFER_PARTS)})
    SEMI JOIN fresh.price_rows USING (offer, effective_at, observed_at)
    ANTI JOIN conversions USING ({_KEY})
"""
"""Of the prices that the call stores: what repeats a stored price has its rate already."""
_RATES_USED = f"SELECT {_RATE}, count(*) AS prices FROM converting GROUP BY ALL ORDER BY ALL"


def start_file(con: duckdb.DuckDBPyConnection) -> None:
    """Make ``converting`` empty."""
    con.execute(_FRESH)


def note_conversions(con: duckdb.DuckDBPyConnection) -> None:
    """Note of the rows in ``judged_rows`` how they came to USD."""
    con.execute(_NOTE)


def keep_conversions(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Keep the rates of the prices that were stored; return sentences on the rates of the file."""
    con.execute(_KEEP)
    rates = con.execute(_RATES_USED).df().to_dict("records")
    return [f"{rate['prices']:,} in {rate['currency']} {_by_rate(rate)}" for rate in rates]


def conversion_of(snapshot: Snapshot, price: Mapping[Hashable, Any] | pd.Series) -> str:
    """Return how a price came to USD, as a sentence; '' where it was told in USD.

    Parameters
    ----------
    snapshot : Snapshot
        Of the store.
    price : mapping or Series
        With the parts of its offer, ``effective_at`` and ``observed_at``.
    """
    table = snapshot.table(CONVERSIONS.name)
    is_it = pd.Series(True, table.index)
    for name in KEY:
        is_it &= table[name] == price[name]
    for found in table[is_it].to_dict("records"):
        return f"{found['price_per_hour']:.6g} {found['currency']}/h {_by_rate(found)}"
    return ""


def _by_rate(rate: Mapping[Hashable, Any]) -> str:
    return (
        f"at {rate['usd_per_unit']:.6g} USD ({rate['rate_source']}, from"
        f" {rate['rate_as_of']:%Y-%m-%d} on, {rate['rate_file'] or 'no file'})"
    )
