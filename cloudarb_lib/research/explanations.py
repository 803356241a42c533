"""Why boosting forecasts what it does: what each feature adds to each forecast, as SHAP values.

LightGBM computes them itself, exactly, for its trees; no further package is needed.

References
----------
Lundberg et al., From local explanations to global understanding with explainable AI for trees,
Nature Machine Intelligence 2, 2020 (TreeSHAP).
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.forecast.fitting import read_boosters
from cloudarb_lib.forecast.members.boosting import MODEL_FILE, boosting, column_names, columns_of
from cloudarb_lib.forecast.task import Task

EXPECTED = "expected value"
"""The feature under which the mean forecast of the model stands: what no feature adds to."""


def explain_boosting(task: Task, offers: list[str]) -> pd.DataFrame:
    """Return what each feature adds to boosting's forecast from the last origin of a task.

    Parameters
    ----------
    task : Task
        Its last fit is explained, at the horizon.
    offers : list of str
        What each series is called.

    Returns
    -------
    DataFrame
        ``offer_id``, ``feature``, ``value`` (of the feature; NaN for ``EXPECTED``),
        ``contribution_log`` (log change of the price; those of an offer add up to its
        ``forecast_log``) and ``forecast_log``.

    Raises
    ------
    DataError
        Where there is too little to fit boosting.
    """
    with tempfile.TemporaryDirectory(prefix="cloudarb-") as folder:
        boosting(replace(task, models=Path(folder)))
        file = Path(folder) / MODEL_FILE
        if not file.exists():
            raise DataError("too little is on record to fit boosting.", "Take a longer panel.")
        model: Any = read_boosters(file)
    series = np.arange(len(task.groups))
    at = np.full(len(series), task.origins[-1])
    x = columns_of(task, at, series)
    x[:, 0] = task.horizon
    added = model.predict(x, pred_contrib=True, num_threads=1)
    forecast = model.predict(x, num_threads=1)
    names = [*column_names(task), EXPECTED]
    n_names = len(names)
    return pd.DataFrame(
        {
            "offer_id": np.repeat(offers, n_names),
            "feature": np.tile(names, len(series)),
            "value": np.column_stack([x, np.full(len(series), np.nan)]).ravel(),
            "contribution_log": added.ravel(),
            "forecast_log": np.repeat(forecast, n_names),
        }
    )


def by_feature(explained: pd.DataFrame) -> pd.Series:
    """Return the mean absolute contribution of each feature, %, the largest first."""
    of_features = explained[explained["feature"] != EXPECTED]
    size = 100 * of_features["contribution_log"].abs()
    return size.groupby(of_features["feature"]).mean().sort_values(ascending=False)
