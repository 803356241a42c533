"""Prophet on the index of each group."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cloudarb_lib.forecast.features import group_means
from cloudarb_lib.forecast.fitting import REFIT_DAYS, Fitting
from cloudarb_lib.forecast.member import Member
from cloudarb_lib.forecast.task import Task

if TYPE_CHECKING:
    from prophet import Prophet

MODEL_FILE = "prophet.json"
REFITS = 4  # fits over the span of the origins
FIT_CELLS = 720  # cells that each fit sees
FIRST_DAY = pd.Timestamp("2001-01-01")
"""Time counts from here: only hours of a day and days of a week matter."""


def prophet_of_groups(task: Task) -> np.ndarray:
    """Prophet on the index of each group, the mean step of its series added up.

    A series takes the change of its group's index. Trend with change points, and on an hourly grid
    the day and the week; fitted ``REFITS`` times.

    References
    ----------
    Taylor and Letham, The American Statistician 72, 2018.
    """
    # it reports every fit; what fails is raised all the same
    logging.getLogger("cmdstanpy").disabled = True

    known_step = np.where(np.isfinite(task.log_price), task.price_steps, np.nan)
    groups, of_group = np.unique(task.groups, return_inverse=True)
    index = np.cumsum(np.nan_to_num(group_means(known_step, task.groups)[:, groups]), axis=0)
    cell_length = pd.Timedelta(days=1) / task.cells_per_day
    times = FIRST_DAY + cell_length * np.arange(len(index) + task.horizon)
    ahead = np.arange(1, task.horizon + 1)

    def fit(at: int, _older: object) -> list[Prophet | None]:
        first = max(at + 1 - FIT_CELLS, 0)
        return [
            _fit_index(index[first : at + 1, k], times[first : at + 1], task)
            for k in range(len(groups))
        ]

    def predict(models: list[Prophet | None], origins: np.ndarray) -> np.ndarray:
        change = np.zeros((len(origins), len(groups), task.horizon))
        cells = pd.DataFrame({"ds": times[origins[0] : origins[-1] + task.horizon + 1]})
        at = origins - origins[0]
        for k, model in enumerate(models):
            if model is not None:
                level = model.predict(cells)["yhat"].to_numpy()
                change[:, k] = level[at[:, None] + ahead] - level[at][:, None]
        return change[:, of_group]

    every = max(int(np.ptp(task.origins)) // REFITS, REFIT_DAYS)
    return Fitting(MODEL_FILE, every, fit, predict, _write, _read).forecast(task)


def _fit_index(y: np.ndarray, times: np.ndarray, task: Task) -> Prophet | None:
    """The model of one group's index, None where it never moved."""
    from prophet import Prophet

    if not np.ptp(y) > 0:
        return None
    model = Prophet(
        yearly_seasonality=False,
        weekly_seasonality=task.is_hourly,
        daily_seasonality=task.is_hourly,
        uncertainty_samples=0,
    )
    return model.fit(pd.DataFrame({"ds": times, "y": y}), seed=task.seed)


def _write(models: list[Prophet | None], file: Path) -> None:
    from prophet.serialize import model_to_json

    file.write_text(json.dumps([model and json.loads(model_to_json(model)) for model in models]))


def _read(file: Path) -> list[Any]:
    from prophet.serialize import model_from_json

    return [model and model_from_json(json.dumps(model)) for model in json.loads(file.read_text())]


MEMBERS = (
    Member("prophet", prophet_of_groups, slow=True, model_file=MODEL_FILE, packages=("prophet",)),
)
