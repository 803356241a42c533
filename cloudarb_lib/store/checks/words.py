"""How the sentences of flags write prices, options and days."""

from __future__ import annotations

import pandas as pd

_OPTIONS = {"on_demand": "on demand", "spot": "spot", "reserved": "reserved"}


def usd(price: float) -> str:
    """Return a price with the digits that tell it from others: '6.88', '0.0103', '1,250'."""
    if price >= 1000:
        return f"{price:,.0f}"
    return f"{price:.2f}" if price >= 0.1 else f"{price:.2g}"


def option(purchase_option: str, term: str) -> str:
    """Return an option for people: 'on demand', 'reserved for 1y', 'by a savings plan for 1y'."""
    if term.endswith("-plan"):
        return f"by a savings plan for {term.removesuffix('-plan')}"
    return f"reserved for {term}" if term else _OPTIONS[purchase_option]


def day(microseconds: int) -> str:
    """Return the day of a time: '2026-04-28'."""
    return f"{pd.Timestamp(microseconds, unit='us'):%Y-%m-%d}"


def gpus(count: float) -> str:
    """Return a number of GPUs: '1 GPU', '8 GPUs', '0.5 GPU'."""
    return f"{count:g} GPU" + ("s" if count > 1 else "")
