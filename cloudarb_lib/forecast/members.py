"""The members of the ensemble: functions of a ``Task``, returning (origins, series, steps ahead).

What they return, the log change from an origin, uses only cells up to it (fits: folds of ``splits``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import pandas as pd

from cloudarb_lib.features import carry_forward, features, group_mean, lag, last_step, review_rate, steps
from cloudarb_lib.forecast.neural import lstm
from cloudarb_lib.splits import known, walk

TRAINED_AHEAD = (1, 2, 3, 4, 6, 8, 13, 24, 48, 96, 168)
"""Steps ahead that boosting is trained on; those between are interpolated."""
MAX_ROWS = 20_000  # rows boosting is trained on, drawn evenly, for speed
REFIT_EVERY = 13  # paces that one fit of boosting serves
PROPHET_REFITS, PROPHET_CELLS = 4, 720  # fits over the span of the origins, and cells that each sees
MIN_STEPS = 100  # steps before a direction is learned from them
CAP_LOG = 0.17
"""Size beyond which a step says no more about the next: reviews are capped, at 15 % mostly (log 1.15 to 0.85)."""


@dataclass(frozen=True)
class Task:
    """What is to be forecast: log prices (times, series), NaN where none is known; the series' groups
    as codes; the origins as increasing positions; how many steps ahead; the seed; ``pace``, the cells
    in which a rate of change is counted: one where a cell is a day or longer, else those of a day; and how
    many offers each series stands for (None: one)."""

    log_price: np.ndarray
    groups: np.ndarray
    origins: np.ndarray
    horizon: int
    seed: int
    pace: int = 1
    copies: np.ndarray | None = None

    def truth(self) -> np.ndarray:
        """Return the log changes that came, as members forecast them; NaN where none is known."""
        n = len(self.log_price)
        target = self.origins[:, None] + np.arange(1, self.horizon + 1)
        came = self.log_price[np.minimum(target, n - 1)].transpose(0, 2, 1)
        return np.where((target < n)[:, None, :], came, np.nan) - self.log_price[self.origins][:, :, None]


def last_value(task: Task) -> np.ndarray:
    """The price stays: 0 everywhere."""
    return np.zeros((len(task.origins), task.log_price.shape[1], task.horizon))


def repeat_last_step(task: Task) -> np.ndarray:
    """The last step comes again at each review, reviews as far apart as the last two steps."""
    size, since, gap = (part[task.origins] for part in last_step(steps(task.log_price)))
    ahead = np.arange(1, task.horizon + 1)
    reviews = (since[..., None] + ahead) // gap[..., None] - (since // gap)[..., None]
    return np.nan_to_num(size[..., None] * reviews)


def momentum(task: Task, *, cells: int) -> np.ndarray:
    """The capped steps of the last ``cells`` go on at their mean pace: reviews move a price to its target
    in capped steps, so that most steps have the sign of the one before."""
    level = np.cumsum(np.clip(steps(task.log_price), -CAP_LOG, CAP_LOG), axis=0)
    before = np.nan_to_num(lag(level, cells))
    pace = (level - before)[task.origins] / cells
    return pace[..., None] * np.arange(1, task.horizon + 1)


def next_review(task: Task) -> np.ndarray:
    """The last step, capped, comes again at each review, of which there are as many as lately; half of it
    for each review that passed the series by."""
    step = steps(task.log_price)
    reviewed, rate = review_rate(step, task.log_price)
    size, since, _ = last_step(np.clip(step, -CAP_LOG, CAP_LOG))
    passed = np.cumsum(reviewed)
    at = np.nan_to_num(np.arange(len(step))[:, None] - since).astype(int)
    size = np.nan_to_num(size) * 0.5 ** (passed[:, None] - passed[at])
    return (size * rate[:, None])[task.origins][..., None] * np.arange(1, task.horizon + 1)


def step_process(task: Task) -> np.ndarray:
    """Administered prices as a process of steps: will a series step, which way, by how much.

    Whether: reviews a cell lately, and the share of its group that steps in one. Which way: a logistic
    regression, over all steps so far, on the sign, size and run of the steps before, and on the breadth and
    mean change of the group. By how much: the mean size of its group's steps in its last review, capped. Returns the
    expected change.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    step, known_price = steps(task.log_price), np.isfinite(task.log_price)
    reviewed, rate = review_rate(step, task.log_price)
    seen = features(task.log_price, task.groups, pace=task.pace)
    before = np.clip(seen["last_step"], -CAP_LOG, CAP_LOG)
    signs = [np.sign(before), before, seen["run"], seen["rises"] - seen["falls"], seen["group_change_8"]]
    cube = np.nan_to_num(np.stack(signs, axis=-1))
    moved = (step != 0) & known_price & reviewed[:, None]
    moved[0] = False
    takes = group_mean(np.where(known_price & reviewed[:, None], moved, np.nan), task.groups)
    size = group_mean(np.where(moved, np.minimum(np.abs(step), CAP_LOG), np.nan), task.groups)
    each = carry_forward(takes) * carry_forward(size)  # mean size of what a review moves, its last one's
    out = np.zeros((len(task.origins), len(task.groups), task.horizon))
    for part in walk(task.origins, refit_every=REFIT_EVERY * task.pace):
        cell, series = np.nonzero(moved[: part[0] + 1])
        up = step[cell, series] > 0
        if len(up) < MIN_STEPS or up.all() or not up.any():
            continue
        way = make_pipeline(StandardScaler(), LogisticRegression()).fit(cube[cell - 1, series], up)
        chance = way.predict_proba(cube[part].reshape(-1, cube.shape[2]))[:, 1].reshape(len(part), -1)
        mean = np.nan_to_num((2 * chance - 1) * each[part]) * rate[part, None]
        out[np.isin(task.origins, part)] = mean[..., None] * np.arange(1, task.horizon + 1)
    return out


