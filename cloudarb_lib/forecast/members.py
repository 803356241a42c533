"""The members of the ensemble: functions of a ``Task``, returning (origins, series, steps ahead), with quantiles of
``LEVELS`` on a fourth axis where they are fitted for them.

What they return, the log change from an origin, uses only cells up to it (fits: folds of ``splits``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd

from cloudarb_lib.forecast.features import (
    CAP_LOG,
    MEMORY_CELLS,
    carry_forward,
    features,
    group_means,
    last_step,
    motion,
    review_rate,
    steps,
)
from cloudarb_lib.forecast.meta import in_week_means, meta_learner, read_boosters, write_boosters
from cloudarb_lib.forecast.neural import LEVELS, WINDOW, in_order, lstm
from cloudarb_lib.forecast.splits import known, walk

TRAINED_AHEAD = (1, 2, 3, 4, 6, 8, 13, 24, 48, 96, 168)
"""Steps ahead that boosting is trained on; those between are interpolated."""
MAX_ROWS = 100_000  # rows boosting is trained on, drawn evenly, for speed
REFIT_EVERY = 13  # paces that one fit of boosting serves
PROPHET_REFITS, PROPHET_CELLS = (
    4,
    720,
)  # fits over the span of the origins, and cells that each sees
LEAST_ROWS = 1_000  # before boosting is fitted at all
LEAF_SHARE, LEAF_SHARE_HOURLY = 1 / 40, 1 / 500
"""Least share of the rows in a leaf of boosting: with fewer of a price list a leaf is one date."""
MIN_STEPS = 100  # steps before a direction is learned from them

M = TypeVar("M")


@dataclass(frozen=True)
class Task:
    """What is to be forecast: log prices (times, series), NaN where none is known; the series' groups
    as codes; the origins as increasing positions; how many steps ahead; the seed; ``pace``, the cells
    in which a rate of change is counted: one where a cell is a day or longer, else those of a day; how
    many offers each series stands for (None: one); and the folder ``models`` in which the last fit of each
    member is kept, or where ``fitted`` lies ready: then nothing is fitted; ``about`` the series, as in
    ``Patterns``."""

    log_price: np.ndarray
    groups: np.ndarray
    origins: np.ndarray
    horizon: int
    seed: int
    pace: int = 1
    copies: np.ndarray | None = None
    models: Path | None = None
    fitted: bool = False
    about: dict[str, np.ndarray] | None = None

    @cached_property
    def step(self) -> np.ndarray:
        """The steps into each cell, as from ``features.steps``."""
        return self.about["step"] if self.about else steps(self.log_price)

    @property
    def since(self) -> int:
        """The first cell of which features are asked: where nothing is fitted, the first origin."""
        return int(self.origins[0]) if self.fitted else 0

    @cached_property
    def motion(self) -> dict[str, np.ndarray]:
        """What ``features.motion`` returns of the cells from ``since`` on, and those before that the network sees."""
        return motion(self.log_price, self.groups, since=max(self.since + 1 - WINDOW, 0))

    @cached_property
    def features(self) -> dict[str, np.ndarray]:
        """The features of the cells from ``since`` on."""
        known = {"about": self.about, "moved": self.motion}
        return features(self.log_price, self.groups, pace=self.pace, since=self.since, **known)

    def truth(self) -> np.ndarray:
        """Return the log changes that came, as members forecast them; NaN where none is known."""
        n = len(self.log_price)
        target = self.origins[:, None] + np.arange(1, self.horizon + 1)
        came = self.log_price[np.minimum(target, n - 1)].transpose(0, 2, 1)
        return (
            np.where((target < n)[:, None, :], came, np.nan)
            - self.log_price[self.origins][:, :, None]
        )


@dataclass(frozen=True)
class Fitting(Generic[M]):
    """How a member that is fitted goes about it: ``fit`` at a cell, from an older model where there is one (None:
    not enough to learn from), every so many cells; ``predict`` (model, origins) a change (origins, series,
    steps); ``write`` and ``read`` of the model in its own format as ``file``."""

    file: str
    every: int
    fit: Callable[[int, M | None], M | None]
    predict: Callable[[M, np.ndarray], np.ndarray]
    write: Callable[[M, Path], object]
    read: Callable[[Path], M]

    def walk(self, task: Task) -> np.ndarray:
        """Return the member's forecasts, each part of the origins by a fit at its first one; 0 without one."""
        out = None
        file = task.models / self.file if task.models else None
        model = before = (
            _kept(file, file.stat().st_mtime_ns, self.read) if file and file.exists() else None
        )
        for part in walk(task.origins, refit_every=self.every):
            model = before if task.fitted else self.fit(int(part[0]), before)
            if model is not None:
                said = self.predict(model, part)
                out = np.zeros((len(task.origins), *said.shape[1:])) if out is None else out
                out[np.isin(task.origins, part)] = said
        if file and model is not None and not task.fitted:
            self.write(model, file)
        return last_value(task) if out is None else out


