"""What the ensemble is worth beside usual peers, and what it costs to train and to ask.

usage: python -m benchmarks.forecast [peers|speed|inference] [--series N] [--origins N]      (default: all)

Peers are statsforecast's (make bench installs them), on the same prices, series and origins as the ensemble. They are
slow, so this runs on a fixed sample: N series drawn with a seed from each GPU model or machine in turn, at N
origins evenly spaced over those of `cloudarb backtest`; peers see the last 520 cells, 336 by the hour. Their CRPS is
that of their own quantiles (5 to 95 %, straight between, flat beyond), held within the bounds of reason that hold for
the ensemble: a price 4.5 times as high or as low. Speed: all members fitted, weighed and calibrated anew for hourly
series of 90 days. Inference: point and 7 quantiles 1, 6 and 24 hours ahead of each new hour, from kept models.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from cloudarb_lib import forecast
from cloudarb_lib.base.progress import progress
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast import ensemble, losses
from cloudarb_lib.forecast.backtest import headline, walk_forward
from cloudarb_lib.forecast.patterns import find_patterns
from cloudarb_lib.forecast.worker import WORKER
from cloudarb_lib.tables.assumptions import load_assumptions
from pipelines.backtest import BUNDLED, SEED, Setting, prepare

LEVELS, PATHS, BOUND = (10, 20, 30, 40, 50, 60, 70, 80, 90), 200, ensemble.MAX_CHANGE_LOG
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

    panel, origins, tick, listed = prepare(setting, "").values()
    starts = origins[max(origins)]  # one set for every horizon: a peer is fitted once an origin
    starts = starts[np.linspace(0, len(starts) - 1, min(n_origins, len(starts))).astype(int)]
    origins = dict.fromkeys(origins, starts)
    chosen = sample(panel, n_series, start=int(starts[0]))
    names = panel.offers.index[chosen]
    scores = walk_forward(panel, origins=origins, seed=SEED, tick=tick, listed=listed).scores
    scores = scores[scores["series_id"].isin(names)]
    hourly = setting.freq == "1h"
    season, seen = (24, SEEN_HOURLY) if hourly else (1, SEEN)
    models = [
        Naive(),
        SeasonalNaive(24 if hourly else 52),
        AutoETS(season),
        AutoARIMA(season_length=season),
        DynamicOptimizedTheta(season),
    ]
    engine = StatsForecast(models, freq=1, n_jobs=1, fallback_model=Naive())
    error: dict[tuple, list] = {}
    share, tails = (np.arange(PATHS) + 0.5) / PATHS, np.array(LEVELS) / 200
    grid = np.concatenate([0.5 - tails[::-1], [0.5], 0.5 + tails])
    began = time.perf_counter()
    for at in progress(starts, setting.name, unit="origin"):
        past = panel.price[max(at + 1 - seen, 0) : at + 1, chosen]
        known = np.isfinite(past) & (past > 0)
        long = pd.DataFrame(
            np.argwhere((known & (known.cumsum(0) > 0)).T), columns=["series", "ds"]
        )
        long = long[
            long["series"].map(pd.Series(known[-1]))
            & (long.groupby("series")["ds"].transform("size") >= LEAST)
        ]
        if long.empty:
            continue
        frame = pd.DataFrame(
            {"unique_id": long["series"], "ds": long["ds"], "y": past[long["ds"], long["series"]]}
        )
        said = engine.forecast(df=frame, h=max(origins), level=list(LEVELS))
        for horizon in origins:
            rows = said.groupby("unique_id").nth(horizon - 1).set_index("unique_id")
            came = panel.price[at + horizon, chosen[rows.index]]
            for model in map(str, models):
                low, high = ([f"{model}-{end}-{level}" for level in LEVELS] for end in ("lo", "hi"))
                quantiles = rows[[*low[::-1], model, *high]].to_numpy()
                now = past[-1, rows.index][:, None]
                quantiles = now * np.exp(
                    np.clip(np.log(np.maximum(quantiles / now, 1e-9)), -BOUND, BOUND)
                )
                middle = quantiles[:, len(LEVELS)]
                draws = np.array(
                    [np.interp(share, grid, each) for each in np.sort(quantiles, axis=1)]
                )
                parts = zip(
                    names[rows.index], abs(middle - came), losses.crps(draws, came), strict=True
                )
                for name, mae, crps in parts:
                    if np.isfinite(mae):
                        error.setdefault((model, horizon, name), []).append((mae, crps))
    flat = pd.DataFrame(
        [(*k, *np.mean(v, axis=0)) for k, v in error.items()],
        columns=["model", "horizon", "series_id", "mae", "crps"],
    )
    scale = scores.drop_duplicates("series_id")[["series_id", "scale"]]
    both = pd.concat([scores, flat.merge(scale)], ignore_index=True)
    complete = (
        both.groupby(["series_id", "horizon"])["model"].transform("nunique")
        == both["model"].nunique()
    )
    board = headline(both[complete])[["ratio", "crps_ratio"]].unstack("horizon").round(3)
    counted = both.loc[complete, "series_id"].nunique()
    print(
        f"\n{setting.name}: {counted} of {len(panel.offers)} series, {n_origins} origins, "
        f"peers {time.perf_counter() - began:.0f} s"
    )
    shown = ["ensemble", "last_value", "fixed_weights", *map(str, models)]
    print(board.loc[board.index.intersection(shown)].to_string())


def hourly(n_series: int) -> Panel:
    """Return a panel of simulated market prices: 90 days by the hour, in 8 groups, spikes that end in hours."""
    rng, cells = np.random.default_rng(SEED), 24 * 90
    jumps = np.where(rng.random((cells, n_series)) < 0.2, rng.normal(0, 0.05, (cells, n_series)), 0)
    price = np.exp(lfilter([1.0], [1.0, -0.8], jumps, axis=0))
    ids = pd.Index([f"sim/r{k}//m/spot/" for k in range(n_series)], name="offer_id")
    offers = pd.DataFrame(
        {
            "provider": "sim",
            "region": [f"r{k}" for k in range(n_series)],
            "instance_type": "m",
            "purchase_option": "spot",
            "price_kind": "market",
            "gpu_model": [f"G{k % 8}" for k in range(n_series)],
        },
        index=ids,
    )
    times = pd.date_range("2026-01-01", periods=cells, freq="1h", tz="UTC")
    return Panel(
        times,
        pd.Timedelta("1h"),
        offers,
        price,
        np.ones(price.shape),
        np.ones(price.shape, np.int8),
    )


def used() -> tuple[float, float]:
    """Return CPU seconds so far and the peak memory in MiB, of this process and the TensorFlow worker together."""
    cpu = time.process_time() + sum(os.times()[2:4])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if WORKER.process is not None:
        pid = WORKER.process.pid
        cpu += time.clock_gettime(
            ~pid << 3 | 2
        )  # its CPU clock, to the nanosecond: clock_getcpuclockid(3)
        peak += int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    return cpu, peak


def speed(n_series: int) -> None:
    """Print what fitting and weighing all members takes for ``n_series`` hourly series of 90 days."""
    patterns, (before, _), began = (find_patterns(hourly(n_series)), used(), time.perf_counter())
    origins = ensemble.walk_positions(patterns, np.array([24 * 90 - 1]), horizon=24)
    walk = ensemble.walk_origins(patterns, origins, horizon=24, seed=SEED)
    took, (after, peak) = time.perf_counter() - began, used()
    print(
        f"{n_series:>6} series x 90 days by the hour: {took:6.1f} s to fit, weigh and calibrate, "
        f"{after - before:6.1f} CPU s, peak {peak:,.0f} MiB"
        + (f"; failed: {walk.failed}" if walk.failed else ""),
        flush=True,
    )


def inference(n_series: int, asked: int = 100) -> None:
    """Print how long point and interval forecasts of each of the last ``asked`` hours take, from kept models."""
    panel = hourly(n_series)
    known = load_assumptions()
    with tempfile.TemporaryDirectory() as folder:
        walk = forecast.fit(
            panel.until(panel.times[-asked - 1]), Path(folder), horizon_steps=24, seed=SEED
        )
        taken = []
        for k in range(-asked - 3, 0):
            now, (cpu, _), began = (
                panel.until(panel.times[max(k, -asked)]),
                used(),
                time.perf_counter(),
            )
            found = forecast.forecast_fitted(
                now, Path(folder), n_paths=PATHS, assumptions=known, ahead=[1, 6, 24]
            )
            taken.append((time.perf_counter() - began, used()[0] - cpu))
    asked_members = [
        n for n, share in zip(walk.members, walk.weights[-1], strict=True) if share.any()
    ]
    p50, p99 = 1000 * np.percentile(taken[3:], [50, 99], axis=0)  # the first read the models
    print(
        f"{n_series:>6} series, {len(found.table):,} quantiles: p50 {p50[0]:.1f} ms, p99 {p99[0]:.1f} ms; "
        f"CPU p50 {p50[1]:.1f} ms, p99 {p99[1]:.1f} ms; peak {used()[1]:,.0f} MiB; members with a weight: "
        f"{', '.join(asked_members)}",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=["peers", "speed", "inference"])
    parser.add_argument("--series", type=int, help="24 of a price list, 6 by the hour without it")
    parser.add_argument("--origins", type=int, help="5 of a price list, 4 by the hour without it")
    given = parser.parse_args()
    if given.part in (None, "peers"):
        for setting in BUNDLED:
            n_series, n_origins = (
                (6, 4) if setting.freq == "1h" else (24, 5)
            )  # seasons of a day are slow
            peers(setting, n_series=given.series or n_series, n_origins=given.origins or n_origins)
    if given.part in (None, "speed"):
        for n in (50, 500, 1500, 5000):
            speed(n)
    if given.part in (None, "inference"):
        for n in (1, 500):
            inference(n)
