"""Gradient boosting over all series and steps ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cloudarb_lib.forecast.features import in_week_means
from cloudarb_lib.forecast.fitting import (
    REFIT_EVERY,
    Fitting,
    every_step,
    in_order,
    learned_steps,
    read_boosters,
    write_boosters,
)
from cloudarb_lib.forecast.member import MEDIAN_AT, QUANTILE_LEVELS, Member, MemberForecast
from cloudarb_lib.forecast.splits import outcome_known
from cloudarb_lib.forecast.task import Task

MODEL_FILE = "boosting.json"
LEARNED_AHEAD = (1, 2, 3, 4, 6, 8, 13, 24, 48, 96, 168)
"""Steps ahead that it is trained on; those between are interpolated."""
MAX_ROWS = 100_000  # rows of a fit, drawn evenly, for speed
LEAST_ROWS = 1_000  # before it is fitted at all
LEAF_SHARE = 1 / 40
LEAF_SHARE_HOURLY = 1 / 500
"""Least share of the rows in a leaf: with fewer of a price list a leaf is one date."""
LEAVES = 15
LEAVES_HOURLY = 31
ROUNDS = 60
DECAY = 0.5  # of what the leaves said before, in a refit


@dataclass(frozen=True)
class Rows:
    """What a fit learns from: features (n, columns), log changes and weights (n,)."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray


def boosting(task: Task) -> MemberForecast:
    """LightGBM, one model of each of ``QUANTILE_LEVELS`` over all series and steps ahead.

    Quantile loss, in units of the mean price of the week before.
    """
    ahead = learned_steps(LEARNED_AHEAD, task.horizon)
    rng = np.random.default_rng(task.seed)
    n_series = len(task.groups)

    def fit(at: int, older: list[Any] | None) -> list[Any] | None:
        rows = _rows_known(task, ahead, at=at, rng=rng)
        if len(rows.y) < LEAST_ROWS:
            return None
        return _train(task, rows) if older is None else _refit(older, rows)

    def predict(models: list[Any], origins: np.ndarray) -> MemberForecast:
        if task.fitted:  # the outer quantiles are for scores
            models = [models[MEDIAN_AT]]
        n_origins = len(origins)
        x = _columns(task, np.repeat(origins, n_series), np.tile(np.arange(n_series), n_origins))
        x = np.tile(x, (len(ahead), 1))
        x[:, 0] = np.repeat(ahead, n_origins * n_series)
        values = np.array([model.predict(x, num_threads=1) for model in models])
        values = values.reshape(len(models), len(ahead), n_origins, n_series)
        values = every_step(values.transpose(2, 3, 1, 0), ahead)
        return MemberForecast.from_values(values[..., 0] if task.fitted else in_order(values))

    every = REFIT_EVERY * task.cells_per_day
    return Fitting(MODEL_FILE, every, fit, predict, write_boosters, read_boosters).forecast(task)


def _columns(task: Task, cell: np.ndarray, series: np.ndarray) -> np.ndarray:
    """The features of cells of series; the first column is left for the steps ahead."""
    columns = [values[cell - task.first_cell, series] for values in task.features.values()]
    first = np.zeros(len(cell))
    return np.stack([first, *columns, task.groups[series]], axis=1, dtype=np.float32)


def _rows_known(task: Task, ahead: np.ndarray, *, at: int, rng: np.random.Generator) -> Rows:
    """Rows whose outcome is known at a cell, as many of each of the steps ``ahead``."""
    xs, ys, weights = [], [], []
    weight = in_week_means(task.log_price[: at + 1], cells_per_day=task.cells_per_day)
    for h in ahead:
        cells = np.arange(1, at + 1)
        cells = cells[outcome_known(cells, int(h), at=at)]
        change = task.log_price[cells + h] - task.log_price[cells]
        drawn = np.argwhere(np.isfinite(change))
        drawn = drawn[rng.permutation(len(drawn))[: MAX_ROWS // len(ahead)]]
        cell = cells[drawn[:, 0]]
        series = drawn[:, 1]
        ys.append(change[drawn[:, 0], series])
        weights.append(weight[cell, series])
        x = _columns(task, cell, series)
        x[:, 0] = h
        xs.append(x)
    return Rows(np.concatenate(xs), np.concatenate(ys), np.concatenate(weights))


def _train(task: Task, rows: Rows) -> list[Any]:
    """A model of each of ``QUANTILE_LEVELS``, trained anew."""
    import lightgbm

    leaf_share = LEAF_SHARE_HOURLY if task.is_market else LEAF_SHARE
    options = {
        "objective": "quantile",
        "learning_rate": 0.1,
        "num_leaves": LEAVES_HOURLY if task.is_market else LEAVES,
        "num_threads": 1,
        "seed": task.seed,
        "deterministic": True,
        "verbose": -1,
        "min_data_in_leaf": int(leaf_share * len(rows.y)),
        "feature_pre_filter": False,
    }
    data = lightgbm.Dataset(rows.x, rows.y, weight=rows.weight)
    return [
        lightgbm.train({**options, "alpha": level}, data, num_boost_round=ROUNDS)
        for level in QUANTILE_LEVELS
    ]


def _refit(models: list[Any], rows: Rows) -> list[Any]:
    """The same trees, their leaves nearer to what came since."""
    return [model.refit(rows.x, rows.y, decay_rate=DECAY, weight=rows.weight) for model in models]


MEMBERS = (
    Member(
        "boosting",
        boosting,
        place=70,
        resumable=True,
        model_file=MODEL_FILE,
        packages=("lightgbm", "scipy"),
    ),
)