def learned_steps(steps: tuple[int, ...], horizon: int) -> np.ndarray:
    """Return the steps ahead that are learned: those of ``steps`` before ``horizon``, and that."""
    return np.array([h for h in steps if h < horizon] + [horizon])


def every_step(said: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """Return (origins, series, steps, ...) of every step up to the last one ``ahead``, of changes ``said`` of those (origins,
    series, ahead, ...): in proportion between them, and from 0 at the origin."""
    from scipy.interpolate import interp1d

    return interp1d([0, *ahead], np.insert(said, 0, 0.0, axis=2), axis=2)(
        np.arange(1, ahead[-1] + 1)
    )


@cache
def _kept(file: Path, _: int, read: Callable[[Path], Any]) -> Any:
    return read(file)


def last_value(task: Task) -> np.ndarray:
    """The price stays: 0 everywhere."""
    return np.zeros((len(task.origins), task.log_price.shape[1], task.horizon))


def repeat_last_step(task: Task) -> np.ndarray:
    """The last step comes again at each review, reviews as far apart as the last two steps."""
    size, since, gap = (part[task.origins] for part in last_step(task.step)[:3])
    ahead = np.arange(1, task.horizon + 1)
    reviews = (since[..., None] + ahead) // gap[..., None] - (since // gap)[..., None]
    return np.nan_to_num(size[..., None] * reviews)


def momentum(task: Task, *, cells: int) -> np.ndarray:
    """The capped steps of the last ``cells`` go on at their mean pace: reviews move a price to its target
    in capped steps, so that most steps have the sign of the one before."""
    level = np.cumsum(np.clip(task.step, -CAP_LOG, CAP_LOG), axis=0)
    start = task.origins - cells
    pace = (level[task.origins] - np.where(start >= 0, level[start].T, 0.0).T) / cells
    return pace[..., None] * np.arange(1, task.horizon + 1)


def step_process(task: Task) -> np.ndarray:
    """Administered prices as a process of steps: will a series step, which way, by how much.

    Whether: reviews a cell lately, and the share of its group that steps in one. Which way: a logistic
    regression, over all steps so far, on the sign, size and run of the steps before, and on the breadth and
    mean change of the group. By how much: the mean size of its group's steps in its last review, capped. Returns the
    expected change.
    """
    from scipy.special import expit
    from sklearn.linear_model import LogisticRegression

    first = max(task.since - MEMORY_CELLS, 0)  # cells before that are not asked for
    step, known_price = task.step[first:], np.isfinite(task.log_price[first:])
    reviewed, rate = (each[first:] for each in review_rate(task.step, task.log_price))
    seen = task.features
    moved = (step != 0) & known_price & reviewed[:, None]
    moved[0] = False
    takes = group_means(np.where(known_price & reviewed[:, None], moved, np.nan), task.groups)
    size = group_means(np.where(moved, np.minimum(np.abs(step), CAP_LOG), np.nan), task.groups)
    mean_size = carry_forward(takes) * carry_forward(
        size
    )  # of what a review moves, in each group's last one

    def signs(*at: np.ndarray) -> np.ndarray:
        size, run, rises, falls, market = (
            seen[name][at] for name in ("last_step", "run", "rises", "falls", "group_change_8")
        )
        before = np.clip(size, -CAP_LOG, CAP_LOG)
        return np.nan_to_num(
            np.stack([np.sign(before), before, run, rises - falls, market], axis=-1)
        )

    def fit(at: int, _: object) -> np.ndarray | None:
        cell, series = np.nonzero(moved[: at + 1])
        up, x = step[cell, series] > 0, signs(cell - 1 - task.since, series)
        if len(up) < MIN_STEPS or up.all() or not up.any():
            return None
        middle, spread = x.mean(axis=0), np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
        way = LogisticRegression().fit((x - middle) / spread, up)
        slope = way.coef_[0] / spread
        return np.append(slope, way.intercept_[0] - slope @ middle)

    def predict(way: np.ndarray, part: np.ndarray) -> np.ndarray:
        chance = expit(signs(part - task.since) @ way[:-1] + way[-1])
        mean = np.nan_to_num((2 * chance - 1) * mean_size[part - first][:, task.groups])
        mean *= rate[part - first, None]
        return mean[..., None] * np.arange(1, task.horizon + 1)

    return Fitting(
        "step_process.json",
        REFIT_EVERY * task.pace,
        fit,
        predict,
        lambda way, file: file.write_text(json.dumps(way.tolist())),
        _read_numbers,
    ).walk(task)


def _read_numbers(file: Path) -> np.ndarray:
    return np.array(json.loads(file.read_text()), float)


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
    from prophet.serialize import model_to_json

    logging.getLogger(
        "cmdstanpy"
    ).disabled = True  # it reports every fit; what fails is raised all the same

    known_step = np.where(np.isfinite(task.log_price), task.step, np.nan)
    groups, of = np.unique(task.groups, return_inverse=True)
    index = np.cumsum(np.nan_to_num(group_means(known_step, task.groups)[:, groups]), axis=0)
    day = pd.Timestamp(
        "2001-01-01"
    )  # time counts from here: only hours of a day and days of a week matter
    ds = day + pd.Timedelta(days=1) / task.pace * np.arange(len(index) + task.horizon)
    seasonal = task.pace > 1

    def fit(at: int, _: object) -> list[Prophet | None]:
        models: list[Prophet | None] = []
        for k in range(len(groups)):
            y = index[max(at + 1 - PROPHET_CELLS, 0) : at + 1, k]
            models.append(None)
            if np.ptp(y) > 0:
                models[k] = Prophet(
                    yearly_seasonality=False,
                    weekly_seasonality=seasonal,
                    daily_seasonality=seasonal,
                    uncertainty_samples=0,
                ).fit(pd.DataFrame({"ds": ds[at + 1 - len(y) : at + 1], "y": y}), seed=task.seed)
        return models

    def predict(models: list[Prophet | None], part: np.ndarray) -> np.ndarray:
        change = np.zeros((len(part), len(groups), task.horizon))
        cells = pd.DataFrame({"ds": ds[part[0] : part[-1] + task.horizon + 1]})
        for k, model in enumerate(models):
            if model is not None:
                said, at = model.predict(cells)["yhat"].to_numpy(), part - part[0]
                ahead = np.arange(1, task.horizon + 1)
                change[:, k] = said[at[:, None] + ahead] - said[at][:, None]
        return change[:, of]

    def write(models: list[Prophet | None], file: Path) -> None:
        file.write_text(
            json.dumps([model and json.loads(model_to_json(model)) for model in models])
        )

    every = max(int(np.ptp(task.origins)) // PROPHET_REFITS, REFIT_EVERY)
    return Fitting("prophet.json", every, fit, predict, write, _read_prophet).walk(task)


def _read_prophet(file: Path) -> list[Any]:
    from prophet.serialize import model_from_json

    return [model and model_from_json(json.dumps(model)) for model in json.loads(file.read_text())]


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
    """Gradient boosting by LightGBM, one model of each of ``LEVELS`` over all series and steps ahead: quantile loss, in
    units of the mean price of the week before."""
    import lightgbm

    seen, ahead = list(task.features.values()), learned_steps(TRAINED_AHEAD, task.horizon)
    rng, many = np.random.default_rng(task.seed), len(task.groups)
    share, leaves = (LEAF_SHARE, 15) if task.pace == 1 else (LEAF_SHARE_HOURLY, 31)
    options = {
        "objective": "quantile",
        "learning_rate": 0.1,
        "num_leaves": leaves,
        "num_threads": 1,
        "seed": task.seed,
        "deterministic": True,
        "verbose": -1,
    }

    def rows_of(cell: np.ndarray, series: np.ndarray) -> np.ndarray:
        columns = [each[cell - task.since, series] for each in seen]
        return np.stack(
            [np.zeros(len(cell)), *columns, task.groups[series]], axis=1, dtype=np.float32
        )

    def fit(at: int, before: list[Any] | None) -> list[Any] | None:
        xs, ys, units = [], [], []
        unit = in_week_means(task.log_price[: at + 1], pace=task.pace)
        for h in ahead:
            rows = np.arange(1, at + 1)
            rows = rows[known(rows, int(h), at=at)]
            change = task.log_price[rows + h] - task.log_price[rows]
            take = np.argwhere(np.isfinite(change))
            take = take[rng.permutation(len(take))[: MAX_ROWS // len(ahead)]]
            cell = rows[take[:, 0]], take[:, 1]
            ys.append(change[take[:, 0], take[:, 1]])
            units.append(unit[cell])
            xs.append(rows_of(*cell))
            xs[-1][:, 0] = h
        x, y, weight = map(np.concatenate, (xs, ys, units))
        if len(y) < LEAST_ROWS:
            return None
        if before is not None:  # the same trees, their leaves nearer to what came since
            return [model.refit(x, y, decay_rate=0.5, weight=weight) for model in before]
        leaf = {"min_data_in_leaf": int(share * len(y)), "feature_pre_filter": False}
        data = lightgbm.Dataset(x, y, weight=weight)
        return [
            lightgbm.train({**options, **leaf, "alpha": q}, data, num_boost_round=60)
            for q in LEVELS
        ]

    def predict(models: list[Any], part: np.ndarray) -> np.ndarray:
        models = (
            models[LEVELS.index(0.5) :][:1] if task.fitted else models
        )  # the others are for scores
        x = np.tile(
            rows_of(np.repeat(part, many), np.tile(np.arange(many), len(part))), (len(ahead), 1)
        )
        x[:, 0] = np.repeat(ahead, len(part) * many)
        said = np.array([model.predict(x, num_threads=1) for model in models])
        said = said.reshape(len(models), len(ahead), len(part), many).transpose(2, 3, 1, 0)
        out = every_step(said, ahead)
        return out[..., 0] if task.fitted else in_order(out)

    return Fitting(
        "boosting.json", REFIT_EVERY * task.pace, fit, predict, write_boosters, read_boosters
    ).walk(task)


def median(said: np.ndarray) -> np.ndarray:
    """Return the median of what a member says, (origins, series, steps)."""
    return said if said.ndim == 3 else said[..., LEVELS.index(0.5)]


MEMBERS: dict[str, Callable[[Task], np.ndarray]] = {
    "last_value": last_value,
    "repeat_last_step": repeat_last_step,
    "damped_trend": damped_trend,
    **{f"momentum_{n}": partial(momentum, cells=n) for n in (8, 13, 26)},
    "step_process": step_process,
    **{f"median_{n}": partial(trailing_median, cells=n) for n in (24, 168, 720)},
    "seasonal_naive": seasonal_naive,
    "boosting": boosting,
    "meta_learner": meta_learner,
    "prophet": prophet,
    "lstm": lstm,
}
SLOW = ("prophet", "lstm")
"""Members that need seconds: left out where a forecast is made anew every week of a look-back."""
KEPT = (*SLOW, "boosting", "meta_learner")
"""Members whose forecasts an interrupted back-test finds again."""
