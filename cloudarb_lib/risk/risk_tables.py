"""Tables of risk: what a plan can lose, where it comes from, and by how long one looks ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from cloudarb_lib.base.types import Panel
from cloudarb_lib.risk import measures
from cloudarb_lib.risk.cost import PlanCost, over_share, plan_cost
from cloudarb_lib.risk.inputs import RiskInputs
from cloudarb_lib.risk.measures import Estimate, cvar, liquidity, mean, probability_over, var
from cloudarb_lib.risk.returns import LEAST_STEPS
from cloudarb_lib.risk.simulate import SIMULATORS, draw_costs
from cloudarb_lib.tables.assumptions import HAZARD_PRESETS
from cloudarb_lib.tables.validation import validate

SCOPES = {"provider": "provider", "region": "region", "gpu_model": "gpu", "offer_id": "offer"}
"""Columns of a cost's table by which risk is split, and their prefix in ``scope``."""
SPLITS: dict[str, Callable[..., Estimate]] = {
    "component_cvar": measures.component_cvar,
    "component_var": measures.component_var,
    "incremental_cvar": measures.incremental,
}
"""Ways to split the risk: the components sum to the CVaR and the VaR, the increments are what goes
with a name."""
MARGINAL = "marginal_cvar"
HORIZONS_H = (168.0, 720.0, 2184.0)
"""A week, 30 days, a quarter."""

_Row = tuple[str, float, Estimate, str]
"""Measure, level, value and error, scope."""


def contributions(cost: PlanCost, by: str, *, level: float = 0.95) -> pd.DataFrame:
    """Return expected cost and risk split by a column of ``cost.table``, USD.

    Parameters
    ----------
    cost : PlanCost
        Samples.
    by : str
        A column, or 'offer_id'.
    level : float
        Of the risk.

    Returns
    -------
    pd.DataFrame
        Index: the values of the column ('none' where missing), largest component first. Columns:
        expected_cost_usd, and for each of ``SPLITS`` and ``MARGINAL`` its _usd and _error_usd, the
        standard error. Marginal is the CVaR of one more dollar spent there in the same way: the
        component over the cost, as CVaR grows in proportion.
    """
    codes, names = pd.factorize(cost.table.reset_index()[by].fillna("none"), sort=True)
    by_name = cost.by_offer @ np.eye(len(names))[codes]
    expected = by_name.mean(axis=0)
    split = {name: measure(by_name - expected, level) for name, measure in SPLITS.items()}
    per_dollar = np.where(expected > 0, expected, np.nan)
    split[MARGINAL] = Estimate(*(value / per_dollar for value in split["component_cvar"]))
    table = pd.DataFrame({"expected_cost_usd": expected}, index=pd.Index(names, name=by))
    for name, estimate in split.items():
        table[f"{name}_usd"] = estimate.value
        table[f"{name}_error_usd"] = estimate.standard_error
    return table.sort_values("component_cvar_usd", ascending=False)


def _tail_rows(samples: np.ndarray, level: float, scope: str) -> list[_Row]:
    """Return VaR and CVaR of the increase over the mean."""
    increase = samples - samples.mean()
    return [
        ("var", level, var(increase, level), scope),
        ("cvar", level, cvar(increase, level), scope),
    ]


def _table_of(rows: list[_Row], horizon_h: float) -> pd.DataFrame:
    """Return rows as table ``risk``."""
    columns = ["measure", "level", "horizon_h", "value_usd", "standard_error_usd", "scope"]
    table = pd.DataFrame(
        [(measure, level, horizon_h, *estimate, scope) for measure, level, estimate, scope in rows],
        columns=columns,
    )
    return validate(table, "risk")


