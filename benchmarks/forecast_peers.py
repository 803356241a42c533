"""The ensemble beside statsforecast's models, on the same prices, series and origins."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from cloudarb_lib.base.progress import progress
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast.ensemble import MAX_CHANGE_LOG, rolling_origins
from cloudarb_lib.forecast.evaluate import Forecaster, models_of, score_models
from cloudarb_lib.forecast.patterns import find_patterns
from cloudarb_lib.forecast.rolling import rolling_forecasts
from cloudarb_lib.forecast.score_table import score_table
from cloudarb_lib.forecast.targets import Targets
from pipelines.cli import score_tables
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
    """Print the ratios over the last value of every model, by horizon, on the sample."""
    task = prepare(setting, "")
    panel = task["panel"]
    starts = task["origins"][max(setting.horizons)]  # one set: a peer is fitted once an origin
    starts = starts[np.linspace(0, len(starts) - 1, min(n_origins, len(starts))).astype(int)]
    chosen = sample(panel, n_series, start=int(starts[0]))
    targets = Targets.of(panel.select(chosen), dict.fromkeys(setting.horizons, starts))
    models = _of_the_house(panel, chosen, targets, task["listed"])
    began = time.perf_counter()
    models |= _of_peers(panel, chosen, targets, is_hourly=setting.freq == "1h")
    took_s = time.perf_counter() - began
    offers = score_models(models, targets, seed=SEED)[0]
    print(
        f"\n{setting.name}: {len(chosen)} of {len(panel.offers)} series, {n_origins} origins, "
        f"peers {took_s:.0f} s"
    )
    print(score_tables.by_model(score_table(offers, targets)))


def _of_the_house(
    panel: Panel, chosen: np.ndarray, targets: Targets, listed: Panel
) -> dict[str, Forecaster]:
    """The ensemble, its members and the last value, which learn from the whole panel."""
    patterns = find_patterns(panel, listed=listed)
    horizon = max(targets.horizons)
    positions = rolling_origins(patterns, targets.starts, horizon=horizon)
    forecasts = rolling_forecasts(patterns, positions, horizon=horizon, seed=SEED)
    every = models_of(forecasts, forecasts.members, targets)

    def of_chosen(forecaster: Forecaster) -> Forecaster:
        return lambda position: forecaster(position)[chosen]

    return {name: of_chosen(forecaster) for name, forecaster in every.items()}


def _of_peers(
    panel: Panel, chosen: np.ndarray, targets: Targets, *, is_hourly: bool
) -> dict[str, Forecaster]:
    """The peers' quantiles as equally likely draws."""
    models = _models(is_hourly=is_hourly)
    visible = VISIBLE_CELLS_HOURLY if is_hourly else VISIBLE_CELLS
    drawn = {
        int(origin): _drawn_at(panel, int(origin), chosen, models, targets.horizons, visible)
        for origin in progress(targets.starts, "peers", unit="origin")
    }

    def of_model(name: str) -> Forecaster:
        return lambda position: drawn[position][name]

    return {name: of_model(name) for name in map(str, models)}


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


def _drawn_at(
    panel: Panel,
    origin: int,
    chosen: np.ndarray,
    models: list,
    horizons: list[int],
    visible_cells: int,
) -> dict[str, np.ndarray]:
    """Log changes (chosen, draws, horizons) by peer from an origin; NaN where it has no say."""
    from statsforecast import StatsForecast
    from statsforecast.models import Naive

    shape = (len(chosen), N_DRAWS, len(horizons))
    out = {str(model): np.full(shape, np.nan) for model in models}
    past = panel.price[max(origin + 1 - visible_cells, 0) : origin + 1, chosen]
    observed = _long_enough(past)
    if observed.empty:
        return out
    engine = StatsForecast(models, freq=1, n_jobs=1, fallback_model=Naive())
    forecasts = engine.forecast(df=observed, h=max(horizons), level=LEVELS.tolist())
    for k, horizon in enumerate(horizons):
        rows = forecasts.groupby("unique_id").nth(horizon - 1).set_index("unique_id")
        now = past[-1, rows.index]
        for name, changes in out.items():
            quantiles = _bounded_quantiles(rows, name, now=now)
            changes[rows.index, :, k] = np.log(_draws(quantiles) / now[:, None])
    return out


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
