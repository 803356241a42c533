"""What members are asked: prices, origins and horizon."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from cloudarb_lib.forecast.features import features, motion_features, price_steps

WINDOW_CELLS = 32
"""Cells up to an origin that a network sees: most of a year of weeks, more than a day of hours."""


@dataclass(frozen=True)
class Task:
    """What is to be forecast.

    Attributes
    ----------
    log_price : (times, series), NaN where no price is known.
    groups : (series,), the series' groups as codes.
    origins : increasing positions in the times.
    horizon : how many steps ahead.
    seed : of whatever a member draws.
    cells_per_day : in which a rate of change is counted; 1 where a cell is a day or longer.
    copies : (series,), how many offers each series stands for; None: one.
    models : folder in which the last fit of each member is kept; None: in none.
    fitted : the fits lie ready in ``models``, and nothing is fitted.
    about : attributes of the series, as in ``Patterns``.
    """

    log_price: np.ndarray
    groups: np.ndarray
    origins: np.ndarray
    horizon: int
    seed: int
    cells_per_day: int = 1
    copies: np.ndarray | None = None
    models: Path | None = None
    fitted: bool = False
    about: dict[str, np.ndarray] | None = None

    @property
    def is_hourly(self) -> bool:
        """Whether a cell is shorter than a day."""
        return self.cells_per_day > 1

    @cached_property
    def price_steps(self) -> np.ndarray:
        """The log change into each cell (times, series), as from ``features.price_steps``."""
        return self.about["price_steps"] if self.about else price_steps(self.log_price)

    @property
    def first_cell(self) -> int:
        """The first cell of which features are asked: where nothing is fitted, the first origin."""
        return int(self.origins[0]) if self.fitted else 0

    @cached_property
    def motion(self) -> dict[str, np.ndarray]:
        """``motion_features`` of the cells from ``first_cell`` on, and of a network's window."""
        first_cell = max(self.first_cell + 1 - WINDOW_CELLS, 0)
        return motion_features(self.log_price, self.groups, first_cell=first_cell)

    @cached_property
    def features(self) -> dict[str, np.ndarray]:
        """The features of the cells from ``first_cell`` on, by name, each (cells, series)."""
        return features(
            self.log_price,
            self.groups,
            cells_per_day=self.cells_per_day,
            first_cell=self.first_cell,
            about=self.about,
            motion=self.motion,
        )

    def truth(self) -> np.ndarray:
        """Return the log changes that came (origins, series, steps); NaN where none is known."""
        n = len(self.log_price)
        target = self.origins[:, None] + np.arange(1, self.horizon + 1)
        came = self.log_price[np.minimum(target, n - 1)].transpose(0, 2, 1)
        came = np.where((target < n)[:, None, :], came, np.nan)
        return came - self.log_price[self.origins][:, :, None]
