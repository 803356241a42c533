"""What was visible at a time, as numbers: a row at t uses nothing after t.

Functions take and return arrays whose first two axes are (times, series); log prices are NaN where no
price was known, ``groups`` the series' groups as codes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

STEP_LOG = (
    0.005  # a change counts as a step from 0.5 %: below it is jitter of a component of the price
)
CAP_LOG = 0.17
"""Size beyond which a step says no more about the next: reviews are capped, at 15 % mostly (log 1.15 to 0.85)."""
LAGS = (1, 2, 4, 8, 13, 26)
WINDOWS, WINDOWS_HOURLY = (13, 26, 52), (24, 168, 720)
REVIEW_SHARE = 0.1  # of the series that step in a cell, for it to be a review
RATE_CELLS = 13  # cells in which reviews are counted
MEMORY_CELLS = 720  # how far back features look: 30 days of hours, beyond any record of weeks


def carry_forward(values: np.ndarray) -> np.ndarray:
    """Return ``values`` with each NaN replaced by the last number above it in its column."""
    return values if np.isfinite(values).all() else pd.DataFrame(values).ffill().to_numpy()


def steps(log_price: np.ndarray) -> np.ndarray:
    """Return the log change into each cell, 0 where it is jitter, unknown or the first price."""
    level = carry_forward(log_price)
    out = np.diff(level, axis=0, prepend=level[:1])
    out[np.isnan(out)] = 0.0
    out *= np.abs(out) >= STEP_LOG
    return out


def change(values: np.ndarray, by: int, *, since: int = 0) -> np.ndarray:
    """Return by how much ``values`` changed over ``by`` cells, of the cells from ``since`` on; NaN where there was no
    cell yet."""
    out = np.full(values[since:].shape, np.nan)
    first = max(by, since)
    out[first - since :] = values[first:] - values[first - by : max(len(values) - by, 0)]
    return out


def last_step(
    step: np.ndarray, *, since: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return per cell from ``since`` on the last step, the cells since it, those between it and the one before, and how
    many of one sign came last, signed, in the last ``MEMORY_CELLS``; NaN where there was none."""
    hit = step != 0
    series, cell = np.nonzero(hit.T)
    size, order = step[cell, series], np.arange(len(cell))
    first = np.diff(series, prepend=-1) != 0
    turned = first | (np.diff(np.sign(size), prepend=0.0) != 0)
    run = np.sign(size) * (order - np.maximum.accumulate(np.where(turned, order, 0)) + 1)
    gap, now = (
        np.where(first, np.nan, np.diff(cell, prepend=0)),
        np.arange(since, len(step))[:, None],
    )
    count = np.cumsum(hit, axis=0, dtype=np.int32)
    start = np.searchsorted(series, np.arange(step.shape[1])).astype(np.int32) - 1
    at = np.where(count[since:] > 0, count[since:] + start, -1)
    last, since_cell, apart, way = (
        np.append(each, np.nan).astype(np.float32)[at] for each in (size, cell, gap, run)
    )
    forgotten = np.where(now >= MEMORY_CELLS, count[np.maximum(now[:, 0] - MEMORY_CELLS, 0)], 0)
    most = count[since:] - forgotten
    return last, now - since_cell, apart, np.where(most > 0, np.clip(way, -most, most), np.nan)


