"""The search for the best plan, and the plan itself: status, bound, gap, what binds."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.check import Verdict, check
from cloudarb_lib.allocate.engine import Relaxation, SolveOptions, solve_mip
from cloudarb_lib.allocate.knapsack import Pools
from cloudarb_lib.allocate.milp import Cuts, Milp, separate, to_milp
from cloudarb_lib.allocate.model import Problem
from cloudarb_lib.errors import SolveError

_FIRST_REACH = 0.002
"""Columns dearer than this share of the relaxation wait until a plan proves what can be left out."""
_FIRST_REACH_CONE = 0.004
_LINKS_AT_ONCE = 20_000
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
                "Ask allocate.conflicts which limits are in the way."
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
        """Site fees shared among the pairs at a site, by rent; charges by what each pair adds to the sum."""
        charges, counts = self.verdict.charges_usd, self.counts
        assert counts is not None
        cost = counts * self.problem.unit_cost
        site = self.problem.slots["site"].to_numpy()[self.problem.pairs["slot"].to_numpy()]
        total = np.bincount(site, cost, len(self.problem.sites))
        fee = self.problem.sites["fee_usd"].to_numpy(float)
        shared = cost * (fee / np.where(total > 0, total, 1.0))[site]
        for row, usd in zip(self.problem.rows, charges, strict=True):
            if usd > 0:
                part = np.maximum(row.values * counts[row.at], 0.0)
                np.add.at(shared, row.at, usd * part / part.sum())
        return shared


def solve(
    problem: Problem, options: SolveOptions | None = None, *, start: pd.DataFrame | None = None
) -> Plan:
    """Return the best plan found, proven as far as time allows, and checked apart.

    The relaxation is tightened by links, tail cuts and cone cuts until none is violated; the
    integer program is then solved with these, and again with those its answer violates, until
    the answer keeps every limit. What leaves here has passed ``check``; else SolveError.
    ``start`` is yesterday's plan (table ``plan``): where it still keeps the limits, it is the
    plan to beat. Ctrl-C ends the search with the best plan so far (status ``interrupted``).
    """
    options = options or SolveOptions()
    began = time.perf_counter()
    milp = to_milp(problem)
    search = _Search(milp, options, began + options.time_limit_s)
    if start is not None:
        search.offer(counts_of(problem, start))
    try:
        status = search.run()
    except KeyboardInterrupt:  # in a notebook or a shell: the best so far, with its proven gap
        if search.best is None:
            raise
        status = "within_gap" if search.done else "interrupted"
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
        self.began = deadline - options.time_limit_s
        self.best: np.ndarray | None = None
        self.cost = np.inf
        self.bound = -np.inf
        self.cuts: list[Cuts] = []
        self.floor, self.reduced_cost = -np.inf, np.zeros(0)

    @property
    def left_s(self) -> float:
        return self.deadline - time.perf_counter()

    @property
    def done(self) -> bool:
        near = self.options.gap * max(abs(self.cost), 1e-9)
        return self.best is not None and self.cost - self.bound <= near

    def offer(self, counts: np.ndarray) -> bool:
        """Return whether ``counts`` keep every limit; take them as the plan to beat if they cost less."""
        verdict = check(self.milp.problem, counts)
        if not verdict.broken and verdict.objective_usd < self.cost:
            self.best, self.cost = counts, verdict.objective_usd
            if self.options.progress:
                self.options.progress(time.perf_counter() - self.began, self.cost, self.bound)
        return not verdict.broken

    def run(self) -> str:
        status, limits = self._relax(), self.milp.problem.limits
        x = np.arange(len(self.milp.problem.pairs))
        reach = _FIRST_REACH * abs(self.bound)
        seen, last, first = 0, None, True
        # a cone needs so many cuts that solving anew after each loses to adding them in the tree
        in_tree = limits.effective_providers is not None and self.options.solver in ("auto", "mathopt_gscip")
        if in_tree:
            reach = _FIRST_REACH_CONE * abs(self.bound)
        while status == "optimal" and not self.done and self.left_s > 0:
            # a plan that uses a column costs at least its reduced cost above the relaxation
            if self.best is not None:  # yesterday's plan may lie far above: the first reach holds at first
                reach = min(reach, self.cost - self.floor) if first else self.cost - self.floor
            first = False
            upper = self.milp.upper.copy()
            upper[x[self.reduced_cost[x] > reach]] = 0.0
            try:
                answer = solve_mip(
                self.milp, self.cuts, upper=upper, time_limit_s=self.left_s,
                options=replace(self.options, gap=self.options.gap * 0.9),
                start=None if self.best is None or in_tree else self.milp.point(self.best),
                lazy=self._lazy if in_tree else None, seen=lambda z: self.offer(np.round(self.milp.counts(z))),
              )  # fmt: skip
            except SolveError:
                if not in_tree:
                    raise
                in_tree = False  # what the tree says is not to be trusted: solve round by round
                continue
            proven = min(answer.bound if answer.status != "infeasible" else np.inf, self.floor + reach)
            self.bound = max(self.bound, min(proven, self.cost))
            if answer.z is None and answer.stopped:
                raise KeyboardInterrupt
            if answer.z is None:
                if answer.status != "infeasible" or np.isinf(reach):
                    status = answer.status
                reach = np.inf  # all columns: is there a plan at all?
                continue
            counts = np.round(self.milp.counts(answer.z))
            fits = self.offer(counts)
            if not fits:
                cuts = separate(self.milp, self.milp.point(counts), tolerance=1e-7, links=False)
                self.cuts.append(cuts)
                seen += 1 if not cuts.names or (last is not None and (counts == last).all()) else 0
            elif last is not None and (counts == last).all():
                seen += 1
            if answer.stopped:
                raise KeyboardInterrupt
            if seen > 1:
                break  # nothing new: what is left of the gap is the solver's own tolerance
            last = counts
        return self._end(status)

    def _lazy(self, z: np.ndarray, candidate: bool) -> Cuts:
        """Return the cuts that a point of the tree violates; keep every plan that comes by."""
        if candidate:
            counts = np.round(self.milp.counts(z))
            if self.offer(counts):
                return separate(self.milp, z, tolerance=np.inf, links=False)
            z = self.milp.point(counts)
        return separate(self.milp, z, tolerance=1e-7 if candidate else 1e-5, links=False)

    def _relax(self) -> str:
        """Solve the relaxation with every cut it violates; fill bound, reduced costs and cuts."""
        relaxation, pools = Relaxation(self.milp), Pools(self.milp)
        stalled, before = 0, -np.inf
        while True:
            status = relaxation.solve(self.left_s)
            if status != "optimal":
                break
            self.bound = max(self.bound, relaxation.value)
            cuts = separate(self.milp, relaxation.z, tolerance=1e-7)
            if not cuts.names and stalled < 3:
                stalled = 0 if self.bound - before > 1e-5 * abs(self.bound) else stalled + 1
                before = self.bound
                cuts = pools.separate(relaxation.z)
            if not cuts.names:
                break
            relaxation.add(cuts)
            self.cuts.append(cuts)
        self.floor, self.reduced_cost = relaxation.value, relaxation.reduced_cost
        if len(self.milp.link_site) <= _LINKS_AT_ONCE:
            every = self.milp.link_cuts(np.arange(len(self.milp.link_site)))
            self.cuts = [c.without("link") for c in self.cuts] + [every]
        return status

    def _end(self, status: str) -> str:
        if self.best is None and status in ("infeasible", "unbounded"):
            return status
        if self.best is None:
            return "time_limit_without_plan"
        if self.cost - self.bound <= PROVEN * max(abs(self.cost), 1e-9):
            return "optimal"
        return "within_gap" if self.done else "time_limit_with_plan"
