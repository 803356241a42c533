"""The limit on what a plan is expected to cost."""

from __future__ import annotations

from cloudarb_lib.allocate.problem.limits.stated import StatedLimit
from cloudarb_lib.allocate.problem.model import Consumption, Problem


class Budget(StatedLimit):
    """At most so many USD of expected cost: rent at expected prices, hours that are taken away and
    bought elsewhere, disks, fees and charges.

    It is the cost that a plan is chosen by, without the worth of work left undone, so it bends a
    plan only where work may be left undone, and else says whether there is one. Its row holds
    switches of sites and tiers beside counts, so the program has a family for it.
    """

    kind = "budget_usd"
    unit = "USD"
    relief_order = 10
    excess = "budget_excess_usd"

    def name(self, problem: Problem) -> str:
        return "budget"

    def used(self, plan: Consumption) -> float:
        return plan.cost_usd

    def dearer_may_help(self, problem: Problem) -> bool:
        return False
