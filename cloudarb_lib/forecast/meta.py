"""The meta-learner: which simple forecast to trust, by the state a market is in.

A feature-based choice among forecasts (FFORMA: Montero-Manso, Athanasopoulos, Hyndman and Talagala, International
Journal of Forecasting 36, 2020), here among the last value and the way back to a trailing median, half or all of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cloudarb_lib.forecast.features import WINDOWS_HOURLY, carry_forward
from cloudarb_lib.forecast.splits import known

if TYPE_CHECKING:
    from cloudarb_lib.forecast.members import Task

STATE = (
    "change",
    "from_median",
    "drawdown",
    "volatility",
)  # features that tell one state from another
AHEAD = (3, 24)
"""Steps ahead that a choice is learned for, beside the last; those between are interpolated, and before the first
the price stays: what an hour brings hangs on its last minutes, which a mean of hours does not show."""
EVERY_CELLS = 3  # cells between those learned from: neighbours say nearly the same
REFIT_DAYS = 7
MAX_ROWS, MIN_ROWS = 20_000, 1_000
MODELS = 4


def meta_learner(task: Task) -> np.ndarray:
    """Return the median of the simple forecasts under the probabilities that cost least in this state.

    Learned from the outcomes of all series, the loss being the absolute error in units of the mean price of the
    week before. Zeros where a cell is a day or longer: price lists have no spikes that end.
    """
    from cloudarb_lib.forecast.members import Fitting, every_step, learned_steps

    if task.pace == 1:
        return np.zeros((len(task.origins), len(task.groups), task.horizon))
    seen = task.features
    ahead = learned_steps(AHEAD, task.horizon)
    rng = np.random.default_rng(task.seed)

    def state(*at: np.ndarray) -> np.ndarray:
        return np.stack([seen[name][at] for name in seen if name.startswith(STATE)], axis=-1)

    def moves(*at: np.ndarray) -> np.ndarray:
        back = -np.stack(
            [seen[f"from_median_{n}"][at] for n in WINDOWS_HOURLY], axis=-1, dtype=float
        )
        return np.concatenate([np.zeros_like(back[..., :1]), 0.5 * back, back], axis=-1)

    def fit(at: int, _: object) -> list[list[Any]]:
        unit, models = in_week_means(task.log_price, pace=task.pace), []
        for h in ahead:
            rows = np.arange(at % EVERY_CELLS, at, EVERY_CELLS)
            rows = rows[known(rows, int(h), at=at)]
            change = task.log_price[rows + h] - task.log_price[rows]
            take = np.argwhere(np.isfinite(change))
            take = take[rng.permutation(len(take))[:MAX_ROWS]]
            cell = (rows[take[:, 0]], take[:, 1])
            came = np.expm1(change[take[:, 0], take[:, 1]])[:, None]
            loss = np.abs(np.expm1(moves(*cell)) - came) * unit[cell][:, None]
            models.append(
                choose(state(*cell), loss, seed=task.seed) if len(take) >= MIN_ROWS else []
            )
        return models

    def predict(models: list[list[Any]], part: np.ndarray) -> np.ndarray:
        said, part = np.zeros((len(part), len(task.groups), len(ahead))), part - task.since
        for k, chosen in enumerate(models):
            if chosen:
                x = state(part)
                chance = chances(chosen, x.reshape(-1, x.shape[2]))
                said[:, :, k] = middle(moves(part).reshape(chance.shape), chance).reshape(
                    len(part), -1
                )
        out = every_step(np.nan_to_num(said), ahead)
        out[:, :, : AHEAD[0] - 1] = 0.0
        return out

    return Fitting(
        "meta_learner.json", REFIT_DAYS * task.pace, fit, predict, write_boosters, read_boosters
    ).walk(task)


def write_boosters(models: list[Any], file: Path) -> None:
    """Write LightGBM models, or lists of them, to ``file`` as JSON of their text."""
    file.write_text(json.dumps(models, default=lambda model: model.model_to_string()))


def read_boosters(file: Path) -> list[Any]:
    """Return what ``write_boosters`` wrote."""
    import lightgbm

    def made(each: Any) -> Any:
        return list(map(made, each)) if isinstance(each, list) else lightgbm.Booster(model_str=each)

    return made(json.loads(file.read_text()))


def in_week_means(log_price: np.ndarray, *, pace: int) -> np.ndarray:
    """Return prices (times, series) by their mean of the last 7 days, NaN before the first: a spike counts by its
    size beside what has been usual, and no longer once it is."""
    price = pd.DataFrame(np.exp(carry_forward(log_price)))
    return (price / price.rolling(7 * pace, min_periods=1).mean()).to_numpy()


def middle(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the median of each row of ``values`` (n, options) by ``weight``: the least with half of it at or below."""
    order = np.argsort(values, axis=1, kind="stable")
    total = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    at = (total < 0.5 * total[:, -1:]).sum(axis=1, keepdims=True)
    return np.take_along_axis(values, np.take_along_axis(order, at, axis=1), axis=1)


def chances(models: list[Any], x: np.ndarray) -> np.ndarray:
    """Return the probabilities (n, options) that models of ``choose`` give at features ``x`` (n, features)."""
    from scipy.special import softmax

    return np.mean([softmax(model.predict(x, num_threads=1), axis=1) for model in models], axis=0)


def choose(x: np.ndarray, loss: np.ndarray, *, seed: int) -> list[Any]:
    """Return models of probabilities under which the mean ``loss`` (n, options) of the options at ``x`` (n,
    features) is least.

    Gradient boosting by LightGBM, its scores through a softmax; for the mean of ``MODELS`` models, each of a random half
    of the rows, since one alone changes much with the rows it sees.
    """
    import lightgbm
    from scipy.special import softmax

    options = {
        "num_class": loss.shape[1],
        "num_leaves": 8,
        "learning_rate": 0.1,
        "min_data_in_leaf": 300,
        "feature_pre_filter": False,
        "num_threads": 1,
        "seed": seed,
        "deterministic": True,
        "verbose": -1,
    }
    loss, rng = loss / max(float(loss[:, 0].mean()), 1e-12), np.random.default_rng(seed)
    models = []
    for _ in range(MODELS):
        half = rng.permutation(len(x))[: len(x) // 2]
        cost = loss[half]

        def gradient(
            score: np.ndarray, _: object, cost: np.ndarray = cost
        ) -> tuple[np.ndarray, np.ndarray]:
            chance = softmax(score, axis=1)
            slope = chance * (cost - (chance * cost).sum(axis=1, keepdims=True))
            return slope, np.maximum(cost.mean(axis=1, keepdims=True) * chance * (1 - chance), 1e-3)

        data = lightgbm.Dataset(x[half], np.zeros(len(half)))
        models.append(lightgbm.train({**options, "objective": gradient}, data, num_boost_round=60))
    return models
