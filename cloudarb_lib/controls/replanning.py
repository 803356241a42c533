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
class Step:
    """How far a search is: seconds, cost of the best plan and proven bound, both in USD."""

    seconds: float
    cost_usd: float
    bound_usd: float

    @property
    def gap(self) -> float:
        """Relative distance of cost and bound."""
        return max(0.0, (self.cost_usd - self.bound_usd) / max(abs(self.cost_usd), 1e-9))


@dataclass(frozen=True)
class Answer:
    """A plan under the changed figures, or why there is none.

    Parameters
    ----------
    status : str
        As of ``Plan``.
    step : Step or None
        Cost, bound and seconds at the end; None without a plan.
    table : pd.DataFrame or None
        Table ``plan``.
    cvar_usd, effective : float
        Mean cost of the worst paths, and effective providers or regions.
    conflicts : tuple of str
        What is in the way of a plan.
    """

    status: str
    step: Step | None = None
    table: pd.DataFrame | None = None
    cvar_usd: float = float("nan")
    effective: float = float("nan")
    conflicts: tuple[str, ...] = ()


class Replanner:
    """Plans a case anew, each time from the last plan on."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.last = case.plan

    def plan(self, change: Change) -> Answer:
        """Return the plan under other figures; reports each ``Step`` on the way."""
        problem = self._problem(change)
        options = allocate.SolveOptions(
            gap=GAP, time_limit_s=TIME_LIMIT_S, progress=lambda *step: report(Step(*step))
        )
        plan = allocate.solve(problem, options, start=self.last)
        if not plan.has_plan:
            is_proven = plan.status == "infeasible"
            return Answer(
                plan.status, conflicts=tuple(allocate.conflicts(problem)) if is_proven else ()
            )
        self.last = plan.table
        verdict = plan.verdict
        return Answer(
            plan.status,
            Step(plan.seconds, plan.objective_usd, plan.bound_usd),
            plan.table,
            verdict.cvar_usd,
            verdict.effective,
        )

    def _problem(self, change: Change) -> allocate.Problem:
        case = self.case
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
