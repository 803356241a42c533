"""The limit on over how many providers, or regions, spend is spread."""

from __future__ import annotations

import numpy as np

from cloudarb_lib.allocate.problem.limits.stated import StatedLimit
from cloudarb_lib.allocate.problem.model import Consumption, Margin, Problem


class EffectiveProviders(StatedLimit):
    """At least so many effective providers, or regions: one over the sum of squared spend shares.

    ``solver.milp`` holds it by a row of squared shares and their tangents. It gives way by search
    (``relax.most_effective``), not at a price.
    """

    kind = "effective_providers"
    is_risk = True
    at_least = True
    ends = (1.0, np.inf)
    relief_order = None

    def name(self, problem: Problem) -> str:
        return f"effective {problem.limits.diversify}s"

    def used(self, plan: Consumption) -> float:
        return plan.effective_groups

    def worth(self, dual: np.ndarray, margin: Margin) -> np.ndarray:
        # one more narrows the row, sum of q <= T / n, by T / n^2
        return dual * (-margin.spread_spend_usd / self.bound**2)

    def dearer_may_help(self, problem: Problem) -> bool:
        return True
