"""Scores of forecasts: one function a score, NaN left out of every mean; lower is better for losses."""

from __future__ import annotations

import numpy as np


def mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Return the mean of the finite values along ``axis`` (None: all), NaN where there is none."""
    seen = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(seen, values, 0.0).sum(axis=axis) / seen.sum(axis=axis)


def scaled_mae(mae_by_series: np.ndarray, scale: np.ndarray) -> float:
    """Return the sum over series of MAE divided by scale (the mean price before the origins)."""
    return float(np.nansum(mae_by_series / scale))


def crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of each forecast, shape of ``truth``.

    ``samples`` has one more axis, the last, of equally likely values. E|X - y| - E|X - X'|/2
    (Gneiting and Raftery, 2007, eq. 21), the second term over sorted samples.
    """
    n = samples.shape[-1]
    spread = (np.sort(samples, axis=-1) * (2 * np.arange(n) - n + 1)).sum(axis=-1) / n**2
    return np.abs(samples - np.asarray(truth)[..., None]).mean(axis=-1) - spread


def coverage(low: np.ndarray, high: np.ndarray, truth: np.ndarray, *, axis: int | None = None) -> np.ndarray:
    """Return the share of truths inside [low, high], ends included."""
    inside = ((truth >= low) & (truth <= high)).astype(float)
    return mean(np.where(np.isfinite(truth), inside, np.nan), axis)
