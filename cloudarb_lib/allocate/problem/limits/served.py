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
