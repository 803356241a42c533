"""Numbers as catalogues write them, without losing a digit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

LARGE = 1_000_000
"""Quotients below this are written with ten decimals; larger ones are no prices anyhow."""


def number_of(written: object) -> float | None:
    """Return a finite number, None where a text is none."""
    exact = decimal_of(written)
    return None if exact is None else float(exact)


def decimal_of(written: object) -> Decimal | None:
    """Return a number with the digits it is written with, None where a text is none.

    What no double holds (1e999) is none: to reckon with it would overflow.
    """
    try:
        exact = Decimal(str(written).strip())
    except InvalidOperation:
        return None
    return exact if exact.is_finite() and math.isfinite(float(exact)) else None


def sum_of(written: Sequence[str]) -> str:
    """Return the sum of numbers as a text; where one is none, that one, for the store to judge."""
    if len(written) == 1:
        return written[0]
    exact = [decimal_of(text) for text in written]
    for text, number in zip(written, exact, strict=True):
        if number is None:
            return text
    return str(sum(number for number in exact if number is not None))


def divided(written: str, by: int) -> str:
    """Return a number divided by another as a text; what is no number comes back as it is."""
    exact = decimal_of(written)
    if exact is None or by == 1:
        return written
    quotient = exact / by
    return f"{quotient:.10f}" if abs(quotient) < LARGE else str(quotient)
