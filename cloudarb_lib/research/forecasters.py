"""Other forecasters on the origins of the product's own, beside it, each with what it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast.ensemble import rolling_origins, task_of
from cloudarb_lib.forecast.evaluate import ENSEMBLE, Forecaster, models_of, score_models
from cloudarb_lib.forecast.patterns import Patterns, find_patterns
from cloudarb_lib.forecast.rolling import rolling_forecasts
from cloudarb_lib.forecast.score_table import LAST_VALUE
from cloudarb_lib.forecast.significance import equal_accuracy_p
from cloudarb_lib.forecast.splits import spaced
from cloudarb_lib.forecast.targets import Targets
from cloudarb_lib.forecast.task import Task
from cloudarb_lib.research.costs import CpuClock
from cloudarb_lib.research.foundation import forecast_quantiles, weights_folder
from cloudarb_lib.research.transformer import transformer

Rival = Callable[[Task], np.ndarray]
"""From a task to log changes (origins, series, samples, steps): samples are equally likely."""
CHANCE = 0.05
"""A difference that comes up more often where there is none counts for nothing."""


@dataclass(frozen=True, eq=False)
class Question:
    """What forecasters are asked: the same series, the same origins, the same steps ahead.

    Attributes
    ----------
    panel : prices.
    patterns : the series of the panel, those alike modelled once.
    horizons : steps ahead that are scored, increasing.
    origins : positions in the panel; what comes after one is not seen there.
    seed : of whatever is drawn.
    """

    panel: Panel
    patterns: Patterns
    horizons: list[int]
    origins: np.ndarray
    seed: int

    @classmethod
    def of(
        cls, panel: Panel, *, horizons: list[int], origins: int, scored_days: float, seed: int
    ) -> Question:
        """Return the question with ``origins`` origins spread over the last days of a panel.

        Raises
        ------
        ParameterError
            Where the panel is too short for that.
        """
        longest = max(horizons)
        first = len(panel.times) - 1 - round(scored_days * pd.Timedelta(days=1) / panel.step)
        at = spaced(len(panel.times), first=first, horizons=[longest], origins=origins)[longest]
        return cls(panel, find_patterns(panel), sorted(horizons), at, seed)

    @property
    def offers(self) -> pd.DataFrame:
        """An offer of each series: its row in the panel's table of offers."""
        _, first = np.unique(self.patterns.of_offer, return_index=True)
        return self.panel.offers.iloc[first]

    @property
    def task(self) -> Task:
        """The same as members of the ensemble are asked."""
        return task_of(self.patterns, self.origins, horizon=self.horizons[-1], seed=self.seed)


def transformer_rival(task: Task) -> np.ndarray:
    """Return the transformer's medians, each as its one sample."""
    return transformer(task)[:, :, None]


def foundation_rival(weights_dir: str = "") -> Rival:
    """Return the forecaster that asks a foundation model; its quantiles are the samples.

    Parameters
    ----------
    weights_dir : str
        As ``foundation.weights_folder`` takes it.
    """
    folder = weights_folder(weights_dir)

    def ask(task: Task) -> np.ndarray:
        asked = forecast_quantiles(folder, task.log_price, task.origins, horizon=task.horizon)
        return asked.log_change

    return ask


def compare(question: Question, rivals: Mapping[str, Rival]) -> pd.DataFrame:
    """Score rivals beside the ensemble and its members.

    Returns
    -------
    DataFrame
        A row per model and horizon (steps): ``mae_ratio`` and ``crps_ratio`` to the last value,
        ``p_ensemble``, the chance of such a difference of absolute errors from the ensemble's if
        both were alike (NaN where too little decides), ``months_better``, of how many calendar
        months its absolute error is less than the ensemble's ("1 of 2"), and ``cpu_s``, NaN for
        what the ensemble fits within its own.

    References
    ----------
    Diebold and Mariano, 1995; the variance as in ``forecast.significance``.
    """
    targets = Targets.of(question.panel, dict.fromkeys(question.horizons, question.origins))
    horizon = question.horizons[-1]
    with CpuClock() as own:
        positions = rolling_origins(question.patterns, question.origins, horizon=horizon)
        forecasts = rolling_forecasts(
            question.patterns, positions, horizon=horizon, seed=question.seed
        )
        models = models_of(forecasts, forecasts.members, targets)
    costs = {ENSEMBLE: own.seconds, LAST_VALUE: 0.0}
    for name, rival in rivals.items():
        with CpuClock() as clock:
            samples = rival(question.task)
        models[name] = _forecaster(samples, question, targets)
        costs[name] = clock.seconds
    scores = score_models(models, targets, seed=question.seed)[0].scores
    return _board(scores, costs, question)


