"""Joint prices from history alone: the simple simulators beside the forecast's own paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.risk.correlation import correlation
from cloudarb_lib.risk.returns import STILL, complete_steps, enough

DRAWS = ("random", "antithetic", "sobol")
BLOCK = 2048
"""Paths drawn at once, a power of two as Sobol points want it; 100 offers are 0.8 MB, which caches
hold."""
SIMULATORS = ("historical", "normal")
"""Ways to draw the mean price over a horizon from history, for ``draw_costs``."""
N_DRAWS = 2000


class Normal(NamedTuple):
    """Correlated normal log changes of one step, float32, and how they were fitted.

    ``mean`` is (offers, 1), ``factor`` the Cholesky factor (offers, offers).
    """

    mean: np.ndarray
    factor: np.ndarray
    note: str


def fit_normal(returns: np.ndarray) -> Normal:
    """Return the normal with the mean, spread and shrunk correlation of returns.

    Parameters
    ----------
    returns : np.ndarray of shape (steps, offers)
        As for ``complete_steps``.

    Returns
    -------
    Normal
        The note says what was shrunk, repaired and left out, and how many series stand still in
        most steps, where a normal moves them all the same.

    Raises
    ------
    DataError
        As ``complete_steps``.
    """
    complete, _ = complete_steps(returns)
    spread = complete.std(axis=0)
    joint = correlation(returns)
    note = joint.note
    stands_still = (complete != 0).mean(axis=0) <= 0.5
    if invented := int((stands_still & (spread >= STILL)).sum()):
        note += (
            f"; {invented} of {len(spread)} series stand still in most steps,"
            " where a normal moves them"
        )
    factor = np.linalg.cholesky(joint.matrix) * spread[:, None]
    mean = complete.mean(axis=0)[:, None]
    return Normal(mean.astype(np.float32), factor.astype(np.float32), note)


def draw_normal(
    normal: Normal, *, n_paths: int = 10_000, steps: int = 1, draws: str = "random", seed: int
) -> Iterator[np.ndarray]:
    """Yield log changes in blocks, so that millions need no room.

    The same seed gives the same paths, and fewer paths are the first of more. Standard errors that
    take paths for independent are cautious for antithetic and Sobol draws.

    Parameters
    ----------
    normal : Normal
        As of ``fit_normal``.
    n_paths, steps : int
        1 or more.
    draws : str
        One of ``DRAWS``. antithetic: each draw comes with its mirror image; sobol: scrambled
        quasi-random points (Owen, as scipy has them).
    seed : int
        Of the draws.

    Yields
    ------
    np.ndarray of shape (offers, paths of the block, steps)
        float32.

    Raises
    ------
    ParameterError
        For no path or step, or an unknown way.
    """
    if n_paths < 1 or steps < 1 or draws not in DRAWS:
        raise ParameterError(
            f"{n_paths} paths of {steps} steps by {draws!r} draws.",
            f"Ask for 1 or more, by one of {DRAWS}.",
        )
    k = len(normal.factor)
    rng = np.random.default_rng(seed)
    if draws == "sobol":
        from scipy.special import ndtri
        from scipy.stats.qmc import Sobol

        points = Sobol(k * steps, rng=rng)
    for first in range(0, n_paths, BLOCK):
        if draws == "sobol":
            # 0 and 1 are no quantiles of a normal
            uniform = np.clip(points.random(BLOCK).astype(np.float32), 1e-7, 1.0 - 1e-7)
            z = ndtri(uniform).reshape(BLOCK, k, steps).transpose(1, 0, 2)
        elif draws == "antithetic":
            half = rng.standard_normal((k, BLOCK // 2, steps), dtype=np.float32)
            z = np.concatenate([half, -half], axis=1)
        else:
            z = rng.standard_normal((k, BLOCK, steps), dtype=np.float32)
        z = z[:, : n_paths - first]
        flat = normal.factor @ z.reshape(k, -1)
        flat += normal.mean
        yield flat.reshape(z.shape)


def simulate_paths(
    panel: Panel, *, horizon_steps: int, n_paths: int = 10_000, model: str = "normal", seed: int
) -> tuple[Paths, str]:
    """Return joint price paths from the last prices of a panel, and how they were made.

    Parameters
    ----------
    panel : Panel
        Prices.
    horizon_steps, n_paths : int
        1 or more.
    model : str
        'normal': as of ``fit_normal``, independent from step to step. 'historical': each path
        repeats as many past steps in a row, all offers together, so that a common repricing event
        stays common and two events keep their distance; a step not known is none.
    seed : int
        Of the draws.

    Returns
    -------
    tuple[Paths, str]
        Prices in float32, and a note in words.

    Raises
    ------
    ParameterError
        For no path, no step or an unknown model.
    DataError
        For an offer without a price in the last cell, and for fewer than 12 steps, or 12 windows of
        the horizon.
    """
    if model not in ("normal", "historical") or horizon_steps < 1 or n_paths < 1:
        raise ParameterError(
            f"{n_paths} paths by model {model!r} over {horizon_steps!r} steps.", "Give 1 or more."
        )
    priced = np.isfinite(panel.price) & (panel.price > 0)
    if not priced[-1:].all():
        unpriced = panel.offers.index[int(priced[-1].argmin())]
        raise DataError(
            f"{unpriced} has no price at {panel.times[-1]:%Y-%m-%d %H:%M}.", "Leave it out."
        )
    returns = np.diff(np.log(np.where(priced, panel.price, np.nan)), axis=0)
    if model == "normal":
        fitted = fit_normal(returns)
        note = fitted.note
        drawn = draw_normal(fitted, n_paths=n_paths, steps=horizon_steps, seed=seed)
        values = np.concatenate(list(drawn), axis=1)
    else:
        count = enough(len(returns) - horizon_steps + 1, f"past windows of {horizon_steps} cells")
        starts = np.random.default_rng(seed).integers(0, count, n_paths)
        steps = starts[:, None] + np.arange(horizon_steps)
        changes = np.nan_to_num(returns).astype(np.float32)
        values = np.ascontiguousarray(changes[steps].transpose(2, 0, 1))
        note = f"{count} past windows of {horizon_steps} steps"
    last_price = panel.price[-1].astype(np.float32)
    for offer, now in zip(values, last_price, strict=True):  # as much as a cache holds
        np.exp(np.cumsum(offer, axis=1, out=offer), out=offer)
        offer *= now
    times = panel.times[-1] + panel.step * np.arange(1, horizon_steps + 1)
    return Paths(panel.offers.index, pd.DatetimeIndex(times), values), note


class _PastWindows(NamedTuple):
    """Past windows of a horizon: log mean price of each, log price before it, and log price now."""

    mean: np.ndarray
    before: np.ndarray
    now: np.ndarray


def _past_windows(now: np.ndarray, mean: np.ndarray, horizon: int) -> _PastWindows:
    """Return the windows of a horizon, apart where there are 30, else overlapping.

    ``now`` is without gaps; windows are (windows, offers), the price now (offers,).
    """
    last = len(now)
    stride = horizon if (last - 1) // horizon >= 30 else 1
    starts = np.arange(last - horizon, 0, -stride)[::-1]
    enough(len(starts), f"past windows of {horizon} cells")
    total = np.vstack([np.zeros(mean.shape[1]), np.cumsum(mean, axis=0)])
    window_mean = np.log((total[starts + horizon] - total[starts]) / horizon)
    return _PastWindows(window_mean, np.log(now[starts - 1]), np.log(now[-1]))


def draw_costs(
    now: np.ndarray, mean: np.ndarray, horizon: int, *, model: str, seed: int
) -> np.ndarray:
    """Return samples of the mean price over the next cells, USD per hour.

    Windows do not overlap where there are 30, else they do.

    Parameters
    ----------
    now, mean : np.ndarray of shape (cells, offers)
        The price at the end of each past cell and its mean over it; where one is not known the
        price counts as unchanged.
    horizon : int
        Cells ahead, 1 or more.
    model : str
        One of ``SIMULATORS``. historical: the log changes of all past windows of the horizon alike,
        each drawn whole, all offers together. normal: ``fit_normal`` of them.
    seed : int
        Of the draws.

    Returns
    -------
    np.ndarray of shape (N_DRAWS, offers)

    Raises
    ------
    DataError
        For fewer than 12 windows.
    ParameterError
        For an unknown model.
    """
    if model not in SIMULATORS or horizon < 1:
        raise ParameterError(
            f"model {model!r} over {horizon!r} steps.", f"Take one of {SIMULATORS}, 1 or more."
        )
    now = pd.DataFrame(now).ffill().bfill().to_numpy()
    mean = np.where(np.isfinite(mean), mean, now)
    windows = _past_windows(now, mean, horizon)
    change = windows.mean - windows.before
    if model == "normal":
        blocks = draw_normal(fit_normal(change), n_paths=N_DRAWS, seed=seed)
        drawn = np.concatenate(list(blocks), axis=1)
        return np.exp(windows.now + drawn[:, :, 0].T.astype(float))
    rows = np.random.default_rng(seed).integers(0, len(change), N_DRAWS)
    return np.exp(windows.now + change[rows])
