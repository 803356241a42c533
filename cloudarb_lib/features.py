"""What was visible at a time, as numbers: a row at t uses nothing after t.

All functions take log prices of shape (times, series), NaN where no price was known, and the
series' groups as integer codes; they return arrays with the same first two axes.
"""

from __future__ import annotations

import numpy as np

STEP_LOG = 0.005
"""A change counts as a step from 0.5 %: below it is jitter of a component of the price."""
LAGS = (1, 2, 4, 8, 13, 26)


def carry_forward(values: np.ndarray) -> np.ndarray:
    """Return ``values`` with each NaN replaced by the last number above it in its column."""
    row = np.where(np.isfinite(values), np.arange(len(values))[:, None], 0)
    return np.take_along_axis(values, np.maximum.accumulate(row, axis=0), axis=0)


def steps(log_price: np.ndarray) -> np.ndarray:
    """Return the log change into each cell, 0 where it is jitter, unknown or the first price."""
    change = np.diff(carry_forward(log_price), axis=0, prepend=np.nan)
    return np.where(np.abs(np.nan_to_num(change)) >= STEP_LOG, np.nan_to_num(change), 0.0)


def lag(values: np.ndarray, by: int) -> np.ndarray:
    """Return ``values`` as they stood ``by`` cells before, NaN where there was no cell yet."""
    out = np.full(values.shape, np.nan)
    out[by:] = values[: max(len(values) - by, 0)]
    return out


def last_step(step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return per cell the last step, the cells since it, and the cells between it and the one before.

    NaN where there was no such step yet.
    """
    cell = np.arange(len(step), dtype=float)[:, None]
    hit = step != 0
    at = carry_forward(np.where(hit, cell, np.nan))
    before = carry_forward(np.where(hit, lag(at, 1), np.nan))
    return carry_forward(np.where(hit, step, np.nan)), cell - at, at - before


def group_mean(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return for each series the mean of its group in the same cell, NaN where it has none."""
    member = (groups[:, None] == np.arange(groups.max() + 1)).astype(float)
    seen = np.isfinite(values).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (np.nan_to_num(values) @ member) / (seen @ member)
    return mean[:, groups]


def _rolling(values: np.ndarray, width: int) -> np.ndarray:
    """Return windows of the last ``width`` cells, shape (times, series, width); NaN before."""
    padded = np.vstack([np.full((width - 1, values.shape[1]), np.nan), values])
    return np.lib.stride_tricks.sliding_window_view(padded, width, axis=0)


def features(log_price: np.ndarray, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Return the features by name, each of shape (times, series), NaN where not defined.

    technical: changes over ``LAGS`` cells, volatility, drawdown and distance from the mean over 26
    cells, last step, run of steps of one sign; temporal: cells since the last step and between
    the last two, cells since the group's last review; market: mean change of the group, breadth
    (share rising less share falling), distance from the group's mean level over the window.
    """
    level = carry_forward(log_price)
    step = steps(log_price)
    size, since, gap = last_step(step)
    out = {f"change_{k}": level - lag(level, k) for k in LAGS}
    window = _rolling(level, LAGS[-1])
    with np.errstate(invalid="ignore"):
        seen = np.isfinite(window)
        count = np.maximum(seen.sum(axis=2), 1)
        mean = np.where(seen, window, 0.0).sum(axis=2) / count
        top = np.where(seen, window, -np.inf).max(axis=2)
    total = np.cumsum(step**2, axis=0)
    out["volatility"] = np.sqrt(np.maximum(total - np.nan_to_num(lag(total, LAGS[-1])), 0))
    out["drawdown"] = np.where(np.isfinite(top), level - top, np.nan)
    out["from_mean"] = np.where(np.isfinite(level), level - mean, np.nan)
    out["last_step"], out["since_step"], out["gap"] = size, since, gap
    before = carry_forward(np.where(step != 0, lag(size, 1), np.nan))
    out["same_sign"] = np.sign(size) * np.sign(before)
    moved = group_mean((step != 0).astype(float), groups)
    review = np.where(moved >= 0.1, np.arange(len(step), dtype=float)[:, None], np.nan)
    out["since_review"] = np.arange(len(step))[:, None] - carry_forward(review)
    for k in (4, 8):
        out[f"group_change_{k}"] = group_mean(out[f"change_{k}"], groups)
        out[f"breadth_{k}"] = group_mean(np.sign(out[f"change_{k}"]), groups)
    return out