def months_better(ours: np.ndarray, theirs: np.ndarray, times: pd.DatetimeIndex) -> str:
    """Return of how many calendar months one loss is less than another: "1 of 2".

    Parameters
    ----------
    ours, theirs : losses (origins, offers), NaN where nothing is known.
    times : of the origins, UTC.
    """
    month = times.strftime("%Y-%m")
    by_month = pd.Series(np.nansum(ours - theirs, axis=1), index=month).groupby(level=0).sum()
    return f"{int((by_month < 0).sum())} of {len(by_month)}"


def _board(
    scores: Mapping[str, Mapping[str, np.ndarray]], costs: Mapping[str, float], question: Question
) -> pd.DataFrame:
    """Return the table that ``compare`` returns."""
    rows = []
    times = question.panel.times[question.origins]
    for k, steps in enumerate(question.horizons):
        bar = {name: np.nanmean(scores[LAST_VALUE][name][..., k]) for name in _LOSSES}
        for model, losses in scores.items():
            ratios = [np.nanmean(losses[name][..., k]) / bar[name] for name in _LOSSES]
            p = _p_against_ensemble(scores, model, k, steps, question)
            theirs = scores[ENSEMBLE]["absolute_error"][..., k]
            ours = losses["absolute_error"][..., k]
            months = "" if model == ENSEMBLE else months_better(ours, theirs, times)
            rows.append((model, steps, *ratios, p, months, costs.get(model, np.nan)))
    columns = ["model", "horizon", "mae_ratio", "crps_ratio", "p_ensemble", "months_better"]
    columns.append("cpu_s")
    return pd.DataFrame(rows, columns=columns)


_LOSSES = ("absolute_error", "crps")


def _forecaster(samples: np.ndarray, question: Question, targets: Targets) -> Forecaster:
    """Return a rival's samples (origins, series, samples, steps) as the scores ask for them."""
    of_origin = {int(at): i for i, at in enumerate(question.origins)}
    ahead = targets.positions_ahead

    def forecast(position: int) -> np.ndarray:
        return samples[of_origin[position]][:, :, ahead][question.patterns.of_offer]

    return forecast


def _p_against_ensemble(
    scores: Mapping[str, Mapping[str, np.ndarray]],
    model: str,
    k: int,
    steps: int,
    question: Question,
) -> float:
    """Return the p-value that a model errs as much as the ensemble at horizon number ``k``."""
    ours = scores[model]["absolute_error"][..., k]
    theirs = scores[ENSEMBLE]["absolute_error"][..., k]
    difference = np.nansum(ours - theirs, axis=1)
    every = max(float(np.diff(question.origins).mean()), 1.0) if len(question.origins) > 1 else 1.0
    n_moves = int(np.nansum(scores[model]["changed"][..., k]))
    return equal_accuracy_p(difference, overlap=steps / every, n_events=n_moves)


def helps(board: pd.DataFrame, model: str) -> bool:
    """Say whether a model errs less than the ensemble at every horizon, at one beyond chance."""
    ours = board[board["model"] == model].set_index("horizon")
    theirs = board[board["model"] == ENSEMBLE].set_index("horizon")
    is_better = ours["mae_ratio"] < theirs["mae_ratio"]
    return bool(is_better.all() and (ours["p_ensemble"] < CHANCE).any())
