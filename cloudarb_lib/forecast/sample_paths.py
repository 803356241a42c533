"""Joint sample paths of log changes, drawn from the past.

A path is a sequence of past cells (stationary bootstrap), the newest most often. All series take
their steps from the same cells, so shocks stay shared and "unchanged" exactly so.

References
----------
Politis and Romano, Journal of the American Statistical Association 89, 1994.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from cloudarb_lib.forecast.features import CAP_LOG, STEP_LOG
from cloudarb_lib.forecast.task import Task

BLOCK_DAYS = 6  # mean length of a block; cells where those are longer than a day
HALF_LIFE_DAYS = 26.0
"""Age at which a cell, and an outcome in calibration, counts half; cells where those are longer."""
CALMEST = 0.02
"""Least share of its usual size to which a market's next step shrinks."""


def price_limits(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return how far a price may fall and rise from an origin, each (origins, series), log changes.

    A capped step beyond where it has been: only auctions and outages return to their extremes.
    """
    now = task.log_price[task.origins]
    cells = task.origins
    starts = np.concatenate([[0], cells[:-1] + 1])  # of the cells between one origin and the next
    past = task.log_price[: cells[-1] + 1]
    lowest = np.fmin.accumulate(np.fmin.reduceat(past, starts))
    highest = np.fmax.accumulate(np.fmax.reduceat(past, starts))
    return np.nan_to_num(lowest - now) - CAP_LOG, np.nan_to_num(highest - now) + CAP_LOG


@dataclass(frozen=True, eq=False)
class PathSource:
    """What the sample paths of a task are drawn from.

    Attributes
    ----------
    step : (times, series), as from ``fill_unknown_steps``.
    limits : as from ``price_limits``.
    """

    step: np.ndarray
    limits: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, task: Task) -> PathSource:
        """Return what the paths of a task are drawn from."""
        step = fill_unknown_steps(task.price_steps, task.log_price, task.groups)
        return cls(step, price_limits(task))

    def limits_at(self, origin: int, only: np.ndarray) -> list[np.ndarray]:
        """Return least and most log change of the series ``only``, each (series, 1, 1)."""
        return [limit[origin, only, None, None] for limit in self.limits]


def fill_unknown_steps(step: np.ndarray, log_price: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return ``step`` (times, series), those not known taken from a neighbour of the group."""
    is_known = np.isfinite(log_price)
    if is_known.all():
        return step
    out = step.copy()
    is_known[1:] &= is_known[:-1].copy()
    for group in np.unique(groups):
        block = np.flatnonzero(groups == group)
        known = is_known[:, block]
        for cell in np.flatnonzero(~known.all(axis=1) & known.any(axis=1)):
            have = block[known[cell]]
            lack = block[~known[cell]]
            out[cell, lack] = out[cell, have[np.arange(len(lack)) % len(have)]]
    return out


def draw_cells(
    at: int, *, n_paths: int, horizon: int, seed: int, cells_per_day: int = 1
) -> np.ndarray:
    """Draw past cells up to ``at``, which paths repeat.

    Returns
    -------
    (paths, steps), positions; 0, which holds no step, where there is no past.
    """
    rng = np.random.default_rng([seed, at])
    shape = (n_paths, horizon)
    if at < 1:
        return np.zeros(shape, int)
    pool = np.arange(1, at + 1)
    weight = 0.5 ** ((at - pool) / HALF_LIFE_DAYS / cells_per_day)
    cell = rng.choice(pool, shape, p=weight / weight.sum())
    is_fresh = rng.random(shape) < 1.0 / (BLOCK_DAYS * cells_per_day)
    for step in range(1, horizon):
        goes_on = ~is_fresh[:, step] & (cell[:, step - 1] < at)
        cell[:, step] = np.where(goes_on, cell[:, step - 1] + 1, cell[:, step])
    return cell


def draw_paths(
    step: np.ndarray, only: np.ndarray, cell: np.ndarray, ahead: np.ndarray
) -> np.ndarray:
    """Return the log changes that drawn cells give.

    Parameters
    ----------
    step : (times, series)
    only : positions of the series asked.
    cell : (paths, steps), as from ``draw_cells``.
    ahead : positions of the steps asked.

    Returns
    -------
    (series, paths, steps)
    """
    if not np.array_equal(only, np.arange(step.shape[1])):
        step = step[:, only]
    n_paths = len(cell)
    total = np.zeros((n_paths, len(only)))
    out = np.empty((len(only), len(ahead), n_paths))  # paths side by side: they are sorted later
    for k in range(ahead.max(initial=-1) + 1):
        total += step[cell[:, k]]
        out[:, ahead == k] = total.T[:, None]
    return out.transpose(0, 2, 1)


def calm_factor(step: np.ndarray, *, cells_per_day: int, horizon: int) -> np.ndarray:
    """Return by how much the moves drawn from a market's past shrink in a calm hour.

    The mean size of the newest steps over that of all, 1 at most; what is calm now is no longer so
    a day later: the factor returns to 1 by half every half day.

    Parameters
    ----------
    step : (cells so far, series)

    Returns
    -------
    (series, steps ahead)
    """
    size = np.abs(step)
    newest = size[-max(cells_per_day // 4, 1) :].mean(axis=0)
    ratio = np.clip(newest / np.maximum(size.mean(axis=0), 1e-12), CALMEST, 1.0)
    return ratio[:, None] ** 0.5 ** (np.arange(horizon) / (cells_per_day / 2))


def calm_at(
    task: Task, source: PathSource, origin: int, *, only: np.ndarray, ahead: np.ndarray
) -> np.ndarray:
    """Return ``calm_factor`` (series, steps) at an origin, of the series and steps asked."""
    so_far = source.step[: int(task.origins[origin]) + 1, only]
    factor = calm_factor(so_far, cells_per_day=task.cells_per_day, horizon=task.horizon)
    return factor[:, ahead]


def median_over_paths(paths: np.ndarray) -> np.ndarray:
    """Return the median (series, steps): a sort is many times as fast as ``np.median``."""
    n = paths.shape[1]
    ranked = np.sort(paths, axis=1)
    return (ranked[:, (n - 1) // 2] + ranked[:, n // 2]) / 2


def recentre(paths: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Return paths whose changed part is moved so that the median lies at ``point``.

    Where ``point`` is a step and most paths are unchanged, its median comes there, and so many of
    the unchanged paths as the median of all needs: the first ones, the same in every series, so
    that what moves together still does. Elsewhere unchanged paths stay so, and hold the median back
    a little.

    Parameters
    ----------
    paths : (series, paths, steps)
    point : (series, steps)
    """
    is_still = paths == 0
    centre = median_over_paths(paths)
    n = paths.shape[1]
    n_moved = n - is_still.sum(axis=1)
    is_step = (2 * n_moved <= n) & (np.abs(point) >= STEP_LOG)
    at_step = np.nonzero(is_step)
    still_there = is_still.transpose(0, 2, 1)[at_step]
    changed = np.where(still_there, np.nan, paths.transpose(0, 2, 1)[at_step])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no path changed
        centre[at_step] = np.nan_to_num(np.nanmedian(changed, axis=1))
    shift = point - centre
    n_needed = np.where(is_step, (n - n_moved) // 2 + 1, 0)
    takes_step = is_still & (np.cumsum(is_still, axis=1) <= n_needed[:, None])
    moved = np.where(is_still, 0.0, paths + shift[:, None])
    return np.where(takes_step, point[:, None], moved)


def simulate_paths(
    task: Task,
    source: PathSource,
    origin: int,
    point: np.ndarray,
    calm: np.ndarray,
    *,
    n_paths: int,
    only: np.ndarray,
    ahead: np.ndarray,
) -> np.ndarray:
    """Return paths from an origin, their median at ``point``, not yet calibrated.

    Parameters
    ----------
    origin : which of the task's origins.
    point : (series, steps), of those asked.
    calm : (series, steps), as from ``calm_at``.
    only, ahead : positions of the series, and of the steps, asked.

    Returns
    -------
    (series, paths, steps), log changes.
    """
    at = int(task.origins[origin])
    drawn = draw_cells(
        at, n_paths=n_paths, horizon=task.horizon, seed=task.seed, cells_per_day=task.cells_per_day
    )
    paths = draw_paths(source.step, only, drawn, ahead)
    paths *= calm[:, None]
    low, high = source.limits_at(origin, only)
    return recentre(np.clip(paths, low, high, out=paths), point)
