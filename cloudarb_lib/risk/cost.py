"""From a plan and joint price paths to what the plan will cost, path by path.

Three risks stand apart and add up: price (the paths), capacity (hours taken away, bought at the fallback)
and, under a scenario, demand beyond the plan.
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


@dataclass(frozen=True)
class World:
    """What plans are met with: table ``offers`` with all that may replace an hour, joint ``paths`` of those that
    plans may use, the assumptions, the horizon in hours (the span of the paths), the seed of outages, their
    hazard, one of ``HAZARD_PRESETS``, and the ``record`` that episodes are taken from (a panel of mean prices).

    Offers marked in column ``stale`` replace only what no other does; ``available_share``, 1 where there is no such
    column, is the share of its hours in which an offer can be had.
    """

    offers: pd.DataFrame
    paths: Paths
    assumptions: Assumptions
    horizon_h: float
    seed: int
    preset: HazardPreset = "typical"
    record: Panel | None = None

    def __post_init__(self) -> None:
        if not self.horizon_h > 0:
            raise ParameterError(f"a horizon is {self.horizon_h!r} hours.", "Give hours above 0.")


@dataclass(frozen=True)
class PlanCost:
    """Cost samples of a plan over ``horizon_h`` hours, USD, each array of shape (paths, offers).

    ``table`` is indexed by offer_id: the offer's parts, ``gpu_model``, ``gpus`` (of an instance, 0 where it has none),
    ``committed`` (paid whether used or not, at the price now), ``instance_hours``, ``idle_hours`` (of these, committed
    ones that no workload uses), ``price_usd_per_hour`` now, ``fallback`` and ``fallback_usd_per_hour`` as of
    ``find_fallbacks``, and the hazard as of ``hazards``.
    ``unit_usd`` is the mean price of a planned hour, USD per instance-hour.
    ``price`` is what the planned hours cost, ``capacity`` what the hours taken away cost beyond that,
    ``demand`` what demand above the plan adds. ``unmet_gpu_hours`` (paths,) is what nothing on offer could replace,
    ``unused`` (paths,) what commitments cost in hours that nobody uses, USD (a part of ``price``).
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

    ``offers`` is as in ``World``. The fallback is on-demand: the same machine in the same region, else the
    cheapest of the same GPU model per GPU (per vCPU where there is no GPU), a stale one only where there is no other,
    never the offer itself nor one that cannot be had in all hours. Columns ``gpus`` (of an instance, 0 where it has
    none), ``fallback`` and ``fallback_usd_per_hour``, both missing where nothing replaces it; index ``wanted``.
    """
    known, parts = offers.set_index("offer_id"), ["provider", "region", "instance_type", "kind"]
    gpus = known["gpu_count"].where(known["gpu_model"].notna()).fillna(0.0)
    units = gpus.where(gpus > 0, known["vcpus"]).fillna(1.0)
    rate = known["price_usd_per_hour"] / units
    kind, stale = known["gpu_model"].where(gpus > 0, "cpu"), known.get("stale", False)
    known = known.assign(kind=kind, rate=rate, stale=stale)
    there = (known["purchase_option"] == "on_demand") & (known.get("available_share", 1.0) == 1.0)
    cheapest = defaultdict(list)
    for offer_id, *machine, kind in (
        known[there].sort_values(["stale", "rate"])[parts].itertuples(name=None)
    ):
        cheapest[tuple(machine)].append(offer_id)
        cheapest[kind].append(offer_id)
    found = [
        next((o for o in chain(cheapest[tuple(machine)], cheapest[kind]) if o != offer_id), None)
        for offer_id, *machine, kind in known.loc[wanted, parts].itertuples(name=None)
    ]
    rates = rate.reindex(found).to_numpy() * units[wanted].to_numpy(float)
    table = {"gpus": gpus[wanted], "fallback": found, "fallback_usd_per_hour": rates}
    return pd.DataFrame(table, index=wanted)


HAZARDS = ("interruption_per_hour", "outage_hours")


def hazards(offers: pd.DataFrame, assumptions: Assumptions, preset: HazardPreset) -> pd.DataFrame:
    """Return ``interruption_per_hour`` and ``outage_hours`` of each offer under one of ``HAZARD_PRESETS``.

    Spot offers take the rows ``interruption_per_hour/spot`` and ``outage_hours/spot`` of the preset from
    the assumptions, other offers of moving price those of ``market``; on-demand list prices and commitments
    are never taken away (0). ParameterError for another preset.
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
    return pd.DataFrame(
        {
            name: [assumptions.get(f"{name}/{kind}") if kind else 0.0 for kind in kinds]
            for name in HAZARDS
        },
        offers.index,
    )


