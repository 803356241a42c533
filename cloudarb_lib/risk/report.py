"""The tables of notebook 04: measures, and where the risk comes from."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.risk.cost import PlanCost
from cloudarb_lib.risk.measures import Estimate, component_cvar, cvar, probability_over, var
from cloudarb_lib.schema import validate

SCOPES = {"provider": "provider", "region": "region", "gpu_model": "gpu", "offer_id": "offer"}
"""Columns of the exposure table by which risk is split, and their prefix in ``scope``."""


def contributions(cost: PlanCost, by: str) -> pd.DataFrame:
    """Return expected cost and CVaR at 95 % split by a column of the exposure ('offer_id' for offers), USD.

    Index: the values of the column ('none' where missing), largest component first. Columns:
    expected_cost_usd, component_cvar_usd (they sum to the CVaR of the total) and component_error_usd, its
    standard error.
    """
    codes, names = pd.factorize(cost.exposure.table.reset_index()[by].fillna("none"), sort=True)
    parts = cost.by_offer @ np.eye(len(names))[codes]
    mean = parts.mean(axis=0)
    table = pd.DataFrame({"expected_cost_usd": mean}, index=pd.Index(names, name=by))
    table["component_cvar_usd"], table["component_error_usd"] = component_cvar(parts - mean)
    return table.sort_values("component_cvar_usd", ascending=False)


def risk_table(cost: PlanCost, *, budget_usd: float) -> pd.DataFrame:
    """Return table ``risk`` of a plan.

    Measures of the total: expected_cost, budget, var and cvar at 95 % and 99 % (over the expected cost),
    probability_over_budget and unmet_gpu_hours (whose 'value_usd' are a share and GPU-hours). var and cvar of
    each risk alone have scope risk:price and risk:capacity. component_cvar at 95 % by provider, region, gpu
    and offer. Level and standard error are NaN where there is none.
    """
    none = float("nan")
    total, unmet = cost.total, cost.unmet_gpu_hours
    root = np.sqrt(len(total))
    rows: list[tuple[str, float, Estimate, str]] = [
        ("expected_cost", none, Estimate(total.mean(), total.std() / root), "total"),
        ("budget", none, Estimate(budget_usd, none), "total"),
        ("probability_over_budget", none, probability_over(total, budget_usd), "total"),
        ("unmet_gpu_hours", none, Estimate(unmet.mean(), unmet.std() / root), "total"),
    ]
    price, capacity = cost.price.sum(axis=1), cost.capacity.sum(axis=1)
    for scope, samples in {"total": total, "risk:price": price, "risk:capacity": capacity}.items():
        increase = samples - samples.mean()
        for level in (0.95, 0.99):
            rows.append(("var", level, var(increase, level), scope))
            rows.append(("cvar", level, cvar(increase, level), scope))
    for column, prefix in SCOPES.items():
        parts = contributions(cost, column)[["component_cvar_usd", "component_error_usd"]]
        rows += [
            ("component_cvar", 0.95, Estimate(*row), f"{prefix}:{name}") for name, *row in parts.itertuples()
        ]
    table = pd.DataFrame(
        [(m, level, cost.exposure.horizon_h, *e, scope) for m, level, e, scope in rows],
        columns=["measure", "level", "horizon_h", "value_usd", "standard_error_usd", "scope"],
    )
    return validate(table, "risk")
