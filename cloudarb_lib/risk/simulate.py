"""Joint price paths from history: correlated normals, and the record drawn again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.errors import DataError, ParameterError
from cloudarb_lib.types import STATE_ABSENT, Panel, Paths

DRAWS = ("pseudo", "antithetic", "sobol")
"""Kinds of normal draws: independent, in mirrored pairs, or a scrambled Sobol sequence."""


class Correlation(NamedTuple):
    """A correlation matrix ready for Cholesky, and what was done to make it so."""

    matrix: np.ndarray
    shrinkage: float
    repaired: bool
    note: str


def log_returns(panel: Panel, *, min_steps: int = 12) -> np.ndarray:
    """Return joint log returns (steps, offers) of a panel, the steps where all offers have one.

    A step without a change is a true zero; it is neither dropped nor smoothed. A step to or from
    an absent price is left out for all offers, so that a row is one world. Raises DataError when
    fewer than ``min_steps`` remain.
    """
    there = np.isfinite(panel.price) & (panel.price > 0) & (panel.state != STATE_ABSENT)
    price = np.where(there, panel.price, 1.0)
    rows = (there[1:] & there[:-1]).all(axis=1)
    returns = np.diff(np.log(price), axis=0)[rows]
    if len(returns) < min_steps:
        short = panel.offers.index[int(there.sum(axis=0).argmin())]
        raise DataError(
            f"only {len(returns)} steps are known for all {len(panel.offers)} offers, "
            f"{min_steps} are needed; {short} has the least.",
            "Take a shorter horizon, a finer grid, or leave the youngest offers out.",
        )
    return returns


def ledoit_wolf(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the covariance of ``x`` (n, k) shrunk to a scaled identity, and the intensity.

    Ledoit and Wolf, Journal of Multivariate Analysis 88 (2004), section 3.
    """
    x = x - x.mean(axis=0)
    n, k = x.shape
    sample = x.T @ x / n
    mean_variance = np.trace(sample) / k
    distance = ((sample - mean_variance * np.eye(k)) ** 2).sum() / k
    noise = ((x**2).T @ x**2 / n - sample**2).sum() / (k * n)
    intensity = 0.0 if distance == 0 else float(min(noise, distance) / distance)
    return (1 - intensity) * sample + intensity * mean_variance * np.eye(k), intensity


def correlation(returns: np.ndarray) -> Correlation:
    """Return the shrunk correlation of ``returns`` (n, k), repaired where it is not definite.

    A constant series correlates with nothing. The note says in words what was done.
    """
    spread = returns.std(axis=0)
    still = spread < 1e-12
    standard = np.where(still, 0.0, (returns - returns.mean(axis=0)) / np.where(still, 1, spread))
    shrunk, intensity = ledoit_wolf(standard)
    scale = np.sqrt(np.where(still, 1.0, np.diag(shrunk)))
    matrix = shrunk / np.outer(scale, scale)
    matrix[still] = matrix[:, still] = 0.0
    np.fill_diagonal(matrix, 1.0)
    notes = [f"shrunk by {intensity:.0%} towards independence"]
    if still.any():
        notes.append(f"{int(still.sum())} of {len(still)} series never move")
    lowest = float(np.linalg.eigvalsh(matrix)[0])
    if repaired := lowest < 1e-10:
        from statsmodels.stats.correlation_tools import corr_nearest

        matrix = corr_nearest(matrix, threshold=1e-8, n_fact=1000)
        notes.append(f"repaired: its lowest eigenvalue was {lowest:.1e}")
    return Correlation(matrix, intensity, repaired, "; ".join(notes))


