"""Figures that no record gives, and tables of a run."""

from __future__ import annotations

import pandas as pd

from cloudarb_lib.tables.assumptions import Assumptions

_TAKEN_AWAY = ("spot/calm", "spot/typical", "spot/trace", "spot/stressed", "market")
FIGURES = {
    "capacity_gpus/spot": 32,
    "capacity_gpus/on_demand": 64,
    "capacity_gpus/reserved": 64,
    "capacity_gpus_per_market_offer/gpu-price-tracker": 8,
    "interruption_per_hour/spot/calm": 0.0,
    "interruption_per_hour/spot/typical": 0.002,
    "interruption_per_hour/spot/stressed": 0.02,
    "interruption_per_hour/market": 0.0,
    "interruption_shared_share": 0.9,
    **{f"outage_hours/{kind}": 0.0 for kind in _TAKEN_AWAY},
    **{f"fallback_share/{kind}": 0.9 for kind in _TAKEN_AWAY},
    "site_fee_usd_per_week": 0,
    "boot_disk_usd_per_week": 0,
}


def figures(**changes) -> Assumptions:
    rows = [(n, float(v), "", "test", "2026-01-01") for n, v in {**FIGURES, **changes}.items()]
    return Assumptions(pd.DataFrame(rows, columns=["name", "value", "unit", "source", "date"]))


def some_weights() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "series_group": ["all", "all"],
            "horizon": [1, 1],
            "model": ["a", "b"],
            "weight": [0.4, 0.6],
        }
    )
