"""The limit on conditional value-at-risk."""

from __future__ import annotations

from cloudarb_lib.allocate.problem.limits.stated import StatedLimit
from cloudarb_lib.allocate.problem.model import Consumption, Problem


class Cvar(StatedLimit):
    """At most so many USD of CVaR of rent and of hours that are taken away and bought elsewhere,
    over the price paths, at the limits' ``cvar_level``. Fees, disks and charges are certain.

    No row holds it: the solver adds tail cuts where a plan breaks it (``solver.milp.separate``).
    """

    kind = "cvar_usd"
    unit = "USD"
    is_risk = True
    relief_order = 20
    cuts = "CVaR"
    excess = "cvar_excess_usd"

    def name(self, problem: Problem) -> str:
        return "CVaR"

    def used(self, plan: Consumption) -> float:
        return plan.tail_usd[0]

    def dearer_may_help(self, problem: Problem) -> bool:
        return False
