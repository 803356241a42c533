"""Prices staged as numbers: what is judged apart comes to what the rules say row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib.sources.base import LINE, OWN_COLUMNS
from cloudarb_lib.store.column_sql import ROW
from cloudarb_lib.store.plain import with_values
from cloudarb_lib.store.price_rows import make_tables, start_call
from cloudarb_lib.store.rows import SETTLE_MACHINES, rows_query
from cloudarb_lib.store.snapshot import connect
from cloudarb_lib.store.staged import StagedPrices
from cloudarb_lib.tables.stored_schema import STORED

pytestmark = pytest.mark.slow

NAMES = (
    "provider",
    "region",
    "instance_type",
    "purchase_option",
    "effective_at",
    "price_usd_per_hour",
    "offer_count",
)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["aws", "AWS", " gcp", "renter", "a/b", ""]),
        st.sampled_from(["us-east-1", "US-East-1", ""]),
        st.sampled_from(["p5.48xlarge", "P5.48xlarge", "Known", "known", ""]),
        st.sampled_from(["spot", "On-Demand", "sp0t", ""]),
        st.sampled_from(
            [
                "2026-04-01T00:00:00Z",
                " 2026-04-01T00:00:00Z",
                "2026-04-01 02:00:00+02",
                "2026-04-01T24:00:00Z",
                "2036-04-01T00:00:00Z",
                "1970-01-01T00:00:00Z",
                "2026-04-01",
                "",
            ]
        ),
        st.sampled_from(["1.5", " 2 ", "", " ", "0", "-1", "1_0", "nan", "inf", "1e9", "x"]),
        st.sampled_from(["", "3", "-3", "many"]),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=10, deadline=None)
@given(ROWS, ROWS)
def test_rows_judged_apart_are_those_that_the_rules_find_good(first, second) -> None:
    columns = ", ".join(STORED["price_events"].names)
    with connect() as con:
        make_tables(con)
        start_call(con, Path("no segments"), Path(":memory:"))
        con.execute("INSERT INTO instances (provider, instance_type) VALUES ('renter', 'Known')")
        staged = StagedPrices(con)
        for rows in (first, second):
            raw = pa.table(
                {f"c{i}": [row[i] for row in rows] for i in range(len(NAMES))}
                | {LINE: np.arange(len(rows)), ROW: np.arange(len(rows))}
            )
            query = rows_query(
                pa.schema([*((name, pa.string()) for name in NAMES), (LINE, pa.int64())]),
                OWN_COLUMNS,
                source="test",
                now=pd.Timestamp("2026-05-01", tz="UTC"),
            )
            con.execute("DELETE FROM staged_prices")
            left = staged.take_plain(raw, query)[ROW].to_pylist()
            con.register("raw", raw)
            found = con.execute(f"SELECT line, {columns} FROM staged_price_events ORDER BY line")
            rows_found = found.fetchall()
            con.execute(f"CREATE OR REPLACE TEMP TABLE judged_rows AS {query.sql}")
            con.execute(SETTLE_MACHINES)
            judged = con.execute(
                f"SELECT line, {columns} FROM judged_rows WHERE wrong IS NULL ORDER BY line"
            )
            good = [row for row in judged.fetchall() if row[0] not in left]
            assert rows_found == good
            assert sorted([*left, *(row[0] for row in good)]) == list(range(len(rows)))


TIMES = [
    "2026-04-01T00:00:00Z",
    "2026-04-01 00:00:00Z",
    "2024-02-29T23:59:59Z",
    "2026-02-29T00:00:00Z",
    "2026-04-01T24:00:00Z",
    "2026-04-01T23:60:00Z",
    "2026-04-01T23:59:60Z",
    "2026-04-01T00:00:00z",
    "2026-04-01T00:00:00 ",
    "2026-04-01T00:00+00Z",
    "2026-04-01T0000+0000",
    "2026-04-01T00:00:00.5Z",
    "2026-04-01T00:00+15:00",
    "2026-04-01T00:00:00+15:00",
    "02026-04-01T00:00:00",
    "+026-04-01T00:00:00Z",
    "2026-4-001T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "2026-04-01",
    "",
]
PRICES = [
    "1.5", "1", "1.", ".5", "1e2", "1E-2", "+1.5", "-1.5", "0", "-0", "1_0", "1,5", "0x1p3",
    "0x10", "nan", "NaN", "-nan", "inf", "Infinity", "-inf", "1e400", "0.1", "16.670000000000002",
    "9007199254740993", "123456789012345678901234567890", "NULL", "null", "N/A", "x", "1d", "1e",
    " 1", "1 ", "",
]  # fmt: skip


@pytest.mark.parametrize(("times", "prices"), [(TIMES, ["1"]), (TIMES[:1], PRICES)])
def test_values_that_arrow_reads_are_those_of_our_readings(
    times: list[str], prices: list[str]
) -> None:
    columns = ("effective_at", "price_usd_per_hour", LINE)
    schema = pa.schema([*((name, pa.string()) for name in columns[:-1]), (LINE, pa.int64())])
    query = rows_query(
        schema, "price_events", source="test", now=pd.Timestamp("2026-05-01", tz="UTC")
    ).plain
    assert query is not None
    read = []
    with connect() as con:
        for time in times:
            for price in prices:
                raw = pa.table({"c0": [time], "c1": [price], LINE: [1], ROW: [0]})
                valued = with_values(raw, query)
                if valued is None:
                    continue
                con.register("raw", raw)
                by_text = con.execute(query.sql).fetchall()
                con.register("raw", valued)
                by_value = con.execute(query.sql_of_values).fetchall()
                assert by_value[0][-1] == by_text[0][-1], (time, price)
                if by_text[0][-1]:  # what breaks a rule is read again as text
                    assert by_value == by_text, (time, price)
                    read.append((time, price))
    assert (TIMES[0], prices[0]) in read
    assert len(read) < len(times) * len(prices)
