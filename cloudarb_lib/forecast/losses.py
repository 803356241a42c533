"""Scores of forecasts: one function a score, NaN left out of every mean; lower is better for losses."""

from __future__ import annotations

import numpy as np


def mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return the mean of the finite values along ``axis`` (None: all), NaN where there is none."""
    seen = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(seen, values, 0.0).sum(axis=axis) / seen.sum(axis=axis)


def crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of each forecast, shape of ``truth``.

    ``samples`` has one more axis, the last, of equally likely values. E|X - y| - E|X - X'|/2
    (Gneiting and Raftery, 2007, eq. 21), the second term over sorted samples.
    """
    n = samples.shape[-1]
    spread = (np.sort(samples, axis=-1) * (2 * np.arange(n) - n + 1)).sum(axis=-1) / n**2
    return np.abs(samples - np.asarray(truth)[..., None]).mean(axis=-1) - spread


def coverage(
    low: np.ndarray, high: np.ndarray, truth: np.ndarray, *, axis: int | None = None
) -> np.ndarray:
    """Return the share of truths inside [low, high], ends included."""
    inside = ((truth >= low) & (truth <= high)).astype(float)
    return mean(np.where(np.isfinite(truth), inside, np.nan), axis)


def winkler(low: np.ndarray, high: np.ndarray, truth: np.ndarray, level: float) -> np.ndarray:
    """Return the interval score of each central ``level`` interval (Gneiting and Raftery, 2007, eq. 43)."""
    outside = np.maximum(low - truth, 0.0) + np.maximum(truth - high, 0.0)
    return high - low + 2.0 / (1.0 - level) * outside


def diebold_mariano(loss: np.ndarray, base: np.ndarray, *, overlap: int = 1) -> float:
    """Return the two-sided p-value that two forecasts lose alike (Diebold and Mariano, 1995), NaN below 8.

    ``loss`` and ``base`` (n,) in time order, pairs with a NaN left out; ``overlap`` is how many consecutive
    outcomes share time. Corrected for small samples (Harvey, Leybourne and Newbold, 1997); 1 where the losses
    are the same throughout.
    """
    from scipy.stats import t

    gap = (loss - base)[np.isfinite(loss) & np.isfinite(base)]
    n = len(gap)
    if n < 8:
        return float("nan")
    if not gap.any():
        return 1.0
    lags = min(max(overlap, 1), n // 2)
    apart = gap - gap.mean()
    cov = [float(apart[k:] @ apart[: n - k]) / n for k in range(lags)]
    variance = cov[0] + 2 * sum(cov[1:])
    if variance <= 0:  # the truncated sum can be negative: Bartlett weights cannot
        variance = cov[0] + 2 * sum((1 - k / lags) * c for k, c in enumerate(cov[1:], 1))
    small = (n + 1 - 2 * lags + lags * (lags - 1) / n) / n
    statistic = gap.mean() / np.sqrt(max(variance, 1e-300) / n) * np.sqrt(max(small, 1e-12))
    return float(2 * t.sf(abs(statistic), n - 1))
