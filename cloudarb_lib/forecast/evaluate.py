"""Walk-forward scores: what the forecasts of the past were worth, against the last value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.progress import progress
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast.cheapest_places import CheapestPlaces
from cloudarb_lib.forecast.ensemble import rolling_origins, run_members, task_of
from cloudarb_lib.forecast.path_scores import PathScores, score_paths
from cloudarb_lib.forecast.patterns import find_patterns
from cloudarb_lib.forecast.rolling import RollingForecasts, rolling_forecasts
from cloudarb_lib.forecast.score_table import LAST_VALUE, OFFER, ScoredSeries, score_table
from cloudarb_lib.forecast.targets import Targets

ENSEMBLE = "ensemble"
"""What is handed over."""
SCORED_PATHS = 200
Forecaster = Callable[[int], np.ndarray]
"""From the position of an origin in the panel to log changes (offers, paths, horizons)."""


class Scored(NamedTuple):
    """What ``walk_forward`` returns.

    Attributes
    ----------
    scores : table ``scores``: of offers, and of the cheapest places of each GPU model.
    weights : the weight of each member (columns) at each origin (time), mean over all steps ahead.
    pits : where outcomes fell in their forecasts: horizon, pit (0 to 1).
    """

    scores: pd.DataFrame
    weights: pd.DataFrame
    pits: pd.DataFrame


def walk_forward(
    panel: Panel,
    *,
    origins: dict[int, np.ndarray],
    seed: int,
    keep: Path | None = None,
    listed: Panel | None = None,
    rivals: Mapping[str, Forecaster] | None = None,
    since: str = "",
    compare: bool = False,
) -> Scored:
    """Forecast from past origins, and score what came.

    ``ensemble`` are the sample paths that are handed over: their median, mean and distribution.
    Members are points.

    Parameters
    ----------
    origins : for each horizon (steps ahead) the positions to forecast from.
    keep : folder in which forecasts of slow members are kept, and found.
    listed : as in ``find_patterns``.
    rivals : other forecasts to score beside these, by name; horizons in increasing order.
    since : as in ``score_table``.
    compare : whether members that forecast a market are fitted and scored on list prices too.

    Raises
    ------
    DataError
        Without an offer.
    ParameterError
        Where a horizon does not end inside the record.
    """
    _check_origins(panel, origins)
    patterns = find_patterns(panel, listed=listed)
    targets = Targets.of(panel, origins)
    horizon = targets.horizons[-1]
    positions = targets.starts
    if patterns.is_market.any():
        positions = rolling_origins(patterns, targets.starts, horizon=horizon)
    forecasts = rolling_forecasts(patterns, positions, horizon=horizon, seed=seed, keep=keep)
    members = forecasts.members
    if compare and not patterns.is_market.any():
        task = task_of(patterns, positions, horizon=horizon, seed=seed)
        members, _ = run_members(task, keep=keep)
    models = models_of(forecasts, members, targets) | dict(rivals or {})
    series = score_models(models, targets, seed=seed)
    scores = [score_table(each, targets, since=since) for each in series]
    scored = np.searchsorted(positions, targets.starts)
    weights = pd.DataFrame(
        forecasts.weights[scored, :, -1].mean(axis=2), targets.times, list(forecasts.members)
    )
    pits = _pits_table(series[0].scores[ENSEMBLE]["pit"], targets)
    return Scored(pd.concat(scores, ignore_index=True), weights, pits)


def _check_origins(panel: Panel, origins: dict[int, np.ndarray]) -> None:
    """Raise where there is nothing to score, or an outcome lies outside the record."""
    if not len(panel.offers):
        raise DataError(
            "no offer whose price moves (spot or market) to score.",
            "Choose other providers or as_of.",
        )
    n_cells = len(panel.times)
    horizons = sorted(origins)
    ends = [int(at.max(initial=0)) + h if len(at) else n_cells for h, at in origins.items()]
    if not horizons or horizons[0] < 1 or max(ends) >= n_cells:
        raise ParameterError(
            f"horizons {horizons} do not end inside {n_cells} cells, or have no origin.",
            "Use shorter horizons, or a longer record.",
        )


def models_of(
    forecasts: RollingForecasts, members: dict[str, np.ndarray], targets: Targets
) -> dict[str, Forecaster]:
    """Return by name what is handed over, the last value, and each member.

    Parameters
    ----------
    forecasts : from origins among which those of ``targets`` are.
    members : medians (origins of the forecasts, series, steps) by name.
    """
    positions = forecasts.origins
    of_offer = forecasts.patterns.of_offer
    ahead = targets.positions_ahead
    every = np.arange(len(forecasts.patterns.groups))

    def handed_over(position: int) -> np.ndarray:
        origin = int(np.searchsorted(positions, position))
        paths = forecasts.paths(origin, n_paths=SCORED_PATHS, only=every, ahead=ahead)
        return paths[of_offer]

    def member(changes: np.ndarray) -> Forecaster:
        def point(position: int) -> np.ndarray:
            origin = int(np.searchsorted(positions, position))
            return changes[origin][:, ahead][of_offer][:, None]

        return point

    unchanged = np.broadcast_to(0.0, (len(positions), len(every), forecasts.horizon))
    points = {**members, LAST_VALUE: unchanged}
    return {ENSEMBLE: handed_over} | {name: member(changes) for name, changes in points.items()}


def score_models(
    models: Mapping[str, Forecaster], targets: Targets, *, seed: int
) -> list[ScoredSeries]:
    """Return the scores of each model at each origin: of offers, then of the cheapest places."""
    cheapest = CheapestPlaces.of(targets)
    offers, baskets = _scores_by_model(models, targets, cheapest, seed=seed)
    scale = targets.scale[:, :, None]
    out = [ScoredSeries(OFFER, targets.groups, targets.came, scale, offers)]
    for k in sorted(set(cheapest.counts)):
        at = cheapest.counts == k
        scores = {
            model: {name: values[:, at] for name, values in of_model.items()}
            for model, of_model in baskets.items()
        }
        came = cheapest.came[:, at]
        now = cheapest.now[:, at]
        out.append(ScoredSeries(f"cheapest {k}", cheapest.groups[at], came, now, scores))
    return out


def _scores_by_model(
    models: Mapping[str, Forecaster], targets: Targets, cheapest: CheapestPlaces, *, seed: int
) -> tuple[dict[str, PathScores], dict[str, PathScores]]:
    """Return by model the scores at all origins, of offers and of the cheapest places."""
    of_offers: dict[str, list[PathScores]] = {name: [] for name in models}
    of_cheapest: dict[str, list[PathScores]] = {name: [] for name in models}
    rng = np.random.default_rng(seed)
    for i, position in enumerate(progress(targets.starts, "score", unit="origin")):
        now = targets.now[i][:, None]
        scale = targets.scale[i][:, None]
        for name, forecaster in models.items():
            paths = forecaster(int(position))
            of_offers[name].append(score_paths(paths, now, targets.came[i], scale=scale, rng=rng))
            of_cheapest[name].append(
                score_paths(cheapest.changes(paths, i), cheapest.now[i], cheapest.came[i], rng=rng)
            )
    return (
        {name: _stacked(scores) for name, scores in of_offers.items()},
        {name: _stacked(scores) for name, scores in of_cheapest.items()},
    )


def _stacked(by_origin: list[PathScores]) -> PathScores:
    """Scores of all origins, each (origins, series, horizons)."""
    return {name: np.stack([scores[name] for scores in by_origin]) for name in by_origin[0]}


def _pits_table(pits: np.ndarray, targets: Targets) -> pd.DataFrame:
    """Columns horizon and pit, of the outcomes that are known."""
    horizon = np.tile(targets.horizons, pits.size // len(targets.horizons))
    return pd.DataFrame({"horizon": horizon, "pit": pits.ravel()}).dropna()
