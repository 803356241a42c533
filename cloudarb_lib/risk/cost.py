"""From a plan and joint price paths to what the plan will cost, path by path.

Three risks stand apart and add up: price (the paths), capacity (hours taken away, bought at the
fallbacks) and, under a scenario, demand beyond the plan. Fees are certain, and on top. Where the
need may turn out in several ways, each path is one of them, as in the plan's own CVaR.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.problem.assign import IDLE
from cloudarb_lib.allocate.problem.horizon import future_of_path
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import OFFER_PARTS, Paths
from cloudarb_lib.market.disruptions import SHARED_SHARE, find_fallbacks, hazards, pools_of
from cloudarb_lib.market.replacement import UP, Room, replace_lost
from cloudarb_lib.risk.beyond import beyond_plan
from cloudarb_lib.risk.futures import rows_by_future
from cloudarb_lib.risk.inputs import RiskInputs
from cloudarb_lib.risk.outages import Outages, draw_outages, hours_lost


@dataclass(frozen=True)
class PlanCost:
    """Cost samples of a plan, USD, price, capacity and demand apart.

    Parameters
    ----------
    table : pd.DataFrame
        Indexed by offer_id: the offer's parts, ``gpu_model``, ``gpus`` (of an instance, 0 where it
        has none), ``committed`` (paid whether used or not, at the price now), ``instance_hours``
        (expected), ``idle_hours`` (of these, committed ones that no workload uses),
        ``price_usd_per_hour`` now, and the columns of ``find_fallbacks`` and ``hazards``.
    horizon_h : float
        Hours that the cost is of.
    hours : np.ndarray of shape (paths, offers)
        Planned instance-hours, of each path as the need turns out in it.
    unit_usd : np.ndarray of shape (paths, offers)
        Mean price of a planned hour, USD per instance-hour.
    price : np.ndarray of shape (paths, offers)
        What the planned hours cost.
    capacity : np.ndarray of shape (paths, offers)
        What the hours taken away cost beyond that.
    demand : np.ndarray of shape (paths, offers)
        What demand above the plan adds.
    unmet_gpu_hours : np.ndarray of shape (paths,)
        What nothing on offer had room to replace.
    unused : np.ndarray of shape (paths,)
        What commitments cost in hours that nobody uses, USD, contained in ``price``.
    fees_usd : float
        Site fees, boot disks and moved data, as planned: certain.
    """

    table: pd.DataFrame
    horizon_h: float
    hours: np.ndarray
    unit_usd: np.ndarray
    price: np.ndarray
    capacity: np.ndarray
    demand: np.ndarray
    unmet_gpu_hours: np.ndarray
    unused: np.ndarray
    fees_usd: float

    @property
    def by_offer(self) -> np.ndarray:
        """All risks together by offer, (paths, offers), USD."""
        return self.price + self.capacity + self.demand

    @property
    def total(self) -> np.ndarray:
        """What the plan costs: all risks together and fees, (paths,), USD."""
        return self.by_offer.sum(axis=1) + self.fees_usd


def _planned_hours(plan: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a plan that hold something, with their ``instance_hours``."""
    rows = plan.assign(instance_hours=plan["instances"] * plan["hours"])
    if not np.isfinite(rows["instance_hours"]).all() or (rows["instance_hours"] < 0).any():
        raise DataError("the plan holds missing or negative instances or hours.")
    rows = rows[rows["instance_hours"] > 0]
    if rows.empty:
        raise DataError("the plan holds no offer.", "Solve it first; an empty plan has no risk.")
    return rows


def _unit_prices(paths: Paths, hours: pd.DataFrame, period_of_step: np.ndarray) -> np.ndarray:
    """Return the mean price of an hour over the steps of the periods it is planned in.

    ``hours`` (offers, periods) are the planned ones; the result is (paths, offers).
    """
    weight = hours.div(hours.sum(axis=1), axis=0).to_numpy()[:, period_of_step]
    weight /= np.bincount(period_of_step)[period_of_step]
    return (paths.select(hours.index).values @ weight[:, :, None])[:, :, 0].T