def risk_table(cost: PlanCost, *, budget_usd: float, level: float = 0.95) -> pd.DataFrame:
    """Return table ``risk`` of a plan.

    Parameters
    ----------
    cost : PlanCost
        Samples.
    budget_usd : float
        Of the whole horizon.
    level : float
        Of VaR and CVaR, beside 99 %.

    Returns
    -------
    pd.DataFrame
        Measures of the total: expected_cost and its parts rent, fees and fallback (hours taken
        away, bought elsewhere less the rent saved), budget, var and cvar (over the expected cost),
        probability_over_budget, and unmet_gpu_hours with its share of the plan's GPU-hours
        (unmet_share_*; a plan without GPUs has none). var and cvar of each risk alone have scope
        risk:price and risk:capacity; what commitments cost, and what of it goes unused, scope
        risk:commitment. ``SPLITS`` and ``MARGINAL`` by provider, region, gpu and offer. Level and
        standard error are NaN where there is none.
    """
    none = float("nan")
    paid = cost.price[:, cost.table["committed"]].sum(axis=1)
    rows: list[_Row] = [
        ("expected_cost", none, mean(cost.total), "total"),
        ("rent", none, mean(cost.price.sum(axis=1)), "total"),
        ("fees", none, Estimate(cost.fees_usd, 0.0), "total"),
        ("fallback", none, mean(cost.capacity.sum(axis=1)), "total"),
        ("budget", none, Estimate(budget_usd, none), "total"),
        ("probability_over_budget", none, probability_over(cost.total, budget_usd), "total"),
        ("unmet_gpu_hours", none, mean(cost.unmet_gpu_hours), "total"),
        ("commitment_paid", none, mean(paid), "risk:commitment"),
        ("commitment_unused", none, mean(cost.unused), "risk:commitment"),
    ]
    wanted = (cost.table["instance_hours"] * cost.table["gpus"]).sum()
    if wanted > 0:
        for name, share in liquidity(cost.unmet_gpu_hours, wanted, level).items():
            rows.append((f"unmet_share_{name}", level if "var" in name else none, share, "total"))
    samples_by_scope = {
        "total": cost.total,
        "risk:price": cost.price.sum(axis=1),
        "risk:capacity": cost.capacity.sum(axis=1),
    }
    for scope, samples in samples_by_scope.items():
        for tail_level in dict.fromkeys((level, 0.99)):
            rows += _tail_rows(samples, tail_level, scope)
    for column, prefix in SCOPES.items():
        split = contributions(cost, column, level=level)
        for measure in (*SPLITS, MARGINAL):
            pairs = split[[f"{measure}_usd", f"{measure}_error_usd"]].itertuples(name=None)
            rows += [(measure, level, Estimate(*pair), f"{prefix}:{name}") for name, *pair in pairs]
    return _table_of(rows, cost.horizon_h)


