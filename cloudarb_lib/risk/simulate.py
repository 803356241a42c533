"""Joint price changes from history alone: the simple simulators beside the forecast's own paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.errors import DataError, ParameterError
from cloudarb_lib.risk.correlation import LEAST_STEPS, STILL, correlation, known_steps, volatility
from cloudarb_lib.types import Panel, Paths

MODELS = ("normal", "historical", "ewma", "garch")
DRAWS = ("random", "antithetic", "sobol")
BLOCK = 2048
"""Paths drawn at once, a power of two as Sobol points want it; 100 offers are 0.8 MB, which caches hold."""


N_DRAWS = 2000
HALF_LIFE_WINDOWS = 45.0
MOST_SCALING = 2.0  # a residual of a quiet day says little about a wild one: prices of 2015 rose thirtyfold


class Model(NamedTuple):
    """What ``draw`` needs: either ``mean`` and ``factor``, or ``windows``; ``note`` says how it was made.

    ``mean`` (offers, 1) and ``factor`` (offers, offers) are those of the normal log change of one step drawn;
    ``windows`` (offers, windows, steps) are changes that come as a whole, all offers together.
    """

    steps: int
    mean: np.ndarray
    factor: np.ndarray
    windows: np.ndarray | None
    note: str


def log_returns(panel: Panel) -> np.ndarray:
    """Return log returns (cells - 1, offers); NaN where an offer has no price at either end.

    A step without a change is a true zero. DataError for an offer without a price in the last cell.
    """
    there = np.isfinite(panel.price) & (panel.price > 0)
    if not there[-1].all():
        gone = panel.offers.index[int(there[-1].argmin())]
        raise DataError(f"{gone} has no price at {panel.times[-1]:%Y-%m-%d %H:%M}.", "Leave it out.")
    return np.diff(np.log(np.where(there, panel.price, np.nan)), axis=0)


def _windows(returns: np.ndarray, steps: int, model: str, whole: bool) -> np.ndarray:
    """Return every past window of ``steps`` steps as it would run from today, (offers, windows, steps or 1)."""
    n, k = len(returns) - steps + 1, returns.shape[1]
    out = np.zeros((k, n, steps if whole else 1), dtype=np.float32)
    moving = ((returns != 0).mean(axis=0) > 0.5) & (model != "historical")
    v = volatility(returns[:, moving], model)
    ahead = np.tile(v.variance[-1], (n, 1))
    for s in range(steps):
        change = returns[s : s + n].copy()
        change[:, moving] *= np.sqrt(ahead / v.variance[s : s + n])
        ahead = v.omega + v.alpha * change[:, moving] ** 2 + v.beta * ahead
        out[:, :, s if whole else 0] += change.T
    return out


def fit(returns: np.ndarray, *, horizon_steps: int, model: str = "normal", stepwise: bool = False) -> Model:
    """Return the model of log changes over ``horizon_steps`` that ``returns`` (steps, offers) teach.

    normal: correlated normals (Cholesky) with the history's mean and spread and its shrunk correlation,
    independent from step to step. historical: past windows drawn whole, all offers together, so a common
    review date stays common and two reviews keep their distance. ewma, garch: the same after each series is
    brought from the volatility of its day to that of today and on (filtered historical simulation,
    Barone-Adesi, Giannopoulos and Vosper, Journal of Futures Markets 19, 1999). A series that stands still in half of
    its steps or more is not rescaled: its jumps come as they came, no volatility is invented between reviews
    and none hidden at them; only the normal cannot do that, and its note says so. ``stepwise`` keeps the
    steps apart (for paths), else they are summed.

    Raises ParameterError for no step or an unknown model, DataError as ``known_steps`` and where fewer than
    12 windows of the horizon exist.
    """
    if model not in MODELS or horizon_steps < 1:
        raise ParameterError(
            f"model {model!r} over {horizon_steps!r} steps.", f"Take one of {MODELS}, 1 or more."
        )
    r, note = known_steps(returns)
    steps, k = (horizon_steps if stepwise else 1), r.shape[1]
    standing = (r != 0).mean(axis=0) <= 0.5
    if model == "normal":
        at_once = horizon_steps // steps
        spread, joint = r.std(axis=0), correlation(returns)
        factor = np.linalg.cholesky(joint.matrix) * (spread * np.sqrt(at_once))[:, None]
        note = joint.note
        if invented := int((standing & (spread >= STILL)).sum()):
            note += f"; {invented} of {k} series stand still in most steps, where a normal moves them"
        mean = r.mean(axis=0)[:, None] * at_once
        return Model(steps, mean.astype(np.float32), factor.astype(np.float32), None, note)
    if (n := len(r) - horizon_steps + 1) < LEAST_STEPS:
        raise DataError(
            f"{len(r)} known steps hold {max(n, 0)} windows of {horizon_steps}, {LEAST_STEPS} are needed.",
            "Take a shorter horizon or a longer history.",
        )
    if model != "historical" and standing.any():
        note += f"; {int(standing.sum())} of {k} series stand still in most steps and were not rescaled"
    none = np.zeros((k, 0), dtype=np.float32)
    return Model(steps, none, none, _windows(r, horizon_steps, model, stepwise), f"{n} windows{note}")


def _noise(size: tuple[int, ...], n_paths: int, draws: str, seed: int) -> Iterator[np.ndarray]:
    """Yield blocks of float32 (``size[0]``, paths, ``size[1]``) normals, or of uniforms (paths,) for size ()."""
    rng = np.random.default_rng(seed)
    if draws == "sobol":
        from scipy.special import ndtri
        from scipy.stats.qmc import Sobol

        points = Sobol(int(np.prod(size)), rng=rng)
    for first in range(0, n_paths, BLOCK):
        if draws == "sobol":  # 0 and 1 are no quantiles of a normal
            u = np.clip(points.random(BLOCK), 1e-10, 1.0 - 1e-10)
            block = (
                u[:, 0] if not size else ndtri(u).astype(np.float32).reshape(BLOCK, *size).transpose(1, 0, 2)
            )
        else:
            half = BLOCK // 2 if draws == "antithetic" else BLOCK
            block = rng.random(half) if not size else rng.standard_normal(
                (size[0], half, size[1]), dtype=np.float32
            )  # fmt: skip
            if draws == "antithetic":
                block = np.concatenate([block, -block if size else 1.0 - block], axis=min(len(size), 1))
        left = n_paths - first
        yield block[:left] if not size else block[:, :left]


def draw(model: Model, *, n_paths: int = 10_000, draws: str = "random", seed: int) -> Iterator[np.ndarray]:
    """Yield log changes in blocks (offers, paths of the block, steps), float32, so that millions need no room.

    The same seed gives the same paths, and fewer paths are the first of more. antithetic: each draw comes with
    its mirror image; sobol: scrambled quasi-random points (Owen, as scipy has them). Standard errors that
    take paths for independent are then cautious. Raises ParameterError for no path or an unknown way.
    """
    if n_paths < 1 or draws not in DRAWS:
        raise ParameterError(f"{n_paths} paths by {draws!r} draws.", f"Ask for 1 or more, by one of {DRAWS}.")
    if model.windows is not None:
        count = model.windows.shape[1]
        for u in _noise((), n_paths, draws, seed):
            yield model.windows[:, np.minimum((u * count).astype(np.intp), count - 1)]
        return
    k = len(model.factor)
    for z in _noise((k, model.steps), n_paths, draws, seed):
        flat = model.factor @ z.reshape(k, -1)
        flat += model.mean
        yield flat.reshape(z.shape)


def simulate_paths(
    panel: Panel, *, horizon_steps: int, n_paths: int = 10_000, model: str = "normal",
    draws: str = "random", seed: int,
) -> tuple[Paths, str]:  # fmt: skip
    """Return joint price paths from the last prices of ``panel``, float32, and the note of ``fit``."""
    fitted = fit(log_returns(panel), horizon_steps=horizon_steps, model=model, stepwise=True)
    start, first = panel.price[-1].astype(np.float32), 0
    values = np.empty((len(start), max(n_paths, 0), horizon_steps), dtype=np.float32)
    for block in draw(fitted, n_paths=n_paths, draws=draws, seed=seed):
        for offer, now, out in zip(block, start, values[:, first : first + block.shape[1]], strict=True):
            for step in range(1, horizon_steps):  # offer by offer, so that it stays in the cache
                offer[:, step] += offer[:, step - 1]
            np.exp(offer, out=out)
            out *= now
        first += block.shape[1]
    times = panel.times[-1] + panel.step * np.arange(1, horizon_steps + 1)
    return Paths(panel.offers.index, pd.DatetimeIndex(times), values), fitted.note


def draw_costs(now: np.ndarray, mean: np.ndarray, horizon: int, *, model: str, seed: int) -> np.ndarray:
    """Return samples (N_DRAWS, offers) of the mean price over the next ``horizon`` cells, USD per hour.

    ``now`` and ``mean`` (cells, offers) are the price at the end of each past cell and its mean over it. Past
    windows are drawn whole, all offers together. historical: the log changes of all past windows alike. normal:
    correlated normals of their spread. filtered: filtered historical simulation (Barone-Adesi, Giannopoulos and
    Vosper, Journal of Futures Markets 19, 1999) at the horizon itself, young windows more often (Boudoukh,
    Richardson and Whitelaw, Risk 11, 1998). A series that moves in most cells returns to its level as an AR(1), its
    residuals at today's EWMA volatility; one that stands still in most keeps its price and draws its own jumps
    unscaled, so no volatility is invented between reviews and none hidden at them. Windows do not
    overlap where there are 30, else they do; DataError for fewer than 12.
    """
    last = len(now)
    stride = horizon if (last - 1) // horizon >= 30 else 1
    at = np.arange(last - horizon, 0, -stride)[::-1]
    if len(at) < LEAST_STEPS:
        raise DataError(
            f"only {len(at)} past windows of {horizon} cells are known, {LEAST_STEPS} are needed.",
            "Take a shorter horizon or a longer history.",
        )
    total = np.vstack([np.zeros(mean.shape[1]), np.cumsum(mean, axis=0)])
    ahead, before = np.log((total[at + horizon] - total[at]) / horizon), np.log(now[at - 1])
    change, centre = ahead - before, np.log(now[-1])
    rng = np.random.default_rng(seed)
    if model == "normal":
        _, s, v = np.linalg.svd(np.cov(change.T, ddof=0).reshape(len(centre), -1), hermitian=True)
        return np.exp(centre + change.mean(axis=0) + rng.standard_normal((N_DRAWS, len(s))) * np.sqrt(s) @ v)
    weight = np.ones(len(at))
    if model == "filtered":
        weight = 0.5 ** (np.arange(len(at))[::-1] / HALF_LIFE_WINDOWS)
        moving = (np.diff(now, axis=0) != 0).mean(axis=0) > 0.5
        level = weight @ ahead / weight.sum()
        x, y = before - level, ahead - level
        pull = np.clip((weight @ (x * y)) / np.maximum(weight @ x**2, 1e-12), 0.0, 1.0)
        residual = y - pull * x
        sigma = np.sqrt(volatility(residual, "ewma").variance)
        ratio = sigma[-1] / np.maximum(sigma[:-1], 1e-12)
        scaled = residual * np.clip(ratio, 1 / MOST_SCALING, MOST_SCALING)
        change = np.where(moving, scaled, change)
        centre = np.where(moving, level + pull * (centre - level), centre)
    edges = np.cumsum(weight / weight.sum())
    rows = np.searchsorted(edges, (np.arange(N_DRAWS) + rng.random()) / N_DRAWS)
    return np.exp(centre + change[np.minimum(rows, len(at) - 1)])
