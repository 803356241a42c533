"""Limits that are rows of the problem: carbon, commitments, and sums of no kind of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from cloudarb_lib.allocate.problem.model import Consumption, Limit, Problem, Use
from cloudarb_lib.allocate.problem.row import Key


@dataclass(frozen=True)
class Sums(Limit):
    """The rows of ``problem.rows`` of one kind, each at most its upper end and at least its lower.

    Starts, stops and data that moves are sums without an end, only charged for.
    """

    at: tuple[int, ...]
    """Positions of the rows among the problem's."""

    kind: ClassVar[str] = "sum"

    def names(self, problem: Problem) -> list[str]:
        return [problem.rows[i].name for i in self.at]

    def keys(self, problem: Problem) -> list[Key]:
        return [problem.rows[i].key for i in self.at]

    def use(self, plan: Consumption) -> Use:
        upper = np.array([plan.problem.rows[i].upper for i in self.at], float)
        return Use(self, plan.sums[list(self.at)], upper)

    def conditions(self, plan: Consumption) -> list[Use]:
        """At least the lower end."""
        lower = np.array([plan.problem.rows[i].lower for i in self.at], float)
        return [Use(self, plan.sums[list(self.at)], lower, at_least=True)]

    def dearer_may_help(self, problem: Problem) -> bool:
        return any(problem.rows[i].on_usage for i in self.at)

    def elastic(self, problem: Problem, usd: float) -> Problem:
        rows = list(problem.rows)
        for i in self.at:
            if rows[i].upper < np.inf:
                rows.append(rows[i].elastic(usd))
                rows[i] = replace(rows[i], upper=np.inf)
        return problem if len(rows) == len(problem.rows) else replace(problem, rows=tuple(rows))

    def relaxed(self, problem: Problem, available: np.ndarray) -> Problem:
        rows = list(problem.rows)
        for i, upper in zip(self.at, available, strict=True):
            rows[i] = replace(rows[i], upper=float(upper))
        return replace(problem, rows=tuple(rows))


class Carbon(Sums):
    """At most so much CO2e of the electricity that machines draw while they work."""

    kind = "carbon"
    unit = "kgCO2e"
    relief_order = 60


class Commitments(Sums):
    """Machines committed to already: so many, used or not."""

    kind = "commitment"
    unit = "instance"


class Continuations(Sums):
    """A commitment holds as many machines in each period and future: of no worth to tell."""

    kind = "continuation"
    is_listed = False


SUMS: dict[str, type[Sums]] = {
    kind.kind: kind for kind in (Sums, Carbon, Commitments, Continuations)
}
"""What rows of a kind are; of kinds that are not named here plain ``Sums``."""
