"""A plan checked in numpy, from the problem alone: no solver, no program, no cuts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudarb_lib.allocate.problem.limits import limits_of, stated_limits
from cloudarb_lib.allocate.problem.limits.together import further_places_usd
from cloudarb_lib.allocate.problem.model import Consumption, Problem, Use
from cloudarb_lib.allocate.problem.row import NOT_PAID

TOLERANCE = 1e-6
"""Relative: what a limit may be exceeded by before a plan counts as breaking it."""


@dataclass(frozen=True)
class Verdict:
    """Cost of a plan, what it uses of every limit, and in words each limit that it breaks."""

    objective_usd: float
    broken: tuple[str, ...]
    cvar_usd: float
    """NaN without price paths, as VaR."""
    var_usd: float
    effective: float
    """Effective providers, or regions; infinite where nothing is spent."""
    list_spend_usd: float
    sums: np.ndarray
    """Of each of the problem's rows."""
    charges_usd: np.ndarray
    """For each of the problem's rows."""
    uses: tuple[Use, ...]
    """Of each kind of limit."""


def check(problem: Problem, counts: np.ndarray) -> Verdict:
    """Return the verdict on a plan.

    Parameters
    ----------
    problem
        What has to be served, within which limits.
    counts
        Units of each assignment, shape (assignments,).

    Returns
    -------
    Verdict
        ``broken`` is empty for a plan that keeps every limit to within ``TOLERANCE``.
    """
    plan = Consumption(problem, counts)
    limits = limits_of(problem)
    uses = tuple(limit.use(plan) for limit in limits)
    conditions = []
    for use in uses:
        conditions += [use, *use.limit.conditions(plan)]
    cvar, var = plan.tail_usd
    return Verdict(
        objective_usd=_objective_usd(plan),
        broken=(*_impossible_counts(plan), *_broken(problem, conditions)),
        cvar_usd=cvar,
        var_usd=var,
        effective=plan.effective_groups,
        list_spend_usd=float(plan.list_spend_usd.sum()),
        sums=plan.sums,
        charges_usd=plan.charges_usd,
        uses=uses,
    )


def _impossible_counts(plan: Consumption) -> list[str]:
    """Say where counts are no counts."""
    counts = plan.counts
    wrong = []
    if not np.isfinite(counts).all() or (counts < 0).any() or (counts != np.round(counts)).any():
        wrong.append("counts are not whole numbers from 0 up")
    if (counts > plan.problem.assignments["most"].to_numpy(float)).any():
        wrong.append("more units of an assignment than its bound")
    return wrong


def _broken(problem: Problem, uses: list[Use]) -> list[str]:
    """Say of each limit that is broken what is used and what is available."""
    said = []
    for use in uses:
        tolerance = TOLERANCE * np.maximum(1.0, abs(use.available))
        at = np.flatnonzero(use.beyond > tolerance)
        names = use.limit.names(problem) if len(at) else []
        side = "below" if use.at_least else "above"
        said += [f"{names[i]}: {use.used[i]:,.6g} {side} {use.available[i]:,.6g}" for i in at]
    return said


def _objective_usd(plan: Consumption) -> float:
    """Return the expected cost, the worth of what is left undone, and what is paid for excess."""
    problem = plan.problem
    is_not_paid = np.array([row.kind in NOT_PAID for row in problem.rows], bool)
    unmet = np.maximum(problem.need - plan.served, 0.0)
    undone = unmet > TOLERANCE * np.maximum(1.0, problem.need)
    objective = plan.cost_usd + float(unmet[undone] @ problem.unmet_usd[undone])
    objective += plan.charges_usd[is_not_paid].sum() + further_places_usd(problem, plan.counts)
    return objective + sum(limit.excess_charge_usd(plan) for limit in stated_limits(problem))