def _offers_of_plan(inputs: RiskInputs, rows: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return ``PlanCost.table`` with ``available_share``, and prices of an hour (paths, offers).

    ``rows`` are those of a plan in one future, as of ``_planned_hours``.
    """
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
    unit_usd = _unit_prices(inputs.paths, hours, inputs.period_of_step(periods))
    columns = [*OFFER_PARTS, "price_kind", "price_usd_per_hour", "gpu_model", "available_share"]
    table = offers.reindex(hours.index, columns=columns).fillna({"available_share": 1.0})
    idle = rows[rows["workload"] == IDLE].groupby("offer_id", observed=True)["instance_hours"].sum()
    table = table.assign(instance_hours=hours.sum(axis=1), idle_hours=idle)
    table = table.fillna({"idle_hours": 0.0})
    table["committed"] = table["purchase_option"] == "reserved"
    allowed = _may_replace(inputs, rows)
    full = inputs.room.without_a_machine(offers["gpu_count"])
    table = table.join(find_fallbacks(inputs.offers, table.index, allowed=allowed, full=full))
    return table.join(hazards(table, inputs.assumptions, inputs.hazard)), unit_usd


def _may_replace(inputs: RiskInputs, rows: pd.DataFrame) -> dict[str, frozenset[str]]:
    """Return what may replace each offer of a plan: what all workloads accept that run on it."""
    allowed: dict[str, frozenset[str]] = {}
    pairs = rows[["offer_id", "workload"]].astype(str).drop_duplicates()
    for offer_id, workload in pairs.itertuples(index=False):
        if workload in inputs.accepted:
            accepted = inputs.accepted[workload]
            allowed[offer_id] = allowed.get(offer_id, accepted) & accepted
    return allowed


def over_share(plan: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return a plan over a share of its time: as many machines, less hours and fees."""
    fees_usd = plan["fees_usd"] * share if "fees_usd" in plan else 0.0
    return plan.assign(hours=plan["hours"] * share, fees_usd=fees_usd)


@dataclass(frozen=True)
class _Taken:
    """Hours taken away, by path and offer: how many, what replaced them, how many nothing did.

    Each of shape (paths, offers): instance-hours, USD, instance-hours.
    """

    lost_h: np.ndarray
    replaced_usd: np.ndarray
    unmet_h: np.ndarray

    def of(self, paths: slice) -> _Taken:
        """Return what is taken away on some of the paths."""
        return _Taken(self.lost_h[paths], self.replaced_usd[paths], self.unmet_h[paths])


def _taken_away(inputs: RiskInputs, table: pd.DataFrame, room: Room, n_paths: int) -> _Taken:
    """Return the hours that pools of machines, and single machines, are taken away for.

    They are bought elsewhere in the ``room`` beside the plan and what else is bought.
    """
    machines = table["instance_hours"].to_numpy(float) / inputs.horizon_h
    pool = pools_of(table)
    hours = max(round(inputs.horizon_h), 1)
    shared = inputs.assumptions.get(SHARED_SHARE) if (pool >= 0).any() else 0.0
    drawn = _pools_down(table, pool, shared, hours=hours, n_paths=n_paths, seed=inputs.seed)
    state = np.hstack([drawn.state, np.full((len(drawn.state), 1), UP, np.int8)])[:, pool]
    down = np.where(state == UP, 0.0, hours_lost(table["outage_hours"].to_numpy(float)))
    available = table["available_share"].to_numpy(float) * (1.0 - down)
    instead = replace_lost(table, (1.0 - available) * machines, state, room)
    scale = inputs.horizon_h / hours
    lost_h, replaced_usd, unmet_h = (
        scale * np.array([drawn.per_path(column) for column in each.T]).T for each in instead
    )
    single = _single_machines(inputs, table, shared, lost_h)
    one_of_each = np.eye(len(table))
    alone = replace_lost(table, one_of_each, np.full_like(one_of_each, UP), room)
    return _Taken(
        lost_h + single,
        replaced_usd + single * alone.cost_usd.diagonal(),
        unmet_h + single * alone.unmet.diagonal(),
    )


def _pools_down(
    table: pd.DataFrame, pool: np.ndarray, shared: float, *, hours: int, n_paths: int, seed: int
) -> Outages:
    """Draw when pools are down: at the share of interruptions that take all machines of one."""
    of_pool = table[pool >= 0].groupby(pool[pool >= 0])
    return draw_outages(
        tuple(of_pool["interruption_per_hour"].max() * shared),
        tuple(of_pool["outage_hours"].max()),
        tuple(of_pool["fallback_share"].min()),
        hours=hours,
        n_paths=n_paths,
        seed=seed,
    )


def _single_machines(
    inputs: RiskInputs, table: pd.DataFrame, shared: float, lost_h: np.ndarray
) -> np.ndarray:
    """Return the instance-hours that machines lose one by one, (paths, offers).

    A Poisson stream of outages of exponential length for each machine held, where its pool is up.
    """
    machine_hours = table["instance_hours"].to_numpy(float)
    rate = table["interruption_per_hour"].to_numpy(float) * (1.0 - shared)
    rng = np.random.default_rng([inputs.seed, 1])
    outages = rng.poisson(rate * machine_hours, lost_h.shape)
    length_h = rng.standard_gamma(outages) * table["outage_hours"].to_numpy(float)
    return np.minimum(length_h, machine_hours - lost_h)


def plan_cost(inputs: RiskInputs, plan: pd.DataFrame, *, demand_factor: float = 1.0) -> PlanCost:
    """Return the cost samples of a plan, price, capacity and demand apart.

    Where the demand has scenarios, each path is one of them, as many as its probability says; what
    is committed is paid for in all of them. Periods are those of the demand. A commitment keeps the
    price it has now. Most interruptions take all machines of a pool at once, for hours in which an
    on-demand pool may have no room either (``outages``); the others take a machine. Hours taken
    away are bought at the fallbacks as far as these have room, else they are unmet.

    Parameters
    ----------
    inputs : RiskInputs
        Offers, paths and assumptions.
    plan : pd.DataFrame
        Table ``plan``.
    demand_factor : float
        1 or more, scales the work: what is beyond the plan is bought on demand (at the offer's own
        price where it is on-demand, else at the fallbacks) as far as capacity and quotas leave room
        beside the plan; the rest is unmet, and costs nothing.

    Returns
    -------
    PlanCost

    Raises
    ------
    DataError
        For a plan without a row, for an offer that is not among the offers or has no path, for
        more periods than steps, and for a scenario that the demand lacks or that no path is left
        to.
    ParameterError
        For less demand or an unknown hazard.
    """
    if not demand_factor >= 1.0:
        raise ParameterError(f"demand_factor is {demand_factor!r}.", "Give 1 or more.")
    n_paths = inputs.paths.values.shape[1]
    futures = inputs.futures
    of_path = future_of_path(np.array([future.probability for future in futures]), n_paths)
    parts = []
    for number, rows in enumerate(rows_by_future(_planned_hours(plan), futures)):
        own = slice(*np.searchsorted(of_path, [number, number + 1]))
        if own.start == own.stop:
            raise DataError(
                f"none of {n_paths} paths is left to scenario {futures[number].name!r} of "
                f"probability {futures[number].probability:g}.",
                "Draw more paths.",
            )
        if len(rows):
            parts.append((own, _cost_in_future(inputs, rows, own, demand_factor)))
    fees_usd = float(plan["fees_usd"].sum()) if "fees_usd" in plan else 0.0
    return _together(parts, inputs, fees_usd)


def _cost_in_future(
    inputs: RiskInputs, rows: pd.DataFrame, own: slice, demand_factor: float
) -> PlanCost:
    """Return the cost of what is planned in one future, over its ``own`` paths, without fees.

    Prices of an hour are scaled to their mean over all paths (moment matching): the expected cost
    then is that of the plan, which counts every path for each future.
    """
    table, floating_usd = _offers_of_plan(inputs, rows)
    hours = table["instance_hours"].to_numpy(float)
    idle = table["idle_hours"].to_numpy(float)
    gpus = table["gpus"].to_numpy(float)
    committed = table["committed"].to_numpy()
    now_usd = table["price_usd_per_hour"].to_numpy(float)
    all_usd = np.ascontiguousarray(np.where(committed, now_usd, floating_usd))
    scale = all_usd.mean(axis=0) / np.where(now_usd > 0, all_usd[own].mean(axis=0), 1.0)
    unit_usd = all_usd[own] * scale
    beyond = beyond_plan(inputs, table, demand_factor)
    beyond_usd_per_hour = beyond.at_own_price * unit_usd + beyond.elsewhere_usd_per_hour
    taken = _taken_away(inputs, table, beyond.room, len(all_usd)).of(own)
    rent_saved = taken.lost_h * unit_usd
    return PlanCost(
        table=table,
        horizon_h=inputs.horizon_h,
        hours=np.broadcast_to(hours, unit_usd.shape),
        unit_usd=unit_usd,
        price=unit_usd * hours,
        capacity=taken.replaced_usd - rent_saved * ~committed,
        demand=inputs.horizon_h * beyond_usd_per_hour,
        unmet_gpu_hours=taken.unmet_h @ gpus + inputs.horizon_h * beyond.unmet @ gpus,
        unused=unit_usd @ idle + rent_saved @ (committed * (1.0 - idle / hours)),
        fees_usd=0.0,
    )


def _together(parts: list[tuple[slice, PlanCost]], inputs: RiskInputs, fees_usd: float) -> PlanCost:
    """Return the costs of all futures, each over its own paths, as one."""
    n_paths = inputs.paths.values.shape[1]
    tables = pd.concat([cost.table for _, cost in parts])
    table = tables[~tables.index.duplicated()].sort_index()
    table = table.assign(instance_hours=0.0, idle_hours=0.0)
    by_offer = {name: np.zeros((n_paths, len(table))) for name in _BY_OFFER}
    by_path = {name: np.zeros(n_paths) for name in _BY_PATH}
    for own, cost in parts:
        at = table.index.get_indexer(cost.table.index)
        for name, samples in by_offer.items():
            samples[own, at] = getattr(cost, name)
        for name, of_paths in by_path.items():
            of_paths[own] = getattr(cost, name)
        share = (own.stop - own.start) / n_paths
        for column in ("instance_hours", "idle_hours"):
            hours = cost.table[column].reindex(table.index, fill_value=0.0)
            table[column] += share * hours
    return PlanCost(
        table=table, horizon_h=inputs.horizon_h, fees_usd=fees_usd, **by_offer, **by_path
    )


_BY_OFFER = ("hours", "unit_usd", "price", "capacity", "demand")
_BY_PATH = ("unmet_gpu_hours", "unused")
"""Fields of ``PlanCost`` by path and offer, and by path alone."""
