"""Scores of forecasts: one function a score, NaN in forecast or truth left out of the mean.

Every function averages over all axes but those named by ``axis``; lower is better for losses.
"""

from __future__ import annotations

import numpy as np

Axis = int | tuple[int, ...] | None


def mean(values: np.ndarray, axis: Axis) -> np.ndarray:
    """Return the mean of the finite values, NaN where there is none."""
    seen = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(seen, values, 0.0).sum(axis=axis) / seen.sum(axis=axis)


def mae(forecast: np.ndarray, truth: np.ndarray, *, axis: Axis = None) -> np.ndarray:
    """Return the mean absolute error, in the unit of the truth."""
    return mean(np.abs(forecast - truth), axis)


def rmse(forecast: np.ndarray, truth: np.ndarray, *, axis: Axis = None) -> np.ndarray:
    """Return the root of the mean squared error, in the unit of the truth."""
    return np.sqrt(mean((forecast - truth) ** 2, axis))


def scaled_mae(mae_by_series: np.ndarray, scale: np.ndarray) -> float:
    """Return the sum over series of MAE divided by the series' scale (its mean price before the
    origins): series of a cent and of 90 dollars count alike. NaN series are left out."""
    ratio = np.asarray(mae_by_series, float) / np.asarray(scale, float)
    return float(np.nansum(ratio))


def pinball(forecast: np.ndarray, truth: np.ndarray, *, quantile: float, axis: Axis = None) -> np.ndarray:
    """Return the mean pinball loss of a quantile forecast (Koenker and Bassett, 1978)."""
    over = truth - forecast
    return mean(np.maximum(quantile * over, (quantile - 1.0) * over), axis)


def crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of each forecast, shape of ``truth``.

    ``samples`` has one more axis, the last, holding equally likely values. E|X - y| - E|X - X'|/2
    (Gneiting and Raftery, 2007, eq. 21), the second term over sorted samples.
    """
    n = samples.shape[-1]
    ordered = np.sort(samples, axis=-1)
    spread = (ordered * (2 * np.arange(n) - n + 1)).sum(axis=-1) / n**2
    return np.abs(samples - np.asarray(truth)[..., None]).mean(axis=-1) - spread


def coverage(low: np.ndarray, high: np.ndarray, truth: np.ndarray, *, axis: Axis = None) -> np.ndarray:
    """Return the share of truths inside [low, high], ends included."""
    inside = ((truth >= low) & (truth <= high)).astype(float)
    return mean(np.where(np.isfinite(truth + low + high), inside, np.nan), axis)


def winkler(
    low: np.ndarray, high: np.ndarray, truth: np.ndarray, *, level: float, axis: Axis = None
) -> np.ndarray:
    """Return the mean interval score of central intervals of ``level`` (Winkler, 1972): width plus
    2/(1 - level) times the distance by which the truth lies outside."""
    miss = np.maximum(low - truth, 0.0) + np.maximum(truth - high, 0.0)
    return mean(high - low + 2.0 / (1.0 - level) * miss, axis)


def diebold_mariano(loss: np.ndarray, base: np.ndarray, *, horizon: int) -> float:
    """Return the two-sided p-value that losses at consecutive origins have equal means.

    Diebold and Mariano (1995) with the small-sample correction of Harvey, Leybourne and Newbold
    (1997): variance over ``horizon`` - 1 lags, t distribution. NaN with fewer than 8 origins
    or than twice the horizon; 1 where the losses never differ.
    """
    from scipy.stats import t as student

    gap = np.asarray(loss, float) - np.asarray(base, float)
    gap = gap[np.isfinite(gap)]
    n = len(gap)
    if n < max(8, 2 * horizon):
        return float("nan")
    centred = gap - gap.mean()
    if np.allclose(gap, 0):
        return 1.0
    lags = [float(centred[k:] @ centred[: n - k]) / n for k in range(horizon)]
    variance = (lags[0] + 2 * sum(lags[1:])) / n
    if variance <= 0:  # the rectangular window can fail: fall back on triangular weights
        variance = (lags[0] + 2 * sum((1 - k / horizon) * g for k, g in enumerate(lags) if k)) / n
    shrink = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    statistic = gap.mean() / np.sqrt(variance) * np.sqrt(shrink)
    return float(2 * student.sf(abs(statistic), n - 1))
