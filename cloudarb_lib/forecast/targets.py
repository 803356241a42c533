"""What past forecasts are scored against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast.features import REPRICING_SHARE, price_steps
from cloudarb_lib.forecast.patterns import group_names


@dataclass(frozen=True, eq=False)
class Targets:
    """What is forecast, and what came; prices in USD per hour, NaN where none is known.

    Attributes
    ----------
    offers : table of the offers, by offer_id.
    groups : (offers,), the GPU model of each, or its provider where there is none.
    horizons : increasing, in steps.
    origins : the positions of each horizon.
    starts : (origins,), the positions of all horizons, increasing.
    times : (origins,), when each was.
    quarters : (origins,), in which quarter of a year, as codes from 0.
    log_price : (times of the panel, offers).
    now : (origins, offers), prices at the origins.
    came : (origins, offers, horizons); NaN also where a horizon is not asked from an origin.
    scale : (origins, offers), mean price on record up to the origin, by which errors are divided.
    """

    offers: pd.DataFrame
    groups: np.ndarray
    horizons: list[int]
    origins: dict[int, np.ndarray]
    starts: np.ndarray
    times: pd.DatetimeIndex
    quarters: np.ndarray
    log_price: np.ndarray
    now: np.ndarray
    came: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, panel: Panel, origins: dict[int, np.ndarray]) -> Targets:
        """Return the targets of ``origins``, positions by horizon."""
        horizons = sorted(origins)
        cells = np.arange(len(panel.times))
        is_asked = np.stack([np.isin(cells, origins[h]) for h in horizons], axis=1)
        starts = np.flatnonzero(is_asked.any(axis=1))
        price = np.where(panel.price > 0, panel.price, np.nan)
        target = starts[:, None] + np.array(horizons)
        came = price[np.minimum(target, len(price) - 1)].transpose(0, 2, 1)
        is_priced = np.isfinite(price)
        total = np.cumsum(np.where(is_priced, price, 0.0), axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean_so_far = total / np.cumsum(is_priced, axis=0)
        times = panel.times[starts]
        return cls(
            offers=panel.offers,
            groups=group_names(panel.offers),
            horizons=horizons,
            origins=origins,
            starts=starts,
            times=times,
            quarters=pd.factorize(4 * times.year + times.quarter)[0],
            log_price=np.log(price),
            now=price[starts],
            came=np.where(is_asked[starts][:, None], came, np.nan),
            scale=mean_so_far[starts],
        )

    @property
    def positions_ahead(self) -> np.ndarray:
        """Positions of the horizons among the steps from 1 on."""
        return np.array(self.horizons) - 1

    def overlap(self, horizon: int) -> float:
        """Return how many consecutive outcomes share time."""
        at = self.origins[horizon]
        if len(at) < 2:
            return 1.0
        return float(horizon / max(np.diff(at).mean(), 1.0))

    def is_repricing(self, offers: np.ndarray) -> np.ndarray:
        """Return at which cells of the panel (times,) a tenth of ``offers`` (mask) stepped."""
        log_price = self.log_price[:, offers]
        n_priced = np.maximum(np.isfinite(log_price).sum(axis=1), 1)
        n_stepped = (price_steps(log_price) != 0).sum(axis=1)
        return n_stepped >= REPRICING_SHARE * n_priced
