"""Units and times: the constants of the cloud calendar, and the door for every time."""

from __future__ import annotations

import re

import pandas as pd

from cloudarb_lib.errors import ParameterError

HOURS_PER_YEAR = 8760.0
"""Cloud compute trades every hour of the year."""
HOURS_PER_MONTH = 730.0
"""The providers' own convention for a month (8760 / 12)."""
HOURS_PER_WEEK = 168.0
GIB_PER_GB = 1e9 / 2**30
"""Gibibytes in one gigabyte: providers bill transfer in GB and list memory in GiB."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def ensure_utc(value: object, name: str = "time") -> pd.Timestamp:
    """Return ``value`` as a UTC timestamp; refuse a naive one instead of assuming a zone."""
    try:
        stamp = pd.Timestamp(value)  # type: ignore[arg-type]
    except (ValueError, TypeError) as cause:
        raise ParameterError(
            f"{name} {value!r} is not a time.", "Write it as 2026-04-29T18:00:00+00:00."
        ) from cause
    if stamp is pd.NaT:
        raise ParameterError(f"{name} is empty.", "Give a time such as 2026-04-29T18:00:00Z.")
    if stamp.tzinfo is None:
        raise ParameterError(
            f"{name} {value!r} has no time zone.", "Add one, for instance a trailing Z for UTC."
        )
    return stamp.tz_convert("UTC")


def parse_as_of(value: object) -> pd.Timestamp:
    """Return the instant up to which a run may know things.

    A plain date such as ``2026-04-29`` means the end of that day in UTC; anything finer
    must name its zone (``ensure_utc``).
    """
    text = str(value)
    if _DATE.fullmatch(text):
        try:
            return pd.Timestamp(text, tz="UTC") + pd.Timedelta(days=1)
        except ValueError as cause:
            raise ParameterError(f"as_of {value!r} is not a date.", "Use YYYY-MM-DD.") from cause
    return ensure_utc(value, "as_of")


def parse_freq(value: str) -> pd.Timedelta:
    """Return a fixed grid step (``1h``, ``1D``, ``7D``, ``weekly``...) as a positive Timedelta."""
    named = {"hourly": "1h", "daily": "1D", "weekly": "7D"}
    try:
        step = pd.Timedelta(named.get(value, value))
    except ValueError as cause:
        raise ParameterError(
            f"freq {value!r} is not a fixed step.", "Use for instance 1h, 1D or 7D."
        ) from cause
    if step is pd.NaT or step < pd.Timedelta("1min"):
        raise ParameterError(f"freq {value!r} is below a minute.", "Use for instance 1h, 1D or 7D.")
    return step
