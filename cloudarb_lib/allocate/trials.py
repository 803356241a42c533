"""What a change of a problem costs: solved anew, and told as far as both solves prove it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cloudarb_lib.allocate.plan import OUT_OF_TIME, Plan
from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.allocate.solver.options import SolveOptions
from cloudarb_lib.allocate.solver.search import PROVEN, solve
from cloudarb_lib.base.errors import SolveError

SOLVED = "solved"
AT_MOST = "at most"
AT_LEAST = "at least"
NO_PLAN = "no plan"
NOT_KNOWN = "not known"
_NEARLY = 0.1
"""Relative: a difference proven to lie within so much is told as solved."""
_CENT = 0.01


@dataclass(frozen=True)
class ExtraCost:
    """By how much the best plan of a changed problem costs more than the best of the problem."""

    usd: float
    """Negative where it saves; NaN where there is no plan, or nothing is known."""
    proof: str
    """``solved``; ``at most`` or ``at least`` so much, whichever way; ``no plan``; or
    ``not known``; of these ``, out of time`` where the clock ended the solve."""
    plan: Plan | None
    """Of the changed problem; None where none was found."""
    work: float = 0.0
    """Units (``solver.work``) that the solve took."""

    @property
    def is_known(self) -> bool:
        return not self.proof.startswith(NOT_KNOWN)


def extra_cost(
    plan: Plan, changed: Problem, options: SolveOptions, *, saves: bool = False
) -> ExtraCost:
    """Return what the best plan of a changed problem costs more than that of a plan's own.

    Each best plan costs between its bound and the plan found: so far apart as these intervals
    leave open, one end is told. A difference is solved that is known to a tenth of it, to a cent,
    or as closely as two plans called optimal are proven.

    Parameters
    ----------
    plan
        A plan that is there.
    changed
        The changed problem.
    options
        How to solve it.
    saves
        Whether the change eases the problem, so that it is the saving that is bounded.
    """
    other = try_to_solve(changed, options, start=plan)
    if other is None:
        return ExtraCost(np.nan, NOT_KNOWN, None)
    told = _difference(plan, other, saves=saves)
    proof = told.proof + OUT_OF_TIME if other.is_timed and told.proof != SOLVED else told.proof
    return replace(told, proof=proof, work=other.work)


def _difference(plan: Plan, other: Plan, *, saves: bool) -> ExtraCost:
    """Return what another plan costs more, as far as both are proven."""
    if other.status == "infeasible":
        return ExtraCost(np.nan, NO_PLAN, None)
    least_usd = other.bound_usd - plan.objective_usd
    if not other.has_plan:
        known = least_usd > _CENT and not saves
        return ExtraCost(least_usd if known else np.nan, AT_LEAST if known else NOT_KNOWN, None)
    most_usd = other.objective_usd - plan.bound_usd
    size_usd = max(abs(least_usd), abs(most_usd))
    proven_usd = PROVEN * (abs(plan.objective_usd) + abs(other.objective_usd))
    is_bounded = np.isfinite(least_usd) and np.isfinite(most_usd)
    if is_bounded and most_usd - least_usd <= max(_NEARLY * size_usd, _CENT, proven_usd):
        return ExtraCost(other.objective_usd - plan.objective_usd, SOLVED, other)
    end_usd = least_usd if saves else most_usd
    return ExtraCost(end_usd, AT_MOST if np.isfinite(end_usd) else NOT_KNOWN, other)


def to_the_cent(plan: Plan, options: SolveOptions) -> SolveOptions:
    """Return options by which a change that costs nothing is proven to cost less than a cent.

    What the plan leaves unproven counts too; where that alone is a cent or more, a closer proof of
    the change would not help, and the options stay as they are.
    """
    unproven_usd = plan.objective_usd - plan.bound_usd
    if unproven_usd >= _CENT:
        return options
    gap = (_CENT - unproven_usd) / max(abs(plan.objective_usd), _CENT)
    return replace(options, gap=min(options.gap, 0.5 * gap))


def try_to_solve(
    problem: Problem, options: SolveOptions, *, start: Plan | None = None
) -> Plan | None:
    """Return the answer of ``solve`` from the plan ``start``; None where the solver fails.

    Raises
    ------
    KeyboardInterrupt
        Also where ``solve`` has a plan by then: whoever asks why wants the answer no longer.
    """
    try:
        plan = solve(problem, options, start=None if start is None else start.table)
    except SolveError:
        return None
    if plan.status == "interrupted" and options.stop is None:
        raise KeyboardInterrupt
    return plan
