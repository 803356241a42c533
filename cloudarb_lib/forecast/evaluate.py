"""Walk-forward scores: what the forecasts of the past were worth, against the last value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.progress import progress
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast import losses
from cloudarb_lib.forecast.conformal import randomised_pit
from cloudarb_lib.forecast.ensemble import RollingForecasts, rolling_forecasts, rolling_origins
from cloudarb_lib.forecast.features import STEP_LOG
from cloudarb_lib.forecast.member import QUANTILE_LEVELS
from cloudarb_lib.forecast.patterns import find_patterns
from cloudarb_lib.forecast.targets import Targets

SCORED_PATHS = 200
DRAWS = 50  # of the distribution between quantiles of a member
SHOWN = ("cov80", "cov95", "pit80", "pit95", "direction", "p_change", "changed", "brier")
FIXED_WEIGHTS = {"prophet": 0.4, "lstm": 0.3, "boosting": 0.3}
"""A usual choice, scored beside the ensemble."""
TAILS = {80: 0.1, 95: 0.025}
"""Probability below, and above, each central interval that is scored (%)."""
INTERVAL_SCORES = tuple(f"{what}{level}" for what in ("cov", "width", "winkler") for level in TAILS)
ENSEMBLE_SCORES = ("pit80", "pit95", "p_change", "changed", "brier")
"""Scores of the whole distribution, which only the ensemble has."""


class Scored(NamedTuple):
    """What ``walk_forward`` returns.

    Attributes
    ----------
    scores : table ``scores``, a row per offer, model and horizon.
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
    tick: np.ndarray | None = None,
    keep: Path | None = None,
    listed: Panel | None = None,
) -> Scored:
    """Forecast from past origins, and score what came.

    ``ensemble`` is the median of the calibrated distribution, which is what is handed over.

    Parameters
    ----------
    origins : for each horizon (steps ahead) the positions to forecast from.
    tick : (times, offers), the price at the end of each cell, where that is not what the panel
        holds: it enters as model last_tick.
    keep : folder in which forecasts of slow members are kept, and found.
    listed : as in ``find_patterns``.

    Returns
    -------
    Scored
        Columns of the scores: series_id, model, horizon (steps), n, scale (mean price before the
        origins, USD per hour; NaN where there was none), mae, rmse, mase and rmsse (over the
        one-step error of the last value before the origins), crps, cov80, cov95, width80, width95,
        winkler80, winkler95 (of the ensemble, and those of 80 % of members that state quantiles;
        the CRPS of a point forecast is its absolute error), direction (share of right signs where
        the price moved 0.5 % or more) and dm_p (Diebold-Mariano against the last value); then of
        the ensemble pit80 and pit95 (coverage by randomised PIT, which an atom cannot push beyond
        nominal), p_change (its mean probability of a move of 0.5 % or more), changed (how often one
        came) and brier (of p_change), mape of each, and series_group, in which the offer is
        forecast.

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
    positions = rolling_origins(patterns, targets.starts, horizon=horizon)
    forecasts = rolling_forecasts(patterns, positions, horizon=horizon, seed=seed, keep=keep)
    scored = np.flatnonzero(np.isin(positions, targets.starts))
    ensemble = _score_distribution(forecasts, scored, targets, seed=seed)
    points = _point_forecasts(forecasts, scored, targets, tick)
    points["ensemble"] = ensemble.median
    extra = {"ensemble": ensemble.scores}
    at = targets.positions_ahead
    for name, quantiles in forecasts.quantiles.items():
        change = quantiles[scored][:, :, at][:, patterns.of_offer]
        extra[name] = _score_quantiles(targets.now[..., None] * np.exp(change), targets.came)
    group = np.array(patterns.group_names, object)[patterns.groups[patterns.of_offer]]
    rows = [
        pd.DataFrame({**columns, "series_group": group})
        for model, forecast in points.items()
        for columns in _score_points(model, forecast, targets, extra.get(model, {}))
    ]
    weights = pd.DataFrame(
        forecasts.weights[scored, :, -1].mean(axis=2),
        panel.times[targets.starts],
        list(forecasts.members),
    )
    return Scored(pd.concat(rows, ignore_index=True), weights, _pits_table(ensemble.pits, targets))


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


def _point_forecasts(
    forecasts: RollingForecasts, scored: np.ndarray, targets: Targets, tick: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Prices (origins, offers, horizons) that members, and usual choices beside them, forecast."""
    at = targets.positions_ahead
    points = {}
    for name, change in forecasts.members.items():
        price = targets.now * np.exp(change[scored][:, :, at])[:, forecasts.patterns.of_offer]
        points[name] = price
    if FIXED_WEIGHTS.keys() <= points.keys():
        points["fixed_weights"] = sum(
            (share * points[name] for name, share in FIXED_WEIGHTS.items()), start=np.zeros(())
        )
    if tick is not None:
        points["last_tick"] = np.repeat(tick[targets.starts][:, :, None], len(at), axis=2)
    return points


