"""What was visible at a time, as numbers: a row at t uses nothing after t.

Functions take and return arrays whose first two axes are (times, series); log prices are NaN where
no price was known, ``groups`` (series,) are the series' groups as codes. A repricing event is a
cell in which a tenth of the series step: list prices are reviewed, and stand still in between.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

STEP_LOG = 0.005
"""A change counts as a step from 0.5 %: below it is jitter of a component of the price."""
CAP_LOG = 0.17
"""Size beyond which a step says no more about the next.

Repricing is capped, at 15 % mostly (log 1.15 to 0.85).
"""
LAGS = (1, 2, 4, 8, 13, 26)
REPRICING_SHARE = 0.1  # of the series that step in a cell, for it to be a repricing event
MEMORY_CELLS = 720  # how far back features look: 30 days of hours, beyond any record of weeks
TREND_CELLS = 8  # over which a group's rises and falls are counted


def windows_of(cells_per_day: int) -> tuple[int, ...]:
    """Return the windows of features, in cells: a day, a week and 30 days of hours, else weeks."""
    return (24, 168, 720) if cells_per_day > 1 else (13, 26, 52)


def carry_forward(values: np.ndarray) -> np.ndarray:
    """Return ``values`` with each NaN replaced by the last number above it in its column."""
    return values if np.isfinite(values).all() else pd.DataFrame(values).ffill().to_numpy()


def price_steps(log_price: np.ndarray) -> np.ndarray:
    """Return the log change into each cell, 0 where it is jitter, unknown or the first price."""
    level = carry_forward(log_price)
    out = np.diff(level, axis=0, prepend=level[:1])
    out[np.isnan(out)] = 0.0
    out *= np.abs(out) >= STEP_LOG
    return out


def change(values: np.ndarray, by: int, *, first_cell: int = 0) -> np.ndarray:
    """Return by how much ``values`` changed over ``by`` cells.

    Returns
    -------
    (cells from ``first_cell`` on, series), NaN where there was no cell yet.
    """
    out = np.full(values[first_cell:].shape, np.nan)
    first = max(by, first_cell)
    out[first - first_cell :] = values[first:] - values[first - by : max(len(values) - by, 0)]
    return out


class LastStep(NamedTuple):
    """The last step at each cell, as from ``last_step``; NaN where there was none.

    Attributes
    ----------
    size : its log change.
    age : cells since it.
    gap : cells between it and the one before.
    run : how many steps of one sign came last, signed, in the last ``MEMORY_CELLS``.
    """

    size: np.ndarray
    age: np.ndarray
    gap: np.ndarray
    run: np.ndarray


def last_step(step: np.ndarray, *, first_cell: int = 0) -> LastStep:
    """Return what the last step was at each cell from ``first_cell`` on.

    Parameters
    ----------
    step : (times, series), as from ``price_steps``.
    """
    is_step = step != 0
    series, cell = np.nonzero(is_step.T)
    size = step[cell, series]
    order = np.arange(len(cell))
    is_first = np.diff(series, prepend=-1) != 0
    turned = is_first | (np.diff(np.sign(size), prepend=0.0) != 0)
    run = np.sign(size) * (order - np.maximum.accumulate(np.where(turned, order, 0)) + 1)
    gap = np.where(is_first, np.nan, np.diff(cell, prepend=0))
    # which of the steps, series by series, is the last one at each cell; -1 before the first
    count = np.cumsum(is_step, axis=0, dtype=np.int32)
    start = np.searchsorted(series, np.arange(step.shape[1])).astype(np.int32) - 1
    at = np.where(count[first_cell:] > 0, count[first_cell:] + start, -1)
    last_size, last_cell, last_gap, last_run = (
        np.append(each, np.nan).astype(np.float32)[at] for each in (size, cell, gap, run)
    )
    now = np.arange(first_cell, len(step))[:, None]
    too_old = count[np.maximum(now[:, 0] - MEMORY_CELLS, 0)]
    most = count[first_cell:] - np.where(now >= MEMORY_CELLS, too_old, 0)
    last_run = np.where(most > 0, np.clip(last_run, -most, most), np.nan)
    return LastStep(last_size, now - last_cell, last_gap, last_run)


def group_means(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the mean of each group (times, groups), NaN where it has none."""
    member = (groups[:, None] == np.arange(groups.max() + 1)).astype(float)
    is_number = np.isfinite(values)
    total = np.where(is_number, values, 0.0)[:, None]
    n = is_number.astype(float)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        # row by row: waking BLAS' threads costs more
        return ((total @ member) / (n @ member))[:, 0]


