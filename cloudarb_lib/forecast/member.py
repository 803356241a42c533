"""What a member of the ensemble is, and the one shape in which all members answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cloudarb_lib.forecast.task import Task

QUANTILE_LEVELS = (0.1, 0.5, 0.9)
"""Probabilities of the quantiles that members state, where they state any."""
MEDIAN_AT = QUANTILE_LEVELS.index(0.5)
LAST_PLACE = 1_000


@dataclass(frozen=True, eq=False)
class MemberForecast:
    """Log changes of prices from each origin, as one member forecasts them.

    Attributes
    ----------
    median : (origins, series, steps ahead), the point forecast; always finite.
    quantiles : (origins, series, steps ahead, ``QUANTILE_LEVELS``), None where a member states
        none.
    """

    median: np.ndarray
    quantiles: np.ndarray | None = None

    @classmethod
    def from_values(cls, values: np.ndarray) -> MemberForecast:
        """Return the forecast of medians (3 axes), or of quantiles (4 axes)."""
        if values.ndim == 3:
            return cls(values)
        return cls(values[..., MEDIAN_AT], values)

    @classmethod
    def no_change(cls, task: Task) -> MemberForecast:
        """Return the forecast that every price stays."""
        return cls(np.zeros((len(task.origins), task.log_price.shape[1], task.horizon)))

    @property
    def values(self) -> np.ndarray:
        """All that was stated: the quantiles where there are any, else the median."""
        return self.median if self.quantiles is None else self.quantiles

    def within(self, low: np.ndarray, high: np.ndarray) -> MemberForecast:
        """Return the forecast in single precision, no change beyond ``low`` and ``high``.

        Parameters
        ----------
        low, high : (origins, series), the bounds of the log change.
        """
        missing_axes = tuple(range(2, self.values.ndim))
        bounds = [np.expand_dims(bound, missing_axes) for bound in (low, high)]
        return self.from_values(np.clip(self.values, *bounds).astype(np.float32))


@dataclass(frozen=True)
class Member:
    """One way to forecast; ``testing.check_member`` says what it must hold to.

    Attributes
    ----------
    name : as it stands in tables ``weights`` and ``scores``.
    forecast : the forecast of a task; at each origin it uses only cells up to it.
    place : members stand, and are added up, in this order; those of one place by name.
    slow : needs seconds, so it is left out where a forecast is made anew for every week of a
        look-back.
    resumable : an interrupted back-test finds its forecasts again.
    other_process : works in another process, and is begun before the others.
    model_file : name of the file in which its last fit is kept, '' where it fits nothing.
    packages : distributions whose versions decide what it forecasts; a model that was kept under
        another version of one is refused.
    """

    name: str
    forecast: Callable[[Task], MemberForecast]
    place: int = LAST_PLACE
    slow: bool = False
    resumable: bool = False
    other_process: bool = False
    model_file: str = ""
    packages: tuple[str, ...] = ()
