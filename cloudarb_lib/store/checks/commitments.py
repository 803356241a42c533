"""A commitment dearer than the same machine on demand: the price of its whole term."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.base.units import HOURS_PER_YEAR
from cloudarb_lib.store.checks.prices import NEVER, InForce, PriceRows, flags, no_flags
from cloudarb_lib.store.checks.words import usd
from cloudarb_lib.tables.schema import TERM_YEARS

OVER_ON_DEMAND = "commitment_over_on_demand"

TERM_HOURS = {term: years * HOURS_PER_YEAR for term, years in TERM_YEARS.items()}
LOWEST_SHARE = 0.2
"""Of the on-demand price: what a term's price brought to an hour must come to at least; providers
state commitments down to 0.28 of it (72 % off)."""
TOLERANCE = 1e-6
"""Share by which a commitment may lie over on demand: they are equal then."""


def over_on_demand(
    prices: PriceRows, offers: pd.DataFrame, on_demand: np.ndarray, wrong_from: np.ndarray
) -> pd.DataFrame:
    """Find commitments that cost more an hour than on demand, brought to an hour where that fits.

    Known when the commitment is seen, or when the first on-demand price of that machine and place
    is, if that is later. An on-demand price that is known to be wrong judges nothing.

    Parameters
    ----------
    prices : PriceRows
        Sorted.
    offers : DataFrame
        All offers, indexed by their position, see ``judge.judge``.
    on_demand : array of int
        By offer: the offer of the same machine and place on demand where the offer is reserved,
        else -1.
    wrong_from : array of int
        Microseconds from which each price is known to be wrong for another reason, or ``NEVER``.
    """
    rows = np.flatnonzero((on_demand[prices.offer] >= 0) & prices.judges)
    if not len(rows):
        return no_flags()
    beside = on_demand[prices.offer[rows]]
    is_asked = prices.judges & ~np.isnan(prices.price)
    priced = prices.take(is_asked)
    at = np.maximum(prices.observed[rows], _first_seen(priced, len(offers))[beside])
    found = InForce(priced).rows_at(beside, at)
    asked = np.append(priced.price, np.nan)[found]
    is_over = prices.price[rows] > asked * (1 + TOLERANCE)
    is_over &= at < _replaced_at(prices)[rows]
    is_over &= np.append(wrong_from[is_asked], NEVER)[found] > at
    rows = rows[is_over]
    asked = asked[is_over]
    hours = offers["term"].map(TERM_HOURS).to_numpy(float)[prices.offer[rows]]
    per_hour = prices.price[rows] / hours
    fits = (per_hour >= LOWEST_SHARE * asked) & (per_hour <= asked)
    details = [
        _sentence(*values)
        for values in zip(prices.price[rows], asked, per_hour, hours, fits, strict=True)
    ]
    return flags(
        prices.row[rows], OVER_ON_DEMAND, at[is_over], details, np.where(fits, per_hour, np.nan)
    )


def _first_seen(prices: PriceRows, offers: int) -> np.ndarray:
    """Return when the first price of each offer was seen, ``NEVER`` where none was."""
    first = np.full(offers, NEVER)
    np.minimum.at(first, prices.offer, prices.observed)
    return first


def _replaced_at(prices: PriceRows) -> np.ndarray:
    """Return when the next price of the same offer was seen, ``NEVER`` after the last."""
    end = np.append(prices.observed[1:], NEVER)
    end[np.append(prices.offer[1:] != prices.offer[:-1], True)] = NEVER
    return end


def _sentence(price: float, asked: float, per_hour: float, hours: float, fits: bool) -> str:
    what = f"{usd(price)} USD/h reserved, where on demand asks {usd(asked)}"
    brought = f"over {hours:,.0f} h it is {usd(per_hour)} USD/h, {per_hour / asked:.0%} of that"
    if fits:
        return f"{what}: the price of the whole term; {brought}, and counts as such."
    return f"{what}: a commitment that costs more is none, and {brought}: held."
