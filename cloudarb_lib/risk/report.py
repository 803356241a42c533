"""The tables of notebook 04: measures, and where the risk comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.risk import measures
from cloudarb_lib.risk.correlation import LEAST_STEPS
from cloudarb_lib.risk.cost import PlanCost, World, plan_cost
from cloudarb_lib.risk.measures import Estimate, cvar, liquidity, mean, probability_over, var
from cloudarb_lib.risk.simulate import MODELS, N_DRAWS, draw_costs
from cloudarb_lib.tables.assumptions import HAZARD_PRESETS
from cloudarb_lib.tables.validation import validate

SCOPES = {"provider": "provider", "region": "region", "gpu_model": "gpu", "offer_id": "offer"}
"""Columns of a cost's table by which risk is split, and their prefix in ``scope``."""


PARTS: dict[str, Callable[..., Estimate]] = {
    "component_cvar": measures.component_cvar,
    "component_var": measures.component_var,
    "incremental_cvar": measures.incremental,
}
"""Ways to split the risk: the components sum to the CVaR and the VaR, the increments are what goes with a name."""
MARGINAL = "marginal_cvar"
HORIZONS_H = (24.0, 168.0, 720.0, 2184.0)
"""A day, a week, 30 days, a quarter."""

_Row = tuple[str, float, Estimate, str]  # measure, level, value and error, scope


def contributions(cost: PlanCost, by: str, *, level: float = 0.95) -> pd.DataFrame:
    """Return expected cost and risk at ``level`` split by a column of ``cost.table`` ('offer_id' for offers), USD.

    Index: the values of the column ('none' where missing), largest component first. Columns:
    expected_cost_usd, and for each of ``PARTS`` and ``MARGINAL`` its _usd and _error_usd, the standard error. Marginal is
    the CVaR of one more dollar spent there in the same way: the component over the cost, as CVaR grows in proportion.
    """
    codes, names = pd.factorize(cost.table.reset_index()[by].fillna("none"), sort=True)
    parts = cost.by_offer @ np.eye(len(names))[codes]
    mean = parts.mean(axis=0)
    table = pd.DataFrame({"expected_cost_usd": mean}, index=pd.Index(names, name=by))
    split = {name: measure(parts - mean, level) for name, measure in PARTS.items()}
    split[MARGINAL] = Estimate(
        *(v / np.where(mean > 0, mean, np.nan) for v in split["component_cvar"])
    )
    for name, (value, error) in split.items():
        table[f"{name}_usd"], table[f"{name}_error_usd"] = value, error
    return table.sort_values("component_cvar_usd", ascending=False)


def _tail(samples: np.ndarray, level: float, scope: str) -> list[_Row]:
    increase = samples - samples.mean()
    return [
        ("var", level, var(increase, level), scope),
        ("cvar", level, cvar(increase, level), scope),
    ]


def _risk(rows: list[_Row], horizon_h: float) -> pd.DataFrame:
    columns = ["measure", "level", "horizon_h", "value_usd", "standard_error_usd", "scope"]
    table = pd.DataFrame(
        [(m, at, horizon_h, *e, scope) for m, at, e, scope in rows], columns=columns
    )
    return validate(table, "risk")


def risk_table(cost: PlanCost, *, budget_usd: float, level: float = 0.95) -> pd.DataFrame:
    """Return table ``risk`` of a plan.

    Measures of the total: expected_cost, budget, var and cvar at ``level`` and 99 % (over the expected cost),
    probability_over_budget, and unmet_gpu_hours with its share of the plan's GPU-hours (unmet_share_*; a plan
    without GPUs has none). var and cvar of each risk alone have scope risk:price and risk:capacity; what
    commitments cost, and what of it goes unused, scope risk:commitment. ``PARTS`` and ``MARGINAL`` by provider, region,
    gpu and offer. Level and standard error are NaN where there is none.
    """
    none, paid = float("nan"), cost.price[:, cost.table["committed"]].sum(axis=1)
    rows: list[_Row] = [
        ("expected_cost", none, mean(cost.total), "total"),
        ("budget", none, Estimate(budget_usd, none), "total"),
        ("probability_over_budget", none, probability_over(cost.total, budget_usd), "total"),
        ("unmet_gpu_hours", none, mean(cost.unmet_gpu_hours), "total"),
        ("commitment_paid", none, mean(paid), "risk:commitment"),
        ("commitment_unused", none, mean(cost.unused), "risk:commitment"),
    ]
    if (wanted := (cost.table["instance_hours"] * cost.table["gpus"]).sum()) > 0:
        shares = liquidity(cost.unmet_gpu_hours, wanted, level).items()
        rows += [(f"unmet_share_{n}", level if "var" in n else none, e, "total") for n, e in shares]
    price, capacity = cost.price.sum(axis=1), cost.capacity.sum(axis=1)
    for scope, samples in {
        "total": cost.total,
        "risk:price": price,
        "risk:capacity": capacity,
    }.items():
        for at in dict.fromkeys((level, 0.99)):
            rows += _tail(samples, at, scope)
    for column, prefix in SCOPES.items():
        split = contributions(cost, column, level=level)
        for measure in (*PARTS, MARGINAL):
            pairs = split[[f"{measure}_usd", f"{measure}_error_usd"]].itertuples(name=None)
            rows += [(measure, level, Estimate(*pair), f"{prefix}:{name}") for name, *pair in pairs]
    return _risk(rows, cost.horizon_h)


