"""The ensemble beside statsforecast's models, on the same prices, series and origins."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pandas as pd

from cloudarb_lib.base.progress import progress
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast import losses
from cloudarb_lib.forecast.evaluate import headline, walk_forward
from cloudarb_lib.forecast.sample_paths import MAX_CHANGE_LOG
from pipelines.cli.panels import SEED, Setting, prepare

LEVELS = np.array([10, 20, 30, 40, 50, 60, 70, 80, 90])
"""Central intervals that peers are asked for, in per cent."""
QUANTILES = np.concatenate([0.5 - LEVELS[::-1] / 200, [0.5], 0.5 + LEVELS / 200])
N_DRAWS = 200
MOST_LOG_CHANGE = MAX_CHANGE_LOG
VISIBLE_CELLS = 520
VISIBLE_CELLS_HOURLY = 336
"""So many last cells does a peer see."""
LEAST_CELLS = 30
"""So many must a series have before the first origin."""


def sample(panel: Panel, n: int, *, start: int) -> np.ndarray:
    """Return positions of ``n`` series: one of each GPU model or machine in turn, drawn by seed.

    Only series priced in every cell from ``LEAST_CELLS`` before cell ``start`` on, so that every
    peer has its say.
    """
    kind = panel.offers["gpu_model"].fillna(panel.offers["instance_type"]).to_numpy(str)
    first = max(start - LEAST_CELLS, 0)
    is_priced = (panel.price[first:] > 0).all(axis=0)
    drawn = np.random.default_rng(SEED).permutation(np.flatnonzero(is_priced))
    turn = pd.Series(kind[drawn]).groupby(kind[drawn]).cumcount().to_numpy()
    return np.sort(drawn[np.argsort(turn, kind="stable")][:n])


def compare_with_peers(setting: Setting, *, n_series: int, n_origins: int) -> None:
    """Print ratio of MAE and of CRPS over the last value, by model and horizon, on the sample."""
    panel, origins, tick, listed = prepare(setting, "").values()
    starts = origins[max(origins)]  # one set for every horizon: a peer is fitted once an origin
    starts = starts[np.linspace(0, len(starts) - 1, min(n_origins, len(starts))).astype(int)]
    origins = dict.fromkeys(origins, starts)
    chosen = sample(panel, n_series, start=int(starts[0]))
    names = panel.offers.index[chosen]
    scores = walk_forward(panel, origins=origins, seed=SEED, tick=tick, listed=listed).scores
    scores = scores[scores["series_id"].isin(names)]
    models = _models(is_hourly=setting.freq == "1h")
    visible = VISIBLE_CELLS_HOURLY if setting.freq == "1h" else VISIBLE_CELLS
    began = time.perf_counter()
    errors = []
    for origin in progress(starts, setting.name, unit="origin"):
        errors += _errors_at(panel, int(origin), chosen, models, list(origins), visible)
    took_s = time.perf_counter() - began
    keys = ["model", "horizon", "series_id"]
    frame = pd.DataFrame(errors, columns=[*keys, "mae", "crps"])
    means = frame.groupby(keys, as_index=False, sort=False).mean()
    complete = _scored_by_all(scores, means)
    print(
        f"\n{setting.name}: {complete['series_id'].nunique()} of {len(panel.offers)} series, "
        f"{n_origins} origins, peers {took_s:.0f} s"
    )
    board = headline(complete)[["ratio", "crps_ratio"]].unstack("horizon").round(3)
    shown = ["ensemble", "last_value", "fixed_weights", *map(str, models)]
    print(board.loc[board.index.intersection(shown)].to_string())


def _scored_by_all(scores: pd.DataFrame, errors: pd.DataFrame) -> pd.DataFrame:
    """Scores of the ensemble and errors of peers together, where every model has its say."""
    scale = scores.drop_duplicates("series_id")[["series_id", "scale"]]
    both = pd.concat([scores, errors.merge(scale)], ignore_index=True)
    n_models = both.groupby(["series_id", "horizon"])["model"].transform("nunique")
    return both[n_models == both["model"].nunique()]


def _models(*, is_hourly: bool) -> list:
    from statsforecast.models import AutoARIMA, AutoETS, DynamicOptimizedTheta, Naive, SeasonalNaive

    season = 24 if is_hourly else 1
    return [
        Naive(),
        SeasonalNaive(24 if is_hourly else 52),
        AutoETS(season),
        AutoARIMA(season_length=season),
        DynamicOptimizedTheta(season),
    ]


def _errors_at(
    panel: Panel,
    origin: int,
    chosen: np.ndarray,
    models: list,
    horizons: list[int],
    visible_cells: int,
) -> Iterator[tuple[str, int, str, float, float]]:
    """Yield model, horizon, series, absolute error and CRPS of what peers say at an origin."""
    from statsforecast import StatsForecast
    from statsforecast.models import Naive

    past = panel.price[max(origin + 1 - visible_cells, 0) : origin + 1, chosen]
    observed = _long_enough(past)
    if observed.empty:
        return
    engine = StatsForecast(models, freq=1, n_jobs=1, fallback_model=Naive())
    forecasts = engine.forecast(df=observed, h=max(horizons), level=LEVELS.tolist())
    for horizon in horizons:
        rows = forecasts.groupby("unique_id").nth(horizon - 1).set_index("unique_id")
        names = panel.offers.index[chosen[rows.index]]
        outcome = panel.price[origin + horizon, chosen[rows.index]]
        for model in map(str, models):
            quantiles = _bounded_quantiles(rows, model, now=past[-1, rows.index])
            error = abs(quantiles[:, len(LEVELS)] - outcome)
            crps = losses.crps(_draws(quantiles), outcome)
            for name, mae, score in zip(names, error, crps, strict=True):
                if np.isfinite(mae):
                    yield model, horizon, name, mae, score


def _long_enough(past: np.ndarray) -> pd.DataFrame:
    """Prices as statsforecast takes them, of series priced now that are long enough."""
    is_priced = np.isfinite(past) & (past > 0)
    long = pd.DataFrame(np.argwhere(is_priced.T), columns=["unique_id", "ds"])
    is_priced_now = long["unique_id"].map(pd.Series(is_priced[-1]))
    is_long = long.groupby("unique_id")["ds"].transform("size") >= LEAST_CELLS
    long = long[is_priced_now & is_long]
    return long.assign(y=past[long["ds"], long["unique_id"]])


def _bounded_quantiles(rows: pd.DataFrame, model: str, *, now: np.ndarray) -> np.ndarray:
    """A model's quantiles, shape (series, quantiles), within the bounds of reason."""
    low = [f"{model}-lo-{level}" for level in LEVELS[::-1]]
    high = [f"{model}-hi-{level}" for level in LEVELS]
    quantiles = rows[[*low, model, *high]].to_numpy()
    log_change = np.log(np.maximum(quantiles / now[:, None], 1e-9))
    return now[:, None] * np.exp(np.clip(log_change, -MOST_LOG_CHANGE, MOST_LOG_CHANGE))


def _draws(quantiles: np.ndarray) -> np.ndarray:
    """Draws from quantiles: straight between them, flat beyond."""
    share = (np.arange(N_DRAWS) + 0.5) / N_DRAWS
    return np.array([np.interp(share, QUANTILES, row) for row in np.sort(quantiles, axis=1)])
