"""Panels and tasks of the forecast."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast.offers import forecast_offers
from cloudarb_lib.forecast.task import Task


def a_panel(price, options="spot", models="H100", providers="gcp", step="7D", kind="administered"):
    price = np.asarray(price, float)
    n = price.shape[1]
    offers = pd.DataFrame(
        {
            "provider": providers,
            "region": [f"r{i}" for i in range(n)],
            "zone": "",
            "instance_type": "m",
            "purchase_option": options,
            "term": "",
            "gpu_model": models,
            "gpu_count": 8.0,
            "price_kind": kind,
        },
        index=pd.Index([f"o{i}" for i in range(n)], name="offer_id"),
    )
    times = pd.date_range("2025-01-01", periods=len(price), freq=step, tz="UTC")
    known = np.isfinite(price)
    return Panel(
        times, pd.Timedelta(step), offers, price, known.astype(float), np.where(known, 2, 0)
    )


def panel_of_regions(cells=60):
    """Prices of two providers in three regions, which step together every few cells."""
    rng = np.random.default_rng(5)
    is_review = np.arange(cells)[:, None] % 4 == 0
    steps = np.where(is_review, rng.normal(0, 0.06, (cells, 6)), 0.0)
    price = np.exp(np.cumsum(steps, axis=0)) * np.arange(1, 7)
    found = a_panel(price, models=["H100", "L4"] * 3)
    found.offers["provider"] = ["aws"] * 2 + ["gcp"] * 4
    found.offers["region"] = ["us east", "us east", "b", "b", "c/1", "c/1"]
    return found


def stepping(seed=0, times=80, series=12, drift=0.0, every=4):
    """Prices that step together every few cells, as administered prices do."""
    rng = np.random.default_rng(seed)
    review = (np.arange(times) % every == 0)[:, None] & (rng.random((times, series)) < 0.8)
    shock = rng.normal(drift, 0.05, (times, 1)) + rng.normal(0, 0.02, (times, series))
    return np.exp(np.cumsum(np.where(review, shock, 0), axis=0)) * np.linspace(1, 40, series)


def a_task(price, groups=None, origins=None, horizon=4, cells_per_day=1):
    log_price = np.log(price)
    groups = np.zeros(log_price.shape[1], int) if groups is None else groups
    origins = np.arange(20, len(log_price)) if origins is None else np.asarray(origins)
    return Task(log_price, groups, origins, horizon, 1, cells_per_day=cells_per_day)


def going_on(task, cells=8):
    """A forecast (origins, series, steps): the last cells' mean step comes again and again."""
    level = np.nan_to_num(task.log_price)
    rate = (level[task.origins] - level[np.maximum(task.origins - cells, 0)]) / cells
    return rate[..., None] * np.arange(1, task.horizon + 1)


def coming_back(task, cells=24):
    """A forecast (origins, series, steps): the price returns to its median of the last cells."""
    level = np.nan_to_num(task.log_price)
    back = [
        np.median(level[max(at - cells + 1, 0) : at + 1], axis=0) - level[at] for at in task.origins
    ]
    return np.repeat(np.array(back)[..., None], task.horizon, axis=2)


def forecast_of(panel, **changed):
    settings = {"horizon_steps": 6, "n_paths": 200, "seed": 3}
    return forecast_offers(panel, **{**settings, **changed})


def damaged(times=110, step="7D", kind="administered"):
    """Prices of 20 series: the first seven damaged each in its way, the others sound."""
    price = stepping(times=times, series=20, drift=-0.02)
    price[:-1, 1] = np.nan  # one point
    price[:, 2] = 5.0  # constant
    price[30:55, 3] = np.nan  # a gap of months
    price[times - 10 :, 4] = np.nan  # withdrawn
    price[:, 5] = np.nan  # all missing
    price[: times - 4, 6] = np.nan  # new at the end
    return a_panel(price, step=step, kind=kind)


def trending(times=140, series=20, seed=3):
    """Steps every third cell, nearly always of the sign of the one before: momentum sees them."""
    rng = np.random.default_rng(seed)
    way = np.where(rng.random((1, series)) < 0.5, 1, -1)
    turn = np.where(rng.random((times, series)) < 0.03, -1, 1)
    step = 0.05 * way * np.cumprod(turn, axis=0)
    return np.exp(np.cumsum(np.where((np.arange(times) % 3 == 0)[:, None], step, 0), axis=0))


SPIKING_HOURS = 600
SPIKING_SERIES = 16


def spiking(seed=0, times=SPIKING_HOURS):
    """Hourly prices at 1 that rise tenfold for half of a day, some once in two days, at random."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 36, (SPIKING_SERIES, times // 48 + 1)) + 48 * np.arange(times // 48 + 1)
    hour = np.arange(times)[:, None, None]
    high = ((hour >= start) & (hour < start + 12)).any(axis=2)
    return np.where(high, 10.0, 1.0) * np.linspace(1, 5, SPIKING_SERIES)
