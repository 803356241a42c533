"""Correlated normal price paths from history: the plain simulator beside the forecast's own paths."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.errors import DataError, ParameterError
from cloudarb_lib.types import Panel, Paths


class Correlation(NamedTuple):
    """A correlation matrix ready for Cholesky, and in words what was done to make it so."""

    matrix: np.ndarray
    note: str


def ledoit_wolf(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the covariance of ``x`` (n, k) shrunk to a scaled identity, and the intensity.

    Ledoit and Wolf, Journal of Multivariate Analysis 88 (2004), section 3.
    """
    x = x - x.mean(axis=0)
    n, k = x.shape
    sample = x.T @ x / n
    target = np.trace(sample) / k * np.eye(k)
    distance = ((sample - target) ** 2).sum()
    noise = ((x**2).T @ x**2 / n - sample**2).sum() / n
    intensity = 0.0 if distance == 0 else float(min(noise, distance) / distance)
    return (1 - intensity) * sample + intensity * target, intensity


def correlation(returns: np.ndarray) -> Correlation:
    """Return the correlation of ``returns`` (n, k), shrunk, and repaired where it is not definite.

    A constant series correlates with nothing. The repair clips eigenvalues: a sample matrix is indefinite by
    rounding at most, for which that is the nearest correlation matrix too.
    """
    spread = returns.std(axis=0)
    still = spread < 1e-12
    standard = np.where(still, 0.0, (returns - returns.mean(axis=0)) / np.where(still, 1, spread))
    shrunk, intensity = ledoit_wolf(standard)
    scale = np.sqrt(np.where(still, 1.0, np.diag(shrunk)))
    matrix = shrunk / np.outer(scale, scale)
    matrix[still] = matrix[:, still] = 0.0
    np.fill_diagonal(matrix, 1.0)
    note = f"shrunk by {intensity:.0%} towards independence"
    if still.any():
        note += f"; {int(still.sum())} of {len(still)} series never move"
    if (lowest := float(np.linalg.eigvalsh(matrix)[0])) < 1e-10:
        from statsmodels.stats.correlation_tools import corr_clipped

        matrix = corr_clipped(matrix, threshold=1e-8)
        note += f"; repaired: its lowest eigenvalue was {lowest:.1e}"
    return Correlation(matrix, note)


def log_returns(panel: Panel) -> np.ndarray:
    """Return joint log returns (steps, offers), the steps in which all offers have a price.

    A step without a change is a true zero, neither dropped nor smoothed. Raises DataError for an offer
    without a price at the end, and where fewer than 12 steps remain.
    """
    there = np.isfinite(panel.price) & (panel.price > 0)
    if not there[-1].all():
        gone = panel.offers.index[int(there[-1].argmin())]
        raise DataError(f"{gone} has no price at {panel.times[-1]:%Y-%m-%d %H:%M}.")
    rows = (there[1:] & there[:-1]).all(axis=1)
    returns = np.diff(np.log(np.where(there, panel.price, 1.0)), axis=0)[rows]
    if len(returns) < 12:
        raise DataError(
            f"only {len(returns)} steps are known for all {len(there.T)} offers, 12 are needed.",
            "Take a finer grid, or leave the youngest offers out.",
        )  # fmt: skip
    return returns


def normal_paths(panel: Panel, *, horizon_steps: int, n_paths: int, seed: int) -> Paths:
    """Return paths of correlated normal log returns from the last price of each offer, float32.

    Volatility and correlation are those of the panel's returns (``correlation``, Cholesky); the mean price
    does not drift. Raises as ``log_returns``, and ParameterError for no path or no step.
    """
    if n_paths < 1 or horizon_steps < 1:
        raise ParameterError(f"{n_paths} paths of {horizon_steps} steps.", "Ask for at least one of each.")
    returns = log_returns(panel)
    spread = returns.std(axis=0)
    factor = (np.linalg.cholesky(correlation(returns).matrix) * spread[:, None]).astype(np.float32)
    size = (len(spread), n_paths * horizon_steps)
    log_price = factor @ np.random.default_rng(seed).standard_normal(size, dtype=np.float32)
    values = log_price.reshape(len(spread), n_paths, horizon_steps)
    for offer, drift, start in zip(values, spread**2 / 2, panel.price[-1], strict=True):
        offer -= np.float32(drift)  # offer by offer, so that it stays in the cache
        for step in range(1, horizon_steps):
            offer[:, step] += offer[:, step - 1]
        np.exp(offer, out=offer)
        offer *= np.float32(start)
    times = panel.times[-1] + panel.step * np.arange(1, horizon_steps + 1)
    return Paths(panel.offers.index, pd.DatetimeIndex(times), values)
