"""Good prices of a file as they wait to be merged: numbers, and the texts that these stand for.

A file repeats few texts in many rows: they are judged once, beside a time and a price that are
good, and of each row only its own times and price. What is left then is judged row by row.

Temporary tables of the writer's connection, for one file:

- ``combinations``: ``combination`` (a number), and the columns of ``price_events`` that it names;
- ``staged_prices``: line, combination, times and price of each good row;
- ``staged_price_events``: these as ``price_events`` has them, with ``line`` and ``id``, which is
  the rowid in ``staged_prices``;
- ``texts_N``: texts as files of one set of columns write them, with their combination.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from cloudarb_lib.store.column_sql import ROW
from cloudarb_lib.store.plain import PlainPrices, with_values
from cloudarb_lib.store.rows import SETTLE_MACHINES, RowsQuery
from cloudarb_lib.tables.stored_schema import STORED

VALUES = ("effective_at", "observed_at", "price_usd_per_hour")
"""Columns of ``staged_prices``; all others belong to a combination."""
_NOT_GOOD = -1
"""Combination of texts that break a rule."""

_OF_COMBINATION = [name for name in STORED["price_events"].names if name not in VALUES]
_COMBINATION = ", ".join(_OF_COMBINATION)
_VALUES = ", ".join(VALUES)


def _same(left: str, right: str, columns: list[str] | tuple[str, ...]) -> str:
    """Return SQL that is true where two tables agree in columns, in what is null too."""
    same = (f"{left}.{column} IS NOT DISTINCT FROM {right}.{column}" for column in columns)
    return " AND ".join(same) or "true"


_TABLES = f"""
    CREATE OR REPLACE TEMP TABLE combinations AS
    SELECT 0::INTEGER AS combination, {_COMBINATION} FROM price_events LIMIT 0;
    CREATE OR REPLACE TEMP TABLE staged_prices AS
    SELECT 0::BIGINT AS line, 0::INTEGER AS combination, {_VALUES} FROM price_events LIMIT 0;
    CREATE OR REPLACE TEMP VIEW staged_price_events AS
    SELECT
        staged_prices.rowid AS id, line, {", ".join(STORED["price_events"].names)}
    FROM staged_prices JOIN combinations USING (combination)
"""
_NUMBER_COMBINATIONS = f"""
    INSERT INTO combinations
    SELECT (SELECT count(*) FROM combinations) + row_number() OVER () - 1, {_COMBINATION}
    FROM (
        SELECT {_COMBINATION} FROM judged_rows WHERE wrong IS NULL
        EXCEPT SELECT {_COMBINATION} FROM combinations
    )
"""
_STAGE_JUDGED = f"""
    INSERT INTO staged_prices
    SELECT line, combination, {_VALUES}
    FROM judged_rows JOIN combinations ON {_same("judged_rows", "combinations", _OF_COMBINATION)}
    WHERE wrong IS NULL
"""
_STAGE_READ = f"""
    INSERT INTO staged_prices
    SELECT line, combination, {_VALUES} FROM read_rows WHERE is_good AND combination >= 0
"""
_LEFT = f"SELECT {ROW} FROM read_rows WHERE NOT is_good OR combination < 0 ORDER BY {ROW}"


class StagedPrices:
    """Fills ``staged_prices`` and ``combinations``, which it makes empty."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._texts: dict[PlainPrices, str] = {}
        con.execute(_TABLES)

    def take_plain(self, raw: pa.Table, query: RowsQuery) -> pa.Table:
        """Stage rows whose texts, times and prices are good; return those that are left.

        Parameters
        ----------
        raw : pyarrow.Table
            The rows as ``RowsQuery`` describes them.
        query : RowsQuery
            How they are judged.
        """
        plain = query.plain
        if plain is None:
            return raw
        if plain not in self._texts:
            self._texts[plain] = f"texts_{len(self._texts)}"
            self._con.register("raw", raw)
            self._con.execute(f"""
                CREATE OR REPLACE TEMP TABLE {self._texts[plain]} AS
                SELECT {"".join(f"{text}, " for text in plain.texts)} 0::INTEGER AS combination
                FROM raw
                LIMIT 0
            """)
            self._judge_texts(query.sql, plain, "raw")
        valued = with_values(raw, plain)
        given = raw if valued is None else valued
        sql = plain.sql if valued is None else plain.sql_of_values
        if self._read(given, sql, plain):
            unknown = f"raw SEMI JOIN (FROM read_rows WHERE combination IS NULL) USING ({ROW})"
            self._judge_texts(query.sql, plain, unknown)
            self._read(given, sql, plain)
        self._con.execute(_STAGE_READ)
        return raw.take(self._con.sql(_LEFT).to_arrow_table()[ROW])

    def take_judged(self) -> None:
        """Stage the good rows of table ``judged_rows``."""
        self._con.execute(_NUMBER_COMBINATIONS)
        self._con.execute(_STAGE_JUDGED)

    def _read(self, raw: pa.Table, sql: str, plain: PlainPrices) -> bool:
        """Fill ``read_rows``: rows as read, with their combination; tell whether one is unknown."""
        texts = self._texts[plain]
        self._con.register("raw", raw)
        self._con.execute(f"""
            CREATE OR REPLACE TEMP TABLE read_rows AS
            SELECT {ROW}, line, combination, {_VALUES}, is_good
            FROM ({sql}) AS given
            LEFT JOIN {texts} ON {_same("given", texts, plain.texts)}
        """)
        unknown = self._con.execute("SELECT count(*) - count(combination) FROM read_rows")
        return unknown.fetchall() != [(0,)]

    def _judge_texts(self, sql: str, plain: PlainPrices, rows: str) -> None:
        """Judge texts of rows of ``raw`` that have no combination yet, and note it."""
        texts = "".join(f"{text}, " for text in plain.texts)
        self._con.execute(f"""
            CREATE OR REPLACE TEMP TABLE new_texts AS
            SELECT *, {plain.stand_ins}, 0 AS line_read, row_number() OVER () AS {ROW}
            FROM (
                SELECT DISTINCT {texts} 0 AS any FROM {rows}
            )
        """)
        self._con.register("raw", self._con.sql("FROM new_texts").to_arrow_table())
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE judged_rows AS {sql}")
        self._con.execute(SETTLE_MACHINES)
        self._con.execute(_NUMBER_COMBINATIONS)
        self._con.execute(f"""
            INSERT INTO {self._texts[plain]}
            SELECT {texts} coalesce(combination, {_NOT_GOOD})
            FROM new_texts
            JOIN judged_rows USING ({ROW})
            LEFT JOIN combinations
                ON wrong IS NULL AND {_same("judged_rows", "combinations", _OF_COMBINATION)}
        """)
