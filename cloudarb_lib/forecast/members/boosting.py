"""Gradient boosting over all series and steps ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cloudarb_lib.forecast.features import in_week_means
from cloudarb_lib.forecast.fitting import (
    BOOSTER_OPTIONS,
    REFIT_DAYS,
    Fitting,
    draw_known_changes,
    every_step,
    learned_steps,
    read_boosters,
    write_boosters,
)
from cloudarb_lib.forecast.member import Member
from cloudarb_lib.forecast.task import Task

MODEL_FILE = "boosting.json"
LEARNED_AHEAD = (1, 2, 3, 4, 6, 8, 13, 24, 48, 96, 168)
"""Steps ahead that it is trained on; those between are interpolated."""
MAX_ROWS = 100_000  # rows of a fit, drawn evenly, for speed
LEAST_ROWS = 1_000  # before it is fitted at all
LEAF_SHARE = 1 / 500  # least share of the rows in a leaf
LEAVES = 31
ROUNDS = 60
DECAY = 0.5  # of what the leaves said before, in a refit


@dataclass(frozen=True)
class Rows:
    """What a fit learns from: features (n, columns), log changes and weights (n,)."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray


def boosting(task: Task) -> np.ndarray:
    """LightGBM, one model of the median over all series and steps ahead.

    Absolute loss, in units of the mean price of the week before.
    """
    ahead = learned_steps(LEARNED_AHEAD, task.horizon)
    rng = np.random.default_rng(task.seed)
    n_series = len(task.groups)

    def fit(at: int, older: Any) -> Any:
        rows = _rows_known(task, ahead, at=at, rng=rng)
        if len(rows.y) < LEAST_ROWS:
            return None
        if older is None:
            return _train(task, rows)
        # the same trees, their leaves nearer to what came since
        return older.refit(rows.x, rows.y, decay_rate=DECAY, weight=rows.weight)

    def predict(model: Any, origins: np.ndarray) -> np.ndarray:
        n_origins = len(origins)
        x = columns_of(task, np.repeat(origins, n_series), np.tile(np.arange(n_series), n_origins))
        x = np.tile(x, (len(ahead), 1))
        x[:, 0] = np.repeat(ahead, n_origins * n_series)
        values = model.predict(x, num_threads=1).reshape(len(ahead), n_origins, n_series)
        return every_step(values.transpose(1, 2, 0), ahead)

    every = REFIT_DAYS * task.cells_per_day
    return Fitting(MODEL_FILE, every, fit, predict, write_boosters, read_boosters).forecast(task)


def column_names(task: Task) -> list[str]:
    """Return what the columns of ``columns_of`` are."""
    return ["steps ahead", *task.features, "group"]


def columns_of(task: Task, cell: np.ndarray, series: np.ndarray) -> np.ndarray:
    """Return the features of cells of series; the first column is left for the steps ahead."""
    columns = [values[cell - task.first_cell, series] for values in task.features.values()]
    first = np.zeros(len(cell))
    return np.stack([first, *columns, task.groups[series]], axis=1, dtype=np.float32)


def _rows_known(task: Task, ahead: np.ndarray, *, at: int, rng: np.random.Generator) -> Rows:
    """Rows whose outcome is known at a cell, as many of each of the steps ``ahead``."""
    xs, ys, weights = [], [], []
    weight = in_week_means(task.log_price[: at + 1], cells_per_day=task.cells_per_day)
    for h in ahead:
        most = MAX_ROWS // len(ahead)
        cells = np.arange(1, at + 1)
        drawn = draw_known_changes(task.log_price, cells, int(h), at=at, most=most, rng=rng)
        ys.append(drawn.change)
        weights.append(weight[drawn.cell, drawn.series])
        x = columns_of(task, drawn.cell, drawn.series)
        x[:, 0] = h
        xs.append(x)
    return Rows(np.concatenate(xs), np.concatenate(ys), np.concatenate(weights))


def _train(task: Task, rows: Rows) -> Any:
    """A model of the median, trained anew."""
    import lightgbm

    options = {
        **BOOSTER_OPTIONS,
        "objective": "quantile",
        "alpha": 0.5,
        "num_leaves": LEAVES,
        "seed": task.seed,
        "min_data_in_leaf": int(LEAF_SHARE * len(rows.y)),
    }
    data = lightgbm.Dataset(rows.x, rows.y, weight=rows.weight)
    return lightgbm.train(options, data, num_boost_round=ROUNDS)


MEMBERS = (Member("boosting", boosting, model_file=MODEL_FILE, packages=("lightgbm", "scipy")),)