def trailing_median(task: Task, *, cells: int) -> np.ndarray:
    """The price returns to its median of the last ``cells``: a spike ends, a regime stays."""
    level = carry_forward(task.log_price)
    past = [np.median(level[max(at - cells + 1, 0) : at + 1], axis=0) for at in task.origins]
    back = np.nan_to_num(np.array(past) - level[task.origins])
    return np.repeat(back[..., None], task.horizon, axis=2)


def seasonal_naive(task: Task) -> np.ndarray:
    """The price of one season before comes again: of a day where cells are shorter, else of 52 cells."""
    level, season = carry_forward(task.log_price), task.pace if task.pace > 1 else 52
    ahead = np.arange(1, task.horizon + 1)
    cell = task.origins[:, None] + ahead - season * -(-ahead // season)
    back = level[np.maximum(cell, 0)].transpose(0, 2, 1) - level[task.origins][..., None]
    return np.nan_to_num(np.where((cell >= 0)[:, None], back, 0.0))


def prophet(task: Task) -> np.ndarray:
    """Prophet (Taylor and Letham, The American Statistician 72, 2018) on the index of each group, the
    mean step of its series added up; a series takes the change of its group's index.

    Trend with change points, and on an hourly grid the day and the week; fitted ``PROPHET_REFITS`` times.
    """
    import logging

    from prophet import Prophet

    logging.getLogger("cmdstanpy").disabled = True  # it reports every fit; what fails is raised all the same

    known_step = np.where(np.isfinite(task.log_price), steps(task.log_price), np.nan)
    groups, first = np.unique(task.groups, return_index=True)
    index = np.cumsum(np.nan_to_num(group_mean(known_step, task.groups)[:, first]), axis=0)
    day = pd.Timestamp("2001-01-01")  # time counts from here: only hours of a day and days of a week matter
    ds = day + pd.Timedelta(days=1) / task.pace * np.arange(len(index) + task.horizon)
    out = np.zeros((len(task.origins), len(task.groups), task.horizon))
    seasonal = task.pace > 1
    every = max(int(np.ptp(task.origins)) // PROPHET_REFITS, REFIT_EVERY)
    ahead = np.arange(task.horizon + 1)
    for part, (k, group) in product(walk(task.origins, refit_every=every), enumerate(groups)):
        at = int(part[0])
        y = index[max(at + 1 - PROPHET_CELLS, 0) : at + 1, k]
        if np.ptp(y) == 0:
            continue
        model = Prophet(
            yearly_seasonality=False, weekly_seasonality=seasonal, daily_seasonality=seasonal,
            uncertainty_samples=0,
        )  # fmt: skip
        model.fit(pd.DataFrame({"ds": ds[at + 1 - len(y) : at + 1], "y": y}), seed=task.seed)
        said = model.predict(pd.DataFrame({"ds": ds[at : part[-1] + task.horizon + 1]}))["yhat"].to_numpy()
        change = said[part[:, None] - at + ahead] - said[part - at][:, None]
        out[np.ix_(np.isin(task.origins, part), task.groups == group)] = change[:, None, 1:]
    return out


def damped_trend(task: Task) -> np.ndarray:
    """Holt's linear method with a damped trend (Gardner and McKenzie, 1985), by statsmodels.

    Smoothing constants are fixed: one pass over a series gives the trend that stood at every origin.
    """
    from statsmodels.tsa.holtwinters import Holt

    level_share, trend_share, damping = 0.99, 0.12, 0.95
    level = carry_forward(task.log_price)
    trend = np.zeros((len(task.origins), level.shape[1]))
    for series in range(level.shape[1]):
        first = len(level) - int(np.isfinite(level[:, series]).sum())
        y = level[first:, series]
        if len(y) < 3 or np.ptp(y) == 0:
            continue
        start = {"initialization_method": "known", "initial_level": 0.0, "initial_trend": 0.0}
        model = Holt(y - y[0], damped_trend=True, **start)
        fit = model.fit(level_share, trend_share, damping_trend=damping, optimized=False)
        inside = task.origins >= first
        trend[inside, series] = fit.trend[task.origins[inside] - first]
    return trend[..., None] * np.cumsum(damping ** np.arange(1, task.horizon + 1))


def boosting(task: Task) -> np.ndarray:
    """Gradient boosting by LightGBM: one model over all series and steps ahead, absolute loss."""
    import lightgbm
    from scipy.interpolate import interp1d

    cube = np.stack(list(features(task.log_price, task.groups, pace=task.pace).values()), axis=-1)
    code = np.broadcast_to(task.groups[None, :, None], (*cube.shape[:2], 1))
    cube = np.concatenate([cube, code], axis=-1).astype(np.float32)
    ahead = np.array([h for h in TRAINED_AHEAD if h < task.horizon] + [task.horizon])
    rng = np.random.default_rng(task.seed)
    out = np.zeros((len(task.origins), cube.shape[1], task.horizon))
    leaf = 500  # outcomes: fewer, and a leaf is one date
    options = {"objective": "l1", "learning_rate": 0.1, "num_leaves": 15, "min_data_in_leaf": leaf,
               "num_threads": 1, "seed": task.seed, "deterministic": True, "verbose": -1}  # fmt: skip
    for part in walk(task.origins, refit_every=REFIT_EVERY * task.pace):
        xs, ys = [], []
        for h in ahead:
            rows = np.arange(1, part[0] + 1)
            rows = rows[known(rows, int(h), at=int(part[0]))]
            change = task.log_price[rows + h] - task.log_price[rows]
            take = np.argwhere(np.isfinite(change))
            take = take[rng.permutation(len(take))[: MAX_ROWS // len(ahead)]]
            ys.append(change[take[:, 0], take[:, 1]])
            xs.append(np.insert(cube[rows[take[:, 0]], take[:, 1]], 0, h, axis=1))
        y = np.concatenate(ys)
        if len(y) < 2 * leaf:
            continue
        booster = lightgbm.train(options, lightgbm.Dataset(np.concatenate(xs), y), num_boost_round=60)
        x = cube[part].reshape(-1, cube.shape[2])
        at = [np.reshape(booster.predict(np.insert(x, 0, h, axis=1)), (len(part), -1)) for h in ahead]
        between = interp1d([0, *ahead], np.stack([np.zeros_like(at[0]), *at], axis=-1))
        out[np.isin(task.origins, part)] = between(np.arange(1, task.horizon + 1))
    return out


MEMBERS: dict[str, Callable[[Task], np.ndarray]] = {
    "last_value": last_value,
    "repeat_last_step": repeat_last_step,
    "damped_trend": damped_trend,
    **{f"momentum_{n}": partial(momentum, cells=n) for n in (8, 13, 26)},
    "next_review": next_review,
    "step_process": step_process,
    **{f"median_{n}": partial(trailing_median, cells=n) for n in (24, 168, 720)},
    "seasonal_naive": seasonal_naive,
    "boosting": boosting,
    "prophet": prophet,
    "lstm": lstm,
}
SLOW = ("prophet", "lstm")
"""Members that need seconds: left out where a forecast is made anew every week of a look-back."""
KEPT = (*SLOW, "boosting")
"""Members whose forecasts an interrupted back-test finds again."""
