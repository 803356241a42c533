"""Rates by which prices in other currencies are brought to USD: dated, and named by the run."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.units import ensure_utc
from cloudarb_lib.sources.names.price_columns import CURRENCIES

_COLUMNS = ("currency", "usd_per_unit", "as_of", "source")
_WAY_OUT = (
    "Write a CSV with columns currency, usd_per_unit, as_of, source: EUR,1.08,2026-04-01,ECB."
)


@dataclass(frozen=True)
class Rate:
    """What a unit of a currency was worth, from a time on until the next rate of it.

    Parameters
    ----------
    currency : str
        ISO 4217, upper case.
    usd_per_unit : float
        USD for one unit.
    as_of : pandas.Timestamp
        Since when; a price that took effect before has no rate.
    source : str
        Who says so.
    file : str
        Name of the file that it is of, without its folder.
    """

    currency: str
    usd_per_unit: float
    as_of: pd.Timestamp
    source: str
    file: str = ""


def load_rates(path: str | Path) -> tuple[Rate, ...]:
    """Return the rates of a file.

    Parameters
    ----------
    path
        CSV with columns currency, usd_per_unit, as_of (a date, from its beginning in UTC, or a
        time with its zone) and source.

    Raises
    ------
    ParameterError
        Names the line that does not read, or the file that cannot be read.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise ParameterError(f"rates {path} cannot be read: {cause}", _WAY_OUT) from cause
    if not rows or not set(_COLUMNS) <= set(rows[0]):
        raise ParameterError(f"{path} has no row of rates.", _WAY_OUT)
    name = Path(path).name
    return tuple(_rate(row, name, f"{path}, line {line}") for line, row in enumerate(rows, 2))


def _rate(row: dict[str, str], file: str, where: str) -> Rate:
    """Return the rate that a row says; ParameterError where it does not."""
    currency = (row["currency"] or "").strip().upper()
    if currency.lower() not in CURRENCIES or currency == "USD":
        raise ParameterError(f"{where}: currency {currency!r} is none to convert.", _WAY_OUT)
    try:
        usd = float(row["usd_per_unit"])
    except (TypeError, ValueError):
        usd = math.nan
    if not 0 < usd < math.inf:
        what = f"{where}: usd_per_unit {row['usd_per_unit']!r} is no rate."
        raise ParameterError(what, _WAY_OUT)
    source = (row["source"] or "").strip()
    if not source:
        raise ParameterError(f"{where}: the rate has no source.", _WAY_OUT)
    return Rate(currency, usd, _time(row["as_of"] or "", where), source, file)


def _time(text: str, where: str) -> pd.Timestamp:
    """Return when a rate begins: the beginning of a plain date."""
    is_date = re.fullmatch(r"\d{4}-\d\d-\d\d", text.strip())
    return ensure_utc(f"{text.strip()}T00:00Z" if is_date else text, f"{where}: as_of")


def usd_per_unit_sql(rates: Sequence[Rate]) -> str:
    """Return SQL of the rate for a row by its ``currency`` and ``effective_at``, null for none."""
    values = _by_rate(rates, lambda rate: repr(rate.usd_per_unit))
    return f"CASE WHEN currency = 'USD' THEN 1.0 {values} END"


def conversion_sql(rates: Sequence[Rate], price: str) -> str:
    """Return SQL of how a row comes to USD, as columns of table ``conversions``; null for USD.

    Parameters
    ----------
    rates : sequence of Rate
        At least one.
    price : str
        SQL of the price per hour in its currency.
    """

    def conversion(rate: Rate) -> str:
        return f"""{{
            'currency': currency,
            'price_per_hour': {price},
            'usd_per_unit': {rate.usd_per_unit!r}::DOUBLE,
            'rate_as_of': TIMESTAMPTZ '{rate.as_of.isoformat()}',
            'rate_source': {_literal(rate.source)},
            'rate_file': {_literal(rate.file)}
        }}"""

    return f"CASE {_by_rate(rates, conversion)} END"


def _by_rate(rates: Sequence[Rate], value: Callable[[Rate], str]) -> str:
    """Return branches of a CASE, the newest rate that is as of a row's time first."""
    newest_first = sorted(rates, key=lambda rate: rate.as_of, reverse=True)
    return " ".join(
        f"WHEN currency = '{rate.currency}'"
        f" AND effective_at >= TIMESTAMPTZ '{rate.as_of.isoformat()}' THEN {value(rate)}"
        for rate in newest_first
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
