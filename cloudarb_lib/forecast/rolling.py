"""Rolling-origin forecasts: list prices by their simulator, those of a market by the ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cloudarb_lib.forecast.ensemble import RollingEnsemble, rolling_ensemble
from cloudarb_lib.forecast.lists.rolling import Outcomes, RollingLists, rolling_lists
from cloudarb_lib.forecast.patterns import Patterns


@dataclass(frozen=True, eq=False)
class RollingForecasts:
    """Forecasts at every origin as they could have been made there; all log changes.

    Attributes
    ----------
    origins : increasing cells.
    lists : of the series that price lists hold; None where only a market is asked for.
    ensemble : of the series of a market, None where there is none.
    """

    patterns: Patterns
    origins: np.ndarray
    horizon: int
    lists: RollingLists | None
    ensemble: RollingEnsemble | None

    @property
    def members(self) -> dict[str, np.ndarray]:
        """By name, the medians (origins, series, steps) of the members that forecast a market.

        No member forecasts a list: there a median is that the price stays.
        """
        if self.ensemble is None:
            return {}
        shape = (len(self.origins), len(self.patterns.groups), self.horizon)
        out = {}
        for name, median in self.ensemble.members.items():
            out[name] = np.zeros(shape)
            out[name][:, self.patterns.is_market] = median
        return out

    @property
    def weights(self) -> np.ndarray:
        """As of ``RollingEnsemble``; without members where there is no market."""
        if self.ensemble is None:
            return np.zeros((len(self.origins), 0, 1, self.horizon))
        return self.ensemble.weights

    def paths(
        self, origin: int, *, n_paths: int, only: np.ndarray, ahead: np.ndarray
    ) -> np.ndarray:
        """Return calibrated sample paths from an origin.

        Parameters
        ----------
        origin : which of the origins.
        only : positions of the series asked.
        ahead : positions of the steps asked.

        Returns
        -------
        (series, paths, steps), log changes; the same path number is the same world in all series
        of a list, and in all of a market.
        """
        is_market = self.patterns.is_market[only]
        out = np.empty((len(only), n_paths, len(ahead)))
        if self.lists is not None:
            of_lists = only[~is_market]
            out[~is_market] = self.lists.paths(origin, n_paths=n_paths, only=of_lists, ahead=ahead)
        if self.ensemble is not None and is_market.any():
            position = np.cumsum(self.patterns.is_market) - 1
            mine = position[only[is_market]]
            out[is_market] = self.ensemble.paths(origin, n_paths=n_paths, only=mine, ahead=ahead)
        return out


def rolling_forecasts(
    patterns: Patterns,
    origins: np.ndarray,
    *,
    horizon: int,
    seed: int,
    leave_out: tuple[str, ...] = (),
    keep: Path | None = None,
) -> RollingForecasts:
    """Return the forecasts from ``origins`` (increasing positions).

    Parameters
    ----------
    leave_out, keep : of the ensemble, as in ``ensemble.run_members``.
    """
    ensemble = None
    if patterns.is_market.any():
        of_market = patterns.select(patterns.is_market)
        ensemble = rolling_ensemble(
            of_market, origins, horizon=horizon, seed=seed, leave_out=leave_out, keep=keep
        )
    return with_lists(patterns, origins, horizon=horizon, seed=seed, ensemble=ensemble)


def with_lists(
    patterns: Patterns,
    origins: np.ndarray,
    *,
    horizon: int,
    seed: int,
    ensemble: RollingEnsemble | None,
    learned: Sequence[Outcomes] | None = None,
) -> RollingForecasts:
    """Return the forecasts of an ensemble, and beside them those of list prices.

    Parameters
    ----------
    learned : of each price list, as ``rolling_lists`` takes it.
    """
    lists = rolling_lists(patterns, origins, horizon=horizon, seed=seed, learned=learned)
    return RollingForecasts(patterns, origins, horizon, lists, ensemble)