def _held(world: World, plan: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the ``table`` and ``unit_usd`` of a plan's cost, and ``available_share`` beside it."""
    held = plan.assign(instance_hours=plan["instances"] * plan["hours"])
    if not np.isfinite(held["instance_hours"]).all() or (held["instance_hours"] < 0).any():
        raise DataError("the plan holds missing or negative instances or hours.")
    held = held[held["instance_hours"] > 0]
    if held.empty:
        raise DataError("the plan holds no offer.", "Solve it first; an empty plan has no risk.")
    known = world.offers.set_index("offer_id")
    for offer_id in set(held["offer_id"]) - set(known.index):
        way_out = "Plan again on the offers of this snapshot."
        raise DataError(
            f"the plan names offer {offer_id}, which is not among the offers on sale.", way_out
        )
    steps, periods = len(world.paths.times), int(held["period"].max()) + 1
    if periods > steps:
        raise DataError(f"the plan has {periods} periods but the paths {steps} steps.")
    hours = held.pivot_table(
        "instance_hours", "offer_id", "period", "sum", fill_value=0.0, observed=True
    )
    hours = hours.reindex(columns=range(periods), fill_value=0.0)
    period_of_step = np.arange(steps) * periods // steps
    weight = hours.div(hours.sum(axis=1), axis=0).to_numpy()[:, period_of_step]
    weight /= np.bincount(period_of_step)[period_of_step]
    unit = (world.paths.select(hours.index).values @ weight[:, :, None])[:, :, 0].T
    columns = [*OFFER_PARTS, "price_kind", "price_usd_per_hour", "gpu_model", "available_share"]
    table = known.reindex(hours.index, columns=columns).fillna({"available_share": 1.0})
    idle = held[held["workload"] == IDLE].groupby("offer_id", observed=True)["instance_hours"].sum()
    table = table.assign(instance_hours=hours.sum(axis=1), idle_hours=idle).fillna(
        {"idle_hours": 0.0}
    )
    table["committed"] = table["purchase_option"] == "reserved"
    table = table.join(find_fallbacks(world.offers, table.index))
    return table.join(hazards(table, world.assumptions, world.preset)), unit


def plan_cost(world: World, plan: pd.DataFrame, *, demand_factor: float = 1.0) -> PlanCost:
    """Return the cost samples of table ``plan``, price, capacity and demand apart.

    Periods divide the steps of the paths evenly, in order. A commitment keeps the price it has now. Outages of an
    offer are a Poisson stream (``interruption_per_hour`` of ``hazards``), each of exponential length ``outage_hours``; all
    instances of one offer go together, which keeps the mean and is cautious about the spread. Hours taken away
    are bought at the fallback. ``demand_factor`` of 1 or more scales the work: what is beyond the plan is bought on
    demand (at the offer's own price where it is on-demand, else at the fallback).

    Raises DataError for a plan without a row, for an offer that is not among the offers or has no path, and for more
    periods than steps, ParameterError for less demand or an unknown preset.
    """
    if not demand_factor >= 1.0:
        raise ParameterError(f"demand_factor is {demand_factor!r}.", "Give 1 or more.")
    table, unit = _held(world, plan)
    columns = [
        "instance_hours",
        "idle_hours",
        "gpus",
        "fallback_usd_per_hour",
        "price_usd_per_hour",
    ]
    hours, idle, gpus, fallback, now, standing = (
        table[[*columns, "available_share"]].to_numpy(float).T
    )
    committed, listed = (
        table["committed"].to_numpy(),
        (table["purchase_option"] == "on_demand").to_numpy(),
    )
    unit = np.ascontiguousarray(np.where(committed, now, unit))
    nothing, n = np.isnan(fallback), len(unit)
    more = (demand_factor - 1.0) * hours
    capacity = np.zeros_like(unit)
    unused, unmet = unit @ idle, np.full(n, (more * gpus)[nothing & ~listed].sum())
    cycle = table["interruption_per_hour"].to_numpy() * world.horizon_h
    rng = np.random.default_rng(world.seed)
    for j in np.flatnonzero((cycle > 0) | (standing < 1)):
        down_h = rng.standard_gamma(rng.poisson(cycle[j], n)) * table["outage_hours"].iloc[j]
        up = standing[j] * (1.0 - np.minimum(down_h / world.horizon_h, 1.0))
        lost = (1.0 - up) * hours[j]
        rent = lost * unit[:, j]
        unused += rent * committed[j] * (1.0 - idle[j] / hours[j])
        capacity[:, j] = -rent * ~committed[j] + (0.0 if nothing[j] else lost * fallback[j])
        unmet += lost * gpus[j] * nothing[j]
    demand = more * np.where(listed, unit, np.nan_to_num(fallback))
    return PlanCost(table, world.horizon_h, unit, unit * hours, capacity, demand, unmet, unused)