@dataclass(frozen=True, eq=False)
class DistributionScores:
    """What the ensemble's calibrated distribution was worth.

    Attributes
    ----------
    median : (origins, offers, horizons), USD per hour.
    pits : alike, where outcomes fell, 0 to 1; NaN where none is known.
    scores : by name, alike.
    """

    median: np.ndarray
    pits: np.ndarray
    scores: dict[str, np.ndarray]


def _score_distribution(
    forecasts: RollingForecasts, scored: np.ndarray, targets: Targets, *, seed: int
) -> DistributionScores:
    """Scores of the sample paths from the origins at positions ``scored``."""
    shape = targets.came.shape
    of_offer = forecasts.patterns.of_offer
    every = np.arange(len(forecasts.patterns.groups))
    scores = {name: np.full(shape, np.nan) for name in ("crps", *INTERVAL_SCORES, *ENSEMBLE_SCORES)}
    median = np.full(shape, np.nan)
    pits = np.full(shape, np.nan)
    rng = np.random.default_rng(seed)
    at = targets.positions_ahead
    for i, origin in enumerate(progress(scored, "score", unit="origin")):
        change = forecasts.paths(int(origin), n_paths=SCORED_PATHS, only=every)
        paths = np.exp(change[:, :, at])
        now = targets.now[i]
        moved = targets.moved[i]
        share = targets.came[i] / now
        median[i] = now * np.median(paths, axis=1)[of_offer]
        pits[i] = randomised_pit(paths[of_offer], np.where(moved == 0, 1.0, share), rng=rng)
        chance = (np.abs(np.log(paths)) >= STEP_LOG).mean(axis=1)[of_offer]
        of_origin = {
            "crps": now * losses.crps(paths.transpose(0, 2, 1)[of_offer], share),
            **_score_intervals(paths, of_offer, now, share),
            **_pit_coverage(pits[i]),
            "p_change": np.where(np.isfinite(share), chance, np.nan),
            "changed": moved,
            "brier": (chance - moved) ** 2,
        }
        for name, values in of_origin.items():
            scores[name][i] = values
    return DistributionScores(median, pits, scores)


def _score_intervals(
    paths: np.ndarray, of_offer: np.ndarray, now: np.ndarray, share: np.ndarray
) -> dict[str, np.ndarray]:
    """Scores (offers, horizons) of central intervals: paths, and what came, by the price now."""
    scores = {}
    for level in TAILS:
        low, high = (end[of_offer] for end in _interval(paths, level))
        scores[f"cov{level}"] = losses.coverage(low[None], high[None], share[None], axis=0)
        scores[f"width{level}"] = now * (high - low)
        scores[f"winkler{level}"] = now * losses.winkler(low, high, share, level / 100)
    return scores


def _pit_coverage(pits: np.ndarray) -> dict[str, np.ndarray]:
    """Whether outcomes lie within each central interval, by their PIT; NaN where it is NaN."""
    covered = {}
    for level in TAILS:
        is_inside = np.abs(2 * pits - 1) <= level / 100
        covered[f"pit{level}"] = np.where(np.isfinite(pits), is_inside, np.nan)
    return covered


