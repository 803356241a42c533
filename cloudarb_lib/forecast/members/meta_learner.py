"""The meta-learner: which simple forecast to trust, by the state a market is in.

A feature-based choice among forecasts (FFORMA), here among the last value and the way back to a
trailing median, half or all of it.

References
----------
Montero-Manso, Athanasopoulos, Hyndman and Talagala, International Journal of Forecasting 36, 2020.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cloudarb_lib.forecast.features import in_week_means, windows_of
from cloudarb_lib.forecast.fitting import (
    BOOSTER_OPTIONS,
    Fitting,
    draw_known_changes,
    every_step,
    learned_steps,
    read_boosters,
    write_boosters,
)
from cloudarb_lib.forecast.member import Member
from cloudarb_lib.forecast.task import Task

MODEL_FILE = "meta_learner.json"
STATE = ("change", "from_median", "drawdown", "volatility")
"""Features, by the beginning of their names, that tell one state from another."""
LEARNED_AHEAD = (3, 24)
"""Steps ahead that a choice is learned for, beside the last; those between are interpolated.

Before the first the price stays: what an hour brings hangs on its last minutes, which a mean of
hours does not show.
"""
EVERY_CELLS = 3  # cells between those learned from: neighbours say nearly the same
REFIT_DAYS = 7
MAX_ROWS = 20_000
MIN_ROWS = 1_000
N_MODELS = 4
ROUNDS = 60


def meta_learner(task: Task) -> np.ndarray:
    """The median of the simple forecasts under the probabilities that cost least in this state.

    Learned from the outcomes of all series, the loss being the absolute error in units of the mean
    price of the week before.
    """
    ahead = learned_steps(LEARNED_AHEAD, task.horizon)
    rng = np.random.default_rng(task.seed)

    def fit(at: int, _older: object) -> list[list[Any]]:
        unit = in_week_means(task.log_price, cells_per_day=task.cells_per_day)
        models = []
        for h in ahead:
            cells = np.arange(at % EVERY_CELLS, at, EVERY_CELLS)
            drawn = draw_known_changes(task.log_price, cells, int(h), at=at, most=MAX_ROWS, rng=rng)
            cell = (drawn.cell, drawn.series)
            came = np.expm1(drawn.change)[:, None]
            loss = np.abs(np.expm1(_simple_forecasts(task, *cell)) - came) * unit[cell][:, None]
            enough = len(came) >= MIN_ROWS
            models.append(choose(_state(task, *cell), loss, seed=task.seed) if enough else [])
        return models

    def predict(models: list[list[Any]], origins: np.ndarray) -> np.ndarray:
        at = origins - task.first_cell
        change = np.zeros((len(origins), len(task.groups), len(ahead)))
        for k, chosen in enumerate(models):
            if chosen:
                state = _state(task, at)
                chance = chances(chosen, state.reshape(-1, state.shape[2]))
                options = _simple_forecasts(task, at).reshape(chance.shape)
                change[:, :, k] = weighted_median(options, chance).reshape(len(origins), -1)
        values = every_step(np.nan_to_num(change), ahead)
        values[:, :, : LEARNED_AHEAD[0] - 1] = 0.0
        return values

    every = REFIT_DAYS * task.cells_per_day
    return Fitting(MODEL_FILE, every, fit, predict, write_boosters, read_boosters).forecast(task)


def _state(task: Task, *at: np.ndarray) -> np.ndarray:
    """The features that tell states apart, at positions of the features."""
    names = [name for name in task.features if name.startswith(STATE)]
    return np.stack([task.features[name][at] for name in names], axis=-1)


def _simple_forecasts(task: Task, *at: np.ndarray) -> np.ndarray:
    """The options: no change, and half of or all the way back to each trailing median."""
    windows = windows_of(task.cells_per_day)
    distance = [task.features[f"from_median_{n}"][at] for n in windows]
    back = -np.stack(distance, axis=-1, dtype=float)
    return np.concatenate([np.zeros_like(back[..., :1]), 0.5 * back, back], axis=-1)


def weighted_median(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the median of each row of ``values`` (n, options) by ``weight``, alike in shape.

    The least value with half of the weight at it or below.
    """
    order = np.argsort(values, axis=1, kind="stable")
    total = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    at = (total < 0.5 * total[:, -1:]).sum(axis=1, keepdims=True)
    return np.take_along_axis(values, np.take_along_axis(order, at, axis=1), axis=1)


def chances(models: list[Any], x: np.ndarray) -> np.ndarray:
    """Return the probabilities (n, options) that models of ``choose`` give at ``x``."""
    from scipy.special import softmax

    return np.mean([softmax(model.predict(x, num_threads=1), axis=1) for model in models], axis=0)


def choose(x: np.ndarray, loss: np.ndarray, *, seed: int) -> list[Any]:
    """Return models of probabilities under which the mean loss of the options is least.

    Gradient boosting by LightGBM, its scores through a softmax; for the mean of ``N_MODELS``
    models, each of a random half of the rows, since one alone changes much with the rows it sees.

    Parameters
    ----------
    x : (n, features)
    loss : (n, options)
    """
    import lightgbm

    options = {
        **BOOSTER_OPTIONS,
        "num_class": loss.shape[1],
        "num_leaves": 8,
        "min_data_in_leaf": 300,
        "seed": seed,
    }
    loss = loss / max(float(loss[:, 0].mean()), 1e-12)
    rng = np.random.default_rng(seed)
    models = []
    for _ in range(N_MODELS):
        half = rng.permutation(len(x))[: len(x) // 2]
        data = lightgbm.Dataset(x[half], np.zeros(len(half)))
        objective = _expected_loss(loss[half])
        models.append(
            lightgbm.train({**options, "objective": objective}, data, num_boost_round=ROUNDS)
        )
    return models


def _expected_loss(loss: np.ndarray) -> Any:
    """LightGBM's objective: the loss (n, options) expected under the softmax of the scores."""
    from scipy.special import softmax

    def gradient(score: np.ndarray, _data: object) -> tuple[np.ndarray, np.ndarray]:
        chance = softmax(score, axis=1)
        slope = chance * (loss - (chance * loss).sum(axis=1, keepdims=True))
        curvature = loss.mean(axis=1, keepdims=True) * chance * (1 - chance)
        return slope, np.maximum(curvature, 1e-3)

    return gradient


MEMBERS = (
    Member("meta_learner", meta_learner, model_file=MODEL_FILE, packages=("lightgbm", "scipy")),
)
