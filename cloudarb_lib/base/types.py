"""The frozen nouns that stages share; each refuses the impossible when made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError

OFFER_PARTS = ("provider", "region", "zone", "instance_type", "purchase_option", "term")
"""What identifies an offer; ``offer_id`` is these joined by slashes, empty parts kept."""

STATE_ABSENT = 0
STATE_CHANGED = 1
STATE_UNCHANGED = 2
STATE_NOT_LOOKED = 3
STATES = ("absent", "changed", "unchanged", "not_looked")
"""Meaning of the codes in ``Panel.state``.

absent: no price known at the end of the cell (not listed yet, or withdrawn);
changed: an event of this offer falls in the cell;
unchanged: the source was looked at in the cell and nothing had changed;
not_looked: nobody looked, the price is carried forward (a filled cell).
"""

_CELLS = ("price", "available", "state")
"""The arrays of a panel."""


@dataclass(frozen=True)
class Panel:
    """Prices on a regular grid.

    Parameters
    ----------
    times : DatetimeIndex
        Right end of each cell, in UTC: a cell covers (time - step, time], and what stands in it
        was known at ``time``.
    step : Timedelta
        Length of a cell.
    offers : DataFrame
        Parts and machine specification of each offer, indexed by offer_id.
    price : ndarray of shape (times, offers)
        USD per hour of the whole instance; NaN where no price is known.
    available : ndarray of shape (times, offers)
        Share of the cell in which the offer was on sale, 0 to 1; NaN before its first event.
    state : ndarray of shape (times, offers)
        Codes of ``STATES``.

    Raises
    ------
    DataError
        Where shapes do not agree, times are naive or do not increase, or an offer repeats.
    """

    times: pd.DatetimeIndex
    step: pd.Timedelta
    offers: pd.DataFrame
    price: np.ndarray
    available: np.ndarray
    state: np.ndarray

    def __post_init__(self) -> None:
        expected = (len(self.times), len(self.offers))
        for name in _CELLS:
            shape = getattr(self, name).shape
            if shape != expected:
                raise DataError(f"Panel.{name} has shape {shape}, expected {expected}.")
        if self.times.tz is None:
            raise DataError("Panel.times are naive.", "Build panels with market.panel.to_panel.")
        if len(self.times) > 1 and not (np.diff(self.times.asi8) > 0).all():
            raise DataError("Panel.times do not increase.")
        if self.offers.index.has_duplicates:
            raise DataError("Panel.offers repeats an offer_id.")

    def __repr__(self) -> str:
        if not len(self.times):
            return f"Panel(empty, {len(self.offers)} offers)"
        filled = float(np.mean(self.state == STATE_NOT_LOOKED))
        return (
            f"Panel({len(self.offers)} offers x {len(self.times)} steps of {self.step}, "
            f"{self.times[0]:%Y-%m-%d %H:%M} to {self.times[-1]:%Y-%m-%d %H:%M} UTC, "
            f"{filled:.0%} of cells filled)"
        )

    def frame(self, what: str = "price") -> pd.DataFrame:
        """Return ``price``, ``available`` or ``state`` as a frame: rows times, columns offer_id."""
        return pd.DataFrame(getattr(self, what), index=self.times, columns=self.offers.index)

    def select(self, keep: object) -> Panel:
        """Return the panel of some offers.

        Parameters
        ----------
        keep : array_like
            A boolean mask, positions, or offer_ids.

        Returns
        -------
        Panel
            The same panel where every offer is kept.

        Raises
        ------
        DataError
            Where an offer_id is not in the panel.
        """
        positions = np.asarray(keep)
        if positions.dtype == bool:
            if positions.all():
                return self  # thousands of prices need not be copied
            positions = np.flatnonzero(positions)
        elif positions.dtype.kind in "OUT":
            positions = self.offers.index.get_indexer(pd.Index(positions))
            if (positions < 0).any():
                raise DataError("Panel.select was given an offer_id that is not in the panel.")
        return self.cut(slice(None), positions)

    def until(self, time: pd.Timestamp) -> Panel:
        """Return the panel of the cells that end at or before ``time``."""
        count = int(self.times.searchsorted(time, side="right"))
        return self.cut(slice(count), slice(None))

    def cut(self, rows: slice, columns: slice | np.ndarray) -> Panel:
        """Return the panel of some cells and offers, by position."""
        cells = {name: getattr(self, name)[rows][:, columns] for name in _CELLS}
        return replace(self, times=self.times[rows], offers=self.offers.iloc[columns], **cells)


@dataclass(frozen=True)
class Paths:
    """Joint sample paths of prices.

    Parameters
    ----------
    offer_ids : Index
        The offers.
    times : DatetimeIndex
        Target of each step, in UTC.
    values : ndarray of shape (offers, paths, steps)
        USD per hour of the whole instance; the same path number is the same sample across offers.

    Raises
    ------
    DataError
        Where shapes do not agree, there is no path, or a price is missing, infinite or negative.
    """

    offer_ids: pd.Index
    times: pd.DatetimeIndex
    values: np.ndarray

    def __post_init__(self) -> None:
        shape = self.values.shape
        offers = len(self.offer_ids)
        steps = len(self.times)
        if len(shape) != 3 or shape[::2] != (offers, steps):
            raise DataError(f"Paths.values has shape {shape}, expected ({offers}, paths, {steps}).")
        if shape[1] == 0:
            raise DataError("Paths hold no path.", "Ask for at least one.")
        bad = ~np.isfinite(self.values).all(axis=(1, 2)) | (self.values < 0).any(axis=(1, 2))
        if bad.any():
            offer = self.offer_ids[int(bad.argmax())]
            raise DataError(f"Paths of {offer} hold a missing, infinite or negative price.")

    def __repr__(self) -> str:
        offers, paths, steps = self.values.shape
        return (
            f"Paths({offers} offers x {paths} paths x {steps} steps to {self.times[-1]:%Y-%m-%d})"
        )

    def select(self, offer_ids: object) -> Paths:
        """Return the paths of the offers named, in that order; DataError if one is not there."""
        wanted = pd.Index(offer_ids)  # type: ignore[call-overload]
        positions = self.offer_ids.get_indexer(wanted)
        if (positions < 0).any():
            raise DataError(f"no paths for offer {wanted[int((positions < 0).argmax())]}.")
        return Paths(wanted, self.times, self.values[positions])

    def table(self) -> pd.DataFrame:
        """Return them as table ``paths``, offer_id as a category."""
        ids = pd.CategoricalIndex(self.offer_ids, categories=self.offer_ids)
        numbers = np.arange(self.values.shape[1], dtype=np.int32)
        names = ["offer_id", "path", "target_utc"]
        index = pd.MultiIndex.from_product([ids, numbers, self.times], names=names)
        return pd.Series(self.values.reshape(-1), index, name="price_usd_per_hour").reset_index()

    @classmethod
    def from_table(cls, table: pd.DataFrame) -> Paths:
        """Return the paths of a table ``paths``; DataError if a path or a time is missing."""
        offer, ids = pd.factorize(table["offer_id"])
        step, times = pd.factorize(table["target_utc"], sort=True)
        path = table["path"].to_numpy(np.int64)
        n_paths = int(path.max(initial=-1)) + 1
        values = np.full((len(ids), n_paths, len(times)), np.nan)
        values[offer, path, step] = table["price_usd_per_hour"]
        if len(table) != values.size or np.isnan(values).any():
            raise DataError("table paths is not complete: an offer lacks a path or a time.")
        return cls(pd.Index(ids, dtype=object), pd.DatetimeIndex(times), values)
