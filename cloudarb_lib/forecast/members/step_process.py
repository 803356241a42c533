"""List prices as a process of steps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cloudarb_lib.forecast.features import (
    CAP_LOG,
    MEMORY_CELLS,
    carry_forward,
    group_means,
    repricing_rate,
)
from cloudarb_lib.forecast.fitting import REFIT_EVERY, Fitting
from cloudarb_lib.forecast.member import Member, MemberForecast
from cloudarb_lib.forecast.task import Task

MODEL_FILE = "step_process.json"
MIN_STEPS = 100  # steps before a direction is learned from them


def step_process(task: Task) -> MemberForecast:
    """The expected change: will a series step, which way, by how much.

    Whether: repricing events a cell lately, and the share of its group that steps in one. Which
    way: a logistic regression, over all steps so far, on the sign, size and run of the steps
    before, and on the breadth and mean change of the group. By how much: the mean size of its
    group's steps in its last repricing event, capped.
    """
    from scipy.special import expit
    from sklearn.linear_model import LogisticRegression

    first = max(task.first_cell - MEMORY_CELLS, 0)  # cells before that are not asked for
    step = task.price_steps[first:]
    priced = np.isfinite(task.log_price[first:])
    is_repricing, rate = (
        values[first:] for values in repricing_rate(task.price_steps, task.log_price)
    )
    moved = (step != 0) & priced & is_repricing[:, None]
    moved[0] = False
    mean_size = _mean_size(step, moved, priced & is_repricing[:, None], task.groups)

    def fit(at: int, _older: object) -> np.ndarray | None:
        cell, series = np.nonzero(moved[: at + 1])
        up = step[cell, series] > 0
        x = _direction_features(task, cell - 1 - task.first_cell, series)
        if len(up) < MIN_STEPS or up.all() or not up.any():
            return None
        centre = x.mean(axis=0)
        spread = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
        regression = LogisticRegression().fit((x - centre) / spread, up)
        slope = regression.coef_[0] / spread
        return np.append(slope, regression.intercept_[0] - slope @ centre)

    def predict(direction: np.ndarray, origins: np.ndarray) -> MemberForecast:
        x = _direction_features(task, origins - task.first_cell)
        chance_up = expit(x @ direction[:-1] + direction[-1])
        mean = np.nan_to_num((2 * chance_up - 1) * mean_size[origins - first][:, task.groups])
        mean *= rate[origins - first, None]
        return MemberForecast(mean[..., None] * np.arange(1, task.horizon + 1))

    every = REFIT_EVERY * task.cells_per_day
    return Fitting(MODEL_FILE, every, fit, predict, _write, _read).forecast(task)


def _mean_size(
    step: np.ndarray, moved: np.ndarray, could_move: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """The mean size of what each group's last repricing event moves (times, groups)."""
    share = group_means(np.where(could_move, moved, np.nan), groups)
    size = group_means(np.where(moved, np.minimum(np.abs(step), CAP_LOG), np.nan), groups)
    return carry_forward(share) * carry_forward(size)


def _direction_features(task: Task, *at: np.ndarray) -> np.ndarray:
    """What tells the direction of the next step, at positions of the features."""
    size, run, rises, falls, market = (
        task.features[name][at] for name in ("last_step", "run", "rises", "falls", "group_change_8")
    )
    capped = np.clip(size, -CAP_LOG, CAP_LOG)
    return np.nan_to_num(np.stack([np.sign(capped), capped, run, rises - falls, market], axis=-1))


def _write(direction: np.ndarray, file: Path) -> None:
    file.write_text(json.dumps(direction.tolist()))


def _read(file: Path) -> np.ndarray:
    return np.array(json.loads(file.read_text()), float)


MEMBERS = (
    Member(
        "step_process",
        step_process,
        place=40,
        model_file=MODEL_FILE,
        packages=("scikit-learn", "scipy"),
    ),
)
