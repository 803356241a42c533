"""Rows of a file as one of our tables has them, each judged by the rules: one query for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
import pyarrow as pa

from cloudarb_lib.sources.base import LINE
from cloudarb_lib.sources.names.price_columns import OWN_UNIT, PriceUnit
from cloudarb_lib.sources.names.providers import PROVIDERS
from cloudarb_lib.store.column_sql import (
    AS_EFFECTIVE,
    ROW,
    column_queries,
    fault_of,
    kept_columns,
    literal,
    series_query,
)
from cloudarb_lib.store.columns import GPU_COUNT, ONE_SERIES, PRICE, TIMES_SEEN, columns_of
from cloudarb_lib.store.plain import PlainPrices, plain_prices
from cloudarb_lib.store.rates import Rate, conversion_sql, usd_per_unit_sql
from cloudarb_lib.tables.schema import Column
from cloudarb_lib.tables.stored_schema import STORED

_KNOWN_MACHINES = """
    SELECT
        concat(provider, '/', lower(instance_type)) AS spelling,
        any_value(instance_type) AS instance_type,
        any_value(gpu_count) AS gpu_count
    FROM instances
    GROUP BY spelling
    HAVING count(*) = 1
"""
CONVERTED = "converted"
"""Column of prices that were brought to USD by a rate: by which, see ``rates.conversion_sql``."""
_LOWER_CASE = ", ".join(f"'{p.name}'" for p in PROVIDERS.values() if p.machines == "lower")
SETTLE_MACHINES = f"""
    UPDATE judged_rows
    SET instance_type = known.instance_type
    FROM ({_KNOWN_MACHINES}) AS known
    WHERE judged_rows.provider NOT IN ({_LOWER_CASE})
        AND known.spelling = concat(judged_rows.provider, '/', lower(judged_rows.instance_type))
        AND known.instance_type <> judged_rows.instance_type
"""
"""Gives machines that are known the case that we know them in: few rows need it, so it is done
when they are judged. Machines of providers that write them in lower case are read so."""


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
    plain : PlainPrices or None
        How most of the rows are judged sooner, where they are prices in our own unit.
    specifying : dict
        Where rows of prices say what their machines are, as of ``FileColumns``.
    """

    table: str
    sql: str
    timeless: bool = False
    notices: tuple[str, ...] = ()
    plain: PlainPrices | None = None
    specifying: Mapping[str, int] = field(default_factory=dict)


