"""What the solves of a session leave to the next: plans, and what relaxations were cut by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cloudarb_lib.allocate.plan import Plan, counts_of
from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.allocate.solver.milp import Cuts, Milp, cuts_at
from cloudarb_lib.allocate.solver.tighter import is_tighter

_MOST_POINTS = 40
_MOST_PLANS = 12
_MOST_SITE_SETS = 4


@dataclass
class Knapsack:
    """What is known of the machines that fit a pool."""

    facets: list[np.ndarray] = field(default_factory=list)
    """Rows found so far, each row @ v <= 1 for every choice v that fits."""
    choices: list[np.ndarray] = field(default_factory=list)
    """Which machines fit together, as far as a cut asked for them."""


Knapsacks = dict[tuple, Knapsack]
"""Of each pool, by its capacity and the sizes of its machines."""


@dataclass
class Known:
    """What is known of problems alike, whatever has changed since.

    Not rows are kept but what they come from, so that they hold under the figures of the day.
    """

    plans: list[Plan] = field(default_factory=list)
    """Of the solves before, the latest first."""
    knapsacks: Knapsacks = field(default_factory=dict)
    offers: tuple[str, ...] = ()
    """Of the slots of ``usages``."""
    usages: list[np.ndarray] = field(default_factory=list)
    """Instance-hours of each slot at points that tail cuts or tangents cut off, the latest last."""
    site_sets: list[frozenset[str]] = field(default_factory=list)
    """Sites at which the last solve looked for plans, the most promising first."""

    def cuts(self, milp: Milp) -> Cuts:
        """Return the tail cuts and tangents of a program at the usages known."""
        is_alike = tuple(milp.problem.slots["offer_id"]) == self.offers
        return cuts_at(milp, self.usages if is_alike else [])

    def counts(self, problem: Problem) -> list[np.ndarray]:
        """Return the counts of the plans known as plans of a problem, the latest first."""
        found = []
        for plan in self.plans:
            if plan.problem.assignments is problem.assignments:
                found.append(plan.units)
            elif plan is self.plans[0]:  # to look up each takes time
                found.append(counts_of(problem, plan.table))
        return found

    def bound_usd(self, problem: Problem) -> float:
        """Return the largest bound proven of a problem that allows all that this one does."""
        bounds = [plan.bound_usd for plan in self.plans if is_tighter(problem, plan.problem)]
        return max(bounds, default=-np.inf)

    def sites(self, milp: Milp) -> list[np.ndarray]:
        """Return the sets of sites known, as values of the columns of sites."""
        problem = milp.problem
        names = problem.sites["name"].astype(str)[problem.fee_usd > 0]
        return [names.isin(sites).to_numpy(float) for sites in self.site_sets]

    def learn(
        self, plan: Plan, usages: list[np.ndarray], sites: list[tuple[float, np.ndarray]]
    ) -> None:
        """Keep what a solve found.

        Parameters
        ----------
        plan
            Kept if it is one.
        usages
            At which tail cuts and tangents were found.
        sites
            Sets of sites at which plans were looked for: a bound, and values of their columns.
        """
        problem = plan.problem
        offers = tuple(problem.slots["offer_id"])
        before = self.usages if offers == self.offers else []
        self.offers = offers
        self.usages = [*before, *usages][-_MOST_POINTS:]
        if sites:
            names = problem.sites["name"].astype(str).to_numpy()[problem.fee_usd > 0]
            near = plan.objective_usd if plan.has_plan else np.inf
            best = sorted((pair for pair in sites if pair[0] < near), key=lambda pair: pair[0])
            self.site_sets = [frozenset(names[at > 0.5]) for _, at in best[:_MOST_SITE_SETS]]
        if plan.has_plan:
            self.plans = [plan, *self.plans][:_MOST_PLANS]
