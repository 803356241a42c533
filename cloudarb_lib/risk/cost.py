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

from cloudarb_lib.allocate.build import IDLE
from cloudarb_lib.assumptions import Assumptions
from cloudarb_lib.errors import DataError, ParameterError
from cloudarb_lib.types import OFFER_PARTS, Paths


@dataclass(frozen=True)
class Exposure:
    """A plan met with price paths.

    ``table`` is indexed by offer_id: the offer's parts, ``gpu_model``, ``units`` (GPUs of an instance; vCPUs
    where it has none), ``instance_hours``, ``idle_hours`` (of these, committed ones that no workload uses),
    ``price_usd_per_hour`` now, ``fallback`` and ``fallback_usd_per_hour`` (what replaces an hour of the instance; NaN
    where nothing does). ``unit_usd``
    (paths, offers) is the mean price of a planned hour, USD per instance-hour. ``horizon_h`` is the span of
    the paths in hours.
    """

    table: pd.DataFrame
    unit_usd: np.ndarray
    horizon_h: float

    def __post_init__(self) -> None:
        if self.unit_usd.shape[1:] != (len(self.table),) or not len(self.unit_usd):
            raise DataError(f"unit prices have shape {self.unit_usd.shape}, not (paths, offers).")
        if not self.horizon_h > 0:
            raise ParameterError(f"the horizon is {self.horizon_h!r} hours.", "Give hours above 0.")

    @property
    def instance_hours(self) -> np.ndarray:
        return self.table["instance_hours"].to_numpy(float)

    @property
    def gpus(self) -> np.ndarray:
        """GPUs of an instance of each offer, 0 where it has none."""
        return self.table["units"].to_numpy(float) * self.table["gpu_model"].notna().to_numpy()

    @property
    def committed(self) -> np.ndarray:
        """Which offers are paid whether used or not, and keep their price."""
        return (self.table["purchase_option"] == "reserved").to_numpy()


@dataclass(frozen=True)
class PlanCost:
    """Cost samples of a plan, USD, each array of shape (paths, offers).

    ``price`` is what the planned hours cost, ``capacity`` what the hours taken away cost beyond that,
    ``demand`` what demand above the plan adds. ``unmet_gpu_hours`` (paths,) is what nothing on offer could replace,
    ``unused`` (paths,) what commitments cost in hours that nobody uses, USD (a part of ``price``).
    """

    exposure: Exposure
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


def _stand_in(offers: pd.DataFrame) -> pd.DataFrame:
    """Return ``offers`` by offer_id with what makes them stand in for one another: ``kind`` and ``units``."""
    if "kind" in offers:
        return offers
    if offers.index.name != "offer_id":
        offers = offers.set_index("offer_id")
    gpu = offers["gpu_model"].notna() & (offers["gpu_count"].fillna(0) > 0)
    units = offers["gpu_count"].where(gpu, offers["vcpus"]).fillna(1.0)
    kind, stale = offers["gpu_model"].where(gpu, "cpu"), offers.get("stale", False)
    return offers.assign(kind=kind, units=units, stale=stale)


def find_fallbacks(
    offers: pd.DataFrame, wanted: pd.Index, *, without: pd.Index | None = None
) -> pd.DataFrame:
    """Return what an instance-hour of each wanted offer is bought at when it is not to be had.

    ``offers`` is table ``offers``. The fallback is on-demand: the same machine in the same region, else the
    cheapest of the same GPU model per GPU (per vCPU where there is no GPU), one marked in column ``stale`` only where
    there is no other, never the offer itself nor
    those in ``without``. Columns ``fallback`` and ``fallback_usd_per_hour``, both missing where nothing
    replaces it; index ``wanted``.
    """
    known, parts = _stand_in(offers), ["provider", "region", "instance_type", "kind"]
    rate = (known["price_usd_per_hour"] / known["units"]).rename("rate")
    there = (known["purchase_option"] == "on_demand") & ~known.index.isin([] if without is None else without)
    pool = known[there].join(rate).sort_values(["stale", "rate"])
    cheapest = defaultdict(list)
    for offer_id, *machine, kind in pool[parts].itertuples(name=None):
        cheapest[tuple(machine)].append(offer_id)
        cheapest[kind].append(offer_id)
    found = [
        next((o for o in chain(cheapest[tuple(machine)], cheapest[kind]) if o != offer_id), None)
        for offer_id, *machine, kind in known.loc[wanted, parts].itertuples(name=None)
    ]
    rates = rate.reindex(found).to_numpy() * known.loc[wanted, "units"].to_numpy(float)
    return pd.DataFrame({"fallback": found, "fallback_usd_per_hour": rates}, index=wanted)


