"""A plan after prices moved: what of it they touch, and a plan anew for that alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cloudarb_lib.allocate import Plan, Problem, Row, SolveOptions, counts_of, solve_by_priority


@dataclass(frozen=True)
class Touched:
    """What changed prices mean for a plan.

    Parameters
    ----------
    offers : tuple of str
        Offers that the problem has, or had, whose price changed, that came or went.
    moved_usd : Series
        By workload that is touched: what going on as planned costs more or less than before, plus
        what could at most be saved at the offers that changed; infinite where an offer of the plan
        is gone.
    """

    offers: tuple[str, ...]
    moved_usd: pd.Series

    @property
    def total_usd(self) -> float:
        """Sum over the workloads."""
        return float(self.moved_usd.sum())


def list_prices(problem: Problem) -> dict[str, float]:
    """Return the list price of each offer of a problem, USD per instance-hour."""
    slots = problem.slots.assign(offer_id=problem.slots["offer_id"].astype(str))
    return {str(k): float(v) for k, v in slots.groupby("offer_id")["list_price"].first().items()}


def touched(problem: Problem, plan: pd.DataFrame, before: Mapping[str, float]) -> Touched:
    """Return which workloads of a plan changed prices touch, and by how much.

    Parameters
    ----------
    problem : Problem
        At today's prices.
    plan : DataFrame
        Table ``plan`` of the last plan.
    before : mapping of str to float
        ``list_prices`` as they were.
    """
    now = list_prices(problem)
    changed = sorted(offer for offer in {*before, *now} if before.get(offer) != now.get(offer))
    details = problem.assignment_details
    offers = details["offer_id"].astype(str)
    counts = counts_of(problem, plan)
    paid = problem.unit_cost
    was = offers.map(before).fillna(details["list_price"])
    dearer = counts * (details["list_price"] - was) * details["hours"]
    moved = dearer.groupby(details["workload"]).sum().abs()
    moved = moved.add(_at_most_saved(details, counts, paid, offers.isin(changed)), fill_value=0.0)
    planned = plan.assign(offer_id=plan["offer_id"].astype(str))
    for workload, held in planned.groupby("workload"):
        if set(held["offer_id"]) - set(now):
            moved[workload] = np.inf
    return Touched(tuple(changed), moved[moved > 0.005])


def plan_anew(
    problem: Problem, plan: pd.DataFrame, workloads: Collection[str], options: SolveOptions
) -> Plan:
    """Return the best plan for some workloads, where all others go on as planned.

    Where not all can be served, work gives way by the priority of its team.

    Parameters
    ----------
    problem : Problem
        At today's prices, of all workloads: what the others hold of budget and capacity is theirs.
    plan : DataFrame
        Table ``plan`` of the last plan, from which the search starts.
    workloads : collection of str
        Those that may move.
    options : SolveOptions
        How to solve.
    """
    details = problem.assignment_details
    stays = set(plan["workload"]) - set(workloads)
    counts = counts_of(problem, plan)
    rows = list(problem.rows)
    for name in sorted(stays):
        mine = np.flatnonzero((details["workload"] == name).to_numpy())
        held = mine[counts[mine] > 0]
        rows += [_as_it_is(name, np.array([at]), counts[at]) for at in held]
        rest = mine[counts[mine] == 0]
        if len(rest):
            rows.append(_as_it_is(f"{name} elsewhere", rest, 0.0))
    return solve_by_priority(replace(problem, rows=tuple(rows)), options, start=plan)


def _as_it_is(name: str, at: np.ndarray, count: float) -> Row:
    where = f" at {at[0]}" if count else ""
    return Row(f"{name} as planned{where}", at, np.ones(len(at)), lower=count, upper=count)


def _at_most_saved(
    details: pd.DataFrame, counts: np.ndarray, unit_cost: np.ndarray, is_changed: pd.Series
) -> pd.Series:
    """Return by workload what the changed offers could save: all of it at the cheapest of them."""
    serves = (details["cover"] > 0).to_numpy()
    each = np.where(serves, unit_cost / details["cover"].where(serves, 1.0), np.inf)
    cheapest = pd.Series(each)[is_changed.to_numpy()].groupby(details["demand"]).min()
    best = details["demand"].map(cheapest).fillna(np.inf).to_numpy()
    spared = np.maximum(each - best, 0.0, where=np.isfinite(best), out=np.zeros(len(each)))
    saved = pd.Series(np.where(counts > 0, counts * details["cover"] * spared, 0.0))
    return saved.groupby(details["workload"]).sum()