def rows_query(
    schema: pa.Schema,
    table: str,
    *,
    source: str,
    now: pd.Timestamp,
    seen_at: pd.Timestamp | None = None,
    rates: Sequence[Rate] = (),
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
    rates : sequence of Rate
        By which prices in other currencies are brought to USD.

    Returns
    -------
    RowsQuery
        Its SQL is over a table ``raw``, which has the columns of the schema as c0, c1 ..., the last
        as ``LINE``, then ``ROW``, over table ``instances``, and over a function canonical(), which
        names GPU models. It gives ``ROW``, line, the stored columns, ``wrong``: reason and detail
        of the first fault of a row, null where the row is good, and ``named``: whether all columns
        of the key can be read, null where the row is good; where rates are given, prices also have
        ``CONVERTED``. Columns that do not quite fit are a fault of every row.

    Raises
    ------
    DataError
        Where no table is likely.

    Notes
    -----
    A price file may leave out zone and term (''), region (unstated), currency (USD), observed_at
    (effective_at), source, price_kind (that of the provider) and offer_count.
    """
    columns = columns_of(schema.names[:-1], table, dated=seen_at is not None)
    if columns.misfit:
        fault = fault_of(columns.misfit.reason, literal(columns.misfit.subject))
        sql = f"SELECT {ROW}, {LINE} AS line, {fault} AS wrong, false AS named FROM raw"
        return RowsQuery(columns.table, sql, notices=columns.notices)
    given = {name: (f"c{i}", schema.field(i).type) for name, i in columns.positions.items()}
    times = TIMES_SEEN.get(columns.table, ())
    timeless = bool(times) and times[0] not in given
    if seen_at is not None and timeless:
        given |= dict.fromkeys(times, (_time_literal(seen_at), pa.timestamp("us", tz="UTC")))
    elif columns.table == "price_events" and "observed_at" not in given:
        given["observed_at"] = AS_EFFECTIVE
    conversion = _Conversion(columns.unit, rates, has_gpu_count=GPU_COUNT in given)
    context = {
        "source": literal(source),
        "now": _time_literal(now),
        "currency": literal(columns.unit.currency),
        **conversion.words,
    }
    sql = _judging_sql(columns.table, given, context, conversion)
    is_plain = columns.table == "price_events" and conversion.is_trivial and PRICE in given
    plain = plain_prices(given, context) if is_plain else None
    return RowsQuery(columns.table, sql, timeless, columns.notices, plain, columns.specifying)


class _Conversion:
    """How prices of a unit come to be USD per hour of a machine."""

    def __init__(self, unit: PriceUnit, rates: Sequence[Rate], *, has_gpu_count: bool) -> None:
        self._unit = unit
        self._rates = rates
        self.reads_gpu_count = unit.per_gpu and has_gpu_count

    @property
    def words(self) -> dict[str, str]:
        """What stands in the rules for parts of the conversion."""
        stated = f"TRY_CAST({GPU_COUNT}_read AS DOUBLE)" if self.reads_gpu_count else "NULL"
        on_record = "gpus_on_record" if self._unit.per_gpu else "NULL"
        return {
            "usd_per_unit": usd_per_unit_sql(self._rates),
            "per_gpu": str(self._unit.per_gpu).lower(),
            "gpus": f"coalesce({stated}, {on_record})",
            "gpus_stated": stated,
            "gpus_on_record": on_record,
        }

    @property
    def columns(self) -> str:
        """What ``sql`` gives beside the columns of its rows: how each price comes to USD."""
        return f", {CONVERTED}" if self._rates else ""

    @property
    def is_trivial(self) -> bool:
        """Whether prices are as our own tables have them."""
        return self._unit == OWN_UNIT and not self._rates

    def sql(self, rows: str) -> str:
        """Return SQL of rows with their prices settled; of prices per GPU it joins the GPUs."""
        if self.is_trivial:
            return rows
        price = PRICE
        if self._unit.divisor != 1:
            price += f" / {self._unit.divisor!r}"
        if self._unit.per_gpu:
            price += f" * {self.words['gpus']}"
            rows = f"""
                SELECT
                    given.* REPLACE (
                        coalesce(known.instance_type, given.instance_type) AS instance_type
                    ),
                    known.gpu_count AS gpus_on_record
                FROM ({rows}) AS given
                LEFT JOIN ({_KNOWN_MACHINES}) AS known
                ON known.spelling = concat(given.provider, '/', lower(given.instance_type))
            """
        if not self._rates:
            return f"SELECT * REPLACE ({price} AS {PRICE}) FROM ({rows})"
        in_usd = f"{price} * ({self.words['usd_per_unit']})"
        return f"""
            SELECT
                * REPLACE ({in_usd} AS {PRICE}),
                {conversion_sql(self._rates, price)} AS {CONVERTED}
            FROM ({rows})
        """


def _judging_sql(
    table: str,
    given: dict[str, tuple[str, pa.DataType]],
    context: Mapping[str, str],
    conversion: _Conversion,
) -> str:
    """Return the SQL of ``RowsQuery``; ``given`` says where each column stands, and its type."""
    queries = column_queries(table, given, context)
    names = ", ".join(_stored_value(column) for column in kept_columns(table))
    parts = [series_query(name, *given[name]) for name in ONE_SERIES if name in given]
    parts += queries.values()
    faults = " ".join(fault for query in parts for fault in query.faults)
    # a row of another series says nothing of the offer that its key names
    names_offer = [query.wrong for query in parts if query.value == ""]
    names_offer += [queries[name].wrong for name in STORED[table].key]
    key_wrong = " OR ".join(names_offer)
    written = [query.written for query in parts]
    if conversion.reads_gpu_count:
        written.append(f"{given[GPU_COUNT][0]} AS {GPU_COUNT}_read")
    values = ", ".join(query.value for query in queries.values())
    rows = f"""
        SELECT *, {values}
        FROM (SELECT {ROW}, {LINE} AS line, {", ".join(written)} FROM raw)
    """
    return f"""
        SELECT
            {ROW},
            line,
            {names},
            CASE {faults} END AS wrong,
            CASE WHEN wrong IS NOT NULL THEN NOT ({key_wrong}) END AS named
            {conversion.columns if table == "price_events" else ""}
        FROM ({conversion.sql(rows) if table == "price_events" else rows})
    """


def _stored_value(column: Column) -> str:
    """Return SQL of a value as the table holds it; a number too large for it is a fault already."""
    if column.dtype == "INTEGER":
        return f"TRY_CAST({column.name} AS INTEGER) AS {column.name}"
    if column.name == "currency":
        return "'USD' AS currency"
    return column.name


def _time_literal(time: pd.Timestamp) -> str:
    return f"TIMESTAMPTZ '{time.isoformat()}'"
