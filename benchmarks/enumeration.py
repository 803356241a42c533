"""All plans of a small problem, one by one: the least cost, by no solver and none of the limits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib import allocate

SLACK = 1e-6
"""Relative: by so much a plan may exceed a limit."""
NEAR = 2e-5
"""Relative: so far apart two costs may be that are proven to 1e-6 each."""


def most_units(problem: allocate.Problem) -> np.ndarray:
    """Return how many units of each assignment a plan can have."""
    assignments = problem.assignments
    pool = problem.slots["pool"].to_numpy()[assignments["slot"]]
    room = problem.pools["capacity"].to_numpy(float)[pool] / assignments["pool_use"].to_numpy(float)
    return np.minimum(assignments["most"].to_numpy(float), np.floor(room + 1e-9)).astype(int)


def all_plans(problem: allocate.Problem) -> np.ndarray:
    """Return the counts of all plans within bounds and pools, shape (plans, assignments)."""
    choices = most_units(problem) + 1
    numbers = np.arange(np.prod(choices))
    return np.column_stack(np.unravel_index(numbers, choices)).astype(float)


class Least(NamedTuple):
    """The least cost of a problem, with each limit by ``SLACK`` looser and as much tighter.

    Next to the end of a limit any cost between is right. Infinite: no plan.
    """

    loose: float
    tight: float

    def is_near(self, usd: float) -> bool:
        """Return whether a cost proven to ``NEAR`` is right."""
        near = NEAR * max(abs(usd), 100.0)
        return self.loose - near <= usd <= self.tight + near

    @property
    def may_be(self) -> bool:
        """Whether there may be a plan."""
        return np.isfinite(self.loose)

    @property
    def must_be(self) -> bool:
        """Whether there is one for sure."""
        return np.isfinite(self.tight)


def least_cost(problem: allocate.Problem, gone: np.ndarray | None = None) -> Least:
    """Return the least cost of all plans, without assignments that are ``gone``."""
    plans = all_plans(problem)
    if gone is not None:
        plans = plans[(plans[:, gone] == 0).all(axis=1)]
    slots = problem.slots
    assignments = problem.assignments
    hours = _added(plans, assignments["slot"], assignments["hours"], len(slots))
    paid = _paid(problem, plans, hours)
    cost = paid + _worth_undone(problem, plans)
    ends = []
    for slack in (SLACK, -SLACK):
        is_kept = _keeps_stated(problem, plans, hours, slack) & _keeps_rows(
            problem, plans, hours, slack
        )
        if problem.limits.budget_usd is not None:
            is_kept &= _within(paid, problem.limits.budget_usd, slack)
        ends.append(float(cost[is_kept].min(initial=np.inf)))
    return Least(*ends)


def _worth_undone(problem: allocate.Problem, plans: np.ndarray) -> np.ndarray:
    """Return the worth of what each plan leaves undone; infinite of what must be served."""
    assignments = problem.assignments
    need = problem.demands["need"].to_numpy(float)
    unmet = need - _added(plans, assignments["demand"], assignments["cover"], len(need))
    unmet[unmet < SLACK * np.maximum(1, need)] = 0.0
    worth = problem.demands["unmet_usd"].to_numpy(float)
    usd: np.ndarray = np.where(unmet > 0, worth, 0.0) * np.where(unmet > 0, unmet, 1.0)
    return usd.sum(axis=1)


def _paid(problem: allocate.Problem, plans: np.ndarray, hours: np.ndarray) -> np.ndarray:
    """Return what each plan is expected to cost; infinite beyond what a pool holds."""
    assignments = problem.assignments
    slot = assignments["slot"].to_numpy()
    pool = problem.slots["pool"].to_numpy()[slot]
    taken = _added(plans, pool, assignments["pool_use"], len(problem.pools))
    room = problem.pools["capacity"].to_numpy(float)
    is_kept = _within(taken, room, SLACK).all(axis=1)
    site = problem.slots["site"].to_numpy()[slot]
    is_open = _added(plans, site, np.ones(len(slot)), len(problem.sites)) > 0
    cost = plans @ problem.unit_cost + is_open @ problem.sites["fee_usd"].to_numpy(float)
    for row in problem.rows:
        total = (hours if row.on_usage else plans)[:, row.at] @ row.values
        ends = [*(start for start, _ in row.tiers), np.inf][1:]
        for (start, usd), end in zip(row.tiers, ends, strict=True):
            cost += usd * np.clip(total - start, 0.0, end - start)
    return np.where(is_kept, cost, np.inf)


def _keeps_rows(
    problem: allocate.Problem, plans: np.ndarray, hours: np.ndarray, slack: float
) -> np.ndarray:
    """Return which plans keep the sums that are limited."""
    is_kept = np.ones(len(plans), bool)
    for row in problem.rows:
        total = (hours if row.on_usage else plans)[:, row.at] @ row.values
        has_room = row.upper > row.lower
        is_kept &= _within(total, row.upper, slack if has_room else SLACK)
        is_kept &= _within(-total, -row.lower, SLACK)
    return is_kept


def _added(plans: np.ndarray, group, weight, n: int) -> np.ndarray:
    """Return the weighted counts of each group, shape (plans, groups)."""
    matrix = np.zeros((plans.shape[1], n))
    matrix[np.arange(plans.shape[1]), np.asarray(group)] = np.asarray(weight, float)
    return plans @ matrix


def _within(used: np.ndarray, most: np.ndarray | float, slack: float) -> np.ndarray:
    size = np.where(np.isfinite(most), np.maximum(1.0, np.abs(most)), 0.0)
    return used <= most + slack * size


def _unit_costs_on_paths(problem: allocate.Problem) -> np.ndarray:
    """Return what a unit of each assignment costs on each path: rent, or hours bought elsewhere."""
    assignments = problem.assignments
    slot = assignments["slot"].to_numpy()
    price = problem.paths[:, slot]
    lost = assignments["replaced_share"].to_numpy()
    hours = assignments["hours"].to_numpy()
    rent = problem.slots["mean_price"].to_numpy()[slot] * hours
    elsewhere = assignments["fallback_usd"].to_numpy() + rent * lost
    on_path = elsewhere / assignments["chance"].to_numpy()
    return (price * hours * (1 - lost) + np.where(price > 0, on_path, 0.0)).T


def _keeps_stated(
    problem: allocate.Problem, plans: np.ndarray, hours: np.ndarray, slack: float
) -> np.ndarray:
    """Return which plans keep the limits that are stated."""
    limits = problem.limits
    slots = problem.slots
    spend = hours * slots["mean_price"].to_numpy()
    total = spend.sum(axis=1)
    is_kept = np.ones(len(hours), bool)
    if limits.cvar_usd is not None:
        costs = plans @ _unit_costs_on_paths(problem)
        is_kept &= _within(_cvar(costs, limits.cvar_level), limits.cvar_usd, slack)
    if limits.effective_providers is not None:
        each = _by(slots[limits.diversify if limits.diversify == "provider" else "site"], spend)
        least = limits.effective_providers * (1 - slack)
        is_kept &= total**2 >= least * (each**2).sum(axis=1)
    if limits.max_provider_share is not None:
        largest = _by(slots["provider"], spend).max(axis=1)
        is_kept &= largest <= (limits.max_provider_share + slack) * total
    if limits.min_on_demand_share is not None:
        steady = hours[:, slots["on_demand"].to_numpy(bool)].sum(axis=1)
        is_kept &= steady >= (limits.min_on_demand_share - slack) * hours.sum(axis=1)
    return is_kept


def _by(column: pd.Series, spend: np.ndarray) -> np.ndarray:
    """Return the spend of each value of a column, shape (plans, values)."""
    return np.column_stack(
        [spend[:, (column == value).to_numpy()].sum(axis=1) for value in column.unique()]
    )


def _cvar(path_costs: np.ndarray, level: float) -> np.ndarray:
    """Return CVaR of each plan: the least over t of t + mean excess over t / (1 - level)."""
    t = path_costs[:, None, :]
    excess = np.maximum(path_costs[:, :, None] - t, 0.0).mean(axis=1)
    return (path_costs + excess / (1 - level)).min(axis=1)
