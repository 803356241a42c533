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
