"""Rolling-origin forecasts of list prices: the simulator's paths, calibrated by past outcomes.

Two things are learned, by step ahead, from the outcomes known at each origin. How wide: paths that
held too little are widened (``conformal``). How far to trust the drift: the mean that is handed
over is the last price and a share of the simulated mean change, the slope by which past changes
followed past means; where nothing shows that they did, it is the last price.

References
----------
Mincer and Zarnowitz, The evaluation of economic forecasts, 1969.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cloudarb_lib.base.progress import progress
from cloudarb_lib.forecast import conformal
from cloudarb_lib.forecast.lists.book import price_lists
from cloudarb_lib.forecast.lists.simulator import ListSimulator
from cloudarb_lib.forecast.patterns import Patterns
from cloudarb_lib.forecast.weights import discount_by_age, own_share

CALIBRATED_STEPS = np.array([1, 2, 4, 8, 13, 26])
"""Steps ahead whose widths are learned; those between take a part of both neighbours', those beyond
the last that of the last: nothing on record judges them."""
CALIBRATION_CELLS = 104
"""Cells before an origin from which both are learned."""
CALIBRATION_PATHS = 128
WIDTH_HALF_LIFE_CELLS = 26.0
DRIFT_HALF_LIFE_CELLS = 52.0
"""Ages at which an outcome counts half for widths, and for the trust in drift."""
DRIFT_DOUBT_WINDOWS = 4.0
"""Outcomes that share no time, of usual size, which are taken to have shown no drift."""


@dataclass(frozen=True, eq=False)
class CalibratedList:
    """A list's simulator, and the widths and the trust in drift that stood at each origin.

    Attributes
    ----------
    steps : the steps ahead of which these are known, increasing.
    widths : (origins, steps, ``NATS``), as from ``conformal.width_maps``.
    drift_trust : (origins, steps), the share of the simulated mean change that is handed over.
    """

    simulator: ListSimulator
    steps: np.ndarray
    widths: np.ndarray
    drift_trust: np.ndarray

    @classmethod
    def of(
        cls, simulator: ListSimulator, origins: np.ndarray, outcomes: Outcomes
    ) -> CalibratedList:
        """Return the list as it stood at each of ``origins``, by outcomes of cells before."""
        widths = outcomes.widths(origins)
        return cls(simulator, outcomes.steps, widths, outcomes.drift_trust(origins))

    def paths(
        self, at: int, cell: int, *, n_paths: int, horizon: int, only: np.ndarray, ahead: np.ndarray
    ) -> np.ndarray:
        """Return calibrated log changes (series, paths, steps asked) from an origin.

        Parameters
        ----------
        at, cell : which of the origins, and its cell.
        only : positions among the series of the list.
        """
        prices = self.simulator.prices
        places, row = np.unique(prices.place_of[only], return_inverse=True)
        draw = self.simulator.paths
        drawn = draw(cell, n_paths=n_paths, horizon=horizon, only=places, ahead=ahead)
        widths = _between(self.widths[at], self.steps, ahead + 1)
        trust = _between(self.drift_trust[at][:, None], self.steps, ahead + 1)[:, 0]
        wide = conformal.calibrate(drawn, widths[None], np.zeros(len(places), int))
        return with_mean(wide, trust * np.expm1(drawn).mean(axis=1))[row]


@dataclass(frozen=True, eq=False)
class RollingLists:
    """Forecasts of list prices at every origin as they could have been made there.

    Attributes
    ----------
    patterns : series of any number of lists.
    origins : increasing cells.
    """

    patterns: Patterns
    origins: np.ndarray
    horizon: int
    lists: tuple[CalibratedList, ...]

    def first(self, n_origins: int) -> RollingLists:
        """Return the forecasts at the first origins."""
        lists = tuple(
            replace(each, widths=each.widths[:n_origins], drift_trust=each.drift_trust[:n_origins])
            for each in self.lists
        )
        return replace(self, origins=self.origins[:n_origins], lists=lists)

    def paths(
        self,
        origin: int,
        *,
        n_paths: int,
        only: np.ndarray,
        ahead: np.ndarray | slice = slice(None),
    ) -> np.ndarray:
        """Return sample paths (series, paths, steps) of log changes; as of ``RollingForecasts``."""
        at = range(len(self.origins))[origin]
        steps = np.arange(self.horizon)[ahead]
        out = np.zeros((len(only), n_paths, len(steps)))
        for each in self.lists:
            position = np.full(len(self.patterns.groups), -1)
            series = each.simulator.prices.series
            position[series] = np.arange(len(series))
            mine = np.flatnonzero(position[only] >= 0)
            if len(mine):
                out[mine] = each.paths(
                    at,
                    int(self.origins[at]),
                    n_paths=n_paths,
                    horizon=self.horizon,
                    only=position[only[mine]],
                    ahead=steps,
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
    return RollingLists(patterns, origins, horizon, tuple(lists))


def learned_cells(origins: np.ndarray) -> np.ndarray:
    """Return the cells whose outcomes widths and trust in drift at ``origins`` are learned from."""
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
    counts : (origins, 1, steps, bins), outcomes by the width of paths that just holds them.
    followed, drifted : (origins, steps), sums over series of mean times change, of mean squared.
    """

    origins: np.ndarray
    steps: np.ndarray
    counts: np.ndarray
    followed: np.ndarray
    drifted: np.ndarray

    @classmethod
    def of(cls, simulator: ListSimulator, origins: np.ndarray, steps: np.ndarray) -> Outcomes:
        prices = simulator.prices
        every = np.arange(len(prices.group_of))
        counts = np.zeros((len(origins), 1, len(steps), len(conformal.NATS) - 1))
        followed = np.zeros((2, len(origins), len(steps)))
        longest = int(steps[-1])
        for i, origin in enumerate(progress(origins, "calibrate lists", unit="origin")):
            came = prices.came(int(origin), steps)
            heard = np.flatnonzero(np.isfinite(came).any(axis=1))
            if not len(heard):
                continue
            drawn = simulator.paths(
                int(origin), n_paths=CALIBRATION_PATHS, horizon=longest, only=every, ahead=steps - 1
            )[prices.place_of[heard]]
            rng = np.random.default_rng([simulator.seed, int(origin)])
            needed = conformal.needed_width(drawn, came[heard], rng=rng)
            counts[i] = conformal.count_widths(needed[None], np.zeros(len(heard), int))[0]
            mean = np.where(np.isfinite(came[heard]), np.expm1(drawn).mean(axis=1), 0.0)
            change = np.expm1(np.nan_to_num(came[heard]))
            followed[:, i] = (mean * change).sum(axis=0), (mean**2).sum(axis=0)
        return cls(origins, steps, counts, *followed)

    @classmethod
    def joined(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """Return the outcomes of all origins from those of parts of them, in whatever order."""
        origins = np.concatenate([part.origins for part in parts])
        order = np.argsort(origins)
        by_origin = [
            np.concatenate([getattr(part, name) for part in parts])[order]
            for name in ("counts", "followed", "drifted")
        ]
        return cls(origins[order], parts[0].steps, *by_origin)

    def widths(self, at: np.ndarray) -> np.ndarray:
        """Widths (cells, steps, ``NATS``) that stood at some cells; none is narrower than drawn."""
        if not len(self.origins):
            return np.broadcast_to(conformal.NATS, (len(at), len(self.steps), len(conformal.NATS)))
        counts = self._weights(at, WIDTH_HALF_LIFE_CELLS)
        own = self._own()
        maps = [conformal.width_maps(self.counts, each, own)[0] for each in counts]
        return np.maximum(maps, conformal.NATS)

    def drift_trust(self, at: np.ndarray) -> np.ndarray:
        """The slope (cells, steps) by which changes had followed simulated means, 0 to 1."""
        if not len(self.origins):
            return np.zeros((len(at), len(self.steps)))
        counts = self._weights(at, DRIFT_HALF_LIFE_CELLS)
        heard = self.counts.any(axis=(1, 3))
        windows = (counts * (self._own() * heard)).sum(axis=1)
        followed = (counts * self.followed).sum(axis=1)
        drifted = (counts * self.drifted).sum(axis=1)
        doubt = 1 + DRIFT_DOUBT_WINDOWS / np.maximum(windows, 1e-9)
        return np.clip(followed / np.maximum(drifted * doubt, 1e-12), 0.0, 1.0)

    def _weights(self, at: np.ndarray, half_life: float) -> np.ndarray:
        """What each outcome counts at some cells (cells, origins, steps), 0 before it is known."""
        weight = discount_by_age(at, self.origins, int(self.steps[-1]), half_life)
        is_recent = self.origins >= at[:, None] - CALIBRATION_CELLS
        return (weight[self.steps - 1] * is_recent).transpose(1, 2, 0)

    def _own(self) -> np.ndarray:
        """The share of its time that is an outcome's own (origins, steps)."""
        return own_share(self.origins, int(self.steps[-1]))[:, self.steps - 1]


def _between(widths: np.ndarray, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Widths (steps asked, ``NATS``) from those of the steps ``known``."""
    right = np.clip(np.searchsorted(known, asked), 0, len(known) - 1)
    left = np.maximum(right - 1, 0)
    gap = np.maximum(known[right] - known[left], 1)
    share = np.clip((asked - known[left]) / gap, 0.0, 1.0)[:, None]
    return widths[left] + share * (widths[right] - widths[left])
