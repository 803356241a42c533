"""Where not all can be served: whose work is left undone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.allocate.problem.assign import MUST
from cloudarb_lib.allocate.problem.limits.served import Served
from cloudarb_lib.allocate.problem.model import Consumption, Problem
from cloudarb_lib.allocate.relax import LEAST, elastic
from cloudarb_lib.allocate.solver.search import solve

_UNDONE = 1e-6
"""Relative: so little of a need left undone is none."""


def by_priority(problem: Problem) -> tuple[Problem, list[str]]:
    """Return the problem that can be served, and what it leaves undone, in words.

    Team after team, the first in priority first, as much of its work is served as the limits
    allow beside what teams before it have (preemptive, or lexicographic, goal programming). Each is
    known to the 1 % and the whole machines of ``relax.LEAST``.

    Parameters
    ----------
    problem
        A problem without a plan.

    Returns
    -------
    problem : Problem
        With needs that a plan can serve; ``problem`` itself where no demand has a priority, or
        what has none cannot be served.
    left_undone : list of str
        A sentence for each demand that is cut.
    """
    priority = problem.demands.get("priority", np.full(len(problem.demands), MUST))
    priority = np.asarray(priority, float)
    levels = np.unique(priority[priority > MUST])
    wanted = problem.need
    need = np.where(priority > MUST, 0.0, wanted)
    for level in levels:
        is_theirs = priority == level
        asked = _needing(problem, np.where(is_theirs, wanted, need))
        plan = solve(_giving_way(asked, is_theirs), LEAST)
        if plan.counts is None:
            return problem, []
        served = np.minimum(Consumption(asked, plan.counts).served, wanted)
        need = np.where(is_theirs, served, need)
    if not len(levels):
        return problem, []
    names = Served().names(problem)
    cut = np.flatnonzero(wanted - need > _UNDONE * np.maximum(wanted, 1.0))
    said = [
        f"{names[i]}: {wanted[i] - need[i]:,.6g} of {wanted[i]:,.6g} left undone "
        f"(priority {priority[i]:g})"
        for i in cut
    ]
    return _needing(problem, need), said


def left_undone(plan: Plan) -> list[str]:
    """Return, in words, the work that a plan leaves undone because it is worth less than it costs.

    Parameters
    ----------
    plan
        A plan that is there.
    """
    assert plan.counts is not None
    problem = plan.problem
    names = Served().names(problem)
    undone = problem.need - Consumption(problem, plan.counts).served
    is_told = np.isfinite(problem.unmet_usd) & (undone > _UNDONE * np.maximum(problem.need, 1.0))
    return [
        f"{names[i]}: {undone[i]:,.6g} of {problem.need[i]:,.6g} left undone (worth "
        f"{undone[i] * problem.unmet_usd[i]:,.0f} USD)"
        for i in np.flatnonzero(is_told)
    ]


def _needing(problem: Problem, need: np.ndarray) -> Problem:
    return replace(problem, demands=problem.demands.assign(need=need))


def _giving_way(problem: Problem, is_theirs: np.ndarray) -> Problem:
    """Return the problem in which the demands of one priority may be left undone, at a price."""
    soft = elastic(problem, [Served()])
    unmet_usd = np.where(is_theirs, soft.unmet_usd, problem.unmet_usd)
    return replace(problem, demands=problem.demands.assign(unmet_usd=unmet_usd))
