"""What past forecasts are scored against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast import losses
from cloudarb_lib.forecast.features import STEP_LOG


@dataclass(frozen=True, eq=False)
class Targets:
    """What is forecast, and what came; prices in USD per hour, NaN where none is known.

    Attributes
    ----------
    offer_ids : (offers,)
    horizons : increasing, in steps.
    origins : the positions of each horizon.
    starts : (origins,), the positions of all horizons, increasing.
    now : (origins, offers, 1), prices at the origins.
    came : (origins, offers, horizons); NaN also where a horizon is not asked from an origin.
    moved : alike, 1 where the price moved 0.5 % or more, else 0; NaN where that is not known.
    scale : (offers,), mean price before the origins.
    step_error, squared_step_error : (offers,), means of the last value one step ahead before the
        origins.
    """

    offer_ids: pd.Index
    horizons: list[int]
    origins: dict[int, np.ndarray]
    starts: np.ndarray
    now: np.ndarray
    came: np.ndarray
    moved: np.ndarray
    scale: np.ndarray
    step_error: np.ndarray
    squared_step_error: np.ndarray

    @classmethod
    def of(cls, panel: Panel, origins: dict[int, np.ndarray]) -> Targets:
        """Return the targets of ``origins``, positions by horizon."""
        horizons = sorted(origins)
        cells = np.arange(len(panel.times))
        is_asked = np.stack([np.isin(cells, origins[h]) for h in horizons], axis=1)
        starts = np.flatnonzero(is_asked.any(axis=1))
        price = np.where(panel.price > 0, panel.price, np.nan)
        now = price[starts][:, :, None]
        target = starts[:, None] + np.array(horizons)
        came = price[np.minimum(target, len(price) - 1)].transpose(0, 2, 1)
        came = np.where(is_asked[starts][:, None], came, np.nan)
        change = came / now
        past = price[: int(starts[0]) + 1]
        steps = np.diff(past, axis=0)
        return cls(
            panel.offers.index,
            horizons,
            origins,
            starts,
            now,
            came,
            np.where(np.isfinite(change), np.abs(np.log(change)) >= STEP_LOG, np.nan),
            losses.mean(past, 0),
            losses.mean(np.abs(steps), 0),
            losses.mean(steps**2, 0),
        )

    @property
    def positions_ahead(self) -> np.ndarray:
        """Positions of the horizons among the steps from 1 on."""
        return np.array(self.horizons) - 1

    def overlap(self, horizon: int) -> int:
        """Return how many consecutive outcomes share time."""
        at = self.origins[horizon]
        if len(at) < 2:
            return 1
        return int(np.ceil(horizon / max(np.diff(at).mean(), 1.0)))
