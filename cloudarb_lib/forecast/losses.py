"""Scores of forecasts, a function each: NaN is left out of every mean; less loss is better."""

from __future__ import annotations

import numpy as np


def mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return the mean of the finite values along ``axis`` (None: all), NaN where there is none."""
    is_number = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(is_number, values, 0.0).sum(axis=axis) / is_number.sum(axis=axis)


def crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of each forecast.

    E|X - y| - E|X - X'|/2, the second term over sorted samples.

    Parameters
    ----------
    samples : (..., draws), equally likely values.
    truth : (...), what came.

    Returns
    -------
    (...), in the unit of the values.

    References
    ----------
    Gneiting and Raftery, Journal of the American Statistical Association 102, 2007, eq. 21.
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
    """Return the interval score of each central interval that is to hold the share ``level``.

    References
    ----------
    Gneiting and Raftery, Journal of the American Statistical Association 102, 2007, eq. 43.
    """
    outside = np.maximum(low - truth, 0.0) + np.maximum(truth - high, 0.0)
    return high - low + 2.0 / (1.0 - level) * outside


def diebold_mariano(loss: np.ndarray, base: np.ndarray, *, overlap: int = 1) -> float:
    """Return the two-sided p-value that two forecasts lose alike.

    Corrected for small samples; 1 where the losses are the same throughout.

    Parameters
    ----------
    loss, base : (n,) in time order; pairs with a NaN are left out.
    overlap : how many consecutive outcomes share time.

    Returns
    -------
    NaN for fewer than 8 pairs.

    References
    ----------
    Diebold and Mariano, Journal of Business and Economic Statistics 13, 1995. Harvey, Leybourne and
    Newbold, International Journal of Forecasting 13, 1997.
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
