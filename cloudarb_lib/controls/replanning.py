"""What the planner's process does: holds the case, and plans anew under other figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.base.types import Paths
from cloudarb_lib.base.worker import report
from cloudarb_lib.tables.assumptions import Assumptions

GAP = 1e-3
"""Relative distance from the proven bound at which a plan is good enough to look at."""
TIME_LIMIT_S = 60.0


@dataclass(frozen=True)
class Case:
    """What is planned for.

    Parameters
    ----------
    work : Demand
        What has to run.
    offers : pd.DataFrame
        Table ``offers``.
    paths : Paths or None
        Joint sample paths of prices.
    assumptions : Assumptions
        Of capacity, hazards and fees.
    limits : Limits
        Those that no control changes stay.
    hours : sequence of float
        Of each period.
    plan : pd.DataFrame
        Table ``plan`` to begin with.
    """

    work: allocate.Demand
    offers: pd.DataFrame
    paths: Paths | None
    assumptions: Assumptions
    limits: allocate.Limits
    hours: Sequence[float]
    plan: pd.DataFrame


@dataclass(frozen=True)
class Change:
    """Other figures: fields of ``Limits``, and the places in which each workload named may run."""

    limits: dict[str, Any] = field(default_factory=dict)
    places: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """The best plan so far, or in the end, under the changed figures; or why there is none.

    Parameters
    ----------
    status : str
        As of ``Plan``.
    seconds : float
        Since the search began.
    table : pd.DataFrame or None
        Table ``plan``; None without a plan.
    cost_usd, gap : float
        Expected cost, and its relative distance from the proven bound.
    cvar_usd, effective : float
        Mean cost of the worst paths, and effective providers or regions.
    conflicts : tuple of str
        What is in the way of a plan.
    left_undone : tuple of str
        Work that the plan leaves undone.
    """

    status: str
    seconds: float
    table: pd.DataFrame | None = None
    cost_usd: float = float("nan")
    gap: float = float("inf")
    cvar_usd: float = float("nan")
    effective: float = float("nan")
    conflicts: tuple[str, ...] = ()
    left_undone: tuple[str, ...] = ()


class Replanner:
    """Plans a case anew, each time from what the last plan left."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.session = allocate.PlanSession(
            allocate.SolveOptions(gap=GAP, time_limit_s=TIME_LIMIT_S)
        )

    def plan(self, change: Change) -> Answer:
        """Return the plan under other figures; reports an ``Answer`` for each better one."""
        problem = problem_of(self.case, change)
        plan = self._solve(problem)
        if plan.status == "infeasible":
            served = allocate.by_priority(problem)
            plan = plan if served is problem else self._solve(served)
        if plan.status == "infeasible":
            report(_answer(plan))  # what conflicts takes longer to find
            return replace(_answer(plan), conflicts=tuple(allocate.conflicts(problem)))
        return _answer(plan)

    def _solve(self, problem: allocate.Problem) -> allocate.Plan:
        return self.session.solve(problem, on_progress=lambda plan: report(_answer(plan)))


def problem_of(case: Case, change: Change) -> allocate.Problem:
    """Return the problem of a case under other figures."""
    workloads = [
        replace(w, regions=change.places[w.name]) if w.name in change.places else w
        for w in case.work.workloads
    ]
    return allocate.build_problem(
        replace(case.work, workloads=workloads),
        case.offers,
        paths=case.paths,
        limits=replace(case.limits, **change.limits),
        assumptions=case.assumptions,
        hours=case.hours,
    )


def cvar_range_usd(case: Case) -> tuple[float, float]:
    """Return between which amounts a limit on CVaR bends the plan of a case.

    Returns
    -------
    low, high : float
        Mean over the price paths, below which no CVaR of the plan lies, and its CVaR, above which
        no limit binds; NaN without paths.
    """
    if case.paths is None:
        return float("nan"), float("nan")
    problem = problem_of(case, Change())
    counts = allocate.counts_of(problem, case.plan)
    return float(problem.path_costs(counts).mean()), allocate.check(problem, counts).cvar_usd


def _answer(plan: allocate.Plan) -> Answer:
    """Return what a plan tells without the problem that it solves."""
    if not plan.has_plan:
        return Answer(plan.status, plan.seconds)
    verdict = plan.verdict
    return Answer(
        plan.status,
        plan.seconds,
        plan.table,
        verdict.objective_usd,
        plan.gap,
        verdict.cvar_usd,
        verdict.effective,
        left_undone=tuple(allocate.left_undone(plan)),
    )
