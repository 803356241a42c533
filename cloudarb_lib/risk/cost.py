"""From a plan and joint price paths to what the plan will cost, path by path.

Three risks stand apart and add up: price (the paths), capacity (hours taken away, bought at the
fallback) and, under a scenario, demand beyond the plan.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.problem.assign import IDLE
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import OFFER_PARTS, Panel, Paths
from cloudarb_lib.tables.assumptions import HAZARD_PRESETS, Assumptions, HazardPreset

HAZARD_COLUMNS = ("interruption_per_hour", "outage_hours")
"""How often a machine is taken away, and for how long: rows of the assumptions, columns here."""


@dataclass(frozen=True)
class RiskInputs:
    """What the cost of plans is simulated with.

    Parameters
    ----------
    offers : pd.DataFrame
        Table ``offers`` with all that may replace an hour. Those marked in column ``stale`` replace
        only what no other does; ``available_share``, 1 where there is no such column, is the share
        of its hours in which an offer can be had.
    paths : Paths
        Joint sample paths of the prices of those offers that plans may use.
    assumptions : Assumptions
        For hazards and the overlap of a move.
    horizon_h : float
        The span of the paths in hours, above 0.
    seed : int
        Of the outages.
    hazard : HazardPreset
        How often spot machines are taken away, one of ``HAZARD_PRESETS``.
    record : Panel, optional
        Mean prices, which episodes are taken from.
    """

    offers: pd.DataFrame
    paths: Paths
    assumptions: Assumptions
    horizon_h: float
    seed: int
    hazard: HazardPreset = "typical"
    record: Panel | None = None

    def __post_init__(self) -> None:
        if not self.horizon_h > 0:
            raise ParameterError(f"a horizon is {self.horizon_h!r} hours.", "Give hours above 0.")


@dataclass(frozen=True)
class PlanCost:
    """Cost samples of a plan, USD, price, capacity and demand apart.

    Parameters
    ----------
    table : pd.DataFrame
        Indexed by offer_id: the offer's parts, ``gpu_model``, ``gpus`` (of an instance, 0 where it
        has none), ``committed`` (paid whether used or not, at the price now), ``instance_hours``,
        ``idle_hours`` (of these, committed ones that no workload uses), ``price_usd_per_hour`` now,
        ``fallback`` and ``fallback_usd_per_hour`` as of ``find_fallbacks``, and the hazard as of
        ``hazards``.
    horizon_h : float
        Hours that the cost is of.
    unit_usd : np.ndarray of shape (paths, offers)
        Mean price of a planned hour, USD per instance-hour.
    price : np.ndarray of shape (paths, offers)
        What the planned hours cost.
    capacity : np.ndarray of shape (paths, offers)
        What the hours taken away cost beyond that.
    demand : np.ndarray of shape (paths, offers)
        What demand above the plan adds.
    unmet_gpu_hours : np.ndarray of shape (paths,)
        What nothing on offer could replace.
    unused : np.ndarray of shape (paths,)
        What commitments cost in hours that nobody uses, USD, contained in ``price``.
    """

    table: pd.DataFrame
    horizon_h: float
    unit_usd: np.ndarray
    price: np.ndarray
    capacity: np.ndarray
    demand: np.ndarray
    unmet_gpu_hours: np.ndarray
    unused: np.ndarray

    @property
    def by_offer(self) -> np.ndarray:
        """All risks together by offer, (paths, offers), USD."""
        return self.price + self.capacity + self.demand

    @property
    def total(self) -> np.ndarray:
        """All risks together, (paths,), USD."""
        return self.by_offer.sum(axis=1)


def find_fallbacks(offers: pd.DataFrame, wanted: pd.Index) -> pd.DataFrame:
    """Return what an instance-hour of each wanted offer is bought at when it is not to be had.

    The fallback is on-demand: the same machine in the same region, else the cheapest of the same
    GPU model per GPU (per vCPU where there is no GPU), a stale one only where there is no other,
    never the offer itself nor one that cannot be had in all hours.

    Parameters
    ----------
    offers : pd.DataFrame
        As in ``RiskInputs``.
    wanted : pd.Index
        Values of offer_id.

    Returns
    -------
    pd.DataFrame
        Index ``wanted``; columns ``gpus`` (of an instance, 0 where it has none), ``fallback`` and
        ``fallback_usd_per_hour``, both missing where nothing replaces it.
    """
    table = offers.set_index("offer_id")
    gpus = table["gpu_count"].where(table["gpu_model"].notna()).fillna(0.0)
    units = gpus.where(gpus > 0, table["vcpus"]).fillna(1.0)
    rate = table["price_usd_per_hour"] / units
    kind = table["gpu_model"].where(gpus > 0, "cpu")
    table = table.assign(kind=kind, rate=rate, stale=table.get("stale", False))
    machine_and_kind = ["provider", "region", "instance_type", "kind"]
    on_demand = table["purchase_option"] == "on_demand"
    always = table.get("available_share", 1.0) == 1.0
    candidates = table[on_demand & always].sort_values(["stale", "rate"])[machine_and_kind]
    cheapest = defaultdict(list)  # by machine and by kind, the cheapest first
    for offer_id, *machine, kind in candidates.itertuples(name=None):
        cheapest[tuple(machine)].append(offer_id)
        cheapest[kind].append(offer_id)
    found = [
        next((o for o in chain(cheapest[tuple(machine)], cheapest[kind]) if o != offer_id), None)
        for offer_id, *machine, kind in table.loc[wanted, machine_and_kind].itertuples(name=None)
    ]
    rates = rate.reindex(found).to_numpy() * units[wanted].to_numpy(float)
    columns = {"gpus": gpus[wanted], "fallback": found, "fallback_usd_per_hour": rates}
    return pd.DataFrame(columns, index=wanted)


def hazards(offers: pd.DataFrame, assumptions: Assumptions, preset: HazardPreset) -> pd.DataFrame:
    """Return how often each offer is taken away, and for how long.

    Spot offers take the rows ``.../spot/...`` of the preset from the assumptions, other offers of
    moving price those of ``market``; on-demand list prices and commitments are never taken away.

    Parameters
    ----------
    offers : pd.DataFrame
        With ``purchase_option`` and ``price_kind``.
    assumptions : Assumptions
        The figures.
    preset : HazardPreset
        One of ``HAZARD_PRESETS``.

    Returns
    -------
    pd.DataFrame
        Index of ``offers``; columns ``interruption_per_hour`` and ``outage_hours``, 0 for never.

    Raises
    ------
    ParameterError
        For another preset.
    """
    if preset not in HAZARD_PRESETS:
        raise ParameterError(
            f"hazard preset {preset!r} is unknown.", f"Use one of {', '.join(HAZARD_PRESETS)}."
        )
    kinds = np.select(
        [offers["purchase_option"] == "spot", offers["price_kind"] == "market"],
        [f"spot/{HAZARD_PRESETS[preset]}", "market"],
        "",
    )
    figures = {
        name: [assumptions.get(f"{name}/{kind}") if kind else 0.0 for kind in kinds]
        for name in HAZARD_COLUMNS
    }
    return pd.DataFrame(figures, offers.index)


def _planned_hours(plan: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a plan that hold something, with their ``instance_hours``."""
    rows = plan.assign(instance_hours=plan["instances"] * plan["hours"])
    if not np.isfinite(rows["instance_hours"]).all() or (rows["instance_hours"] < 0).any():
        raise DataError("the plan holds missing or negative instances or hours.")
    rows = rows[rows["instance_hours"] > 0]
    if rows.empty:
        raise DataError("the plan holds no offer.", "Solve it first; an empty plan has no risk.")
    return rows


