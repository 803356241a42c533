"""Where not all can be served: whose work is left undone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.plan import Plan, counts_of
from cloudarb_lib.allocate.problem.assign import MUST
from cloudarb_lib.allocate.problem.limits.served import Served
from cloudarb_lib.allocate.problem.limits.sums import Spares, WithinReach
from cloudarb_lib.allocate.problem.model import Consumption, Problem
from cloudarb_lib.allocate.relax import LEAST, elastic
from cloudarb_lib.allocate.solver.options import SolveOptions
from cloudarb_lib.allocate.solver.search import solve
from cloudarb_lib.allocate.trials import try_to_solve

WANTED = "wanted"
"""Column of demands whose need gave way to other work: what was needed before."""
_OF_A_NEED = (Spares.kind, WithinReach.kind)
"""Kinds of rows that ask for a share of one demand's need: less of it, where it is less."""
_ANY = SolveOptions(gap=0.9, work_limit=5.0)
"""To find out whether there is a plan, whatever it costs."""
_UNDONE = 1e-6
"""Relative: so little of a need left undone is none."""


def solve_by_priority(
    problem: Problem, options: SolveOptions | None = None, *, start: pd.DataFrame | None = None
) -> Plan:
    """Return the best plan; where none serves all, the best of what priorities leave to serve.

    Parameters
    ----------
    problem
        The problem; without priorities the plan is that of ``solve``.
    options
        How to solve.
    start
        Yesterday's plan, as for ``solve``.

    Returns
    -------
    Plan
        Its problem needs what is served: ``left_undone`` tells the rest.

    Raises
    ------
    SolveError
        As ``solve``.
    """
    plan = solve(problem, options, start=start)
    if plan.status != "infeasible":
        return plan
    served = by_priority(problem)
    return plan if served is problem else solve(served, options, start=start)


def by_priority(problem: Problem) -> Problem:
    """Return the problem that can be served.

    Team after team, the first in priority first, as much of its work is served as the limits
    allow beside what teams before it have (preemptive, or lexicographic, goal programming). Each is
    known to the 1 % and the whole machines of ``relax.LEAST``; where some of it must survive a
    loss, stand off spot or near users, to 1 % of all its work, of which as large a share is served.

    Parameters
    ----------
    problem
        A problem without a plan.

    Returns
    -------
    Problem
        With needs that a plan can serve, and those before as column ``wanted``; ``problem`` itself
        where no demand has a priority, or what has none cannot be served.
    """
    priority = _priority(problem)
    levels = np.unique(priority[priority > MUST])
    wanted = problem.need
    need = np.where(priority > MUST, 0.0, wanted)
    for level in levels:
        is_theirs = priority == level
        most_served = _most_served_safely if _is_kept_safe(problem, is_theirs) else _most_served
        served = most_served(problem, need, is_theirs)
        if served is None:
            return problem
        need = np.where(is_theirs, served, need)
    return _needing(problem, need) if len(levels) else problem


def _most_served(problem: Problem, need: np.ndarray, is_theirs: np.ndarray) -> np.ndarray | None:
    """Return how much of each demand can be served beside what others need; None for no plan."""
    asked = _needing(problem, np.where(is_theirs, problem.need, need))
    plan = solve(_giving_way(asked, is_theirs), LEAST)
    if plan.counts is None:
        return None
    return np.minimum(Consumption(asked, plan.counts).served, problem.need)


def _most_served_safely(
    problem: Problem, need: np.ndarray, is_theirs: np.ndarray
) -> np.ndarray | None:
    """Return as ``_most_served`` what one share of all demands comes to, found by bisection."""

    def needed(share: float) -> np.ndarray:
        return np.where(is_theirs, share * problem.need, need)

    def has_plan(share: float) -> bool:
        plan = try_to_solve(_needing(problem, needed(share)), _ANY)
        return plan is not None and plan.has_plan

    if not has_plan(0.0):
        return None
    least = 0.0
    most = 1.0
    share = 1.0
    while most - least > LEAST.gap:
        if has_plan(share):
            least = share
        else:
            most = share
        share = (least + most) / 2
    return needed(least)