def rolling_statistic(
    values: np.ndarray, window: int, statistic: str, *, first_cell: int = 0
) -> np.ndarray:
    """Return the ``statistic`` (median, max or mean) of the last ``window`` cells up to each.

    Of the cells from ``first_cell`` on; a few cells at the end cost next to nothing.
    """
    if not first_cell:
        return getattr(pd.DataFrame(values).rolling(window, min_periods=1), statistic)().to_numpy()
    of_whole = getattr(np, statistic)
    of_some = getattr(np, f"nan{statistic}")
    out = np.full(values[first_cell:].shape, np.nan)
    for at in range(first_cell, len(values)):
        past = values[max(at - window + 1, 0) : at + 1]
        is_number = np.isfinite(past)
        whole = is_number.all(axis=0)
        some = is_number.any(axis=0)
        out[at - first_cell, whole] = of_whole(past if whole.all() else past[:, whole], axis=0)
        some &= ~whole
        out[at - first_cell, some] = of_some(past[:, some], axis=0)
    return out


def in_week_means(log_price: np.ndarray, *, cells_per_day: int) -> np.ndarray:
    """Return prices (times, series) by their mean of the last 7 days, NaN before the first.

    A spike counts by its size beside what has been usual, and no longer once it is.
    """
    price = pd.DataFrame(np.exp(carry_forward(log_price)))
    return (price / price.rolling(7 * cells_per_day, min_periods=1).mean()).to_numpy()