def by_horizon(
    world: World,
    plan: pd.DataFrame,
    *,
    horizons_h: Iterable[float] = HORIZONS_H,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return rows of table ``risk``, scope horizon: expected_cost, var and cvar of each horizon within the world's,
    and of its own.

    The plan's hours are spread evenly. A horizon is that many whole steps of the paths, to the nearest; of one shorter
    than a step, the step's change falls within it in as large a share of the worlds. Capacity as of ``hazards``.
    ParameterError for a horizon that is not above 0.
    """
    steps = len(world.paths.times)
    price = world.offers.set_index("offer_id")["price_usd_per_hour"]
    now = price.reindex(world.paths.offer_ids).to_numpy(float)[:, None, None]
    moment = np.random.default_rng(world.seed).random((world.paths.values.shape[1], 1))
    tables = []
    for horizon_h in [*(h for h in horizons_h if h < world.horizon_h), world.horizon_h]:
        share = horizon_h / world.horizon_h
        cut = slice(max(round(share * steps), 1))
        values = np.where(moment < share * steps, world.paths.values[:, :, cut], now)
        paths = Paths(world.paths.offer_ids, world.paths.times[cut], values)
        part = plan.assign(hours=plan["hours"] * share, period=0)
        total = plan_cost(replace(world, paths=paths, horizon_h=horizon_h), part).total
        rows = [
            ("expected_cost", float("nan"), mean(total), "horizon"),
            *_tail(total, level, "horizon"),
        ]
        tables.append(_risk(rows, horizon_h))
    return pd.concat(tables, ignore_index=True)


def _tails(costs: dict[str, np.ndarray], level: float, name: str) -> pd.DataFrame:
    rows = {
        n: (c.mean(), *(e.value for _, _, e, _ in _tail(c, level, ""))) for n, c in costs.items()
    }
    columns = ["expected_cost_usd", "var_usd", "cvar_usd"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis(name)


def by_model(
    cost: PlanCost, last: Panel, mean: Panel, *, horizon_steps: int, seed: int, level: float = 0.95
) -> pd.DataFrame:
    """Return what the plan's price risk is by the paths of ``cost`` and by each of ``simulate.MODELS``.

    ``last`` and ``mean`` are panels of one grid, as for ``back_test``. Index model; columns expected_cost_usd,
    var_usd and cvar_usd (over it). Last comes combined, the default of ``back_test`` while it has no exceedances to
    learn from: these paths and filtered, averaged quantile by quantile. A record too short for 12 windows of the
    horizon leaves these paths alone.
    """
    table = cost.table
    now, within = (p.frame().reindex(last.times)[table.index].to_numpy() for p in (last, mean))
    units = {"these paths": cost.unit_usd}
    if len(now) >= horizon_steps + LEAST_STEPS:
        units |= {m: draw_costs(now, within, horizon_steps, model=m, seed=seed) for m in MODELS}
    fixed, hours = table["price_usd_per_hour"].to_numpy(), table["instance_hours"].to_numpy()
    costs = {
        name: np.where(table["committed"], fixed, unit) @ hours for name, unit in units.items()
    }
    if "filtered" in costs:
        share = np.arange(1, N_DRAWS + 1) / N_DRAWS
        ours = np.quantile(costs["these paths"], share, method="inverted_cdf")
        costs["combined"] = (ours + np.sort(costs["filtered"])) / 2.0
    return _tails(costs, level, "model")


def by_hazard(world: World, plan: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Return the cost of price alone, then with the capacity risk of each of ``HAZARD_PRESETS`` (under its last name where it has two); columns as of ``by_model``."""
    by_rows = {rows: name for name, rows in HAZARD_PRESETS.items()}
    costs = {name: plan_cost(replace(world, preset=name), plan) for name in by_rows.values()}
    totals = {"price alone": next(iter(costs.values())).price.sum(axis=1)}
    return _tails(totals | {name: cost.total for name, cost in costs.items()}, level, "hazard")