def _unit_prices(paths: Paths, hours: pd.DataFrame) -> np.ndarray:
    """Return the mean price of an hour over the steps of the periods it is planned in.

    ``hours`` (offers, periods) are the planned ones; the result is (paths, offers).
    """
    steps = len(paths.times)
    periods = hours.shape[1]
    period_of_step = np.arange(steps) * periods // steps
    weight = hours.div(hours.sum(axis=1), axis=0).to_numpy()[:, period_of_step]
    weight /= np.bincount(period_of_step)[period_of_step]
    return (paths.select(hours.index).values @ weight[:, :, None])[:, :, 0].T


def _offers_of_plan(inputs: RiskInputs, plan: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return ``PlanCost.table`` with ``available_share``, and prices of an hour (paths, offers)."""
    rows = _planned_hours(plan)
    offers = inputs.offers.set_index("offer_id")
    for offer_id in set(rows["offer_id"]) - set(offers.index):
        raise DataError(
            f"the plan names offer {offer_id}, which is not among the offers on sale.",
            "Plan again on the offers of this snapshot.",
        )
    steps = len(inputs.paths.times)
    periods = int(rows["period"].max()) + 1
    if periods > steps:
        raise DataError(f"the plan has {periods} periods but the paths {steps} steps.")
    hours = rows.pivot_table(
        "instance_hours", "offer_id", "period", "sum", fill_value=0.0, observed=True
    )
    hours = hours.reindex(columns=range(periods), fill_value=0.0)
    unit_usd = _unit_prices(inputs.paths, hours)
    columns = [*OFFER_PARTS, "price_kind", "price_usd_per_hour", "gpu_model", "available_share"]
    table = offers.reindex(hours.index, columns=columns).fillna({"available_share": 1.0})
    idle = rows[rows["workload"] == IDLE].groupby("offer_id", observed=True)["instance_hours"].sum()
    table = table.assign(instance_hours=hours.sum(axis=1), idle_hours=idle)
    table = table.fillna({"idle_hours": 0.0})
    table["committed"] = table["purchase_option"] == "reserved"
    table = table.join(find_fallbacks(inputs.offers, table.index))
    return table.join(hazards(table, inputs.assumptions, inputs.hazard)), unit_usd


def plan_cost(inputs: RiskInputs, plan: pd.DataFrame, *, demand_factor: float = 1.0) -> PlanCost:
    """Return the cost samples of a plan, price, capacity and demand apart.

    Periods divide the steps of the paths evenly, in order. A commitment keeps the price it has now.
    Outages of an offer are a Poisson stream (``interruption_per_hour`` of ``hazards``), each of
    exponential length ``outage_hours``; all instances of one offer go together, which keeps the
    mean and is cautious about the spread. Hours taken away are bought at the fallback.

    Parameters
    ----------
    inputs : RiskInputs
        Offers, paths and assumptions.
    plan : pd.DataFrame
        Table ``plan``.
    demand_factor : float
        1 or more, scales the work: what is beyond the plan is bought on demand (at the offer's own
        price where it is on-demand, else at the fallback).

    Returns
    -------
    PlanCost

    Raises
    ------
    DataError
        For a plan without a row, for an offer that is not among the offers or has no path, and for
        more periods than steps.
    ParameterError
        For less demand or an unknown hazard.
    """
    if not demand_factor >= 1.0:
        raise ParameterError(f"demand_factor is {demand_factor!r}.", "Give 1 or more.")
    table, floating_usd = _offers_of_plan(inputs, plan)
    hours = table["instance_hours"].to_numpy(float)
    idle = table["idle_hours"].to_numpy(float)
    gpus = table["gpus"].to_numpy(float)
    fallback_usd = table["fallback_usd_per_hour"].to_numpy(float)
    available_share = table["available_share"].to_numpy(float)
    interruptions = table["interruption_per_hour"].to_numpy() * inputs.horizon_h
    committed = table["committed"].to_numpy()
    on_demand = (table["purchase_option"] == "on_demand").to_numpy()
    now_usd = table["price_usd_per_hour"].to_numpy(float)
    unit_usd = np.ascontiguousarray(np.where(committed, now_usd, floating_usd))
    no_fallback = np.isnan(fallback_usd)
    n_paths = len(unit_usd)
    beyond_plan = (demand_factor - 1.0) * hours
    unmet = np.full(n_paths, (beyond_plan * gpus)[no_fallback & ~on_demand].sum())
    unused = unit_usd @ idle
    capacity = np.zeros_like(unit_usd)
    rng = np.random.default_rng(inputs.seed)
    for j in np.flatnonzero((interruptions > 0) | (available_share < 1)):
        outages = rng.poisson(interruptions[j], n_paths)
        down_h = rng.standard_gamma(outages) * table["outage_hours"].iloc[j]
        up_share = available_share[j] * (1.0 - np.minimum(down_h / inputs.horizon_h, 1.0))
        lost_h = (1.0 - up_share) * hours[j]
        rent = lost_h * unit_usd[:, j]
        unused += rent * committed[j] * (1.0 - idle[j] / hours[j])
        replaced = 0.0 if no_fallback[j] else lost_h * fallback_usd[j]
        capacity[:, j] = -rent * ~committed[j] + replaced
        unmet += lost_h * gpus[j] * no_fallback[j]
    demand = beyond_plan * np.where(on_demand, unit_usd, np.nan_to_num(fallback_usd))
    return PlanCost(
        table, inputs.horizon_h, unit_usd, unit_usd * hours, capacity, demand, unmet, unused
    )
