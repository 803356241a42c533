"""The limit on conditional value-at-risk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cloudarb_lib.allocate.problem.limits.stated import StatedLimit
from cloudarb_lib.allocate.problem.model import Consumption, Problem, Use


class Cvar(StatedLimit):
    """At most so many USD of CVaR of rent over the price paths, at the limits' ``cvar_level``.

    No row holds it: the solver adds tail cuts where a plan breaks it (``solver.milp.separate``).
    """

    kind = "cvar_usd"
    unit = "USD"
    is_risk = True
    relief_order = 20
    cuts = "CVaR"

    def name(self, problem: Problem) -> str:
        return "CVaR"

    def used(self, plan: Consumption) -> float:
        return plan.tail_usd[0]

    def use(self, plan: Consumption) -> Use:
        is_hard = plan.problem.cvar_excess_usd == np.inf
        available = np.array([self.bound if is_hard else np.inf])
        return Use(self, np.array([self.used(plan)]), available)

    def dearer_may_help(self, problem: Problem) -> bool:
        return False

    def elastic(self, problem: Problem, usd: float) -> Problem:
        return replace(problem, cvar_excess_usd=usd / self.bound)
