"""The tables of notebook 04: measures, and where the risk comes from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from cloudarb_lib.risk import measures
from cloudarb_lib.risk.correlation import known_steps, moving_steps
from cloudarb_lib.risk.cost import PlanCost
from cloudarb_lib.risk.measures import Estimate, cvar, liquidity, probability_over, var
from cloudarb_lib.schema import validate

SCOPES = {"provider": "provider", "region": "region", "gpu_model": "gpu", "offer_id": "offer"}
"""Columns of the exposure table by which risk is split, and their prefix in ``scope``."""


PARTS: dict[str, Callable[..., Estimate]] = {
    "component_cvar": measures.component_cvar,
    "component_var": measures.component_var,
    "incremental_cvar": measures.incremental,
}
"""Ways to split the risk: the components sum to the CVaR and the VaR, the increments are what goes with a name."""


def contributions(cost: PlanCost, by: str) -> pd.DataFrame:
    """Return expected cost and risk at 95 % split by a column of the exposure ('offer_id' for offers), USD.

    Index: the values of the column ('none' where missing), largest component first. Columns:
    expected_cost_usd, and for each of ``PARTS`` its _usd and _error_usd, the standard error.
    """
    codes, names = pd.factorize(cost.exposure.table.reset_index()[by].fillna("none"), sort=True)
    parts = cost.by_offer @ np.eye(len(names))[codes]
    mean = parts.mean(axis=0)
    table = pd.DataFrame({"expected_cost_usd": mean}, index=pd.Index(names, name=by))
    for name, measure in PARTS.items():
        table[f"{name}_usd"], table[f"{name}_error_usd"] = measure(parts - mean)
    return table.sort_values("component_cvar_usd", ascending=False)


def risk_table(cost: PlanCost, *, budget_usd: float) -> pd.DataFrame:
    """Return table ``risk`` of a plan.

    Measures of the total: expected_cost, budget, var and cvar at 95 % and 99 % (over the expected cost),
    probability_over_budget, and unmet_gpu_hours with its share of the plan's GPU-hours (unmet_share_*; a plan
    without GPUs has none). var and cvar of each risk alone have scope risk:price and risk:capacity; what
    commitments cost, and what of it goes unused, scope risk:commitment. ``PARTS`` by provider, region, gpu and
    offer. Level and standard error are NaN where there is none.
    """
    none, exposure = float("nan"), cost.exposure
    total = cost.total

    def mean(samples: np.ndarray) -> Estimate:
        return Estimate(samples.mean(), samples.std() / np.sqrt(len(samples)))

    rows: list[tuple[str, float, Estimate, str]] = [
        ("expected_cost", none, mean(total), "total"),
        ("budget", none, Estimate(budget_usd, none), "total"),
        ("probability_over_budget", none, probability_over(total, budget_usd), "total"),
        ("unmet_gpu_hours", none, mean(cost.unmet_gpu_hours), "total"),
        ("commitment_paid", none, mean(cost.price[:, exposure.committed].sum(axis=1)), "risk:commitment"),
        ("commitment_unused", none, mean(cost.unused), "risk:commitment"),
    ]
    if (wanted := float(exposure.instance_hours @ exposure.gpus)) > 0:
        shares = liquidity(cost.unmet_gpu_hours, wanted).items()
        rows += [(f"unmet_share_{n}", 0.95 if "var" in n else none, e, "total") for n, e in shares]
    price, capacity = cost.price.sum(axis=1), cost.capacity.sum(axis=1)
    for scope, samples in {"total": total, "risk:price": price, "risk:capacity": capacity}.items():
        increase = samples - samples.mean()
        for level in (0.95, 0.99):
            rows.append(("var", level, var(increase, level), scope))
            rows.append(("cvar", level, cvar(increase, level), scope))
    for column, prefix in SCOPES.items():
        for name, row in contributions(cost, column).iterrows():
            split = ((m, Estimate(row[f"{m}_usd"], row[f"{m}_error_usd"])) for m in PARTS)
            rows += [(measure, 0.95, estimate, f"{prefix}:{name}") for measure, estimate in split]
    table = pd.DataFrame(
        [(m, level, exposure.horizon_h, *e, scope) for m, level, e, scope in rows],
        columns=["measure", "level", "horizon_h", "value_usd", "standard_error_usd", "scope"],
    )
    return validate(table, "risk")


def regimes(changes: np.ndarray, spend_usd: np.ndarray) -> pd.DataFrame:
    """Return what calm steps, moving steps and all of ``changes`` (steps, offers; 0.1 is 10 % up) do to the cost of one step.

    Index regime; columns steps, var95_usd and cvar95_usd: of the increase that each past step would bring today to
    a plan that spends ``spend_usd`` (offers,) a step. Raises as ``known_steps``.
    """
    r, _ = known_steps(changes)
    loss, moving = r @ spend_usd, moving_steps(r)
    masks = {"calm": ~moving, "moving": moving, "all": np.ones(len(r), dtype=bool)}
    rows = {n: (m.sum(), var(loss[m]).value, cvar(loss[m]).value) for n, m in masks.items() if m.any()}
    columns = ["steps", "var95_usd", "cvar95_usd"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("regime")
