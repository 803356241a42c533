"""The limit on spend at list prices."""

from __future__ import annotations

import numpy as np

from cloudarb_lib.allocate.problem.limits.stated import StatedLimit
from cloudarb_lib.allocate.problem.model import Consumption, Problem
from cloudarb_lib.allocate.problem.row import Row


class Budget(StatedLimit):
    """At most so many USD of spend at today's list prices.

    A budget on the objective itself could only make a problem infeasible.
    """

    kind = "budget_usd"
    unit = "USD"
    relief_order = 10

    def name(self, problem: Problem) -> str:
        return "budget"

    def rows(self, problem: Problem) -> list[Row]:
        slots = np.arange(len(problem.slots))
        price = problem.slots["list_price"].to_numpy(float)
        name = self.name(problem)
        return [Row(name, slots, price, upper=self.bound, on_usage=True, kind=self.kind)]

    def used(self, plan: Consumption) -> float:
        return float(plan.list_spend_usd.sum())

    def dearer_may_help(self, problem: Problem) -> bool:
        return False
