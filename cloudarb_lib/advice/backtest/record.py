"""The record on which decisions are tried: weekly prices of what is sold, and paths from then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.advice.places import Places
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast.patterns import find_patterns, is_moving
from cloudarb_lib.forecast.rolling import RollingForecasts, rolling_forecasts
from cloudarb_lib.market import Market

WEEK = "7D"
FIRST = pd.Timestamp("2024-01-01", tz="UTC")
"""Decisions are tried from here on: spot prices are on record since May 2023."""


@dataclass(frozen=True, eq=False)
class SoldRecord:
    """Weekly prices of the offers of a market, as they grew.

    Offers that were withdrawn before the record ends are not in it; prices are those of their day,
    but which machines are sold where is what is known at the end.
    """

    market: Market
    panel: Panel

    @classmethod
    def of(cls, market: Market) -> SoldRecord:
        """Return the record up to the time of a market."""
        panel = market.panel(WEEK)
        return cls(market, panel.select(panel.offers.index.isin(market.offers["offer_id"])))

    @property
    def weeks(self) -> np.ndarray:
        """The weeks from ``FIRST`` on, as positions in the panel."""
        return np.flatnonzero(self.panel.times >= FIRST)

    def prices(self, offer_ids: pd.Index) -> np.ndarray:
        """Return USD an hour, shape (offers, weeks of the panel); NaN where not on sale."""
        at = self.panel.offers.index.get_indexer(offer_ids)
        return self.panel.price[:, at].T


@dataclass(frozen=True, eq=False)
class SpotPaths:
    """Sample paths of spot prices from each week, as they could have been drawn then."""

    panel: Panel
    rolling: RollingForecasts

    @classmethod
    def of(cls, record: SoldRecord, *, horizon: int, seed: int) -> SpotPaths:
        """Return the paths from each of ``record.weeks`` for ``horizon`` weeks."""
        moves = is_moving(record.panel.offers)
        spot = record.panel.select(moves)
        patterns = find_patterns(spot, listed=record.panel.select(~moves))
        rolling = rolling_forecasts(patterns, record.weeks, horizon=horizon, seed=seed)
        return cls(spot, rolling)

    def prices(self, week: int, offer_ids: pd.Index, *, n_paths: int) -> np.ndarray:
        """Return USD an hour from a week on, that week first, shape (offers, paths, 1 + horizon).

        NaN for offers that were not on sale in that week.
        """
        at = self.panel.offers.index.get_indexer(offer_ids)
        now = self.panel.price[week, at]
        known = np.flatnonzero(np.isfinite(now))
        pattern, of_known = np.unique(
            self.rolling.patterns.of_offer[at[known]], return_inverse=True
        )
        origin = week - len(self.panel.times)  # the last origin is the last week
        ahead = np.arange(self.rolling.horizon)
        change = self.rolling.paths(origin, n_paths=n_paths, only=pattern, ahead=ahead)
        change = np.concatenate([np.zeros((*change.shape[:2], 1)), change], axis=2)
        prices = np.full((len(at), *change.shape[1:]), np.nan)
        prices[known] = now[known, None, None] * np.exp(change[of_known])
        return prices


def held_cost(machines: np.ndarray, prices: np.ndarray, places: Places) -> np.ndarray:
    """Return what holding the same machines costs in each week, USD an hour.

    What is withdrawn is bought where the need costs least then.

    Parameters
    ----------
    machines
        Of each offer, shape (offers,).
    prices
        Shape (offers, weeks).
    """
    unit = places.usd_per_hour(prices) / places.need
    instead = unit / places.factor[:, None]
    on_sale = np.isfinite(prices)
    cost: np.ndarray = machines @ np.where(on_sale, prices, instead)
    return cost
