"""Which assignments, that is ways of serving a demand, no best plan needs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.problem.limits import limits_of, sum_rows
from cloudarb_lib.allocate.problem.model import Problem

_TOLERANCE = 1e-9


def dominated(problem: Problem) -> np.ndarray:
    """Return which assignments no best plan needs, because the cheapest like them replaces them.

    That one serves the same demand in the same pool, at the same site and in the same zone. It
    must cover as much, take no more of the pool and cost no more, under a limit of CVaR on every
    sample path, and as many of it as the demand or the pool takes must be allowed. None is
    dominated where a limit may be kept by a dearer offer (it weighs shares of the spend), nor where
    a row binds it.

    Returns
    -------
    np.ndarray
        Booleans, one an assignment.
    """
    is_dominated = np.zeros(len(problem.assignments), bool)
    if any(limit.dearer_may_help(problem) for limit in limits_of(problem)):
        return is_dominated
    assignments = _with_costs(problem)
    cheapest = _cheapest_alike(assignments)
    is_free = ~_bound_by_a_row(problem)
    has_rival = (cheapest >= 0) & (cheapest != np.arange(len(cheapest)))
    candidates = np.flatnonzero(has_rival & is_free & is_free[cheapest])
    if not len(candidates):
        return is_dominated
    rivals = cheapest[candidates]
    is_replaced = _does_as_much(problem, assignments, candidates, rivals)
    candidates = candidates[is_replaced]
    rivals = rivals[is_replaced]
    if problem.limits.cvar_usd is not None and problem.paths is not None:
        is_replaced = _costs_no_more_on_every_path(problem, candidates, rivals)
        candidates = candidates[is_replaced]
    is_dominated[candidates] = True
    return is_dominated


def _with_costs(problem: Problem) -> pd.DataFrame:
    """The assignments with their expected cost and capacity of the pool."""
    details = problem.assignment_details
    return details.assign(
        cost=problem.unit_cost, capacity=details["pool"].map(problem.pools["capacity"])
    )


def _cheapest_alike(assignments: pd.DataFrame) -> np.ndarray:
    """The number of the cheapest with the same demand, pool and place as each; -1 where none is."""
    per_unit = assignments["cost"] / assignments["cover"].where(assignments["cover"] > 0)
    alike = [
        assignments[name] for name in ("demand", "pool", "site", "zone") if name in assignments
    ]
    return per_unit.groupby(alike).transform("idxmin").fillna(-1).to_numpy(int)


def _bound_by_a_row(problem: Problem) -> np.ndarray:
    is_bound = np.zeros(len(problem.assignments), bool)
    for row in sum_rows(problem):
        if not row.on_usage and (row.tiers or row.is_limited):
            is_bound[row.at[row.values != 0]] = True
    return is_bound


def _does_as_much(
    problem: Problem, assignments: pd.DataFrame, candidates: np.ndarray, rivals: np.ndarray
) -> np.ndarray:
    """Whether each rival covers as much as its candidate, with no more of the pool and the cost."""
    own = assignments.iloc[candidates]
    rival = assignments.iloc[rivals].set_axis(candidates)
    wanted = np.ceil(rival["need"] / rival["cover"] - _TOLERANCE)
    room = np.floor(rival["capacity"].clip(lower=_TOLERANCE) / rival["pool_use"] + _TOLERANCE)
    takes = ["pool_use", "cost"]
    takes_no_more = (rival[takes] <= own[takes]).all(axis=1)
    is_allowed = rival["most"] >= np.minimum(wanted, room)
    compare = pd.Series.eq if problem.exact else pd.Series.ge
    covers = compare(rival["cover"], own["cover"])
    return (takes_no_more & is_allowed & covers).to_numpy(bool)


def _costs_no_more_on_every_path(
    problem: Problem, candidates: np.ndarray, rivals: np.ndarray
) -> np.ndarray:
    is_no_dearer = [
        bool((problem.unit_path_costs(rival) <= problem.unit_path_costs(own)).all())
        for own, rival in zip(candidates, rivals, strict=True)
    ]
    return np.array(is_no_dearer, bool)