def review_rate(step: np.ndarray, log_price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return per cell whether it is a review (a tenth of the series step), and reviews a cell lately."""
    known = np.maximum(np.isfinite(log_price).sum(axis=1), 1)
    reviewed = (step != 0).sum(axis=1) >= REVIEW_SHARE * known
    count = np.concatenate([np.zeros(RATE_CELLS), np.cumsum(reviewed, dtype=float)])
    lately = count[RATE_CELLS:] - count[:-RATE_CELLS]
    return reviewed, lately / np.minimum(np.arange(1, len(lately) + 1), RATE_CELLS)


def group_means(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the mean of each group (times, groups), NaN where it has none."""
    member = (groups[:, None] == np.arange(groups.max() + 1)).astype(float)
    known = np.isfinite(values)
    total, n = np.where(known, values, 0.0)[:, None], known.astype(float)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return ((total @ member) / (n @ member))[
            :, 0
        ]  # row by row: waking BLAS' threads costs more


def rolling(values: np.ndarray, window: int, statistic: str, *, since: int = 0) -> np.ndarray:
    """Return the ``statistic`` (median, max or mean) of the last ``window`` cells up to each from ``since`` on: a few
    cells at the end cost next to nothing."""
    if not since:
        return getattr(pd.DataFrame(values).rolling(window, min_periods=1), statistic)().to_numpy()
    out = np.full(values[since:].shape, np.nan)
    for at in range(since, len(values)):
        past = values[max(at - window + 1, 0) : at + 1]
        known = np.isfinite(past)
        whole, some = known.all(axis=0), known.any(axis=0)
        out[at - since, whole] = getattr(np, statistic)(
            past if whole.all() else past[:, whole], axis=0
        )
        some &= ~whole
        out[at - since, some] = getattr(np, f"nan{statistic}")(past[:, some], axis=0)
    return out


def _recent(log_price: np.ndarray, since: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the last prices known, and steps (cells, series), of the cells that those from ``since`` on look back to,
    and where in them it lies."""
    start = max(since - MEMORY_CELLS, 0)
    level = carry_forward(log_price[start:])
    return level, steps(level), since - start


def motion(log_price: np.ndarray, groups: np.ndarray, *, since: int = 0) -> dict[str, np.ndarray]:
    """Return of ``features`` those that need no windows."""
    level, step, since = _recent(log_price, since)
    out = {f"change_{k}": change(level, k, since=since).astype(np.float32) for k in LAGS}
    size, age, gap, run = last_step(step, since=since)
    for name, each, seen in (
        ("last_step", size, age),
        ("since_step", age, age),
        ("gap", gap, age + gap),
    ):
        out[name] = np.where(seen < MEMORY_CELLS, each, np.nan).astype(np.float32)
    review = np.where(group_means(step != 0, groups) >= REVIEW_SHARE, 1.0, 0.0)
    age = last_step(review, since=since)[1]
    out["since_review"] = np.where(age < MEMORY_CELLS, age, np.nan).astype(np.float32)[:, groups]
    out["run"], moved = run.astype(np.float32), change(level, 8, since=since)
    out["group_change_8"] = group_means(moved, groups).astype(np.float32)[:, groups]
    for name, way in (("rises", 1), ("falls", -1)):
        same = np.where(np.isfinite(moved), np.sign(moved) == way, np.nan)
        out[name] = group_means(same, groups).astype(np.float32)[:, groups]
    return out


def about(offers: pd.DataFrame, listed: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return by name what ``features`` takes of each of ``offers`` (columns as in ``types.Panel``) beside its prices.

    ``provider``, ``region`` and ``family`` of machines as codes; ``log_units``, of its GPUs, or vCPUs where it has none;
    ``listed_at``, the position in ``listed`` of the same machine there on demand, -1 without one.
    """
    machine = offers["instance_type"].astype(str)
    parts = (
        offers[["provider", "region"]].astype(str).assign(family=machine.str.extract(r"^(\w+)")[0])
    )
    out = {str(name): pd.factorize(parts[name], sort=True)[0] for name in parts}
    counts = offers.reindex(columns=["gpu_count", "vcpus"]).astype(float)
    count = counts["gpu_count"].where(counts["gpu_count"] > 0, counts["vcpus"])
    out["log_units"] = np.log(count.where(count > 0, 1.0)).to_numpy()
    same = ["provider", "region", "instance_type"]
    on_demand = np.flatnonzero(listed["purchase_option"] == "on_demand")
    keys, theirs = (
        pd.MultiIndex.from_frame(o[same].astype(str)) for o in (offers, listed.iloc[on_demand])
    )
    first = ~theirs.duplicated()
    out["listed_at"] = np.append(on_demand[first], -1)[theirs[first].get_indexer(keys)]
    return out


def features(
    log_price: np.ndarray,
    groups: np.ndarray,
    *,
    pace: int = 1,
    since: int = 0,
    about: dict[str, np.ndarray] | None = None,
    moved: dict[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Return the features by name, each (times from cell ``since`` on, series), NaN where not defined.

    technical: changes over ``LAGS`` cells, last step, run of steps of one sign (signed), and over windows of a
    day, a week and 30 (``pace`` cells a day; of 13, 26 and 52 cells where a cell is a day or longer) the
    distances from the median and the mean, the drawdown and the volatility (root mean square step); temporal: cell of the day
    and day of the week, cells since the last step, between the last two, since the group's last review (a
    tenth of it stepped); market: the group's mean change, the shares of it that rose and fell over 8 cells.
    With what ``about`` returns and ``log_listed``, the on-demand prices (times, series), also, market: the spread to the cheapest of the group, by the GPU or vCPU; provider:
    provider, region and family, and the discount from the on-demand price, negative. ``moved``: what ``motion`` returns of
    these cells, or more, where it is known already.
    """
    moved = motion(log_price, groups, since=since) if moved is None else moved
    out = {name: each[since - len(log_price) :] for name, each in moved.items()}
    level, step, first = _recent(log_price, since)
    for window in WINDOWS_HOURLY if pace > 1 else WINDOWS:
        for name, statistic in (
            ("from_median", "median"),
            ("from_mean", "mean"),
            ("drawdown", "max"),
        ):
            far = level[first:] - rolling(level, window, statistic, since=first)
            out[f"{name}_{window}"] = far.astype(np.float32)
        size = np.sqrt(rolling(step**2, window, "mean", since=first))
        out[f"volatility_{window}"] = size.astype(np.float32)
    if pace > 1:
        cell = np.arange(since, len(log_price), dtype=np.float32)[:, None]
        for name, hours in (("cell_of_day", cell % pace), ("day_of_week", cell // pace % 7)):
            out[name] = np.broadcast_to(hours, level[first:].shape)
    if about:
        unit_price = log_price[since:] - about["log_units"]
        order = np.argsort(groups, kind="stable")
        starts = np.unique(groups[order], return_index=True)[1]
        least = np.fmin.reduceat(unit_price[:, order], starts, axis=1)
        spread = unit_price - least[:, np.unique(groups, return_inverse=True)[1]]
        out["spread"] = spread.astype(np.float32)
        if "log_listed" in about:
            out["discount"] = (log_price[since:] - about["log_listed"][since:]).astype(np.float32)
        out |= {
            n: np.broadcast_to(np.float32(about[n]), spread.shape)
            for n in ("provider", "region", "family")
        }
    return out
