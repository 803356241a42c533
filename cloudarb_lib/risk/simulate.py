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


def nearest_correlation(matrix: np.ndarray, *, floor: float = 1e-8) -> np.ndarray:
    """Return the nearest correlation matrix in the Frobenius norm, eigenvalues from ``floor`` up.

    Alternating projections with Dykstra's correction: Higham, IMA Journal of Numerical Analysis
    22 (2002), algorithm 3.3. At most 200 rounds.
    """
    y = (matrix + matrix.T) / 2.0
    correction = np.zeros_like(y)
    for _ in range(200):
        r = y - correction
        values, vectors = np.linalg.eigh(r)
        x = (vectors * np.maximum(values, floor)) @ vectors.T
        correction = x - r
        last, y = y, x.copy()
        np.fill_diagonal(y, 1.0)
        if np.abs(y - last).max() < 1e-10:
            break
    scale = np.sqrt(np.diag(x))
    return x / np.outer(scale, scale)


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
        matrix = nearest_correlation(matrix)
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


def normal_paths(
    panel: Panel, *, steps: int, n_paths: int, seed: int, draws: str = "pseudo"
) -> Paths:
    """Return paths of correlated normal log returns, from the last price of each offer.

    The mean price does not drift (each path is scaled by exp(-variance / 2)). Volatility and
    correlation are those of the panel's returns, shrunk and repaired (``correlation``).
    """
    start = last_prices(panel)
    if n_paths < 1 or steps < 1:
        raise ParameterError(f"{n_paths} paths of {steps} steps.", "Ask for at least one of each.")
    returns = log_returns(panel)
    spread = returns.std(axis=0)
    factor = (np.linalg.cholesky(correlation(returns).matrix) * spread[:, None]).astype(np.float32)
    rng = np.random.default_rng(seed)
    k = len(start)
    z = normal_draws(n_paths, steps * k, kind=draws, rng=rng).reshape(-1, k)
    return _paths(panel, _accumulate(z, factor, n_paths), start)


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


def historical_paths(
    panel: Panel, *, steps: int, n_paths: int, seed: int, block: int = 1, halflife: float = 0.0
) -> Paths:
    """Return paths that draw rows of past returns again, all offers of a row together.

    Rows come in blocks of mean length ``block`` (stationary bootstrap: Politis and Romano, JASA
    89, 1994), recent rows more often with weight 0.5^(age / ``halflife``) (0: all alike;
    Boudoukh, Richardson and Whitelaw, Risk 11, 1998). Weeks in which nothing moved are drawn as
    often as they happened: no volatility is invented between reviews, none hidden at them.
    """
    start = last_prices(panel)
    if n_paths < 1 or steps < 1:
        raise ParameterError(f"{n_paths} paths of {steps} steps.", "Ask for at least one of each.")
    returns = log_returns(panel)
    rows = draw_rows(len(returns), n_paths, steps, block=block, halflife=halflife, seed=seed)
    return _paths(panel, np.cumsum(returns.T[:, rows], axis=2), start)


def draw_rows(
    n: int, n_paths: int, steps: int, *, block: int, halflife: float, seed: int
) -> np.ndarray:
    """Return row numbers (n_paths, steps) of a weighted stationary bootstrap of ``n`` rows."""
    if block < 1:
        raise ParameterError(f"block {block} is below 1.", "1 draws single rows.")
    rng = np.random.default_rng(seed)
    weight = 0.5 ** (np.arange(n)[::-1] / halflife) if halflife > 0 else np.ones(n)
    fresh = rng.choice(n, size=(n_paths, steps), p=weight / weight.sum())
    anew = rng.random((n_paths, steps)) < 1.0 / block
    for step in range(1, steps):
        follow = (fresh[:, step - 1] + 1) % n
        fresh[:, step] = np.where(anew[:, step], fresh[:, step], follow)
    return fresh


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
