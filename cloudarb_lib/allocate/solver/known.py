"""What the solves of a session leave to the next: a plan, and what its relaxations were cut by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.allocate.solver.milp import Cuts, Milp, join, separate

Facets = dict[tuple, list[np.ndarray]]
"""Rows that hold for every choice of machines that fits a pool, by their sizes and its capacity."""

_MOST_POINTS = 40


@dataclass
class Known:
    """What is known of problems alike, whatever has changed since.

    Not rows are kept but what they come from, so that they hold under the figures of the day.
    """

    plan: Plan | None = None
    facets: Facets = field(default_factory=dict)
    offers: tuple[str, ...] = ()
    """Of the slots of ``usages``."""
    usages: list[np.ndarray] = field(default_factory=list)
    """Instance-hours of each slot at points that tail cuts or tangents cut off, the latest last."""

    def cuts(self, milp: Milp) -> Cuts:
        """Return the tail cuts and tangents of a program at the usages known."""
        found = []
        if tuple(milp.problem.slots["offer_id"]) == self.offers:
            for usage in self.usages:
                z = np.zeros(len(milp.cost))
                z[milp.usage_columns] = usage
                found.append(separate(milp, z, tolerance=-1.0, links=False))
        return join(found, len(milp.cost))

    def learn(self, plan: Plan, usages: list[np.ndarray]) -> None:
        """Keep a plan, if it is one, and the usages at which its solve found cuts."""
        offers = tuple(plan.problem.slots["offer_id"])
        before = self.usages if offers == self.offers else []
        self.offers = offers
        self.usages = [*before, *usages][-_MOST_POINTS:]
        if plan.has_plan:
            self.plan = plan
