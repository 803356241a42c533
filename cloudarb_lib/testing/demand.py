"""Workloads, plans and random allocations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.testing.figures import figures
from cloudarb_lib.testing.prices import OFFERS

GOOD = "demand:\n  - workload: a\n    needs: 3 x 8 H100\n"


def work(amount=8.0, **changes) -> allocate.Workload:
    given: dict[str, Any] = {"throughput": {"H100": 1.0}, "interruptible": True, **changes}
    return allocate.Workload("w", amount, **given)


def load(tmp_path: Path, text: str) -> list[allocate.Workload]:
    file = tmp_path / "demand.yaml"
    file.write_text(text)
    return allocate.load_demand(file).workloads


def plan_for(
    *workloads, table=OFFERS, options=None, hours=168.0, paths=None, limits=None, **changes
):
    problem = allocate.build_problem(
        list(workloads),
        table,
        assumptions=figures(**changes),
        hours=hours,
        paths=paths,
        limits=limits,
    )
    return allocate.solve(problem, options)


WATTS = {
    "gpu_utilisation": 0.5,
    "gpu_watts": 700,
    "host_watts_per_gpu": 150,
    "pue": 1.2,
    "grid_gco2e_per_kwh": 400,
}
"""Assumptions of carbon."""


def random_slots(rng: np.random.Generator, price: np.ndarray) -> pd.DataFrame:
    """A slot for each price, of up to three providers, sites and pools."""
    n_offers = len(price)
    return pd.DataFrame(
        {
            "offer_id": [f"o{j}" for j in range(n_offers)],
            "period": 0,
            "provider": rng.integers(0, 3, n_offers),
            "region": "r",
            "on_demand": rng.random(n_offers) < 0.5,
            "site": rng.integers(0, 3, n_offers),
            "pool": rng.integers(0, 3, n_offers),
            "gpus": 1.0,
            "list_price": price * rng.uniform(1, 1.2, n_offers),
        }
    )


def random_limits(rng: np.random.Generator, scale_usd: float) -> allocate.Limits:
    """Some limits, some of them loose; ``scale_usd`` is about what a plan costs."""
    return allocate.Limits(
        budget_usd=scale_usd * rng.uniform(0.5, 2) if rng.random() < 0.7 else None,
        cvar_usd=scale_usd * rng.uniform(0.6, 2) if rng.random() < 0.7 else None,
        cvar_level=0.9,
        effective_providers=rng.uniform(1.1, 2.2) if rng.random() < 0.4 else None,
        min_on_demand_share=rng.uniform(0.1, 0.5) if rng.random() < 0.3 else None,
        max_provider_share=rng.uniform(0.5, 0.9) if rng.random() < 0.2 else None,
    )


def random_allocation(seed: int, *, small: bool) -> allocate.Problem:
    """A problem with site fees, pools, a budget, a CVaR limit and diversification, some loose."""
    rng = np.random.default_rng(seed)
    n_offers, n_demands = (4, 2) if small else (10, 5)
    price = rng.uniform(1, 5, n_offers)
    paths = price * np.exp(rng.normal(0, 0.3, (20, n_offers)))
    slots = random_slots(rng, price).assign(mean_price=paths.mean(axis=0))
    demand, slot = (
        a.ravel() for a in np.meshgrid(range(n_demands), range(n_offers), indexing="ij")
    )
    need = rng.integers(1, 4, n_demands).astype(float)
    exact = bool(rng.random() < 0.4)
    cover = need[demand] if exact else rng.integers(1, 3, len(demand)).astype(float)
    pairs = pd.DataFrame(
        {
            "demand": demand,
            "slot": slot,
            "cover": cover,
            "hours": rng.uniform(1, 3, len(demand)) * cover,
            "instances": 1.0,
            "pool_use": cover,
            "sure_usd": rng.uniform(0, 1, len(demand)),
            "most": np.ceil(need[demand] / cover),
        }
    )
    unmet = np.where(rng.random(n_demands) < 0.3, rng.uniform(3, 20, n_demands), np.inf)
    scale = need.sum() * 6.0
    limits = random_limits(rng, scale)
    return allocate.Problem(
        pd.DataFrame(
            {"workload": [f"w{i}" for i in range(n_demands)], "need": need, "unmet_usd": unmet}
        ),
        slots,
        pairs,
        pd.DataFrame({"name": list("abc"), "capacity": rng.integers(2, 9, 3).astype(float)}),
        pd.DataFrame({"name": list("xyz"), "fee_usd": rng.uniform(0, 8, 3)}),
        paths,
        limits,
        exact,
    )
