"""Limits that a user states by one figure."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from cloudarb_lib.allocate.problem.model import Consumption, Limit, Problem, Use
from cloudarb_lib.allocate.problem.row import DEAR


@dataclass(frozen=True)
class StatedLimit(Limit):
    """A limit that a user states by one figure: a field of ``Limits``, or one of its ``further``.

    A subclass names its ``kind`` and ``unit`` and gives ``name`` and ``rows``, each a sum of at
    most ``bound``. Where a row says it in another way (a share), or the limit is none of sums, it
    also tells what a plan has ``used``.
    """

    bound: float

    at_least: ClassVar[bool] = False
    """Whether ``bound`` is the least that must be used, not the most."""
    relief_order: ClassVar[int | None] = 50
    excess: ClassVar[str] = ""
    """Field of ``Problem`` that prices what is beyond it, where no row of sums can."""

    @abstractmethod
    def name(self, problem: Problem) -> str:
        """Return its name for people."""

    def names(self, problem: Problem) -> list[str]:
        return [self.name(problem)]

    def used(self, plan: Consumption) -> float:
        """Return what a plan uses: of several rows, the largest sum."""
        return max(row.total(plan.counts, plan.hours) for row in self.rows(plan.problem))

    def steps(self, problem: Problem) -> np.ndarray:
        if self.unit_size != 1.0:  # a share: a hundredth
            return np.array([self.unit_size])
        steps = [row.step for row in self.rows(problem)]
        return np.array([min(steps)]) if steps else super().steps(problem)

    def use(self, plan: Consumption) -> Use:
        used = np.array([self.used(plan)])
        is_soft = self.excess and getattr(plan.problem, self.excess) < np.inf
        available = np.inf if is_soft else self.bound
        return Use(self, used, np.array([available]), at_least=self.at_least)

    def without(self, problem: Problem) -> Problem:
        further = problem.limits.further
        if self in further:
            return problem.under(further=tuple(limit for limit in further if limit != self))
        return problem.under(**{self.kind: None})

    def excess_charge_usd(self, plan: Consumption) -> float:
        """Return what a plan pays for what it uses beyond the limit."""
        price_usd = getattr(plan.problem, self.excess) if self.excess else np.inf
        if price_usd == np.inf:
            return 0.0
        return price_usd * max(self.used(plan) - self.bound, 0.0)

    def elastic(self, problem: Problem, usd: float) -> Problem:
        if self.excess:
            priced: dict[str, Any] = {self.excess: usd / self.bound if self.bound else DEAR}
            return replace(problem, **priced)
        paid = [row.elastic(usd) for row in self.rows(problem)]
        return replace(self.without(problem), rows=(*problem.rows, *paid))

    def relaxed(self, problem: Problem, available: np.ndarray) -> Problem:
        bound = float(np.clip(available[0], *self.ends))
        further = problem.limits.further
        if self.at_least and not bound:  # at least nothing is no limit
            return self.without(problem)
        if self not in further:
            return problem.under(**{self.kind: bound})
        eased = replace(self, bound=bound)
        return problem.under(further=tuple(eased if f == self else f for f in further))
