"""What was visible at a time, as numbers: a row at t uses nothing after t.

Functions take and return arrays whose first two axes are (times, series); log prices are NaN where no
price was known, ``groups`` the series' groups as codes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

STEP_LOG = 0.005  # a change counts as a step from 0.5 %: below it is jitter of a component of the price
CAP_LOG = 0.17
"""Size beyond which a step says no more about the next: reviews are capped, at 15 % mostly (log 1.15 to 0.85)."""
LAGS = (1, 2, 4, 8, 13, 26)
WINDOWS, WINDOWS_HOURLY = (13, 26, 52), (24, 168, 720)
REVIEW_SHARE = 0.1  # of the series that step in a cell, for it to be a review
RATE_CELLS = 13  # cells in which reviews are counted


def carry_forward(values: np.ndarray) -> np.ndarray:
    """Return ``values`` with each NaN replaced by the last number above it in its column."""
    known = np.isfinite(values)
    if known.all():
        return values
    row = np.where(known, np.arange(len(values))[:, None], 0)
    return np.take_along_axis(values, np.maximum.accumulate(row, axis=0), axis=0)


def steps(log_price: np.ndarray) -> np.ndarray:
    """Return the log change into each cell, 0 where it is jitter, unknown or the first price."""
    change = np.nan_to_num(np.diff(carry_forward(log_price), axis=0, prepend=np.nan))
    return np.where(np.abs(change) >= STEP_LOG, change, 0.0)


def lag(values: np.ndarray, by: int) -> np.ndarray:
    """Return ``values`` as they stood ``by`` cells before, NaN where there was no cell yet."""
    out = np.full(values.shape, np.nan)
    out[by:] = values[: max(len(values) - by, 0)]
    return out


def last_step(step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return per cell the last step, the cells since it, and those between it and the one before it."""
    cell = np.arange(len(step), dtype=float)[:, None]
    hit = step != 0
    at = carry_forward(np.where(hit, cell, np.nan))
    before = carry_forward(np.where(hit, lag(at, 1), np.nan))
    return carry_forward(np.where(hit, step, np.nan)), cell - at, at - before


def review_rate(step: np.ndarray, log_price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return per cell whether it is a review (a tenth of the series step), and reviews a cell lately."""
    known = np.maximum(np.isfinite(log_price).sum(axis=1), 1)
    reviewed = (step != 0).sum(axis=1) >= REVIEW_SHARE * known
    count = np.cumsum(reviewed, dtype=float)
    lately = count - np.nan_to_num(lag(count, RATE_CELLS))
    return reviewed, lately / np.minimum(np.arange(1, len(count) + 1), RATE_CELLS)


def group_mean(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return for each series the mean of its group in the same cell, NaN where it has none."""
    member = (groups[:, None] == np.arange(groups.max() + 1)).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (np.nan_to_num(values) @ member) / (np.isfinite(values).astype(float) @ member)
    return mean[:, groups]


def rolling(values: np.ndarray, window: int, statistic: str, *, since: int = 0) -> np.ndarray:
    """Return the ``statistic`` (median, max or mean) of the last ``window`` cells up to each from ``since`` on,
    NaN before: a few cells at the end cost next to nothing."""
    if not since:
        return getattr(pd.DataFrame(values).rolling(window, min_periods=1), statistic)().to_numpy()
    out = np.full(values.shape, np.nan)
    for at in range(since, len(values)):
        past = values[max(at - window + 1, 0) : at + 1]
        whole = np.isfinite(past).all(axis=0)
        out[at, whole] = getattr(np, statistic)(past[:, whole], axis=0)
        some = ~whole & np.isfinite(past).any(axis=0)
        out[at, some] = getattr(np, f"nan{statistic}")(past[:, some], axis=0)
    return out


def features(
    log_price: np.ndarray, groups: np.ndarray, *, pace: int = 1, since: int = 0
) -> dict[str, np.ndarray]:
    """Return the features by name, each (times, series), NaN where not defined; those of windows from cell ``since`` on.

    technical: changes over ``LAGS`` cells, last step, run of steps of one sign (signed), and over windows of a
    day, a week and 30 (``pace`` cells a day; of 13, 26 and 52 cells where a cell is a day or longer) the
    distance from the median, the drawdown and the volatility (root mean square step); temporal: cell of the day
    and day of the week, cells since the last step, between the last two, since the group's last review (a
    tenth of it stepped); market: the group's mean change, the shares of it that rose and fell over 8 cells.
    """
    level, step = carry_forward(log_price), steps(log_price)
    out = {f"change_{k}": level - lag(level, k) for k in LAGS}
    out["last_step"], out["since_step"], out["gap"] = last_step(step)
    cell = np.broadcast_to(np.arange(len(step), dtype=float)[:, None], step.shape)
    moved = group_mean((step != 0).astype(float), groups) >= REVIEW_SHARE
    out["since_review"] = cell - carry_forward(np.where(moved, cell, np.nan))
    turned = (step != 0) & (np.sign(step) != np.sign(lag(out["last_step"], 1)))
    hits = np.cumsum(step != 0, axis=0).astype(float)
    out["run"] = np.sign(out["last_step"]) * (hits - carry_forward(np.where(turned, hits, np.nan)) + 1)
    for window in WINDOWS_HOURLY if pace > 1 else WINDOWS:
        out[f"from_median_{window}"] = level - rolling(level, window, "median", since=since)
        out[f"drawdown_{window}"] = level - rolling(level, window, "max", since=since)
        out[f"volatility_{window}"] = np.sqrt(rolling(step**2, window, "mean", since=since))
    if pace > 1:
        out["cell_of_day"], out["day_of_week"] = cell % pace, cell // pace % 7
    out["group_change_8"] = group_mean(out["change_8"], groups)
    way = np.sign(out["change_8"])
    rose, fell = (np.where(np.isfinite(way), way == sign, np.nan) for sign in (1, -1))
    out["rises"], out["falls"] = group_mean(rose, groups), group_mean(fell, groups)
    return out