def as_planned(problem: Problem, plan: pd.DataFrame) -> Problem:
    """Return the problem that needs no more of work with a priority than a plan serves.

    Parameters
    ----------
    problem
        Of the whole demand.
    plan
        Table ``plan``, made by priority. What it serves at an offer that the problem has not is
        not known, so that the need of such work stays.

    Returns
    -------
    Problem
        As of ``by_priority``; ``problem`` itself where the plan leaves nothing undone.
    """
    served = _served_with_spare(problem, counts_of(problem, plan))
    gives_way = (_priority(problem) > MUST) & np.isinf(problem.unmet_usd)
    is_gone = ~plan["offer_id"].isin(problem.assignment_details["offer_id"])
    gives_way &= ~problem.demands["workload"].isin(plan.loc[is_gone, "workload"]).to_numpy()
    is_short = gives_way & (problem.need - served > _UNDONE * np.maximum(problem.need, 1.0))
    return (
        _needing(problem, np.where(is_short, served, problem.need)) if is_short.any() else problem
    )


def _served_with_spare(problem: Problem, counts: np.ndarray) -> np.ndarray:
    """Return the need of each demand for which counts leave as much spare as its rows ask."""
    plan = Consumption(problem, counts)
    nothing_needed = np.ones(len(plan.served))
    share = np.divide(plan.served, problem.need, out=nothing_needed, where=problem.need > 0)
    for row, total in zip(problem.rows, plan.sums, strict=True):
        if row.kind in _OF_A_NEED and row.upper:
            demand = problem.demand_of[row.at[0]]
            share[demand] = min(share[demand], total / row.upper)
    return problem.need * np.minimum(share, 1.0)


def left_undone(plan: Plan) -> list[str]:
    """Return, in words, the work that a plan leaves undone.

    For the sake of work that goes first, or because it is worth less than it costs.

    Parameters
    ----------
    plan
        A plan that is there.
    """
    problem = plan.problem
    names = Served().names(problem)
    undone = problem.need - Consumption(problem, plan.units).served
    is_told = np.isfinite(problem.unmet_usd) & (undone > _UNDONE * np.maximum(problem.need, 1.0))
    return cut_by_priority(problem) + [
        f"{names[i]}: {undone[i]:,.6g} of {problem.need[i]:,.6g} left undone (worth "
        f"{undone[i] * problem.unmet_usd[i]:,.0f} USD)"
        for i in np.flatnonzero(is_told)
    ]


def cut_by_priority(problem: Problem) -> list[str]:
    """Return, in words, what a problem does not need that was wanted of it."""
    names = Served().names(problem)
    wanted = _wanted(problem)
    priority = _priority(problem)
    cut = wanted - problem.need
    return [
        f"{names[i]}: {cut[i]:,.6g} of {wanted[i]:,.6g} left undone (priority {priority[i]:g})"
        for i in np.flatnonzero(cut > _UNDONE * np.maximum(wanted, 1.0))
    ]


def _wanted(problem: Problem) -> np.ndarray:
    return np.asarray(problem.demands.get(WANTED, problem.need), float)


def _priority(problem: Problem) -> np.ndarray:
    default = np.full(len(problem.demands), MUST)
    return np.asarray(problem.demands.get("priority", default), float)


def _needing(problem: Problem, need: np.ndarray) -> Problem:
    """Return the problem of other needs, and as much less of what rows ask for a share of them."""
    demands = problem.demands.assign(**{WANTED: _wanted(problem), "need": need})
    share = np.divide(need, problem.need, out=np.ones(len(need)), where=problem.need > 0)
    rows = [
        replace(row, upper=row.upper * float(share[problem.demand_of[row.at[0]]]))
        if row.kind in _OF_A_NEED
        else row
        for row in problem.rows
    ]
    return replace(problem, demands=demands, rows=tuple(rows))


def _is_kept_safe(problem: Problem, is_theirs: np.ndarray) -> bool:
    """Return whether a row asks for a share of the need of some demand."""
    kept = [row for row in problem.rows if row.kind in _OF_A_NEED]
    return any(is_theirs[problem.demand_of[row.at[0]]] for row in kept)


def _giving_way(problem: Problem, is_theirs: np.ndarray) -> Problem:
    """Return the problem in which the demands of one priority may be left undone, at a price."""
    soft = elastic(problem, [Served()])
    unmet_usd = np.where(is_theirs, soft.unmet_usd, problem.unmet_usd)
    return replace(problem, demands=problem.demands.assign(unmet_usd=unmet_usd))
