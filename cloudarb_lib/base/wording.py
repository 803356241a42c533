"""Figures as people write them: dollars, percent, plain numbers, days."""

from __future__ import annotations

import datetime

_ROUND_FROM_USD = 10_000
"""From here on amounts are told to hundreds of dollars."""
_LEAST_USD = 0.005
"""What is less than half a cent is nothing."""


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


def in_unit(value: float, unit: str) -> str:
    """Return a figure with its unit: $1,225,100, 4.4 %, 109 GPUs, 0.0003 1/h, 1.09 (unit 1)."""
    if unit == "USD":
        return dollars(value)
    if unit == "GPU":
        unit = "GPU" if value == 1 else "GPUs"
    if unit == "share":
        return percent(100 * value)
    return number(value) if unit in ("", "1") else f"{number(value)} {unit}"


def day(value: datetime.datetime) -> str:
    """Return a day: 2 Apr 2026."""
    return f"{value.day} {value:%b %Y}"


def last_day(moment: datetime.datetime) -> str:
    """Return the day that a moment ends, or lies in: the midnight after 2 Apr 2026 is that day."""
    return day(moment - datetime.timedelta(microseconds=1))
