"""Limits that are rows of the problem: carbon, commitments, what a demand states, other sums."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from cloudarb_lib.allocate.problem.model import Consumption, Limit, Margin, Problem, Use
from cloudarb_lib.allocate.problem.row import Key


@dataclass(frozen=True)
class Sums(Limit):
    """The rows of ``problem.rows`` of one kind, each at most its upper end and at least its lower.

    Starts, stops and data that moves are sums without an end, only charged for.
    """

    at: tuple[int, ...]
    """Positions of the rows among the problem's."""

    kind: ClassVar[str] = "sum"
    at_least: ClassVar[bool] = False
    """Whether the rows state what must be had at least: as sums of negative values, at most the
    negative of it."""

    def names(self, problem: Problem) -> list[str]:
        return [problem.rows[i].name for i in self.at]

    def keys(self, problem: Problem) -> list[Key]:
        return [problem.rows[i].key for i in self.at]

    def use(self, plan: Consumption) -> Use:
        upper = np.array([plan.problem.rows[i].upper for i in self.at], float)
        sums = plan.sums[list(self.at)]
        if self.at_least:
            return Use(self, 0.0 - sums, 0.0 - upper, at_least=True)
        return Use(self, sums, upper)

    def conditions(self, plan: Consumption) -> list[Use]:
        """At least the lower end."""
        lower = np.array([plan.problem.rows[i].lower for i in self.at], float)
        return [Use(self, plan.sums[list(self.at)], lower, at_least=True)]

    def worth(self, dual: np.ndarray, margin: Margin) -> np.ndarray:
        return -dual if self.at_least else dual

    def steps(self, problem: Problem) -> np.ndarray:
        return np.array([problem.rows[i].step for i in self.at])

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
        ends = -available if self.at_least else available
        for i, upper in zip(self.at, ends, strict=True):
            rows[i] = replace(rows[i], upper=float(upper))
        return replace(problem, rows=tuple(rows))


class Carbon(Sums):
    """At most so much CO2e of the electricity that machines draw while they work."""

    kind = "carbon"
    unit = "kgCO2e"
    relief_order = 60


class Commitments(Sums):
    """Machines committed to already: so many, used or not. A fact, not a limit that could give."""

    kind = "commitment"
    unit = "instance"
    is_listed = False


class Continuations(Sums):
    """A commitment holds as many machines in each period and future: of no worth to tell."""

    kind = "continuation"
    is_listed = False


class Quotas(Sums):
    """At most so many GPUs at the same time of all offers that a quota names."""

    kind = "quota"
    unit = "GPU"
    relief_order = 65


class TeamBudgets(Sums):
    """At most so many USD of expected rent and disks of a team's work.

    Fees of regions and moved data are the plan's: teams share them.
    """

    kind = "team_budget"
    unit = "USD"
    relief_order = 15


class Interruptions(Sums):
    """At most so many times a week may machines of a workload be taken away, in expectation."""

    kind = "interruptions"
    unit = "interruption a week"
    relief_order = 35


class Spares(Sums):
    """At least so much of a workload is left without any one place, or without spot."""

    kind = "spare"
    unit = "GPU or GPU-hour a week"
    at_least = True
    relief_order = 72


class WithinReach(Sums):
    """At least so much of a workload stands near its users in a place, or in any of several."""

    kind = "within_reach"
    unit = "GPU or GPU-hour a week"
    at_least = True
    relief_order = 74


SUMS: dict[str, type[Sums]] = {
    kind.kind: kind
    for kind in (
        Sums,
        Carbon,
        Commitments,
        Continuations,
        Quotas,
        TeamBudgets,
        Interruptions,
        Spares,
        WithinReach,
    )
}
"""What rows of a kind are; of kinds that are not named here plain ``Sums``."""
