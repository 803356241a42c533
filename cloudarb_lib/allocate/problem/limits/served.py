"""What must be served of each demand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.problem.model import Consumption, Limit, Problem, Use
from cloudarb_lib.allocate.problem.row import Key


class Served(Limit):
    """At least the need of each demand, or nothing of what may be left undone at its worth."""

    kind = "demand"
    unit = "GPU or GPU-hour a week"

    def names(self, problem: Problem) -> list[str]:
        workloads = problem.demands["workload"]
        periods = problem.demands.get("period", pd.Series(0, problem.demands.index)).astype(int)
        if not periods.max():
            return [f"demand of {workload}" for workload in workloads]
        return [
            f"demand of {workload} in period {period + 1}"
            for workload, period in zip(workloads, periods, strict=True)
        ]

    def keys(self, problem: Problem) -> list[Key]:
        return [(self.kind, demand) for demand in range(len(problem.demands))]

    def steps(self, problem: Problem) -> np.ndarray:
        """What one machine serves, of the smallest kind."""
        serving = problem.assignments[(problem.cover > 0) & (problem.assignments["most"] > 0)]
        smallest = serving.groupby("demand")["cover"].min()
        return smallest.reindex(range(len(problem.demands))).fillna(1.0).to_numpy(float)

    def available(self, problem: Problem) -> np.ndarray:
        """The need, of what may be left undone too."""
        return problem.need.copy()

    def changed(self, problem: Problem, number: int, available: float) -> Problem:
        """Return the problem with another need, and as many more machines as that takes."""
        need = problem.need.copy()
        before = float(need[number])
        need[number] = available
        assignments = problem.assignments
        serves = (problem.demand_of == number) & (problem.cover > 0) & (assignments["most"] > 0)
        cover = problem.cover[serves]
        more = np.ceil(available / cover - 1e-9) - np.ceil(before / cover - 1e-9)
        most = assignments["most"].to_numpy(float).copy()
        most[serves] += np.maximum(more, 0.0)
        return replace(
            problem,
            demands=problem.demands.assign(need=need),
            assignments=assignments.assign(most=most),
        )

    def use(self, plan: Consumption) -> Use:
        demands = plan.problem.demands
        must = np.isinf(demands["unmet_usd"].to_numpy(float))
        need = np.where(must, demands["need"].to_numpy(float), 0.0)
        return Use(self, plan.served, need, at_least=True)

    def conditions(self, plan: Consumption) -> list[Use]:
        """No more than the need where it must be covered exactly."""
        if not plan.problem.exact:
            return []
        return [Use(self, plan.served, plan.problem.need)]

    def elastic(self, problem: Problem, usd: float) -> Problem:
        unmet = problem.demands["unmet_usd"]
        each = usd / problem.demands["need"].clip(lower=1e-9)
        unmet = unmet.where(np.isfinite(unmet), each)
        return replace(problem, demands=problem.demands.assign(unmet_usd=unmet))

    def relaxed(self, problem: Problem, available: np.ndarray) -> Problem:
        optional = problem.demands["unmet_usd"] < np.inf
        need = problem.demands["need"].where(optional, available)
        return replace(problem, demands=problem.demands.assign(need=need))