def _recent(log_price: np.ndarray, first_cell: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Prices and steps of the cells that features look back to, and where ``first_cell`` lies."""
    start = max(first_cell - MEMORY_CELLS, 0)
    level = carry_forward(log_price[start:])
    return level, price_steps(level), first_cell - start


def motion_features(
    log_price: np.ndarray, groups: np.ndarray, *, first_cell: int = 0
) -> dict[str, np.ndarray]:
    """Return those of ``features`` that need no windows."""
    level, step, first_cell = _recent(log_price, first_cell)
    out = {}
    for lag in LAGS:
        out[f"change_{lag}"] = change(level, lag, first_cell=first_cell).astype(np.float32)
    last = last_step(step, first_cell=first_cell)
    for name, values, looks_back in (
        ("last_step", last.size, last.age),
        ("since_step", last.age, last.age),
        ("gap", last.gap, last.age + last.gap),
    ):
        out[name] = np.where(looks_back < MEMORY_CELLS, values, np.nan).astype(np.float32)
    is_repricing = np.where(group_means(step != 0, groups) >= REPRICING_SHARE, 1.0, 0.0)
    age = last_step(is_repricing, first_cell=first_cell).age
    age = np.where(age < MEMORY_CELLS, age, np.nan).astype(np.float32)
    out["since_repricing"] = age[:, groups]
    out["run"] = last.run.astype(np.float32)
    moved = change(level, TREND_CELLS, first_cell=first_cell)
    out["group_change_8"] = group_means(moved, groups).astype(np.float32)[:, groups]
    for name, sign in (("rises", 1), ("falls", -1)):
        same = np.where(np.isfinite(moved), np.sign(moved) == sign, np.nan)
        out[name] = group_means(same, groups).astype(np.float32)[:, groups]
    return out


def offer_attributes(offers: pd.DataFrame, listed: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what ``features`` takes of each offer beside its prices.

    Parameters
    ----------
    offers, listed : columns as in ``types.Panel``; ``listed`` holds the offers on demand.

    Returns
    -------
    By name, each (offers,), as codes: ``provider``, ``region`` and ``family`` of machines;
    ``option`` and term; ``place``, machines of one series in one region, which are priced together;
    ``log_units``, of its GPUs, or vCPUs where it has none; ``listed_at``, the position in
    ``listed`` of the same machine there on demand, -1 without one.
    """
    machine = offers["instance_type"].astype(str)
    family = machine.str.extract(r"^(\w+)")[0]
    kinds = offers[["provider", "region"]].astype(str).assign(family=family)
    series = machine.str.extract(r"^(\w+(?:-[a-z]\w*)?)")[0].fillna(machine)
    kinds["place"] = kinds["provider"] + "/" + kinds["region"] + "/" + series
    terms = offers.reindex(columns=["purchase_option", "term"]).astype(str)
    kinds["option"] = terms["purchase_option"] + "/" + terms["term"]
    out = {str(name): pd.factorize(kinds[name], sort=True)[0] for name in kinds}
    counts = offers.reindex(columns=["gpu_count", "vcpus"]).astype(float)
    count = counts["gpu_count"].where(counts["gpu_count"] > 0, counts["vcpus"])
    out["log_units"] = np.log(count.where(count > 0, 1.0)).to_numpy()
    on_demand = np.flatnonzero(listed["purchase_option"] == "on_demand")
    keys = _machine_keys(offers)
    listed_keys = _machine_keys(listed.iloc[on_demand])
    first = ~listed_keys.duplicated()
    position = listed_keys[first].get_indexer(keys)
    out["listed_at"] = np.append(on_demand[first], -1)[position]
    return out


def _machine_keys(offers: pd.DataFrame) -> pd.MultiIndex:
    """What a machine is the same by, on spot and on demand."""
    return pd.MultiIndex.from_frame(offers[["provider", "region", "instance_type"]].astype(str))


def features(
    log_price: np.ndarray,
    groups: np.ndarray,
    *,
    cells_per_day: int = 1,
    first_cell: int = 0,
    about: dict[str, np.ndarray] | None = None,
    motion: dict[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Return the features of the cells from ``first_cell`` on.

    Parameters
    ----------
    log_price : (times, series)
    groups : (series,)
    cells_per_day : 1 where a cell is a day or longer.
    about : what ``offer_attributes`` returns, and ``log_listed``, the on-demand prices (times,
        series).
    motion : what ``motion_features`` returns of these cells, or more, where it is known already.

    Returns
    -------
    By name, each (cells, series), NaN where not defined.

    technical : changes over ``LAGS`` cells, last step, run of steps of one sign (signed), and over
        windows of a day, a week and 30 days (of 13, 26 and 52 cells where a cell is a day or
        longer) the distances from the median and the mean, the drawdown and the volatility (root
        mean square step).
    temporal : cell of the day and day of the week, cells since the last step, between the last two,
        since the group's last repricing event.
    market : the group's mean change, the shares of it that rose and fell over 8 cells; with
    ``about``
        the spread to the cheapest of the group, by the GPU or vCPU.
    provider : with ``about``, provider, region and family, and the discount from the on-demand
    price,
        negative.
    """
    if motion is None:
        motion = motion_features(log_price, groups, first_cell=first_cell)
    out = {name: values[first_cell - len(log_price) :] for name, values in motion.items()}
    level, step, first = _recent(log_price, first_cell)
    for window in windows_of(cells_per_day):
        for name, statistic in (
            ("from_median", "median"),
            ("from_mean", "mean"),
            ("drawdown", "max"),
        ):
            usual = rolling_statistic(level, window, statistic, first_cell=first)
            out[f"{name}_{window}"] = (level[first:] - usual).astype(np.float32)
        variance = rolling_statistic(step**2, window, "mean", first_cell=first)
        out[f"volatility_{window}"] = np.sqrt(variance).astype(np.float32)
    shape = level[first:].shape
    if cells_per_day > 1:
        cell = np.arange(first_cell, len(log_price), dtype=np.float32)[:, None]
        out["cell_of_day"] = np.broadcast_to(cell % cells_per_day, shape)
        out["day_of_week"] = np.broadcast_to(cell // cells_per_day % 7, shape)
    if about:
        price = log_price[first_cell:]
        out["spread"] = _spread(price - about["log_units"], groups)
        if "log_listed" in about:
            out["discount"] = (price - about["log_listed"][first_cell:]).astype(np.float32)
        for name in ("provider", "region", "family"):
            out[name] = np.broadcast_to(np.float32(about[name]), price.shape)
    return out


def _spread(unit_price: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """By how much a log price lies over the least of its group."""
    out = np.empty(unit_price.shape, np.float32)
    for group in np.unique(groups):
        mine = unit_price[:, groups == group]
        out[:, groups == group] = mine - np.fmin.reduce(mine, axis=1, keepdims=True)
    return out
