"""What the checks look at: prices by offer and time, who asks them, and the flags they find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

NEVER = np.iinfo(np.int64).max
"""Microseconds of a time that does not come."""
MICROSECONDS_PER_DAY = 86_400_000_000
FLAG_COLUMNS = ("row", "quality", "flagged", "detail", "corrected")
"""Position of the price in the rows given, kind, microseconds, the sentence, and the price per
hour that stands instead (NaN: none)."""


@dataclass(frozen=True)
class PriceRows:
    """Prices sorted by offer, then observed, then effective; arrays of one length.

    Parameters
    ----------
    offer : array of int
        Position of the offer in the frame of offers.
    observed, effective : array of int
        Microseconds.
    price : array of float
        USD per hour of the whole machine, NaN: withdrawn.
    judges : array of bool
        False where a price took effect before one already seen of the same offer, or with it
        (corrections, backfills): it judges no other.
    stands : array of bool
        False where it took effect before one already seen: it never came into force.
    administered : array of bool
        Whether it is of a list; the others move freely.
    released : array of int
        Microseconds at which a person called the price right, ``NEVER`` where nobody did.
    row : array of int
        Position in the rows given.
    """

    offer: np.ndarray
    observed: np.ndarray
    effective: np.ndarray
    price: np.ndarray
    judges: np.ndarray
    stands: np.ndarray
    administered: np.ndarray
    released: np.ndarray
    row: np.ndarray

    def take(self, rows: np.ndarray) -> PriceRows:
        """Return these rows alone: positions in order, or a mask."""
        return PriceRows(**{name: values[rows] for name, values in vars(self).items()})

    def __len__(self) -> int:
        return len(self.offer)


def in_order(rows: pd.DataFrame) -> PriceRows:
    """Return the prices of a frame sorted, those marked that may judge others.

    Parameters
    ----------
    rows : DataFrame
        ``offer``, ``effective``, ``observed``, ``price``, and where it is known ``administered``
        (default: true) and ``released`` (default: never).
    """
    order = np.lexsort([rows[name].to_numpy() for name in ("effective", "observed", "offer")])
    offer = rows["offer"].to_numpy()[order]
    effective = rows["effective"].to_numpy()[order]
    _, rank = np.unique(effective, return_inverse=True)
    position = offer * (rank.max(initial=0) + 1) + rank  # by offer, then by time of effect
    latest_before = np.maximum.accumulate(position)[:-1]
    return PriceRows(
        offer=offer,
        observed=rows["observed"].to_numpy()[order],
        effective=effective,
        price=rows["price"].to_numpy(float)[order],
        judges=np.append(True, position[1:] > latest_before)[: len(position)],
        stands=np.append(True, position[1:] >= latest_before)[: len(position)],
        administered=column_of(rows, "administered", True)[order].astype(bool),
        released=column_of(rows, "released", NEVER)[order],
        row=order,
    )


def column_of(rows: pd.DataFrame, name: str, default: object) -> np.ndarray:
    """Return the values of a column that may be missing."""
    return rows[name].to_numpy() if name in rows else np.full(len(rows), default)


class InForce:
    """Looks up which price of an offer is in force at a time: the last one that judges.

    Parameters
    ----------
    prices : PriceRows
        Of any offers.
    """

    def __init__(self, prices: PriceRows) -> None:
        judging = np.flatnonzero(prices.judges)
        self._rows = np.append(judging, -1)
        self._times = np.unique(prices.observed)
        self._offer = prices.offer[judging]
        self._place = self._places(self._offer, prices.observed[judging])

    def rows_at(self, offers: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return the row in force of each offer at each time, -1 where there is none yet.

        Parameters
        ----------
        offers, times : arrays of int
            Of one shape, or of shapes that broadcast.
        """
        found = np.searchsorted(self._place, self._places(offers, times), side="right") - 1
        is_own = (found >= 0) & (np.append(self._offer, -1)[found] == offers)
        return np.where(is_own, self._rows[found], -1)

    def _places(self, offers: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return numbers that sort by offer, then by time."""
        return offers * (len(self._times) + 1) + np.searchsorted(self._times, times, side="right")


def quantiles(values: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return under what a share of each line lies, and how many values the line has.

    Parameters
    ----------
    values : array
        Lines of values; NaN are none.
    share : float
        0.5: the median. Between two values the quantile is interpolated.

    Returns
    -------
    quantile : array
        NaN where a line has no value.
    count : array of int
        Values of each line.
    """
    nothing = np.full((len(values), 1), np.nan)
    ordered = np.sort(np.hstack([values, nothing]), axis=1)  # NaN last
    count = np.sum(~np.isnan(values), axis=1)
    position = np.maximum(count - 1, 0) * share
    line = np.arange(len(values))
    low = np.floor(position).astype(int)
    lower = ordered[line, low]
    upper = ordered[line, np.ceil(position).astype(int)]
    return lower + (position - low) * (upper - lower), count


def medians(values: np.ndarray) -> np.ndarray:
    """Return the median of each line, NaN where a line has no value."""
    return quantiles(values, 0.5)[0]


def flags(
    rows: np.ndarray,
    quality: str,
    flagged: np.ndarray,
    detail: list[str],
    corrected: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return flags of one kind as a frame with ``FLAG_COLUMNS``."""
    return pd.DataFrame(
        {
            "row": rows,
            "quality": quality,
            "flagged": flagged,
            "detail": detail,
            "corrected": np.full(len(rows), np.nan) if corrected is None else corrected,
        }
    )


def no_flags() -> pd.DataFrame:
    """Return a frame with ``FLAG_COLUMNS`` and no row."""
    nothing = np.array([], int)
    return flags(nothing, "", nothing, [])
