"""Joint prices from history alone: the simple simulators beside the forecast's own paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.risk.correlation import STILL, correlation, enough, known_steps, variances

DRAWS = ("random", "antithetic", "sobol")
BLOCK = 2048
"""Paths drawn at once, a power of two as Sobol points want it; 100 offers are 0.8 MB, which caches hold."""
MODELS = ("filtered", "garch", "historical", "normal")
N_DRAWS = 2000
HALF_LIFE_WINDOWS = 45.0
MOST_SCALING = (
    2.0  # a residual of a quiet day says little about a wild one: prices of 2015 rose thirtyfold
)


class Normal(NamedTuple):
    """Correlated normal log changes of one step: ``mean`` (offers, 1), Cholesky ``factor`` (offers, offers), float32."""

    mean: np.ndarray
    factor: np.ndarray
    note: str


def fit_normal(returns: np.ndarray) -> Normal:
    """Return the normal with the mean, spread and shrunk correlation of ``returns`` (steps, offers).

    The note says what was shrunk, repaired and left out, and how many series stand still in most steps, where
    a normal moves them all the same. Raises as ``known_steps``.
    """
    r, _ = known_steps(returns)
    spread, joint = r.std(axis=0), correlation(returns)
    note = joint.note
    if invented := int((((r != 0).mean(axis=0) <= 0.5) & (spread >= STILL)).sum()):
        note += f"; {invented} of {len(spread)} series stand still in most steps, where a normal moves them"
    factor = np.linalg.cholesky(joint.matrix) * spread[:, None]
    return Normal(r.mean(axis=0)[:, None].astype(np.float32), factor.astype(np.float32), note)


def draw_normal(
    normal: Normal, *, n_paths: int = 10_000, steps: int = 1, draws: str = "random", seed: int
) -> Iterator[np.ndarray]:
    """Yield log changes in blocks (offers, paths of the block, steps), float32, so that millions need no room.

    The same seed gives the same paths, and fewer paths are the first of more. antithetic: each draw comes with
    its mirror image; sobol: scrambled quasi-random points (Owen, as scipy has them). Standard errors that
    take paths for independent are then cautious. Raises ParameterError for no path or step, or an unknown way.
    """
    if n_paths < 1 or steps < 1 or draws not in DRAWS:
        way_out = f"Ask for 1 or more, by one of {DRAWS}."
        raise ParameterError(f"{n_paths} paths of {steps} steps by {draws!r} draws.", way_out)
    k, rng = len(normal.factor), np.random.default_rng(seed)
    if draws == "sobol":
        from scipy.special import ndtri
        from scipy.stats.qmc import Sobol

        points = Sobol(k * steps, rng=rng)
    for first in range(0, n_paths, BLOCK):
        if draws == "sobol":  # 0 and 1 are no quantiles of a normal
            u = np.clip(points.random(BLOCK).astype(np.float32), 1e-7, 1.0 - 1e-7)
            z = ndtri(u).reshape(BLOCK, k, steps).transpose(1, 0, 2)
        else:
            half = BLOCK // 2 if draws == "antithetic" else BLOCK
            z = rng.standard_normal((k, half, steps), dtype=np.float32)
            z = np.concatenate([z, -z], axis=1) if draws == "antithetic" else z
        z = z[:, : n_paths - first]
        flat = normal.factor @ z.reshape(k, -1)
        flat += normal.mean
        yield flat.reshape(z.shape)


def simulate_paths(
    panel: Panel, *, horizon_steps: int, n_paths: int = 10_000, model: str = "normal", seed: int
) -> tuple[Paths, str]:
    """Return joint price paths from the last prices of ``panel``, float32, and in words how they were made.

    normal: as of ``fit_normal``, independent from step to step. historical: each path repeats as many past
    steps in a row, all offers together, so that a common review date stays common and two reviews keep their
    distance; a step not known is none. Raises ParameterError for no path, no step or an unknown model, DataError
    for an offer without a price in the last cell, and for fewer than 12 steps, or 12 windows of the horizon.
    """
    if model not in ("normal", "historical") or horizon_steps < 1 or n_paths < 1:
        what = f"{n_paths} paths by model {model!r} over {horizon_steps!r} steps."
        raise ParameterError(what, "Give 1 or more.")
    there = np.isfinite(panel.price) & (panel.price > 0)
    if not there[-1:].all():
        gone = panel.offers.index[int(there[-1].argmin())]
        raise DataError(
            f"{gone} has no price at {panel.times[-1]:%Y-%m-%d %H:%M}.", "Leave it out."
        )
    returns = np.diff(np.log(np.where(there, panel.price, np.nan)), axis=0)
    if model == "normal":
        fitted = fit_normal(returns)
        note, drawn = (
            fitted.note,
            draw_normal(fitted, n_paths=n_paths, steps=horizon_steps, seed=seed),
        )
        values = np.concatenate(list(drawn), axis=1)
    else:
        count = enough(len(returns) - horizon_steps + 1, f"past windows of {horizon_steps} cells")
        at = np.random.default_rng(seed).integers(0, count, n_paths)[:, None] + np.arange(
            horizon_steps
        )
        values = np.ascontiguousarray(
            np.nan_to_num(returns).astype(np.float32)[at].transpose(2, 0, 1)
        )
        note = f"{count} past windows of {horizon_steps} steps"
    for offer, now in zip(
        values, panel.price[-1].astype(np.float32), strict=True
    ):  # as much as a cache holds
        np.exp(np.cumsum(offer, axis=1, out=offer), out=offer)
        offer *= now
    times = panel.times[-1] + panel.step * np.arange(1, horizon_steps + 1)
    return Paths(panel.offers.index, pd.DatetimeIndex(times), values), note


def draw_costs(
    now: np.ndarray, mean: np.ndarray, horizon: int, *, model: str, seed: int
) -> np.ndarray:
    """Return samples (N_DRAWS, offers) of the mean price over the next ``horizon`` cells, USD per hour.

    ``now`` and ``mean`` (cells, offers) are the price at the end of each past cell and its mean over it; where
    one is not known the price counts as unchanged. historical: the log changes of all past windows of the horizon
    alike, each drawn whole, all offers together. normal: ``fit_normal`` of them. filtered: filtered historical simulation
    (Barone-Adesi, Giannopoulos and Vosper, Journal of Futures Markets 19, 1999) at the horizon itself, young
    windows more often (Boudoukh, Richardson and Whitelaw, Risk 11, 1998). A series that moves in most cells
    returns to its level as an AR(1), its residuals at today's EWMA volatility (GARCH by ``arch``, with model
    garch); one that stands still in most keeps its price and draws its own jumps unscaled, so no volatility is
    invented between reviews and none hidden at them. Windows do not overlap where there are 30, else they do;
    DataError for fewer than 12, ParameterError for an unknown model.
    """
    if model not in MODELS or horizon < 1:
        raise ParameterError(
            f"model {model!r} over {horizon!r} steps.", f"Take one of {MODELS}, 1 or more."
        )
    last = len(now)
    stride = horizon if (last - 1) // horizon >= 30 else 1
    at = np.arange(last - horizon, 0, -stride)[::-1]
    enough(len(at), f"past windows of {horizon} cells")
    now = pd.DataFrame(now).ffill().bfill().to_numpy()
    mean = np.where(np.isfinite(mean), mean, now)
    total = np.vstack([np.zeros(mean.shape[1]), np.cumsum(mean, axis=0)])
    ahead, before = np.log((total[at + horizon] - total[at]) / horizon), np.log(now[at - 1])
    change, centre, rng = ahead - before, np.log(now[-1]), np.random.default_rng(seed)
    if model == "normal":
        drawn = np.concatenate(
            list(draw_normal(fit_normal(change), n_paths=N_DRAWS, seed=seed)), axis=1
        )
        return np.exp(centre + drawn[:, :, 0].T.astype(float))
    weight = np.ones(len(at))
    if model != "historical":
        weight = 0.5 ** (np.arange(len(at))[::-1] / HALF_LIFE_WINDOWS)
        moving = (np.diff(now, axis=0) != 0).mean(axis=0) > 0.5
        level = weight @ ahead / weight.sum()
        x, y = before - level, ahead - level
        pull = np.clip((weight @ (x * y)) / np.maximum(weight @ x**2, 1e-12), 0.0, 1.0)
        residual = (y - pull * x)[:, moving]
        sigma = np.sqrt(variances(residual, "garch" if model == "garch" else "ewma"))
        ratio = sigma[-1] / np.maximum(sigma[:-1], 1e-12)
        change[:, moving] = residual * np.clip(ratio, 1 / MOST_SCALING, MOST_SCALING)
        centre = np.where(moving, level + pull * (centre - level), centre)
    edges = np.cumsum(weight / weight.sum())
    rows = np.searchsorted(edges, (np.arange(N_DRAWS) + rng.random()) / N_DRAWS)
    return np.exp(centre + change[np.minimum(rows, len(at) - 1)])
