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
from typing import NamedTuple

import numpy as np

from cloudarb_lib.forecast.features import CAP_LOG, STEP_LOG, last_step
from cloudarb_lib.forecast.repricing import LONG_STEPS, repricings_since_alarm, repricings_so_far
from cloudarb_lib.forecast.task import Task

BLOCK_CELLS = 6
"""Mean length of a block, in cells of a list or days of a market.

About one cycle of repricing of weekly prices (42 days in 2025).
"""
HALF_LIFE_CELLS = 26.0
"""Age at which a cell, and an outcome in calibration, counts half: list cells or market days."""
HALF_LIFE_REPRICINGS = 3.0
"""The same for the past cells of a list, counted in repricing events: they are its clock."""
TREND_SHARE = 0.75
"""Share of paths of a list in which all steps of a series go one way.

Prices are moved to their targets in several repricing events, and whether a trend goes on or turns
is not known.
"""
OWN_SHARE = 0.5
"""Share of blocks in which a series repeats its own past, not that of another of its group.

What has not yet happened to one machine has happened to another of its kind. Market prices, seen by
the hour, have enough of a past of their own, and calm ones stand beside wild ones.
"""
CALMEST = 0.02
"""Least share of its usual size to which a market's next step shrinks."""
MAX_CHANGE_LOG = 1.5
"""No forecast of a list goes beyond a price 4.5 times as high, or as low."""


