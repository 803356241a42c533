"""What the ensemble is worth beside usual peers, and what it costs to train and to ask.

usage: python -m benchmarks.forecast [peers|speed|inference] [--series N] [--origins N]
(default: all)

Peers are statsforecast's (make bench installs them), on the same prices, series and origins as the
ensemble. They are slow, so this runs on a fixed sample: N series drawn with a seed from each GPU
model or machine in turn, at N origins evenly spaced over those of `cloudarb backtest`; peers see
the last 520 cells, 336 by the hour. Their CRPS is that of their own quantiles (5 to 95 %, straight
between, flat beyond), held within the bounds of reason that hold for the ensemble: a price 4.5
times as high or as low. Speed: all members fitted, weighed and calibrated anew for hourly series of
90 days. Inference: point and 7 quantiles 1, 6 and 24 hours ahead of each new hour, from kept
models.
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

from benchmarks.forecast_peers import compare_with_peers
from cloudarb_lib import forecast
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast import ensemble
from cloudarb_lib.forecast.patterns import find_patterns
from cloudarb_lib.forecast.worker import WORKER
from pipelines.cli.panels import BUNDLED, SEED

N_PATHS = 200


def hourly(n_series: int) -> Panel:
    """Return simulated market prices: 90 days by the hour, 8 groups, spikes that end in hours."""
    rng = np.random.default_rng(SEED)
    cells = 24 * 90
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
    """Return CPU seconds so far and peak memory in MiB, the TensorFlow worker's included."""
    cpu = time.process_time() + sum(os.times()[2:4])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if WORKER.process is not None:
        pid = WORKER.process.pid
        # its CPU clock, to the nanosecond: clock_getcpuclockid(3)
        cpu += time.clock_gettime(~pid << 3 | 2)
        peak += int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    return cpu, peak


def speed(n_series: int) -> None:
    """Print what fitting and weighing all members takes for hourly series of 90 days."""
    patterns = find_patterns(hourly(n_series))
    cpu_before, _ = used()
    began = time.perf_counter()
    origins = ensemble.rolling_origins(patterns, np.array([24 * 90 - 1]), horizon=24)
    forecasts = ensemble.rolling_ensemble(patterns, origins, horizon=24, seed=SEED)
    took_s = time.perf_counter() - began
    cpu_after, peak = used()
    print(
        f"{n_series:>6} series x 90 days by the hour: {took_s:6.1f} s to fit, weigh and calibrate, "
        f"{cpu_after - cpu_before:6.1f} CPU s, peak {peak:,.0f} MiB"
        + (f"; failed: {forecasts.failed}" if forecasts.failed else ""),
        flush=True,
    )


def inference(n_series: int, asked: int = 100) -> None:
    """Print how long forecasts of each of the last ``asked`` hours take, from kept models."""
    panel = hourly(n_series)
    with tempfile.TemporaryDirectory() as folder:
        forecasts = forecast.fit(
            panel.until(panel.times[-asked - 1]), Path(folder), horizon_steps=24, seed=SEED
        )
        taken = []
        for k in range(-asked - 3, 0):
            now = panel.until(panel.times[max(k, -asked)])
            cpu_before, _ = used()
            began = time.perf_counter()
            found = forecast.forecast_fitted(now, Path(folder), n_paths=N_PATHS, ahead=[1, 6, 24])
            taken.append((time.perf_counter() - began, used()[0] - cpu_before))
    asked_members = [
        n for n, share in zip(forecasts.members, forecasts.weights[-1], strict=True) if share.any()
    ]
    p50, p99 = 1000 * np.percentile(taken[3:], [50, 99], axis=0)  # the first read the models
    print(
        f"{n_series:>6} series, {len(found.table):,} quantiles: "
        f"p50 {p50[0]:.1f} ms, p99 {p99[0]:.1f} ms; "
        f"CPU p50 {p50[1]:.1f} ms, p99 {p99[1]:.1f} ms; peak {used()[1]:,.0f} MiB; "
        f"members with a weight: {', '.join(asked_members)}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=["peers", "speed", "inference"])
    parser.add_argument("--series", type=int, help="24 of a price list, 6 by the hour without it")
    parser.add_argument("--origins", type=int, help="5 of a price list, 4 by the hour without it")
    given = parser.parse_args()
    if given.part in (None, "peers"):
        for setting in BUNDLED:
            is_hourly = setting.freq == "1h"  # seasons of a day are slow
            compare_with_peers(
                setting,
                n_series=given.series or (6 if is_hourly else 24),
                n_origins=given.origins or (4 if is_hourly else 5),
            )
    if given.part in (None, "speed"):
        for n_series in (50, 500, 1500, 5000):
            speed(n_series)
    if given.part in (None, "inference"):
        for n_series in (1, 500):
            inference(n_series)


if __name__ == "__main__":
    main()