def _interval(paths: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Both ends (series, steps) of the central ``level`` % of paths (series, paths, steps).

    Wider by the last digits, so that what stands still lies inside.
    """
    tail = TAILS[level]
    low, high = np.quantile(paths, [tail, 1 - tail], axis=1, method="inverted_cdf")
    return low * (1 - 1e-9), high * (1 + 1e-9)


def _score_quantiles(quantiles: np.ndarray, came: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of prices at ``QUANTILE_LEVELS`` (..., levels): straight between them, flat beyond."""
    low, median, high = np.moveaxis(quantiles, -1, 0)
    draw = (np.arange(DRAWS) + 0.5) / DRAWS
    between = QUANTILE_LEVELS[1] - QUANTILE_LEVELS[0]
    down, up = (np.clip((draw - start) / between, 0, 1) for start in QUANTILE_LEVELS[:2])
    below = (median - low)[..., None] * down
    above = (high - median)[..., None] * up
    return {
        "crps": losses.crps(low[..., None] + below + above, came),
        "width80": np.where(np.isfinite(came), high - low, np.nan),
        "cov80": losses.coverage(low[None], high[None], came[None], axis=0),
        "winkler80": losses.winkler(low, high, came, 0.8),
    }


def _score_points(
    model: str, forecast: np.ndarray, targets: Targets, extra: dict[str, np.ndarray]
) -> list[dict[str, object]]:
    """Columns of table ``scores`` of one model, by horizon; ``extra`` scores by name."""
    came = targets.came
    now = targets.now
    error = np.where(np.isfinite(came), np.abs(forecast - came), np.nan)
    base = np.abs(now - came)
    is_right = np.sign(forecast - now) == np.sign(came - now)
    right = np.where(targets.moved == 1, is_right, np.nan)
    out = []
    for k, horizon in enumerate(targets.horizons):
        mae = losses.mean(error[:, :, k], 0)
        mse = losses.mean(error[:, :, k] ** 2, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            mase = np.where(targets.step_error > 0, mae / targets.step_error, np.nan)
            squared = np.sqrt(mse / targets.squared_step_error)
            rmsse = np.where(targets.squared_step_error > 0, squared, np.nan)
            mape = losses.mean(error[:, :, k] / came[:, :, k], 0)
        columns: dict[str, object] = {
            "series_id": targets.offer_ids.astype(object),
            "model": model,
            "horizon": horizon,
            "n": np.isfinite(error[:, :, k]).sum(0),
            "scale": targets.scale,
            "mae": mae,
            "rmse": np.sqrt(mse),
            "mase": mase,
            "rmsse": rmsse,
            "crps": mae,
            **dict.fromkeys(INTERVAL_SCORES, np.nan),
            "direction": losses.mean(right[:, :, k], 0),
            "dm_p": _dm_p(error[:, :, k], base[:, :, k], targets.overlap(horizon)),
            **dict.fromkeys(ENSEMBLE_SCORES, np.nan),
        }
        columns |= {name: losses.mean(values[:, :, k], 0) for name, values in extra.items()}
        out.append(columns | {"mape": mape})
    return out


def _dm_p(error: np.ndarray, base: np.ndarray, overlap: int) -> list[float]:
    """P-values of each offer: errors (origins, offers) against those of the last value."""
    return [
        losses.diebold_mariano(error[:, offer], base[:, offer], overlap=overlap)
        for offer in range(error.shape[1])
    ]


def _pits_table(pits: np.ndarray, targets: Targets) -> pd.DataFrame:
    """Columns horizon and pit, of the outcomes that are known."""
    horizon = np.tile(targets.horizons, pits.size // len(targets.horizons))
    return pd.DataFrame({"horizon": horizon, "pit": pits.ravel()}).dropna()


def headline(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the figures by model and horizon over the series of ``scores`` with a scale.

    Returns
    -------
    Columns: ``ratio``, the sum of MAE by scale over that of the last value; ``geometric``, the
    geometric mean of the ratios of the series in which both are above 0, and ``left_out``, how many
    are not; ``crps_ratio``, and the means of ``SHOWN``.
    """
    rows = {}
    for horizon, at in scores[scores["scale"] > 0].groupby("horizon"):
        last = at[at["model"] == "last_value"].set_index("series_id")
        total = (last["mae"] / last["scale"]).sum()
        for model, mine in at.set_index("series_id").groupby("model"):
            both = (mine["mae"] > 0) & (last["mae"].reindex(mine.index) > 0)
            each = np.log(mine.loc[both, "mae"] / last.loc[both.index[both], "mae"])
            mae = (mine["mae"] / mine["scale"]).sum()
            crps = (mine["crps"] / mine["scale"]).sum()
            rows[model, horizon] = {
                "ratio": mae / total if total > 0 else np.nan,
                "geometric": float(np.exp(each.mean())),
                "left_out": int((~both).sum()),
                "crps_ratio": crps / total if total > 0 else np.nan,
                **{name: mine[name].mean() for name in SHOWN},
            }
    index = pd.MultiIndex.from_tuples(list(rows), names=["model", "horizon"])
    return pd.DataFrame(list(rows.values()), index).sort_index()
