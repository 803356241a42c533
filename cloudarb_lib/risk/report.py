"""The tables of notebook 04: measures, and where the risk comes from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cloudarb_lib.risk.cost import PlanCost
from cloudarb_lib.risk.measures import Estimate, component_cvar, cvar, incremental_cvar, probability_over, var
from cloudarb_lib.schema import validate

SCOPES = {"provider": "provider", "region": "region", "gpu_model": "gpu"}
"""Columns of the exposure table by which risk is split, and their prefix in ``scope``."""


def contributions(cost: PlanCost, by: str, *, level: float = 0.95) -> pd.DataFrame:
    """Return expected cost and CVaR split by a column of the exposure ('offer_id' for offers).

    Index: the values of the column, largest component first. Columns: expected_cost_usd, component_cvar_usd
    with its standard error (components sum to the total CVaR) and incremental_cvar_usd (how much it falls
    without them).
    """
    if by == "offer_id":
        names, parts = cost.exposure.table.index, cost.by_offer
    else:
        names, parts = cost.by(by)
    mean = parts.mean(axis=0)
    component = component_cvar(parts - mean, level)
    table = pd.DataFrame({
        "expected_cost_usd": mean, "component_cvar_usd": component.value,
        "component_error_usd": component.standard_error,
        "incremental_cvar_usd": incremental_cvar(parts - mean, level),
    }, index=pd.Index(names, name=by))  # fmt: skip
    return table.sort_values("component_cvar_usd", ascending=False)


def risk_table(cost: PlanCost, *, levels: Sequence[float] = (0.95, 0.99), budget_usd: float) -> pd.DataFrame:
    """Return table ``risk`` of a plan.

    Measures of the total: expected_cost, budget, var and cvar at each level (over the expected cost),
    unmet_gpu_hours and probability_over_budget (whose 'value_usd' are GPU-hours and a share). var and cvar of
    each risk alone have scope risk:price and risk:capacity. By provider, region, gpu and offer at the first
    level: component_cvar and incremental_cvar, and for offers marginal_cvar, USD of CVaR per instance-hour
    more.
    """
    rows: list[tuple[str, float, Estimate, str]] = []
    none = float("nan")
    total = cost.total
    n = len(total)
    hours = cost.exposure.table["instance_hours"].to_dict()
    mean = Estimate(total.mean(), total.std() / np.sqrt(n))
    unmet = cost.unmet_gpu_hours
    rows += [
        ("expected_cost", none, mean, "total"),
        ("budget", none, Estimate(budget_usd, none), "total"),
        ("probability_over_budget", none, probability_over(total, budget_usd), "total"),
        ("unmet_gpu_hours", none, Estimate(unmet.mean(), unmet.std() / np.sqrt(n)), "total"),
    ]
    alone = {"total": total, "risk:price": cost.price.sum(axis=1),
             "risk:capacity": cost.capacity.sum(axis=1)}  # fmt: skip
    for scope, samples in alone.items():
        for level in levels:
            increase = samples - samples.mean()
            rows.append(("var", level, var(increase, level), scope))
            rows.append(("cvar", level, cvar(increase, level), scope))
    for column, prefix in {**SCOPES, "offer_id": "offer"}.items():
        for name, row in contributions(cost, column, level=levels[0]).iterrows():
            component = Estimate(row["component_cvar_usd"], row["component_error_usd"])
            scope = f"{prefix}:{name}"
            rows.append(("component_cvar", levels[0], component, scope))
            increment = Estimate(row["incremental_cvar_usd"], none)
            rows.append(("incremental_cvar", levels[0], increment, scope))
            if column == "offer_id":
                marginal = Estimate(*(figure / hours[str(name)] for figure in component))
                rows.append(("marginal_cvar", levels[0], marginal, scope))
    table = pd.DataFrame(
        [(m, level, cost.exposure.horizon_h, *e, scope) for m, level, e, scope in rows],
        columns=["measure", "level", "horizon_h", "value_usd", "standard_error_usd", "scope"],
    )
    return validate(table, "risk")
