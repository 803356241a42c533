"""Units and times: the constants of the cloud calendar, and the door for every time."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import pandas as pd

from cloudarb_lib.base.errors import ParameterError

HOURS_PER_YEAR = 8760.0
"""Cloud compute trades every hour of the year."""
HOURS_PER_WEEK = 168.0
YEARS = range(1900, 2200)
"""Whose times can be reckoned with: pandas' nanoseconds end in 1677 and 2262."""
EVER = pd.Timestamp(f"{YEARS[-1]}-12-31", tz="UTC")
"""Later than whatever was recorded: all is known by then."""

T = TypeVar("T", pd.Timestamp, pd.Timedelta)

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NAMED_STEPS = {"hourly": "1h", "daily": "1D", "weekly": "7D"}
_LEAST_STEP = pd.Timedelta("1min")


def ensure_utc(value: object, name: str = "time") -> pd.Timestamp:
    """Return a time in UTC; a naive one is refused, since its zone could only be guessed.

    Parameters
    ----------
    value : object
        What pandas can read as a time.
    name : str
        What the time is called, for the message.

    Returns
    -------
    Timestamp
        The same instant, in UTC.

    Raises
    ------
    ParameterError
        Where it is no time, has no zone, or lies outside ``YEARS``.
    """
    stamp = _parsed(pd.Timestamp, value)
    if stamp is None:
        raise ParameterError(
            f"{name} {value!r} is not a time.", "Write it as 2026-04-29T18:00:00Z."
        )
    if stamp.tzinfo is None:
        raise ParameterError(
            f"{name} {value!r} has no time zone.", "Add one, such as a trailing Z for UTC."
        )
    if stamp.year not in YEARS:
        what = f"{name} {value!r} is of a year that no record reaches."
        raise ParameterError(what, f"Use {YEARS[0]} to {YEARS[-1]}.")
    return stamp.tz_convert("UTC")


def half_year(time: pd.Timestamp) -> str:
    """Return the half-year in which a time lies, such as ``2025H1``."""
    return f"{time.year}H{1 + (time.month > 6)}"


def parse_as_of(value: object) -> pd.Timestamp:
    """Return the instant up to which a run may know things.

    Parameters
    ----------
    value : object
        A plain date such as ``2026-04-29`` means the end of that day in UTC; anything finer must
        name its zone.

    Returns
    -------
    Timestamp
        The instant, in UTC.

    Raises
    ------
    ParameterError
        Where it is no instant.
    """
    text = str(value)
    if _DATE.fullmatch(text):
        return ensure_utc(f"{text}T00:00Z", "as_of") + pd.Timedelta(days=1)
    return ensure_utc(value, "as_of")


def parse_freq(value: str) -> pd.Timedelta:
    """Return the step of a regular grid.

    Parameters
    ----------
    value : str
        A fixed step such as ``1h``, ``1D``, ``7D`` or ``weekly``.

    Returns
    -------
    Timedelta
        A minute or more.

    Raises
    ------
    ParameterError
        Where it is no fixed step, or too short a one.
    """
    step = _parsed(pd.Timedelta, _NAMED_STEPS.get(value, value))
    if step is None or step < _LEAST_STEP:
        what = f"freq {value!r} is no fixed step of a minute or more."
        raise ParameterError(what, "Use for instance 1h, 1D or 7D.")
    return step


def _parsed(kind: Callable[[Any], T], value: object) -> T | None:
    """Return ``value`` as pandas reads it, None where it is no time or no duration."""
    try:
        parsed = kind(value)
    except (ValueError, TypeError):
        return None
    return None if parsed is pd.NaT else parsed
