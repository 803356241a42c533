"""Rolling-origin forecasts of list prices: the simulator's paths, calibrated by past outcomes.

Two things are learned from the outcomes known at each origin. How fast the clock of the paths goes:
those that held too little hurry (``clock``). How far to trust the drift, by step ahead: the mean
that is handed over is the last price and a share of the simulated mean change, the slope by which
past changes followed past means; where nothing shows that they did, it is the last price.

References
----------
Mincer and Zarnowitz, The evaluation of economic forecasts, 1969.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cloudarb_lib.base.progress import progress
from cloudarb_lib.forecast.lists.book import price_lists
from cloudarb_lib.forecast.lists.clock import INTERVALS, PACES, paces, share_inside, steps_at
from cloudarb_lib.forecast.lists.outcomes import CALIBRATION_CELLS, DOUBT_WINDOWS, OutcomeWeights
from cloudarb_lib.forecast.lists.simulator import ListSimulator
from cloudarb_lib.forecast.patterns import Patterns

CALIBRATED_STEPS = np.array([1, 2, 4, 8, 13, 26])
"""Steps ahead from which both are learned; the trust between them is a part of both neighbours',
beyond the last that of the last: nothing on record judges it."""
CALIBRATION_PATHS = 128


@dataclass(frozen=True, eq=False)
class CalibratedList:
    """A list's simulator, and its pace and the trust in drift that stood at each origin.

    Attributes
    ----------
    steps : the steps ahead of which the trust is known, increasing.
    pace : (origins,), as from ``clock.paces``.
    drift_trust : (origins, steps), the share of the simulated mean change that is handed over.
    """

    simulator: ListSimulator
    steps: np.ndarray
    pace: np.ndarray
    drift_trust: np.ndarray

    @classmethod
    def of(
        cls, simulator: ListSimulator, origins: np.ndarray, outcomes: Outcomes
    ) -> CalibratedList:
        """Return the list as it stood at each of ``origins``, by outcomes of cells before."""
        weights = outcomes.weights(origins)
        pace = paces(outcomes.held, weights)
        return cls(simulator, outcomes.steps, pace, outcomes.drift_trust(weights))

    def paths(
        self, at: int, cell: int, *, n_paths: int, only: np.ndarray, ahead: np.ndarray
    ) -> np.ndarray:
        """Return calibrated log changes (series, paths, steps asked) from an origin.

        Parameters
        ----------
        at, cell : which of the origins, and its cell.
        only : positions among the series of the list.
        """
        prices = self.simulator.prices
        places, row = np.unique(prices.place_of[only], return_inverse=True)
        plain = np.broadcast_to(ahead, (n_paths, len(ahead)))
        hurried = steps_at(self.pace[at], ahead + 1, n_paths) - 1
        both = np.concatenate([plain, hurried], axis=1)
        drawn = self.simulator.paths(cell, n_paths=n_paths, only=places, ahead=both)
        as_simulated, handed_over = np.split(drawn, 2, axis=2)
        trust = np.interp(ahead + 1, self.steps, self.drift_trust[at])
        return with_mean(handed_over, trust * np.expm1(as_simulated).mean(axis=1))[row]


@dataclass(frozen=True, eq=False)
class RollingLists:
    """Forecasts of list prices at every origin as they could have been made there.

    Attributes
    ----------
    origins : increasing cells.
    """

    origins: np.ndarray
    lists: tuple[CalibratedList, ...]

    def paths(
        self, origin: int, *, n_paths: int, only: np.ndarray, ahead: np.ndarray
    ) -> np.ndarray:
        """Return sample paths (series, paths, steps) of log changes; as of ``RollingForecasts``."""
        at = range(len(self.origins))[origin]
        out = np.zeros((len(only), n_paths, len(ahead)))
        for each in self.lists:
            series = each.simulator.prices.series
            mine = np.flatnonzero(np.isin(only, series))
            if len(mine):
                out[mine] = each.paths(
                    at,
                    int(self.origins[at]),
                    n_paths=n_paths,
                    only=np.searchsorted(series, only[mine]),
                    ahead=ahead,
                )
        return out


def rolling_lists(
    patterns: Patterns,
    origins: np.ndarray,
    *,
    horizon: int,
    seed: int,
    learned: Sequence[Outcomes] | None = None,
) -> RollingLists:
    """Return the forecasts of list prices from ``origins``.

    Parameters
    ----------
    learned : of each list, as ``list_outcomes`` returns them of ``learned_cells``; made here
        without.
    """
    if learned is None:
        cells = learned_cells(origins)
        learned = list_outcomes(patterns, cells, horizon=horizon, seed=seed)
    lists = [
        CalibratedList.of(simulator, origins, outcomes)
        for simulator, outcomes in zip(_simulators(patterns, seed), learned, strict=True)
    ]
    return RollingLists(origins, tuple(lists))


def learned_cells(origins: np.ndarray) -> np.ndarray:
    """Return the cells whose outcomes pace and trust in drift at ``origins`` are learned from."""
    return np.arange(max(int(origins[0]) - CALIBRATION_CELLS, 1), int(origins[-1]))


def list_outcomes(
    patterns: Patterns, cells: np.ndarray, *, horizon: int, seed: int
) -> list[Outcomes]:
    """Return what came of simulated paths from some cells, for each price list.

    Each cell's outcomes are its own: those of some cells and of the others, ``Outcomes.joined``,
    are bit for bit those of all.
    """
    longest = min(horizon, int(CALIBRATED_STEPS[-1]))
    steps = np.union1d(CALIBRATED_STEPS[CALIBRATED_STEPS <= longest], longest)
    return [Outcomes.of(simulator, cells, steps) for simulator in _simulators(patterns, seed)]


def _simulators(patterns: Patterns, seed: int) -> list[ListSimulator]:
    return [ListSimulator(prices, seed + k) for k, prices in enumerate(price_lists(patterns))]


def with_mean(paths: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return paths whose changed prices are moved alike, so that the mean change is ``mean``.

    Parameters
    ----------
    paths : (series, paths, steps), log changes; what is unchanged stays so.
    mean : (series, steps), of the change over the price now.
    """
    is_changed = paths != 0
    n_changed = is_changed.sum(axis=1)
    factor = np.exp(paths)
    total = np.where(is_changed, factor, 0.0).sum(axis=1)
    wanted = total + paths.shape[1] * (mean - (factor - 1.0).mean(axis=1))
    is_possible = (n_changed > 0) & (wanted > 0)
    shift = np.log(np.where(is_possible, wanted, 1.0) / np.where(is_possible, total, 1.0))
    return np.where(is_changed, paths + shift[:, None], 0.0)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What came of simulated paths of a list from past origins.

    Attributes
    ----------
    origins : increasing cells.
    steps : cells ahead, increasing.
    held : (origins, steps, ``PACES``, ``INTERVALS``), as ``clock.paces`` takes it.
    followed, drifted : (origins, steps), sums over series of mean times change, of mean squared.
    """

    origins: np.ndarray
    steps: np.ndarray
    held: np.ndarray
    followed: np.ndarray
    drifted: np.ndarray

    @classmethod
    def of(cls, simulator: ListSimulator, origins: np.ndarray, steps: np.ndarray) -> Outcomes:
        prices = simulator.prices
        every = np.arange(len(prices.group_of))
        held = np.full((len(origins), len(steps), len(PACES), len(INTERVALS)), np.nan)
        followed = np.zeros((2, len(origins), len(steps)))
        by_pace = [steps_at(pace, steps, CALIBRATION_PATHS) for pace in PACES]
        ahead = np.concatenate(by_pace, axis=1) - 1
        for i, origin in enumerate(progress(origins, "calibrate lists", unit="origin")):
            came = prices.came(int(origin), steps)
            heard = np.flatnonzero(np.isfinite(came).any(axis=1))
            if not len(heard):
                continue
            came = came[heard]
            drawn = simulator.paths(
                int(origin), n_paths=CALIBRATION_PATHS, only=every, ahead=ahead
            )[prices.place_of[heard]]
            drawn = drawn.reshape(*drawn.shape[:2], len(PACES), len(steps))
            inside = share_inside(drawn, np.repeat(came[:, None], len(PACES), axis=1))
            is_known = np.isfinite(came).any(axis=0)
            held[i, is_known] = np.nanmean(inside[..., is_known], axis=1).T
            mean = np.where(np.isfinite(came), np.expm1(drawn[:, :, 0]).mean(axis=1), 0.0)
            change = np.expm1(np.nan_to_num(came))
            followed[:, i] = (mean * change).sum(axis=0), (mean**2).sum(axis=0)
        return cls(origins, steps, held, *followed)

    @classmethod
    def joined(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """Return the outcomes of all origins from those of parts of them, in whatever order."""
        origins = np.concatenate([part.origins for part in parts])
        order = np.argsort(origins)
        by_origin = [
            np.concatenate([getattr(part, name) for part in parts])[order]
            for name in ("held", "followed", "drifted")
        ]
        return cls(origins[order], parts[0].steps, *by_origin)

    def weights(self, at: np.ndarray) -> OutcomeWeights:
        """Return what these outcomes count at some cells."""
        is_known = np.isfinite(self.held[:, :, 0, 0])
        return OutcomeWeights.of(self.origins, self.steps, is_known, at)

    def drift_trust(self, weights: OutcomeWeights) -> np.ndarray:
        """The slope (cells, steps) by which changes had followed simulated means, 0 to 1."""
        followed = (weights.count * self.followed).sum(axis=1)
        drifted = (weights.count * self.drifted).sum(axis=1)
        doubt = 1 + DOUBT_WINDOWS / np.maximum(weights.windows, 1e-9)
        return np.clip(followed / np.maximum(drifted * doubt, 1e-12), 0.0, 1.0)