def price_limits(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return how far a price may fall and rise from an origin, each (origins, series), log changes.

    On a list ``MAX_CHANGE_LOG``, on a market a capped step beyond where it has been: only auctions
    and outages return to their extremes.
    """
    now = task.log_price[task.origins]
    if not task.is_market:
        return np.full(now.shape, -MAX_CHANGE_LOG), np.full(now.shape, MAX_CHANGE_LOG)
    cells = task.origins
    starts = np.concatenate([[0], cells[:-1] + 1])  # of the cells between one origin and the next
    past = task.log_price[: cells[-1] + 1]
    lowest = np.fmin.accumulate(np.fmin.reduceat(past, starts))
    highest = np.fmax.accumulate(np.fmax.reduceat(past, starts))
    return np.nan_to_num(lowest - now) - CAP_LOG, np.nan_to_num(highest - now) + CAP_LOG


@dataclass(frozen=True, eq=False)
class RepricingClock:
    """The clock of a list by each cell (times,).

    Attributes
    ----------
    count : how many repricing events it has had.
    since_alarm : how many since an alarm that prices move more than they used to; inf without one.
    """

    count: np.ndarray
    since_alarm: np.ndarray


@dataclass(frozen=True, eq=False)
class PathSource:
    """What the sample paths of a task are drawn from.

    Attributes
    ----------
    step : (times, series), as from ``fill_unknown_steps``.
    limits : as from ``price_limits``.
    clock : of a list, None on a market.
    """

    step: np.ndarray
    limits: tuple[np.ndarray, np.ndarray]
    clock: RepricingClock | None

    @classmethod
    def of(cls, task: Task) -> PathSource:
        """Return what the paths of a task are drawn from."""
        clock = None
        if not task.is_market:
            clock = RepricingClock(repricings_so_far(task), repricings_since_alarm(task))
        step = fill_unknown_steps(task.price_steps, task.log_price, task.groups)
        return cls(step, price_limits(task), clock)

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


class DrawnCells(NamedTuple):
    """Past cells that paths repeat, each (paths, steps).

    Attributes
    ----------
    cell : position; 0, which holds no step, where there is no past.
    neighbour : by how many series of its group a series looks aside; 0: its own past.
    scale : by which the step is multiplied.
    """

    cell: np.ndarray
    neighbour: np.ndarray
    scale: np.ndarray


def draw_cells(
    at: int,
    *,
    n_paths: int,
    horizon: int,
    seed: int,
    cells_per_day: int = 1,
    clock: RepricingClock | None = None,
) -> DrawnCells:
    """Draw past cells up to ``at``.

    With a ``clock`` cells age by repricing events. The size of moves after an alarm is known from
    the last n events, that of the alarm included: moves more than ``LONG_STEPS`` ahead have in each
    path a scale of its own, so that a normal move becomes Student's t with n degrees of freedom.
    """
    rng = np.random.default_rng([seed, at])
    shape = (n_paths, horizon)
    scale = np.ones(shape)
    if at < 1:
        return DrawnCells(np.zeros(shape, int), np.zeros(shape, int), scale)
    pool = np.arange(1, at + 1)
    age = (at - pool) / HALF_LIFE_CELLS / cells_per_day
    if clock is not None:
        age = (clock.count[at] - clock.count[pool]) / HALF_LIFE_REPRICINGS
        freedom = clock.since_alarm[at] + 1
        if np.isfinite(freedom):
            unsure = np.random.default_rng([seed, at, 1]).chisquare(freedom, (n_paths, 1))
            scale[:, LONG_STEPS:] = np.sqrt(freedom / unsure)
    weight = 0.5**age
    cell = rng.choice(pool, shape, p=weight / weight.sum())
    own = OWN_SHARE if cells_per_day == 1 else 1.0
    neighbour = np.where(rng.random(shape) < own, 0, rng.integers(1, 1 << 20, shape))
    is_fresh = rng.random(shape) < 1.0 / (BLOCK_CELLS * cells_per_day)
    for step in range(1, horizon):
        goes_on = ~is_fresh[:, step] & (cell[:, step - 1] < at)
        cell[:, step] = np.where(goes_on, cell[:, step - 1] + 1, cell[:, step])
        neighbour[:, step] = np.where(goes_on, neighbour[:, step - 1], neighbour[:, step])
    return DrawnCells(cell, neighbour, scale)


def draw_directions(
    step: np.ndarray, groups: np.ndarray, only: np.ndarray, *, n_paths: int, seed: int
) -> np.ndarray:
    """Draw which way all steps of a series go: that of its last step, or the other.

    Alike for all of a group.

    Parameters
    ----------
    step : (cells so far, series)
    only : positions of the series asked.

    Returns
    -------
    (series, paths), 1 or -1; 0 where each step goes its own way.
    """
    rng = np.random.default_rng([seed, len(step)])
    is_trend = rng.random(n_paths) < TREND_SHARE
    goes_on = rng.choice([-1.0, 1.0], (groups.max() + 1, n_paths))[groups[only]]
    size = last_step(step[:, only], first_cell=len(step) - 1).size[0]
    last = np.nan_to_num(np.sign(size), nan=1.0)
    return np.where(is_trend, goes_on * last[:, None], 0.0)


def draw_paths(
    step: np.ndarray,
    groups: np.ndarray,
    only: np.ndarray,
    drawn: DrawnCells,
    directions: np.ndarray | None = None,
    ahead: np.ndarray | slice = slice(None),
) -> np.ndarray:
    """Return the log changes that drawn cells give.

    Parameters
    ----------
    step : (times, series)
    only : positions of the series asked.
    directions : as from ``draw_directions``, if any; a step that is turned about is no larger than
        ``CAP_LOG``.
    ahead : positions of the steps asked, all without it.

    Returns
    -------
    (series, paths, steps)
    """
    n_paths, horizon = drawn.cell.shape
    order = np.argsort(groups, kind="stable")  # the series of a group side by side
    first = np.searchsorted(groups[order], groups[only])
    place = np.argsort(order)[only] - first
    n_in_group = np.bincount(groups)[groups[only]]
    asked = np.arange(horizon)[ahead]
    all_own = not drawn.neighbour.any()
    if all_own and not np.array_equal(only, np.arange(step.shape[1])):
        step = step[:, only]
    total = np.zeros((n_paths, len(only)))
    out = np.empty((len(only), len(asked), n_paths))  # paths side by side: they are sorted later
    for k in range(asked.max(initial=-1) + 1):
        if all_own:
            change = step[drawn.cell[:, k]]
        else:
            series = order[first + (place + drawn.neighbour[:, k, None]) % n_in_group]
            change = step.take(drawn.cell[:, k, None] * step.shape[1] + series)
        if directions is not None:
            change = _turned(change, directions.T)
        change *= drawn.scale[:, k, None]
        total += change
        out[:, asked == k] = total.T[:, None]
    return out.transpose(0, 2, 1)


def _turned(change: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Steps that go the direction, where there is one."""
    is_turned = np.sign(change) * direction < 0
    size = np.abs(change)
    # a price cut to a third shows no rise to three times
    size = np.where(is_turned, np.minimum(size, CAP_LOG), size)
    return np.where(direction != 0, size * direction, change)


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


def median_over_paths(paths: np.ndarray) -> np.ndarray:
    """Return the median (series, steps): a sort is many times as fast as ``np.median``."""
    n = paths.shape[1]
    ranked = np.sort(paths, axis=1)
    return (ranked[:, (n - 1) // 2] + ranked[:, n // 2]) / 2


def recentre(paths: np.ndarray, point: np.ndarray, *, lists: bool = True) -> np.ndarray:
    """Return paths whose changed part is moved so that the median lies at ``point``.

    Where ``point`` is a step, its median comes there, and so many of the unchanged paths as the
    median of all needs: the first ones, the same in every series, so that what moves together still
    does. Without ``lists`` only where most paths are unchanged: else a market's stay so, and hold
    the median back a little.

    Parameters
    ----------
    paths : (series, paths, steps)
    point : (series, steps)
    """
    is_still = paths == 0
    centre = median_over_paths(paths)
    n = paths.shape[1]
    n_moved = n - is_still.sum(axis=1)
    holds_back = (2 * n_moved <= n) | (lists & (n_moved < n))
    is_step = holds_back & (np.abs(point) >= STEP_LOG)
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
    *,
    n_paths: int,
    only: np.ndarray,
    ahead: np.ndarray | slice = slice(None),
) -> np.ndarray:
    """Return paths from an origin, their median at ``point``, not yet calibrated.

    Parameters
    ----------
    origin : which of the task's origins.
    point : (series, steps), of those asked.
    only, ahead : positions of the series, and of the steps, asked.

    Returns
    -------
    (series, paths, steps), log changes.
    """
    at = int(task.origins[origin])
    step = source.step[: at + 1]
    directions = None
    if not task.is_market:
        directions = draw_directions(step, task.groups, only, n_paths=n_paths, seed=task.seed)
    drawn = draw_cells(
        at,
        n_paths=n_paths,
        horizon=task.horizon,
        seed=task.seed,
        cells_per_day=task.cells_per_day,
        clock=source.clock,
    )
    paths = draw_paths(source.step, task.groups, only, drawn, directions, ahead)
    if task.is_market:
        factor = calm_factor(step[:, only], cells_per_day=task.cells_per_day, horizon=task.horizon)
        paths *= factor[:, None, ahead]
    low, high = source.limits_at(origin, only)
    paths = np.clip(paths, low, high, out=paths)
    return recentre(paths, point, lists=not task.is_market)