def normal_draws(n: int, k: int, *, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return standard normals (n, k), float32; ``kind`` is one of ``DRAWS``.

    Antithetic draws mirror the first half (an odd n leaves its last draw alone). Sobol draws are
    a scrambled net (Owen 1997) through the normal quantile, at best when n is a power of two.
    """
    if kind not in DRAWS:
        raise ParameterError(f"draws {kind!r} are not known.", f"Use {', '.join(DRAWS)}.")
    if kind == "pseudo":
        return rng.standard_normal((n, k), dtype=np.float32)
    if kind == "antithetic":
        half = rng.standard_normal(((n + 1) // 2, k), dtype=np.float32)
        return np.concatenate([half, -half[: n // 2]])
    from scipy.special import ndtri
    from scipy.stats import qmc

    net = qmc.Sobol(k, scramble=True, rng=rng).random(n)
    return ndtri(np.clip(net, 1e-9, 1 - 1e-9)).astype(np.float32)


def normal_paths(panel: Panel, *, steps: int, n_paths: int, seed: int, draws: str = "pseudo") -> Paths:
    """Return paths of correlated normal log returns, from the last price of each offer.

    The mean price does not drift (each path is scaled by exp(-variance / 2)). Volatility and
    correlation are those of the panel's returns, shrunk and repaired (``correlation``).
    """
    start = last_prices(panel)
    _check_size(n_paths, steps)
    returns = log_returns(panel)
    spread = returns.std(axis=0)
    factor = (np.linalg.cholesky(correlation(returns).matrix) * spread[:, None]).astype(np.float32)
    rng = np.random.default_rng(seed)
    k = len(start)
    z = normal_draws(n_paths, steps * k, kind=draws, rng=rng).reshape(-1, k)
    return _paths(panel, _accumulate(z, factor, n_paths), start)


def _check_size(n_paths: int, steps: int) -> None:
    if n_paths < 1 or steps < 1:
        raise ParameterError(f"{n_paths} paths of {steps} steps.", "Ask for at least one of each.")


def _accumulate(z: np.ndarray, factor: np.ndarray, n_paths: int) -> np.ndarray:
    """Return cumulated log prices (k, paths, steps) of normals (paths * steps, k)."""
    k = len(factor)
    moves = factor @ z.T
    moves -= (factor**2).sum(axis=1, keepdims=True) / np.float32(2.0)
    moves = moves.reshape(k, n_paths, -1)
    for step in range(1, moves.shape[2]):
        moves[:, :, step] += moves[:, :, step - 1]
    return moves


def _paths(panel: Panel, log_path: np.ndarray, start: np.ndarray) -> Paths:
    values = np.exp(log_path, out=log_path)
    values *= start.astype(values.dtype)[:, None, None]
    times = panel.times[-1] + panel.step * np.arange(1, values.shape[2] + 1)
    return Paths(panel.offers.index, pd.DatetimeIndex(times), values)


def last_prices(panel: Panel) -> np.ndarray:
    """Return the last price of each offer, (offers,); DataError where one is not on sale."""
    price = panel.price[-1]
    if not (np.isfinite(price) & (price > 0)).all():
        gone = panel.offers.index[int(np.argmin(np.isfinite(price) & (price > 0)))]
        raise DataError(f"{gone} has no price at {panel.times[-1]:%Y-%m-%d %H:%M}.")
    return price


def filtered_paths(
    panel: Panel, *, horizon_steps: int, n_paths: int, seed: int, half_life: float = 45.0
) -> Paths:
    """Return paths of the mean price over the next ``horizon_steps`` cells, one step each.

    Filtered historical simulation (Barone-Adesi, Giannopoulos and Vosper, Journal of Futures
    Markets 19, 1999), at the horizon itself. Past windows are drawn whole, all offers together,
    with weight 0.5^(age / ``half_life`` windows) (Boudoukh, Richardson and Whitelaw, Risk 11,
    1998; 0: all alike). A series that moves in most steps returns to its level as an AR(1), its
    residuals scaled by EWMA volatility (0.94). One that stands still in most keeps its price and
    draws its own jumps unscaled: no volatility is invented between reviews, none hidden at them.
    Windows do not overlap where there are 30 of them, else they do.
    """
    _check_size(n_paths, horizon_steps)
    start, (ahead, before, now) = last_prices(panel), _windows(panel, horizon_steps)
    weight = np.ones(len(ahead))
    error = ahead - before
    centre = now
    if half_life > 0:
        weight = 0.5 ** (np.arange(len(ahead))[::-1] / half_life)
        moving = (np.diff(np.log(panel.price), axis=0) != 0).mean(axis=0) > 0.5
        fitted, residual = _revert(ahead, before, now)
        centre = np.where(moving, fitted, now)
        error = np.where(moving, residual, error)
    edges = np.cumsum(weight / weight.sum())
    rng = np.random.default_rng(seed)
    # one stratified draw: each window comes up as often as its weight says, give or take one
    rows = np.searchsorted(edges, (np.arange(n_paths) + rng.random()) / n_paths)
    rows = rng.permutation(np.minimum(rows, len(edges) - 1))
    values = np.exp(centre + error[rows]).T[:, :, None]
    still = np.isclose(values, start[:, None, None], rtol=1e-9)
    values = np.where(still, start[:, None, None], values)
    times = pd.DatetimeIndex([panel.times[-1] + panel.step * horizon_steps])
    return Paths(panel.offers.index, times, values)


def normal_window_paths(panel: Panel, *, horizon_steps: int, n_paths: int, seed: int) -> Paths:
    """Return what ``filtered_paths`` does, from correlated normals of the windows' log changes."""
    _check_size(n_paths, horizon_steps)
    ahead, before, now = _windows(panel, horizon_steps)
    change = ahead - before
    factor = np.linalg.cholesky(correlation(change).matrix) * change.std(axis=0)[:, None]
    z = normal_draws(n_paths, len(now), kind="pseudo", rng=np.random.default_rng(seed))
    values = np.exp(now[:, None] + factor @ z.T)[:, :, None]
    times = pd.DatetimeIndex([panel.times[-1] + panel.step * horizon_steps])
    return Paths(panel.offers.index, times, values)


def _windows(panel: Panel, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log mean price of past windows, log price just before each (windows, offers), and
    log price now; "just before" is the mean over the last quarter of a window's length."""
    there = np.isfinite(panel.price) & (panel.price > 0)
    price = np.where(there, panel.price, np.nan)
    total = np.vstack([np.zeros(price.shape[1]), np.nancumsum(price, axis=0)])
    holes = np.vstack([np.zeros(price.shape[1]), np.cumsum(~there, axis=0)])
    state = max(1, steps // 4)
    last = len(price)
    stride = steps if (last - state) // steps >= 30 else 1
    at = np.arange(last - steps, state - 1, -stride)[::-1]
    at = at[(holes[at + steps] == holes[at - state]).all(axis=1)] if len(at) else at
    if len(at) < 12:
        raise DataError(
            f"only {len(at)} past windows of {steps} steps are known for all "
            f"{price.shape[1]} offers, 12 are needed.",
            "Take a shorter horizon, a finer grid, or leave the youngest offers out.",
        )
    ahead = np.log((total[at + steps] - total[at]) / steps)
    before = np.log((total[at] - total[at - state]) / state)
    return ahead, before, np.log((total[last] - total[last - state]) / state)


def _revert(ahead: np.ndarray, before: np.ndarray, now: np.ndarray) -> tuple:
    """Return the AR(1) forecast (offers,) and residuals (windows, offers) at today's volatility."""
    age = 0.5 ** (np.arange(len(ahead))[::-1] / 60.0)
    level = age @ ahead / age.sum()
    y, x = ahead - level, before - level
    slope = np.clip((age[:, None] * x * y).sum(0) / np.maximum((age[:, None] * x**2).sum(0), 1e-12), 0, 1)
    error = y - slope * x
    variance = np.empty((len(error) + 1, error.shape[1]))
    variance[0] = (error[:10] ** 2).mean(axis=0)
    for i, row in enumerate(error):
        variance[i + 1] = 0.94 * variance[i] + 0.06 * row**2
    scale = np.sqrt(variance[-1] / np.maximum(variance[:-1], 1e-12))
    return level + slope * (now - level), error * scale


def stream_normal_cost(
    factor: np.ndarray, prices: np.ndarray, instance_hours: np.ndarray, *, n_paths: int, seed: int
) -> Iterator[np.ndarray]:
    """Yield the one-step cost of a plan in chunks of paths, USD, so that memory stays small.

    ``factor`` (k, k) is the Cholesky factor of the log returns' covariance.
    """
    rng = np.random.default_rng(seed)
    factor = factor.astype(np.float32)
    drift = (factor**2).sum(axis=1) / np.float32(2.0)
    weight = (prices * instance_hours).astype(np.float32)
    for first in range(0, n_paths, 50_000):
        z = normal_draws(min(50_000, n_paths - first), len(prices), kind="pseudo", rng=rng)
        moves = z @ factor.T
        moves -= drift
        yield np.exp(moves, out=moves) @ weight