def expose(
    plan: pd.DataFrame,
    paths: Paths,
    offers: pd.DataFrame,
    *,
    horizon_h: float,
    without: pd.Index | None = None,
) -> Exposure:
    """Return the exposure of table ``plan`` to ``paths``; ``offers`` and ``without`` as in ``find_fallbacks``.

    Periods divide the steps of the paths evenly, in order. A commitment keeps the price it has now. Raises
    DataError for a plan without a row, for an offer that is not among the offers or has no path, and for more
    periods than steps, ParameterError for no horizon.
    """
    held = plan.assign(instance_hours=plan["instances"] * plan["hours"])
    if not np.isfinite(held["instance_hours"]).all() or (held["instance_hours"] < 0).any():
        raise DataError("the plan holds missing or negative instances or hours.")
    held = held[held["instance_hours"] > 0]
    if held.empty:
        raise DataError("the plan holds no offer.", "Solve it first; an empty plan has no risk.")
    by = ["offer_id", "period"]
    hours = held.groupby(by, observed=True)["instance_hours"].sum().unstack(fill_value=0)
    known = _stand_in(offers)
    for offer_id in hours.index.difference(known.index):
        way_out = "Plan again on the offers of this snapshot."
        raise DataError(f"the plan names offer {offer_id}, which is not among the offers on sale.", way_out)
    steps, periods = len(paths.times), int(held["period"].max()) + 1
    if periods > steps:
        raise DataError(f"the plan has {periods} periods but the paths {steps} steps.")
    period_of_step = np.arange(steps) * periods // steps
    hours = hours.reindex(columns=range(periods), fill_value=0.0)
    share = hours.to_numpy()[:, period_of_step] / np.bincount(period_of_step)[period_of_step]
    total = hours.sum(axis=1)
    weight = share / total.to_numpy()[:, None]
    unit = np.matmul(paths.select(hours.index).values, weight[:, :, None])[:, :, 0].T
    columns = [*OFFER_PARTS, "price_kind", "price_usd_per_hour", "gpu_model", "units"]
    table = known.loc[hours.index, columns].assign(instance_hours=total)
    idle = held[held["workload"] == IDLE].groupby("offer_id", observed=True)["instance_hours"].sum()
    table["idle_hours"] = idle.reindex(table.index, fill_value=0.0)
    table = table.join(find_fallbacks(known, hours.index, without=without))
    committed = (table["purchase_option"] == "reserved").to_numpy()
    unit = np.where(committed, table["price_usd_per_hour"].to_numpy(float), unit)
    return Exposure(table, np.ascontiguousarray(unit), float(horizon_h))


PRESETS = {
    "advisor-implied": "calm", "typical": "typical", "trace-calibrated": "trace", "stressed": "stressed",
}  # fmt: skip
"""Hazard of spot machines, and the last part of its rows among the assumptions, which say where they are from."""


def hazards(table: pd.DataFrame, assumptions: Assumptions, preset: str) -> pd.DataFrame:
    """Return ``interruption_per_hour`` and ``outage_h`` of each offer under one of ``PRESETS``.

    Spot offers take the rows ``interruption_per_hour/spot`` and ``outage_hours/spot`` of the preset from
    the assumptions, other offers of moving price those of ``market``; on-demand list prices and commitments
    are never taken away (0). ``available_share`` is 1 everywhere; a scenario lowers it. ParameterError for
    another preset.
    """
    if preset not in PRESETS:
        raise ParameterError(f"hazard preset {preset!r} is unknown.", f"Use one of {', '.join(PRESETS)}.")
    spot = table["purchase_option"] == "spot"
    market = ~spot & (table["price_kind"] == "market")
    none = {"interruption_per_hour": 0.0, "outage_h": 0.0, "available_share": 1.0}
    rows = pd.DataFrame(none, index=table.index)
    for mask, kind in ((spot, f"spot/{PRESETS[preset]}"), (market, "market")):
        if mask.any():
            rows.loc[mask, "interruption_per_hour"] = assumptions.get(f"interruption_per_hour/{kind}")
            rows.loc[mask, "outage_h"] = assumptions.get(f"outage_hours/{kind}")
    return rows


def plan_cost(exposure: Exposure, *, hazard: pd.DataFrame, demand_factor: float = 1.0, seed: int) -> PlanCost:
    """Return the cost samples of a plan, price, capacity and demand apart.

    ``hazard`` is as of ``hazards``: outages of an offer are a Poisson stream (``interruption_per_hour``), each
    of exponential length ``outage_h``; all instances of one offer go together, which keeps the mean and is
    cautious about the spread. Hours taken away are bought at the fallback. ``demand_factor`` of 1 or more
    scales the work: what is beyond the plan is bought on demand (at the offer's own price where it is
    on-demand, else at the fallback). Raises DataError for hazards of other offers or missing ones.
    """
    table, hours = exposure.table, exposure.instance_hours
    if not hazard.index.equals(table.index) or not np.isfinite(hazard.to_numpy(float)).all():
        raise DataError("the hazards are not those of the plan's offers.", "Use risk.hazards.")
    if not demand_factor >= 1.0:
        raise ParameterError(f"demand_factor is {demand_factor!r}.", "Give 1 or more.")
    n = len(exposure.unit_usd)
    price = exposure.unit_usd * hours
    capacity = np.zeros_like(price)
    fallback = table["fallback_usd_per_hour"].to_numpy(float)
    nothing = np.isnan(fallback)
    gpus = exposure.gpus
    idle = table["idle_hours"].to_numpy(float)
    unused = exposure.unit_usd @ idle
    listed = (table["purchase_option"] == "on_demand").to_numpy()
    more = (demand_factor - 1.0) * hours
    demand = more * np.where(listed, exposure.unit_usd, np.nan_to_num(fallback))
    unmet = np.full(n, (more * gpus)[nothing & ~listed].sum())
    cycle = hazard["interruption_per_hour"].to_numpy(float) * exposure.horizon_h
    standing = hazard["available_share"].to_numpy(float)
    rng = np.random.default_rng(seed)
    for j in np.flatnonzero((cycle > 0) | (standing < 1)):
        outages = rng.poisson(cycle[j], n)
        down_h = rng.standard_gamma(outages) * float(hazard["outage_h"].iloc[j])
        up = standing[j] * (1.0 - np.minimum(down_h / exposure.horizon_h, 1.0))
        lost = (1.0 - up) * hours[j]
        rent = lost * exposure.unit_usd[:, j]
        unused += rent * exposure.committed[j] * (1.0 - idle[j] / hours[j])
        capacity[:, j] = -rent * ~exposure.committed[j] + (0.0 if nothing[j] else lost * fallback[j])
        unmet += lost * gpus[j] * nothing[j]
    return PlanCost(exposure, price, capacity, demand, unmet, unused)
