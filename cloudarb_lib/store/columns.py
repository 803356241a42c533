"""Which table the columns of a file belong to, and which of them is which of ours."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import MISSING_COLUMN, OWN_COLUMNS, UNKNOWN_COLUMN, Reason
from cloudarb_lib.sources.names.price_columns import (
    OWN_UNIT,
    PriceUnit,
    price_unit,
    sounds_like_price,
)
from cloudarb_lib.tables.stored_schema import STORED

COLUMN_TWICE = Reason("column_twice", "is there twice", "keep one of them")
PRICES_IN_SEVERAL_UNITS = Reason(
    "prices_in_several_units", "is a price too, in another unit", "keep one price column"
)
PRICE_UNIT_UNKNOWN = Reason(
    "price_unit_unknown",
    "says no unit that can be read",
    "name currency and period, and GPU where it is of one: price_usd_per_hour,"
    " price_usd_per_gpu_hour, price_eur_cents_per_month",
)
PRICE = "price_usd_per_hour"
"""Our column of prices."""
GPU_COUNT = "gpu_count"
"""What a file of prices per GPU may say of its machines."""
MACHINE_KEY = ("provider", "instance_type")
SPECIFYING = ("vcpus", "memory_gib", "gpu_model", GPU_COUNT, "gpu_memory_gib")
"""Columns of table instances by which a price file of our own may say what its machines are."""
_ALIASES = {
    "currency_code": "currency",
    "currencycode": "currency",
    "billing_currency": "currency",
    "price_currency": "currency",
    "ccy": "currency",
    "os": "operating_system",
    "operatingsystem": "operating_system",
    "product_description": "operating_system",
    "productdescription": "operating_system",
    "gpu": "gpu_model",
    "gpu_name": "gpu_model",
    "gpus": GPU_COUNT,
    "vcpu": "vcpus",
    "cpus": "vcpus",
    "ram_gib": "memory_gib",
    "gpu_ram_gib": "gpu_memory_gib",
}
"""Other names of our columns, as files may have them."""
ONE_SERIES = {"operating_system": ("linux", "linux/unix"), "tenancy": ("shared", "default")}
"""Columns that a price file may have beside ours, with the values that we compare: rows of others
are prices of other series under the same name, never to be mixed with them."""
WORKED_OUT = {"offer_id", "quality", "flagged_at"}
"""Columns of our own exports that ingestion works out itself."""
TIMES_SEEN = {
    "price_events": ("effective_at", "observed_at"),
    "evidence": ("seen_at",),
    "interruption_bands": ("as_of",),
}
"""Columns by their table in which a file without times of its own has the time it was seen."""
_NOT_GIVEN = ("ingest_log", "quarantine", "doubts", "verdicts", "flags", "listings", "conversions")
"""Stored tables that no file brings."""
MAY_BE_EMPTY = {
    ("price_events", "zone"),
    ("looks", "region"),
    ("looks", "purchase_option"),
    ("evidence", "zone"),
    ("evidence", "purchase_option"),
    ("charges", "billing_account"),
    ("charges", "region"),
    ("charges", "zone"),
    ("charges", "instance_type"),
    ("charges", "sku_id"),
    ("charges", "service"),
    ("charges", "pricing_category"),
    ("charges", "commitment_id"),
    ("charges", "unit"),
}
"""Columns by their table in which '' says something: a regional price, every region or option."""
_NEEDED_OF_PRICES = (
    "provider",
    "region",
    "instance_type",
    "purchase_option",
    "effective_at",
    PRICE,
)
_ALIKE = 0.8
"""How alike a column of a file is to one of ours that it lacks, to be a slip of the pen."""


@dataclass(frozen=True)
class Misfit:
    """Why the columns of a file do not quite fit a table, and which column that is about."""

    reason: Reason
    subject: str


@dataclass(frozen=True)
class FileColumns:
    """The columns of a file as columns of a table.

    Parameters
    ----------
    table : str
        The stored table that they belong to.
    positions : dict
        Where each column of the table stands in the file; of price files also those of
        ``ONE_SERIES``, and ``GPU_COUNT`` beside prices per GPU.
    unit : PriceUnit
        What its prices are.
    specifying : dict
        Of price files of our own that say what their machines are: where each column of
        ``MACHINE_KEY`` and ``SPECIFYING`` stands; else empty.
    misfit : Misfit or None
        Why they do not fit.
    notices : tuple of str
        What whoever brought the file should know of them.
    """

    table: str
    positions: dict[str, int]
    unit: PriceUnit = OWN_UNIT
    specifying: dict[str, int] = field(default_factory=dict)
    misfit: Misfit | None = None
    notices: tuple[str, ...] = ()


def columns_of(columns: Sequence[str], table: str, *, dated: bool = False) -> FileColumns:
    """Return which columns of a file are which of ours.

    Parameters
    ----------
    columns : sequence of str
        Their names. One that is none of ours is passed over, with a notice, unless it looks like a
        slip of the pen for one that the file lacks.
    table : str
        The stored table that they belong to, or ``OWN_COLUMNS``: their names tell it.
    dated : bool
        Whether it is known when the file was seen: it may lack the times of the table then.

    Raises
    ------
    DataError
        Where no table is likely.
    """
    names = [_ALIASES.get(name, name) for name in (c.strip().lower() for c in columns)]
    price = _price_column(names)
    if price is not None:
        names[price] = PRICE
    is_own = table == OWN_COLUMNS
    table = _likely_table(names) if is_own else table
    positions = {name: i for i, name in enumerate(names) if name in STORED[table].names}
    if table == "price_events":
        positions |= {name: names.index(name) for name in ONE_SERIES if name in names}
    unit = OWN_UNIT
    if table == "price_events" and price is not None:
        unit = price_unit(columns[price]) or OWN_UNIT
        if unit.per_gpu and GPU_COUNT in names:
            positions[GPU_COUNT] = names.index(GPU_COUNT)
    misfit = _misfit(columns, names, table, dated=dated) if is_own else None
    specifying = _specifying(names) if is_own and table == "price_events" and not misfit else {}
    known = {*STORED[table].names, *WORKED_OUT, *positions, *specifying}
    passed_over = {columns[i] for i, name in enumerate(names) if name and name not in known}
    notices = [
        f"column {name!r} is no column of {table}: it was passed over"
        for name in sorted(passed_over)
    ]
    if price is not None and unit != OWN_UNIT and PRICE in positions:
        notices.append(f"column {columns[price]!r} is read as {unit.words}")
    return FileColumns(table, positions, unit, specifying, misfit, tuple(notices))


def _specifying(names: Sequence[str]) -> dict[str, int]:
    """Return where a price file says what its machines are; empty where it does not."""
    if not set(SPECIFYING) & set(names):
        return {}
    return {name: names.index(name) for name in (*MACHINE_KEY, *SPECIFYING) if name in names}


def _price_column(names: Sequence[str]) -> int | None:
    """Return the position of the column of prices: one in our own unit before others."""
    units = {i: unit for i, name in enumerate(names) if (unit := price_unit(name))}
    own = [i for i, unit in units.items() if unit == OWN_UNIT]
    return next(iter(own or units), None)


def _likely_table(names: Sequence[str]) -> str:
    """Return the table that most of the columns belong to; DataError where none is likely.

    A file with prices is one of prices, however much it says of its machines.
    """
    needed = {
        name: [column for column in table.names if (name, column) not in MAY_BE_EMPTY]
        for name, table in STORED.items()
        if name not in _NOT_GIVEN
    }
    needed["price_events"] = list(_NEEDED_OF_PRICES)
    share = {name: len(set(names) & set(of)) / len(of) for name, of in needed.items()}
    table = max(share, key=lambda name: share[name])
    if PRICE in names and table == "instances":
        table = "price_events"
    if share[table] < 0.5:
        what = f"its columns, which begin {', '.join(names)[:80]!r}, are no table of ours."
        raise DataError(
            what, "See data/README.md for the tables; CSV needs a header line and commas."
        )
    return table


def _misfit(
    columns: Sequence[str], names: Sequence[str], table: str, *, dated: bool
) -> Misfit | None:
    """Return why columns do not fit a table; ``names`` are those of ours that they stand for."""
    ours = [*STORED[table].names, *(SPECIFYING if table == "price_events" else ())]
    for column, name in zip(columns, names, strict=True):
        if name in ours and names.count(name) > 1:
            return Misfit(COLUMN_TWICE, f"column {column!r}")
    unknown = [name for name in names if name and name not in {*ours, *WORKED_OUT, *ONE_SERIES}]
    if table == "price_events" and (misfit := _misfit_of_prices(columns, names)):
        return misfit
    lacking = [name for name in STORED[table].names if name not in names]
    missing = [name for name in lacking if name in _needed(table, dated=dated)]
    if missing:
        alike = difflib.get_close_matches(missing[0], unknown, n=1)
        hint = f" (perhaps {alike[0]!r})" if alike else ""
        return Misfit(MISSING_COLUMN, f"column {missing[0]!r}{hint}")
    for name in unknown:
        if alike := difflib.get_close_matches(name, lacking, n=1, cutoff=_ALIKE):
            return Misfit(UNKNOWN_COLUMN, f"column {name!r} (perhaps {alike[0]!r})")
    return None


def _misfit_of_prices(columns: Sequence[str], names: Sequence[str]) -> Misfit | None:
    """Return what is wrong with the price columns of a file; a name alike says nothing of units."""
    others = [c for c, name in zip(columns, names, strict=True) if name != PRICE]
    if PRICE not in names:
        prices = [column for column in others if sounds_like_price(column)]
        return Misfit(PRICE_UNIT_UNKNOWN, f"column {prices[0]!r}") if prices else None
    chosen = price_unit(columns[names.index(PRICE)])
    for column in others:
        if price_unit(column) == OWN_UNIT:
            return Misfit(COLUMN_TWICE, f"column {column!r}")
    units = [column for column in others if price_unit(column)]
    if units and chosen != OWN_UNIT:
        return Misfit(PRICES_IN_SEVERAL_UNITS, f"column {units[0]!r}")
    return None


def _needed(table: str, *, dated: bool) -> set[str]:
    """Return the columns without which a file is no table of ours."""
    names = {name for name in STORED[table].names if (table, name) not in MAY_BE_EMPTY}
    if table == "price_events":
        names = set(_NEEDED_OF_PRICES)
    return names - set(TIMES_SEEN.get(table, ()) if dated else ())
