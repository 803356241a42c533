"""The search for the best plan, and the plan itself: status, bound, gap, what binds."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.check import Verdict, check
from cloudarb_lib.allocate.engine import Relaxation, SolveOptions, solve_mip
from cloudarb_lib.allocate.milp import Cuts, Milp, separate, to_milp
from cloudarb_lib.allocate.model import Problem
from cloudarb_lib.errors import SolveError

STATUSES = (
    "optimal", "within_gap", "time_limit_with_plan", "time_limit_without_plan", "infeasible",
    "unbounded",
)  # fmt: skip
PROVEN = 1e-6
"""Relative gap under which a plan is called optimal."""


@dataclass(frozen=True)
class Plan:
    """The outcome of a solve: a plan, or the reason why there is none.

    ``bound_usd`` is a proven lower bound of the cost. Reading ``table``, ``objective_usd`` or
    ``verdict`` where there is no plan raises SolveError.
    """

    problem: Problem = field(repr=False)
    status: str
    bound_usd: float
    seconds: float
    counts: np.ndarray | None = field(repr=False)

    @property
    def has_plan(self) -> bool:
        return self.counts is not None

    @property
    def verdict(self) -> Verdict:
        if self.counts is None:
            raise SolveError(
                f"there is no plan: {self.status}.",
                "Loosen a limit."
                if self.status == "infeasible" else "Allow more time.",
            )  # fmt: skip
        return check(self.problem, self.counts)

    @property
    def objective_usd(self) -> float:
        return self.verdict.objective_usd

    @property
    def gap(self) -> float:
        """Relative distance of cost and bound; infinite where there is no plan."""
        if self.counts is None:
            return np.inf
        cost = self.objective_usd
        return max(0.0, (cost - self.bound_usd) / max(abs(cost), 1e-9))

    @property
    def table(self) -> pd.DataFrame:
        """The plan as table ``plan``, with provider, region, GPUs and rework beside."""
        fee = self._fees()
        assert self.counts is not None
        pairs, slots = self.problem.pairs, self.problem.slots
        at = np.flatnonzero(self.counts)
        slot, demand = pairs["slot"].to_numpy()[at], pairs["demand"].to_numpy()[at]
        units = self.counts[at]
        rows = pd.DataFrame(
            {
                "offer_id": slots["offer_id"].to_numpy()[slot],
                "workload": self.problem.demands["workload"].to_numpy()[demand],
                "period": slots["period"].to_numpy()[slot],
                "instances": units * pairs["instances"].to_numpy(float)[at],
                "hours": (pairs["hours"] / pairs["instances"]).to_numpy(float)[at],
                "expected_cost_usd": units * self.problem.unit_cost[at] + fee[at],
                "provider": slots["provider"].to_numpy()[slot],
                "region": slots["region"].to_numpy()[slot],
            }
        )
        for name in ("gpu_model", "purchase_option", "gpus"):
            if name in slots:
                rows[name] = slots[name].to_numpy()[slot]
        if "gpus" in rows:
            rows["gpus"] = rows["gpus"] * rows["instances"]
        order = ["workload", "period", "expected_cost_usd"]
        return rows.sort_values(order, ascending=[True, True, False]).reset_index(drop=True)

    @property
    def binding(self) -> pd.DataFrame:
        """The limits that bind, as ``explain.binding``."""
        from cloudarb_lib.allocate import explain

        return explain.binding(self)

    def _fees(self) -> np.ndarray:
        """Site fees shared among the pairs at a site, by rent."""
        counts = self.counts if self.verdict else None
        assert counts is not None
        cost = counts * self.problem.unit_cost
        site = self.problem.slots["site"].to_numpy()[self.problem.pairs["slot"].to_numpy()]
        total = np.bincount(site, cost, len(self.problem.sites))
        fee = self.problem.sites["fee_usd"].to_numpy(float)
        return cost * (fee / np.where(total > 0, total, 1.0))[site]


def solve(
    problem: Problem, options: SolveOptions | None = None, *, start: pd.DataFrame | None = None
) -> Plan:
    """Return the best plan found, proven as far as time allows, and checked apart.

    The relaxation is tightened by links, tail cuts and cone cuts until none is violated; the
    integer program is then solved with these, and again with those its answer violates, until
    the answer keeps every limit. What leaves here has passed ``check``; else SolveError.
    ``start`` is yesterday's plan (table ``plan``): where it still keeps the limits, it is the
    plan to beat.
    """
    options = options or SolveOptions()
    began = time.perf_counter()
    milp = to_milp(problem)
    search = _Search(milp, options, began + options.time_limit_s)
    if start is not None:
        search.offer(counts_of(problem, start))
    status = search.run()
    plan = Plan(problem, status, search.bound, time.perf_counter() - began, search.best)
    if plan.has_plan and plan.verdict.broken:
        raise SolveError(f"the plan found breaks {plan.verdict.broken[0]}.", "Report this.")
    return plan


def counts_of(problem: Problem, table: pd.DataFrame) -> np.ndarray:
    """Return the counts of each pair that a plan table holds; offers gone are left out."""
    held = table.set_index(["workload", "offer_id", "period"])["instances"]
    slot = problem.pairs["slot"].to_numpy()
    key = pd.MultiIndex.from_arrays(
        [
            problem.demands["workload"].to_numpy()[problem.pairs["demand"]],
            problem.slots["offer_id"].to_numpy()[slot],
            problem.slots["period"].to_numpy()[slot],
        ]
    )
    units = held.groupby(level=[0, 1, 2]).sum().reindex(key).fillna(0.0).to_numpy()
    return np.minimum(
        np.floor(units / problem.pairs["instances"].to_numpy(float) + 1e-9), problem.pairs["most"]
    ).to_numpy(float)


class _Search:
    """Holds the best plan and the bound, and keeps bound <= optimum <= cost of the best plan."""

    def __init__(self, milp: Milp, options: SolveOptions, deadline: float) -> None:
        self.milp, self.options, self.deadline = milp, options, deadline
        self.best: np.ndarray | None = None
        self.cost = np.inf
        self.bound = -np.inf
        self.cuts: list[Cuts] = []

    @property
    def left_s(self) -> float:
        return self.deadline - time.perf_counter()

    @property
    def done(self) -> bool:
        near = self.options.gap * max(abs(self.cost), 1e-9)
        return self.best is not None and self.cost - self.bound <= near

    def offer(self, counts: np.ndarray) -> bool:
        """Take ``counts`` as the plan to beat if they keep every limit and cost less."""
        verdict = check(self.milp.problem, counts)
        if verdict.broken or verdict.objective_usd >= self.cost:
            return False
        self.best, self.cost = counts, verdict.objective_usd
        return True

    def run(self) -> str:
        relaxation = Relaxation(self.milp)
        while True:
            status = relaxation.solve(self.left_s)
            if status != "optimal":
                return self._end(status)
            self.bound = max(self.bound, relaxation.value)
            cuts = separate(self.milp, relaxation.z, tolerance=1e-7)
            if not cuts.names:
                break
            relaxation.add(cuts)
            self.cuts.append(cuts)
        links = separate(self.milp, self._everything(), tolerance=np.inf)
        self.cuts = [c.without("link") for c in self.cuts] + [links]
        while not self.done and self.left_s > 0:
            answer = solve_mip(
                self.milp, self.cuts, upper=self.milp.upper,
                options=replace(self.options, gap=self.options.gap / 2),
                time_limit_s=self.left_s, start=None,
            )  # fmt: skip
            if answer.status in ("infeasible", "unbounded"):
                if self.best is None:
                    return answer.status
                self.bound = self.cost
                break
            self.bound = max(self.bound, min(answer.bound, self.cost))
            if answer.z is None:
                break
            z = answer.z
            counts = np.round(self.milp.counts(z))
            taken = self.offer(counts)
            cuts = separate(self.milp, self._at(counts, z), tolerance=1e-7)
            if not cuts.names:
                if not taken and not self.done:
                    break
                continue
            self.cuts.append(cuts)
        return self._end("limit")

    def _everything(self) -> np.ndarray:
        """A point that violates every link: all counts at one, no site used."""
        z = np.zeros(len(self.milp.cost))
        z[: len(self.milp.problem.pairs)] = np.maximum(self.milp.upper[: len(self.milp.problem.pairs)], 1)
        return z

    def _at(self, counts: np.ndarray, z: np.ndarray) -> np.ndarray:
        point = z.copy()
        point[: len(counts)] = counts
        point[self.milp.usage_columns] = self.milp.problem.usage(counts)
        return point

    def _end(self, status: str) -> str:
        if status in ("infeasible", "unbounded"):
            return status
        if self.best is None:
            return "time_limit_without_plan"
        if self.cost - self.bound <= PROVEN * max(abs(self.cost), 1e-9):
            return "optimal"
        return "within_gap" if self.done else "time_limit_with_plan"
