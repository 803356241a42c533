"""Plans to measure: spot offers, their on-demand peers, a commitment, one that none replaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib import risk
from cloudarb_lib.base import locations
from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.tables.assumptions import Assumptions


def shuffled(x, shuffle):
    """Return the paths and offers of ``x`` in another order, and that of the offers."""
    rows, columns = list(range(x.shape[0])), list(range(x.shape[1]))
    shuffle.shuffle(rows)
    shuffle.shuffle(columns)
    return x[rows][:, columns], columns


RISK_TIMES = pd.date_range("2026-05-07", periods=4, freq="7D", tz="UTC")


def risk_offer(provider: str, region: str, option: str, price: float, **changes) -> dict:
    row = {
        "provider": provider,
        "region": region,
        "zone": "",
        "instance_type": "h100-8",
        "purchase_option": option,
        "term": "1y" if option == "reserved" else "",
        "price_kind": "administered",
        "gpu_model": "H100",
        "gpu_count": 8.0,
        "vcpus": 96.0,
        "offer_count": np.nan,
        "price_usd_per_hour": price,
    } | changes
    row["offer_id"] = "/".join(
        str(row[p])
        for p in ("provider", "region", "zone", "instance_type", "purchase_option", "term")
    )
    return row


RISK_OFFERS = pd.DataFrame(
    [
        risk_offer("gcp", "us", "spot", 20.0),
        risk_offer("gcp", "us", "on_demand", 80.0),
        risk_offer("aws", "eu", "spot", 30.0),
        risk_offer("aws", "eu", "on_demand", 60.0),
        risk_offer("gcp", "us", "reserved", 50.0),
        risk_offer(
            "nebula", "unstated", "spot", 5.0, instance_type="odd", gpu_model="TPU", gpu_count=1.0
        ),
    ]
).set_index("offer_id")


GCP_SPOT, GCP_ON_DEMAND, AWS_SPOT, AWS_ON_DEMAND, GCP_COMMITMENT, ODD_SPOT = RISK_OFFERS.index


def planned(instances: dict[str, float], *, periods: int = 1, hours: float = 672.0) -> pd.DataFrame:
    rows = [
        {
            "offer_id": o,
            "workload": "train",
            "period": p,
            "instances": n,
            "hours": hours / periods,
            "expected_cost_usd": 0.0,
        }
        for o, n in instances.items()
        for p in range(periods)
    ]
    return pd.DataFrame(rows)


def risk_paths(*, n: int = 2000, seed: int = 0, spread: float = 0.1) -> Paths:
    rng = np.random.default_rng(seed)
    start = RISK_OFFERS["price_usd_per_hour"].to_numpy()[:, None, None]
    steps = spread * rng.standard_normal((len(RISK_OFFERS), n, 4))
    return Paths(RISK_OFFERS.index, RISK_TIMES, start * np.exp(steps.cumsum(axis=2) - spread**2))


def risk_inputs(
    *,
    spread: float = 0.1,
    n: int = 2000,
    outages: tuple[float, float] = (0.0, 0.0),
    shared_share: float = 1.0,
    fallback_share: float = 1.0,
    **changes,
) -> risk.RiskInputs:
    """Return inputs whose spot machines are taken away so often an hour, for so many hours.

    ``shared_share`` of the times all of a pool, while each fallback has room in
    ``fallback_share`` of them.
    """
    table = pd.read_csv(locations.data() / "assumptions.csv", dtype={"date": str})
    for name, value in zip(("interruption_per_hour", "outage_hours"), outages, strict=True):
        table.loc[table["name"].str.startswith(name + "/"), "value"] = value
    table.loc[table["name"].str.startswith("fallback_share/"), "value"] = fallback_share
    table.loc[table["name"] == "interruption_shared_share", "value"] = shared_share
    given: dict[str, Any] = {
        "offers": RISK_OFFERS.reset_index(),
        "paths": risk_paths(spread=spread, n=n),
        "assumptions": Assumptions(table),
        "horizon_h": 672.0,
        "seed": 0,
        "record": price_record(),
    }
    return risk.RiskInputs(**(given | changes))


def cost_of(instances=None, *, shares: dict[str, float] | None = None, **changes) -> risk.PlanCost:
    held = planned(instances or {GCP_SPOT: 4.0, AWS_SPOT: 2.0, GCP_COMMITMENT: 1.0})
    share = RISK_OFFERS.index.map(shares or {}).to_numpy(float)
    offers = RISK_OFFERS.assign(available_share=np.where(np.isnan(share), 1.0, share)).reset_index()
    return risk.plan_cost(risk_inputs(**{"offers": offers} | changes), held)


RECORD_TIMES = pd.date_range("2025-06-05", periods=30, freq="7D", tz="UTC")


def price_record() -> Panel:
    """GCP spot doubles over cells 10 to 14, AWS spot falls by half in cell 12; the rest stands."""
    price = np.tile(RISK_OFFERS["price_usd_per_hour"].to_numpy(), (30, 1))
    price[10:, 0] *= np.minimum(1.0 + 0.25 * np.arange(20), 2.0)
    price[12:, 2] *= 0.5
    return Panel(
        RECORD_TIMES,
        pd.Timedelta("7D"),
        RISK_OFFERS,
        price,
        np.ones_like(price),
        np.ones(price.shape, int),
    )


def stressed(
    *scenarios: risk.StressScenario, instances=None, replanned=None, **changes
) -> pd.DataFrame:
    held = planned(instances or {GCP_SPOT: 4.0, AWS_SPOT: 2.0, GCP_COMMITMENT: 1.0})
    table = risk.stress(
        risk_inputs(**changes), scenarios, held, replanned=replanned or {}, budget_usd=1e5
    )
    return table.set_index("scenario")
