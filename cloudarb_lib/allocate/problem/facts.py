"""Rows of what a demand states beside its needs: quotas, budgets of teams, safety of workloads."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Demand, Workload
from cloudarb_lib.allocate.problem.assign import NO_WORKLOAD
from cloudarb_lib.allocate.problem.horizon import Case, Horizon
from cloudarb_lib.allocate.problem.limits.sums import (
    Interruptions,
    Quotas,
    Spares,
    TeamBudgets,
    WithinReach,
)
from cloudarb_lib.allocate.problem.reach import Reach, reaches
from cloudarb_lib.allocate.problem.row import WAIT, Row
from cloudarb_lib.allocate.problem.scope import is_named
from cloudarb_lib.base.units import HOURS_PER_WEEK
from cloudarb_lib.tables.assumptions import Assumptions


def stated_rows(
    demand: Demand,
    details: pd.DataFrame,
    demands: pd.DataFrame,
    horizon: Horizon,
    assumptions: Assumptions,
) -> list[Row]:
    """Return the rows of all that a demand states beside its needs.

    Parameters
    ----------
    demand
        With ``quotas``, ``teams`` and workloads.
    details
        The assignments with what their offer, their slot and their case say, numbered from 0.
    demands
        ``Problem.demands``.
    horizon
        Periods and futures.
    assumptions
        Where round trips to users come from.
    """
    rows = quotas(demand, details, horizon)
    rows += _team_budgets(demand, details, horizon)
    for number, workload in enumerate(demand.workloads):
        if workload.early_usd_per_gpu_hour_week:
            rows += _waits(number, workload, details, demands, horizon)
        for case in horizon.cases:
            is_mine = details["workload"].eq(number) & details["case"].eq(case.number)
            mine = details[is_mine]
            rows += _interruptions(workload, mine, case, horizon)
            rows += _spares(workload, mine, demands, horizon.suffix(case))
            near = reaches(workload, mine, assumptions)
            rows += _within_reach(workload, mine, demands, near, horizon.suffix(case))
    return rows


def quotas(demand: Demand, details: pd.DataFrame, horizon: Horizon) -> list[Row]:
    """Return the rows of GPUs that each quota lets be rented at once, in every case.

    One that names no offer of any workload has none.
    """
    rows = []
    is_rented = details["held"].isna().to_numpy()
    for quota in demand.quotas:
        is_limited = is_named(quota, details) & is_rented
        if not is_limited.any():
            continue
        for case in horizon.cases:
            at = np.flatnonzero(is_limited & details["case"].eq(case.number).to_numpy())
            gpus = details["pool_use"].to_numpy(float)[at]
            name = f"quota of {quota.words}{horizon.suffix(case)}"
            rows.append(Row(name, at, gpus, upper=quota.gpus, kind=Quotas.kind))
    return rows


def under_quota(demand: Demand, offers: pd.DataFrame) -> np.ndarray:
    """Return which offers a quota names: no capacity is assumed of their pools."""
    named = np.zeros(len(offers), bool)
    for quota in demand.quotas:
        named |= is_named(quota, offers)
    return named & offers["held"].isna().to_numpy()


def _team_budgets(demand: Demand, details: pd.DataFrame, horizon: Horizon) -> list[Row]:
    """Return the rows of what the work of each team with a budget is expected to cost."""
    rows = []
    rent_usd = details["hours"] * details["price"]
    spend_usd = (rent_usd + details["sure_usd"] + details["fallback_usd"]).to_numpy(float)
    team_of = np.array([workload.team or "" for workload in demand.workloads], object)
    workload = details["workload"].to_numpy()
    owner = np.where(workload == NO_WORKLOAD, "", team_of[workload])
    for team in demand.teams:
        if team.budget_usd is None:
            continue
        at = np.flatnonzero(owner == team.name)
        upper = team.budget_usd * (horizon.weeks if team.budget_weekly else 1.0)
        name = f"budget of {team.name}"
        rows.append(Row(name, at, spend_usd[at], upper=upper, kind=TeamBudgets.kind))
    return rows


def _waits(
    number: int, workload: Workload, details: pd.DataFrame, demands: pd.DataFrame, horizon: Horizon
) -> list[Row]:
    """Return the rows that charge for the weeks that work waits: it is done in mid-period."""
    rows = []
    for position, future in enumerate(horizon.futures):
        is_mine = details["workload"].eq(number) & details["future"].eq(position)
        mine = details[is_mine & details["most"].gt(0)]
        need = demands.loc[mine["demand"].iloc[0], "need"]
        start = np.array([case.start_week for case in horizon.cases])[mine["case"]]
        end = np.array([case.end_week for case in horizon.cases])[mine["case"]]
        middle = (start + np.minimum(end, workload.deadline_weeks)) / 2
        weeks = (mine["cover"].to_numpy(float) / max(need, 1e-9)) * middle
        usd = workload.early_usd_per_gpu_hour_week * need * future.probability
        name = f"mean wait of {workload.name}{future.suffix}"
        tiers = ((0.0, float(usd)),)
        rows.append(Row(name, mine.index.to_numpy(), weeks, tiers=tiers, unit="week", kind=WAIT))
    return rows


def _interruptions(
    workload: Workload, mine: pd.DataFrame, case: Case, horizon: Horizon
) -> list[Row]:
    """Return the row of how often machines of a workload are taken away in a week of a case."""
    most = workload.max_interruptions_a_week
    if most is None:
        return []
    weeks = case.hours / HOURS_PER_WEEK
    a_week = (mine["hazard_per_h"] * mine["busy_h"] / weeks).to_numpy(float)
    name = f"interruptions of {workload.name}{horizon.suffix(case)}"
    return [Row(name, mine.index.to_numpy(), a_week, upper=most, kind=Interruptions.kind)]


def _spares(
    workload: Workload, mine: pd.DataFrame, demands: pd.DataFrame, suffix: str
) -> list[Row]:
    """Return the rows of what is left of a workload in a case without each place, without spot."""
    if not len(mine):
        return []
    need = float(demands.loc[mine["demand"].iloc[0], "need"])
    without: list[tuple[str, np.ndarray, float]] = []
    if workload.survives_loss_of:
        place = _place_names(mine, workload.survives_loss_of)
        without += [(name, (place == name).to_numpy(), need) for name in place.unique()]
    if share := workload.min_on_demand_share:
        without.append(("spot", mine["purchase_option"].eq("spot").to_numpy(), share * need))
    at = mine.index.to_numpy()
    cover = mine["cover"].to_numpy(float)
    return [
        Row(
            f"{workload.name} without {name}{suffix}",
            at,
            np.where(is_lost, 0.0, -cover),
            upper=-least,
            kind=Spares.kind,
        )
        for name, is_lost, least in without
    ]


def _within_reach(
    workload: Workload, mine: pd.DataFrame, demands: pd.DataFrame, near: list[Reach], suffix: str
) -> list[Row]:
    """Return the rows of what users find within reach in a case, when a place is lost too."""
    if not len(mine) or not near:
        return []
    need = float(demands.loc[mine["demand"].iloc[0], "need"])
    cover = mine["cover"].to_numpy(float)
    places = [("", np.zeros(len(mine), bool))]
    if workload.survives_loss_of:
        place = _place_names(mine, workload.survives_loss_of)
        places += [(f" without {name}", (place == name).to_numpy()) for name in place.unique()]
    return [
        Row(
            f"{workload.name} near {reach.name}{without}{suffix}",
            mine.index.to_numpy(),
            np.where(reach.is_near & ~is_lost, -cover, 0.0),
            upper=-reach.share * need,
            kind=WithinReach.kind,
        )
        for reach in near
        if not reach.is_near.all()  # the demand itself asks for as much
        for without, is_lost in places
    ]


def _place_names(mine: pd.DataFrame, level: str) -> pd.Series:
    """Return the zone, region or provider of each assignment."""
    place = mine["provider"].astype(str)
    if level != "provider":
        place = place + "/" + mine["region"].astype(str)
    if level == "zone" and "zone" in mine:
        place = place + "/" + mine["zone"].astype(str)
    return place
