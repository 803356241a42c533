"""Figures as people write them: dollars, percent, plain numbers, days."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Mapping

_ROUND_FROM_USD = 10_000
"""From here on amounts are told to hundreds of dollars."""
_LEAST_USD = 0.005
"""What is less than half a cent is nothing."""
_WHOLE_PERCENT_FROM = 10
_WHOLE_NUMBER_FROM = 100
"""From here on a figure has no decimals."""


def dollars(value: float) -> str:
    """Return an amount as people write it: $1,225,100, $731, $1.39, -$16,200."""
    size = abs(value)
    if size < _LEAST_USD:
        return "$0"
    sign = "-" if value < 0 else ""
    if size >= _ROUND_FROM_USD:
        return f"{sign}${100 * round(size / 100):,}"
    is_whole = size >= 100
    return f"{sign}${size:,.0f}" if is_whole else f"{sign}${size:,.2f}"


def as_known(usd: float, known: str) -> str:
    """Return an amount as far as it is known: $16,200 (solved), at most $116, no plan (NaN)."""
    if math.isnan(usd):
        return known
    words = {"solved": "", "margin": "about "}.get(known, f"{known} ")
    return words + dollars(usd)


def percent(value: float) -> str:
    """Return percent: 12 %, 3.9 %, 0 %."""
    if abs(value) >= 10 or value == 0:
        return f"{value:,.0f} %"
    return f"{value:.2g} %"


def number(value: float) -> str:
    """Return a figure without digits that say nothing: 64, 2,322, 0.052."""
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.4f}"


def column_of_percent(values: Iterable[float]) -> Callable[[float], str]:
    """Return how the percentages of a column are written: with the same number of decimals.

    Two digits of the largest below 10 %, but no more than two decimals.
    """
    decimals = _decimals(values, below=_WHOLE_PERCENT_FROM, digits=2, most=2)
    return lambda value: f"{_same_decimals(value, _WHOLE_PERCENT_FROM, decimals)} %"


def column_of_numbers(values: Iterable[float]) -> Callable[[float], str]:
    """Return how the figures of a column are written: with the same number of decimals.

    Three digits of the largest below 100, but no more than four decimals; none where all are whole.
    """
    decimals = _decimals(values, below=_WHOLE_NUMBER_FROM, digits=3, most=4)
    return lambda value: _same_decimals(value, _WHOLE_NUMBER_FROM, decimals)


def _decimals(values: Iterable[float], *, below: float, digits: int, most: int) -> int:
    """Return the decimals by which the largest value below a bound has so many digits."""
    known = [abs(value) for value in values if math.isfinite(value)]
    small = [value for value in known if 0 < value < below]
    if not small or all(float(value).is_integer() for value in known):
        return 0
    before_the_point = math.floor(math.log10(max(small))) + 1
    if before_the_point == 0:  # 0.94 beside a column of 1.02: as many decimals
        before_the_point = 1
    return min(max(digits - before_the_point, 0), most)


def _same_decimals(value: float, whole_from: float, decimals: int) -> str:
    """Return a figure with so many decimals; without, where it is large or nothing."""
    rounded = round(value, decimals) + 0.0  # no minus before what is rounded to nothing
    is_whole = value == 0 or abs(rounded) >= whole_from
    return f"{value:,.0f}" if is_whole else f"{rounded:,.{decimals}f}"


def count(number: int, thing: str) -> str:
    """Return how many of something there are: 1 week, 13 weeks."""
    return f"{number:,} {thing}" + "s" * (number != 1)


def in_unit(value: float, unit: str) -> str:
    """Return a figure with its unit: $1,225,100, 4.4 %, 109 GPUs, 1 day, 0.0003 1/h, 1.09."""
    if unit == "USD":
        return dollars(value)
    if unit == "GPU":
        unit = "GPU" if value == 1 else "GPUs"
    if unit == "days":
        value = round(value, 1)
        unit = "day" if value == 1 else "days"
    if unit == "share":
        return percent(100 * value)
    return number(value) if unit in ("", "1") else f"{number(value)} {unit}"


def setting_in_words(value: object) -> str:
    """Return a value of a configuration as people write it: 1,350,000; gcp, aws; azure: 30."""
    if value is None:
        return "not set"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {setting_in_words(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(setting_in_words, value))
    is_figure = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:,.15g}" if is_figure else str(value)


def day(value: datetime.datetime) -> str:
    """Return a day: 2 Apr 2026."""
    return f"{value.day} {value:%b %Y}"


def last_day(moment: datetime.datetime) -> str:
    """Return the day that a moment ends, or lies in: the midnight after 2 Apr 2026 is that day."""
    return day(moment - datetime.timedelta(microseconds=1))
