"""What the name of a price column says: price_usd_per_gpu_hour, price_eur_cents_per_month.

A name is read word by word, and only where every word is known. A unit is never guessed from a
name that looks like another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cloudarb_lib.base.units import HOURS_PER_YEAR

HOURS = {
    "second": 1 / 3600,
    "minute": 1 / 60,
    "hour": 1.0,
    "day": 24.0,
    "week": 168.0,
    "month": HOURS_PER_YEAR / 12,
    "year": HOURS_PER_YEAR,
}
"""Hours of each period that a price may be for; a month of cloud compute has 730."""
_CODES = """
usd eur gbp cny jpy inr krw chf cad aud nzd brl sek nok dkk pln czk sgd hkd twd ils zar mxn aed sar
try idr thb php vnd myr huf ron clp cop rub
"""
CURRENCIES = frozenset(_CODES.split())
"""Currencies by their code of ISO 4217, lower case, as column names have them."""
_PERIODS = {
    **{period: period for period in HOURS},
    **{f"{period}s": period for period in HOURS},
    "sec": "second",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
    "hrs": "hour",
    "hourly": "hour",
    "daily": "day",
    "weekly": "week",
    "mo": "month",
    "monthly": "month",
    "yr": "year",
    "annual": "year",
    "yearly": "year",
}
_CURRENCY_WORDS = {**{code: code for code in CURRENCIES}, "dollar": "usd", "dollars": "usd"}
_CENTS = {"cent", "cents"}
_GPU = {"gpu", "gpus", "accelerator"}
_FILLERS = {"price", "rate", "per", "in", "a", "an", "the", "instance", "machine", "unit"}
_IS_PRICE = {"price", "prices", "rate", "cost", "usd", "cents"}


@dataclass(frozen=True)
class PriceUnit:
    """What the figures of a price column are.

    Parameters
    ----------
    currency : str
        ISO 4217, upper case; '' where the name says none.
    hours : float
        Hours that the price is for.
    is_cents : bool
        Whether it is in hundredths of the currency.
    per_gpu : bool
        Whether it is of one GPU, not of the whole machine.
    """

    currency: str
    hours: float
    is_cents: bool
    per_gpu: bool

    @property
    def divisor(self) -> float:
        """What a figure is divided by to be in units of the currency per hour."""
        return self.hours * (100.0 if self.is_cents else 1.0)

    @property
    def words(self) -> str:
        """The unit for people."""
        period = next(period for period, hours in HOURS.items() if hours == self.hours)
        cents = " cents" if self.is_cents else ""
        of_what = "GPU (times the GPUs of the machine)" if self.per_gpu else "machine"
        return f"{self.currency or 'money'}{cents} per {period} and {of_what}"


OWN_UNIT = PriceUnit("USD", 1.0, is_cents=False, per_gpu=False)
"""The unit of our own column, price_usd_per_hour."""


def price_unit(column: str) -> PriceUnit | None:
    """Return the unit that the name of a column says, None where it is not that of a price.

    Parameters
    ----------
    column : str
        Such as ``price_usd_per_hour``, in any case, with any signs between the words.
    """
    words = _words(column)
    periods = [_PERIODS[word] for word in words if word in _PERIODS]
    currencies = [_CURRENCY_WORDS[word] for word in words if word in _CURRENCY_WORDS]
    known = {*_PERIODS, *_CURRENCY_WORDS, *_CENTS, *_GPU, *_FILLERS}
    is_price = "price" in words or "rate" in words or bool(currencies)
    if not is_price or not set(words) <= known or len(periods) != 1 or len(currencies) > 1:
        return None
    return PriceUnit(
        currency="".join(currencies).upper(),
        hours=HOURS[periods[0]],
        is_cents=bool(_CENTS & set(words)),
        per_gpu=bool(_GPU & set(words)),
    )


def sounds_like_price(column: str) -> bool:
    """Tell whether a name speaks of prices, whatever their unit: no column to pass over."""
    return bool(_IS_PRICE & set(_words(column)))


def _words(column: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", column.strip().lower()) if word]
