"""The limit on what a pool holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cloudarb_lib.allocate.problem.model import Consumption, Limit, Problem, Use
from cloudarb_lib.allocate.problem.row import Key, Row


class Capacity(Limit):
    """At most so many GPUs of each pool; ``solver.milp`` has a row for each."""

    kind = "capacity"
    unit = "GPU"
    relief_order = 70

    def names(self, problem: Problem) -> list[str]:
        return [f"capacity of {name}" for name in problem.pools["name"]]

    def keys(self, problem: Problem) -> list[Key]:
        return [(self.kind, pool) for pool in range(len(problem.pools))]

    def use(self, plan: Consumption) -> Use:
        return Use(self, plan.pool_use, plan.problem.capacity)

    def steps(self, problem: Problem) -> np.ndarray:
        """A machine of the smallest kind."""
        smallest = problem.assignment_details.groupby("pool")["pool_use"].min()
        return smallest.reindex(range(len(problem.pools))).fillna(1.0).to_numpy(float)

    def elastic(self, problem: Problem, usd: float) -> Problem:
        pool = problem.pool_of
        use = problem.pool_use
        paid = []
        for k, capacity in enumerate(problem.pools["capacity"]):
            at = np.flatnonzero(pool == k)
            paid.append(Row("capacity", at, use[at], upper=capacity).elastic(usd))
        all_that_may_be_used = use * problem.assignments["most"]
        most = problem.pools["capacity"] + np.bincount(
            pool, all_that_may_be_used, len(problem.pools)
        )
        return replace(
            problem, rows=(*problem.rows, *paid), pools=problem.pools.assign(capacity=most)
        )

    def relaxed(self, problem: Problem, available: np.ndarray) -> Problem:
        return replace(problem, pools=problem.pools.assign(capacity=available))
