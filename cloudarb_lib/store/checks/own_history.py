"""A list price beside those before it: a jump that comes back, a fall by more than half.

Only administered prices are judged: the spikes of a market are real.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from cloudarb_lib.store.checks.prices import (
    MICROSECONDS_PER_DAY,
    InForce,
    PriceRows,
    flags,
    no_flags,
)
from cloudarb_lib.store.checks.words import day, usd

REVERTED = "glitch_reverted"
FELL = "fell_by_half"

JUMP = 0.5
"""Share of the price before by which a price must move to be a suspect."""
RETURN_WITHIN = 0.1
"""Share of the price before the jump within which a price counts as back."""
RETURN_DAYS = 3
DEEPEST_SPOT_DISCOUNT = 0.91
"""Off the on-demand price of the same machine and place: what providers state spot may reach
(Google Cloud "up to 91 %", AWS and Azure "up to 90 %"). Within it a spot list may fall by half."""


def reverted(prices: PriceRows, wrong_from: np.ndarray) -> pd.DataFrame:
    """Find jumps that come back: known when the return is seen.

    The price moves by more than half of a good one, and a price that takes effect within 3 days is
    back within 10 % of it; what lies between and is further off is flagged. The price before the
    jump then stands.

    Parameters
    ----------
    prices : PriceRows
        Sorted.
    wrong_from : array of int
        Microseconds from which each price is known to be wrong for another reason, ``NEVER``
        where it is not: such a price begins no excursion.
    """
    judging = np.flatnonzero(prices.judges & prices.administered & ~np.isnan(prices.price))
    found: dict[int, tuple[int, str]] = {}
    for start, back in _excursions(prices.take(judging)):
        before = judging[start - 1]
        is_back = judging[back]
        seen = prices.observed[is_back]
        if before in found or wrong_from[before] <= seen:
            continue
        between = judging[start:back]
        is_off = np.abs(prices.price[between] / prices.price[before] - 1) > RETURN_WITHIN
        detail = (
            f"{usd(prices.price[before])} USD/h came back as {usd(prices.price[is_back])} on"
            f" {day(seen)}, within {RETURN_DAYS} days: an error of the list."
        )
        for suspect in between[is_off]:
            found.setdefault(suspect, (seen, detail))
    rows = np.array(sorted(found), int)
    seen_at = np.array([found[row][0] for row in rows], np.int64)
    return flags(prices.row[rows], REVERTED, seen_at, [found[row][1] for row in rows])


def _excursions(prices: PriceRows) -> list[tuple[int, int]]:
    """Return (first row off, row that is back) in the order in which the returns were seen."""
    offer = prices.offer
    effective = prices.effective
    price = prices.price
    same_offer = offer[1:] == offer[:-1]
    jump = same_offer & (np.abs(price[1:] / price[:-1] - 1) > JUMP)
    longest = RETURN_DAYS * MICROSECONDS_PER_DAY
    found = []
    for start in (np.flatnonzero(jump) + 1).tolist():
        for back in range(start + 1, len(offer)):
            if offer[back] != offer[start] or effective[back] - effective[start] > longest:
                break
            if abs(price[back] / price[start - 1] - 1) <= RETURN_WITHIN:
                found.append((start, back))
    return sorted(found, key=lambda pair: pair[::-1])


def fell(prices: PriceRows, floor: np.ndarray, wrong_from: np.ndarray) -> pd.DataFrame:
    """Find list prices under half of the last good one of their offer: known when they are seen.

    A return from a jump within 3 days is none, nor is a price at or over its ``floor``. A fallen
    price, and what follows it at its level, is good once a person released it.

    Parameters
    ----------
    prices : PriceRows
        Sorted.
    floor : array of float
        From where on a fall is borne out, see ``lowest_spot``; infinite: it never is.
    wrong_from : array of int
        Microseconds from which each price is known to be wrong for another reason, or ``NEVER``:
        from then on it is no good price.
    """
    is_listed = prices.stands & prices.administered & ~np.isnan(prices.price)
    highest = pd.Series(np.where(is_listed, prices.price, np.nan)).groupby(prices.offer).cummax()
    suspects = np.unique(prices.offer[is_listed & (prices.price < JUMP * highest.to_numpy())])
    if not len(suspects):
        return no_flags()
    rows = np.flatnonzero(is_listed & np.isin(prices.offer, suspects))
    listed = prices.take(rows)
    jumped_from: dict[int, list[int]] = {}
    for start, back in _excursions(listed):
        jumped_from.setdefault(back, []).append(start - 1)
    found = list(_falls(listed, jumped_from, floor[rows], wrong_from[rows]))
    fallen = np.array([row for row, _ in found], int)
    sentences = [_sentence(listed, *pair) for pair in found]
    return flags(listed.row[fallen], FELL, listed.observed[fallen], sentences)


def lowest_spot(prices: PriceRows, on_demand: np.ndarray) -> np.ndarray:
    """Return for each price from where on the discounts that providers state bear it out.

    Parameters
    ----------
    prices : PriceRows
        Sorted.
    on_demand : array of int
        By offer: the offer of the same machine and place on demand where the offer is spot, else
        -1: nothing bears it out then (inf).
    """
    row = InForce(prices).rows_at(on_demand[prices.offer], prices.observed)
    price = np.append(prices.price, np.nan)[row]
    return np.where(np.isnan(price), np.inf, price * (1 - DEEPEST_SPOT_DISCOUNT))


def _falls(
    listed: PriceRows, jumped_from: dict[int, list[int]], floor: np.ndarray, wrong_from: np.ndarray
) -> Iterator[tuple[int, int]]:
    """Yield each price that fell, and the good one before it, both as positions in ``listed``."""
    good: list[int] = []
    fallen: list[int] = []
    for i, price in enumerate(listed.price):
        seen = listed.observed[i]
        if i == 0 or listed.offer[i] != listed.offer[i - 1]:
            good = []
            fallen = []
        last_good = good[-1] if good else -1
        good += [row for row in fallen if row > last_good and listed.released[row] <= seen]
        while good and wrong_from[good[-1]] <= seen < listed.released[good[-1]]:
            good.pop()
        is_back = any(row not in fallen for row in jumped_from.get(i, []))
        if wrong_from[i] <= seen:
            fallen.append(i)
        elif not good or price >= min(JUMP * listed.price[good[-1]], floor[i]) or is_back:
            good.append(i)
        else:
            fallen.append(i)
            yield i, good[-1]


def _sentence(listed: PriceRows, row: int, before: int) -> str:
    share = 1 - listed.price[row] / listed.price[before]
    return (
        f"{usd(listed.price[row])} USD/h is {share:.0%} less than the {usd(listed.price[before])}"
        f" of {day(listed.observed[before])}: a list price that falls by more than half is held"
        " until somebody confirms it."
    )
