"""What the ensemble is worth beside usual peers, and what it costs to train.

usage: python -m benchmarks.forecast [peers|speed] [--series N] [--origins N]      (default: both)

Peers are statsforecast's (make bench installs them), on the same prices, series and origins as the ensemble. They are
slow, so this runs on a fixed sample: N series drawn with a seed from each GPU model or machine in turn, at N
origins evenly spaced over those of `cloudarb backtest`; peers see the last 520 cells, 336 by the hour. Their CRPS is
that of a normal as wide as their 80 % interval. Speed: all members fitted and weighed anew for hourly series.
"""

import argparse
import os
import resource
import time

import numpy as np
import pandas as pd
from tqdm import tqdm

from cloudarb_lib import losses
from cloudarb_lib.forecast import ensemble
from cloudarb_lib.forecast.backtest import headline, walk_forward
from cloudarb_lib.types import Panel
from pipelines.backtest import BUNDLED, SEED, Setting, prepare

LEVEL, Z80, PATHS = 80, 1.2815515655446004, 200
SEEN, SEEN_HOURLY = 520, 336  # last cells that a peer sees
LEAST = 30  # cells that a series must have before the first origin


def sample(panel: Panel, n: int, *, start: int) -> np.ndarray:
    """Return positions of ``n`` series: one of each GPU model or machine in turn, drawn with the seed.

    Only series priced in every cell from ``LEAST`` before cell ``start`` on, so that every peer has its say.
    """
    kind = panel.offers["gpu_model"].fillna(panel.offers["instance_type"]).to_numpy(str)
    whole = np.flatnonzero((panel.price[max(start - LEAST, 0) :] > 0).all(axis=0))
    drawn = np.random.default_rng(SEED).permutation(whole)
    turn = pd.Series(kind[drawn]).groupby(kind[drawn]).cumcount().to_numpy()
    return np.sort(drawn[np.argsort(turn, kind="stable")][:n])


def peers(setting: Setting, *, n_series: int, n_origins: int) -> None:
    """Print ratio of MAE and of CRPS over the last value, by model and horizon, on the sample."""
    from statsforecast import StatsForecast
    from statsforecast.models import AutoARIMA, AutoETS, DynamicOptimizedTheta, Naive, SeasonalNaive

    panel, origins, tick = prepare(setting, "").values()
    starts = origins[max(origins)]  # one set for every horizon: a peer is fitted once an origin
    starts = starts[np.linspace(0, len(starts) - 1, min(n_origins, len(starts))).astype(int)]
    origins = dict.fromkeys(origins, starts)
    chosen = sample(panel, n_series, start=int(starts[0]))
    names = panel.offers.index[chosen]
    scores = walk_forward(panel, origins=origins, seed=SEED, tick=tick).scores
    scores = scores[scores["series_id"].isin(names)]
    hourly = setting.freq == "1h"
    season, seen = (24, SEEN_HOURLY) if hourly else (1, SEEN)
    models = [Naive(), SeasonalNaive(24 if hourly else 52), AutoETS(season), AutoARIMA(season_length=season),
              DynamicOptimizedTheta(season)]  # fmt: skip
    engine = StatsForecast(models, freq=1, n_jobs=1, fallback_model=Naive())
    error: dict[tuple, list] = {}
    tails = (np.arange(PATHS) + 0.5) / PATHS
    from scipy.stats import norm

    began = time.perf_counter()
    for at in tqdm(starts, desc=setting.name, unit="origin", mininterval=5):
        past = panel.price[max(at + 1 - seen, 0) : at + 1, chosen]
        known = np.isfinite(past) & (past > 0)
        long = pd.DataFrame(np.argwhere((known & (known.cumsum(0) > 0)).T), columns=["series", "ds"])
        long = long[
            long["series"].map(pd.Series(known[-1]))
            & (long.groupby("series")["ds"].transform("size") >= LEAST)
        ]
        if long.empty:
            continue
        frame = pd.DataFrame(
            {"unique_id": long["series"], "ds": long["ds"], "y": past[long["ds"], long["series"]]}
        )
        said = engine.forecast(df=frame, h=max(origins), level=[LEVEL])
        for horizon in origins:
            rows = said.groupby("unique_id").nth(horizon - 1).set_index("unique_id")
            came = panel.price[at + horizon, chosen[rows.index]]
            for model in map(str, models):
                middle, high = rows[model].to_numpy(), rows[f"{model}-hi-{LEVEL}"].to_numpy()
                draws = middle[:, None] + ((high - middle) / Z80)[:, None] * norm.ppf(tails)
                parts = zip(names[rows.index], abs(middle - came), losses.crps(draws, came), strict=True)
                for name, mae, crps in parts:
                    if np.isfinite(mae):
                        error.setdefault((model, horizon, name), []).append((mae, crps))
    flat = pd.DataFrame([(*k, *np.mean(v, axis=0)) for k, v in error.items()],
                        columns=["model", "horizon", "series_id", "mae", "crps"])  # fmt: skip
    scale = scores.drop_duplicates("series_id")[["series_id", "scale"]]
    both = pd.concat([scores, flat.merge(scale)], ignore_index=True)
    complete = both.groupby(["series_id", "horizon"])["model"].transform("nunique") == both["model"].nunique()
    board = headline(both[complete])[["ratio", "crps_ratio"]].unstack("horizon").round(3)
    counted = both.loc[complete, "series_id"].nunique()
    print(f"\n{setting.name}: {counted} of {len(panel.offers)} series, {n_origins} origins, "
          f"peers {time.perf_counter() - began:.0f} s")  # fmt: skip
    shown = ["ensemble", "last_value", "fixed_weights", *map(str, models)]
    print(board.loc[board.index.intersection(shown)].to_string())


def speed(n_series: int) -> None:
    """Print what fitting and weighing all members takes for ``n_series`` hourly series of 90 days."""
    rng, cells = np.random.default_rng(SEED), 24 * 90
    jumps = np.where(rng.random((cells, n_series)) < 0.2, rng.normal(0, 0.05, (cells, n_series)), 0)
    log_price = 0.9 * np.sin(np.cumsum(jumps, axis=0))
    patterns = ensemble.Patterns(
        log_price, np.arange(n_series) % 8, tuple("abcdefgh"), np.arange(n_series), 24
    )
    before, began = os.times(), time.perf_counter()
    origins = np.arange(cells - 24 * 14, cells, 6)
    walk = ensemble.walk_origins(patterns, origins, horizon=24, seed=SEED)
    fitted = time.perf_counter()
    walk.worlds(-1, n_paths=PATHS, only=np.arange(n_series))
    drawn, after = time.perf_counter() - fitted, os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(
        f"{n_series:>6} series x 90 days by the hour: {fitted - began:6.1f} s to fit, weigh and calibrate, "
        f"{cpu:6.1f} CPU s in this process, {drawn:.2f} s for {PATHS} joint paths, peak {peak / 1024:,.0f} MiB"
        + (f"; failed: {walk.failed}" if walk.failed else ""),
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=["peers", "speed"])
    parser.add_argument("--series", type=int, default=8)
    parser.add_argument("--origins", type=int, default=6)
    given = parser.parse_args()
    if given.part != "speed":
        for setting in BUNDLED:
            peers(setting, n_series=given.series, n_origins=given.origins)
    if given.part != "peers":
        for n in (50, 500, 5000):
            speed(n)