def by_horizon(
    inputs: RiskInputs,
    plan: pd.DataFrame,
    *,
    horizons_h: Iterable[float] = HORIZONS_H,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return rows of table ``risk``, scope horizon, for several horizons.

    The plan's hours are spread evenly. A horizon is that many whole steps of the paths, to the
    nearest. Capacity as of ``hazards``.

    Parameters
    ----------
    inputs : RiskInputs
        Offers, paths and assumptions.
    plan : pd.DataFrame
        Table ``plan``.
    horizons_h : iterable of float
        Above 0; those shorter than a step or beyond the horizon of ``inputs`` are left out.
    level : float
        Of VaR and CVaR.

    Returns
    -------
    pd.DataFrame
        expected_cost, var and cvar of each horizon, last that of ``inputs``.

    Raises
    ------
    ParameterError
        For a horizon that is not above 0.
    """
    paths = inputs.paths
    steps = len(paths.times)
    step_h = inputs.horizon_h / steps
    whole = [h for h in horizons_h if not 0 < h < step_h and h < inputs.horizon_h]
    tables = []
    for horizon_h in [*whole, inputs.horizon_h]:
        within = slice(round(horizon_h / step_h))
        shorter = replace(
            inputs,
            paths=replace(paths, times=paths.times[within], values=paths.values[:, :, within]),
            horizon_h=horizon_h,
        )
        held = over_share(plan, horizon_h / inputs.horizon_h).assign(period=0)
        total = plan_cost(shorter, held).total
        expected = ("expected_cost", float("nan"), mean(total), "horizon")
        tables.append(_table_of([expected, *_tail_rows(total, level, "horizon")], horizon_h))
    return pd.concat(tables, ignore_index=True)


def by_model(
    cost: PlanCost, last: Panel, mean: Panel, *, horizon_steps: int, seed: int
) -> pd.DataFrame:
    """Return what the plan's price risk is by its own paths, and by each of ``SIMULATORS``.

    The paths are the model of every page, and the one that is back-tested; the others know only
    the history of these offers, and stand beside it as a range.

    Parameters
    ----------
    cost : PlanCost
        Of these paths.
    last, mean : Panel
        Prices at the end of each cell and means over it, of one grid.
    horizon_steps : int
        Cells ahead.
    seed : int
        Of the draws.

    Returns
    -------
    pd.DataFrame
        Index model; columns expected_cost_usd (rent and fees), var_usd and cvar_usd (over it, at
        95 %). A record too short for 12 windows of the horizon leaves these paths alone.
    """
    table = cost.table
    now = _prices_of(table, last, last.times)
    within = _prices_of(table, mean, last.times)
    units = {"these paths": cost.unit_usd}
    if len(now) >= horizon_steps + LEAST_STEPS:
        for model in SIMULATORS:
            units[model] = draw_costs(now, within, horizon_steps, model=model, seed=seed)
    committed_usd = table["price_usd_per_hour"].to_numpy()
    rows = {}
    for name, unit in units.items():
        path = np.arange(len(unit)) * len(cost.hours) // len(unit)  # each future by its chance
        usd = np.where(table["committed"], committed_usd, unit) * cost.hours[path]
        samples = usd.sum(axis=1) + cost.fees_usd
        increase = samples - samples.mean()
        rows[name] = (samples.mean(), var(increase).value, cvar(increase).value)
    columns = ["expected_cost_usd", "var_usd", "cvar_usd"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("model")


def _prices_of(table: pd.DataFrame, panel: Panel, times: pd.DatetimeIndex) -> np.ndarray:
    """Return prices of the offers of a cost; what is held, and has none on record, stays."""
    prices = panel.frame().reindex(index=times, columns=table.index)
    is_held = ~table.index.isin(panel.offers.index)
    return prices.fillna(table.loc[is_held, "price_usd_per_hour"]).to_numpy()


def by_hazard(
    inputs: RiskInputs, plan: pd.DataFrame, *, budget_usd: float, level: float = 0.95
) -> pd.DataFrame:
    """Return what the plan costs under each hazard of spot, the calmest first.

    Parameters
    ----------
    inputs : RiskInputs
        Offers, paths and assumptions; its own hazard does not count.
    plan : pd.DataFrame
        Table ``plan``.
    budget_usd : float
        Of the whole horizon.
    level : float
        Of the cost that is not exceeded.

    Returns
    -------
    pd.DataFrame
        Table ``hazards``: a row per preset of ``HAZARD_PRESETS`` (the later name where two mean
        the same).
    """
    name_of = {rows: preset for preset, rows in HAZARD_PRESETS.items()}
    rows = []
    for preset in name_of.values():
        cost = plan_cost(replace(inputs, hazard=preset), plan)
        expected = mean(cost.total)
        rows.append(
            {
                "hazard": preset,
                "expected_cost_usd": expected.value,
                "standard_error_usd": expected.standard_error,
                "level": level,
                "cost_at_level_usd": var(cost.total, level).value,
                "probability_over_budget": probability_over(cost.total, budget_usd).value,
                "probability_unmet": probability_over(cost.unmet_gpu_hours, 0.0).value,
                "unmet_gpu_hours": cost.unmet_gpu_hours.mean(),
            }
        )
    table = pd.DataFrame(rows).sort_values("expected_cost_usd", ignore_index=True)
    return validate(table, "hazards")


def cost_fan(inputs: RiskInputs, plan: pd.DataFrame) -> pd.DataFrame:
    """Return the cumulative cost of a plan over the steps of the paths.

    Rent step by step; fees and hours bought at fallbacks are spread evenly. The last row is the
    cost of ``plan_cost``.

    Parameters
    ----------
    inputs : RiskInputs
        Offers, paths and assumptions.
    plan : pd.DataFrame
        Table ``plan``; the hours of each row are spread evenly over the steps.

    Returns
    -------
    pd.DataFrame
        A row per step: ``time_utc``, its end, and ``p10_usd``, ``p50_usd``, ``p90_usd``.
    """
    cost = plan_cost(inputs, plan)
    steps = len(inputs.paths.times)
    hours_a_step = cost.hours / steps
    values = inputs.paths.select(cost.table.index).values
    committed = cost.table["committed"].to_numpy()
    now_usd = cost.table["price_usd_per_hour"].to_numpy(float)
    values = np.where(committed[:, None, None], now_usd[:, None, None], values)
    rent = np.einsum("ops,po->ps", values, hours_a_step)
    beyond_rent = (cost.total - rent.sum(axis=1)) / steps
    quantiles = np.quantile((rent + beyond_rent[:, None]).cumsum(axis=1), [0.1, 0.5, 0.9], axis=0)
    columns = dict(zip(["p10_usd", "p50_usd", "p90_usd"], quantiles, strict=True))
    return pd.DataFrame({"time_utc": inputs.paths.times} | columns)
