"""The search for the best plan, and the proof of how far from it a plan can be."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.check import check
from cloudarb_lib.allocate.plan import Plan, counts_of
from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.allocate.solver.engine import Answer, Relaxation, SolveOptions, solve_mip
from cloudarb_lib.allocate.solver.knapsack import Pools
from cloudarb_lib.allocate.solver.milp import Cuts, Milp, join, rows_of, separate, spends, tangents
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.base.errors import SolveError

_FIRST_REACH, _LAST_REACH = 0.002, 0.1
"""Columns dearer than this share of the relaxation wait until a plan proves what can be left out."""
_MANY_COLUMNS = 20_000
"""So many columns are tried at first where more lie within the first reach."""
_FEW_SITES, _SITE_SETS = 40, 30
_SHIFTS = np.arange(-8, 9)[:, None] * 0.005
"""Around a relaxation's shares, where the square of each provider's share is linearised."""
_KEPT = (0.97, 0.9, 0.7, 0.4)
"""Shares of the machines of a plan that a repair tries to keep."""
_LINKS_AT_ONCE = 20_000
PROVEN = 1e-6
"""Relative gap under which a plan is called optimal."""


def solve(
    problem: Problem, options: SolveOptions | None = None, *, start: pd.DataFrame | None = None
) -> Plan:
    """Return the best plan found, proven as far as time allows, and checked apart.

    The relaxation is tightened by links, knapsacks, tail cuts and tangents until none is violated.
    Few sites are decided first, the counts at them next (``_Search.by_sites``); what that leaves
    open, and problems of many sites, go to the solver whole. Plans that break a limit are cut off
    and the solver asked again. What leaves here has passed ``check``; else SolveError.
    ``start`` is yesterday's plan (table ``plan``): as it is where it still keeps the limits, else
    repaired, it is the plan to beat. Ctrl-C ends the search with the best plan so far (status
    ``interrupted``).
    """
    options = options or SolveOptions()
    began = time.perf_counter()
    search = _Search(to_milp(problem), options, began + options.time_limit_s)
    yesterday = None if start is None else counts_of(problem, start)
    try:
        status = search.run(yesterday)
    except KeyboardInterrupt:  # in a notebook or a shell: the best so far, with its proven gap
        if search.best is None:
            raise
        status = "within_gap" if search.done else "interrupted"
    plan = Plan(problem, status, search.bound, time.perf_counter() - began, search.best)
    if plan.has_plan and plan.verdict.broken:
        raise SolveError(f"the plan found breaks {plan.verdict.broken[0]}.", "Report this.")
    return plan


@dataclass
class _Node:
    """A part of the problem: plans between column bounds, their relaxation, and what they cost at least."""

    lower: np.ndarray
    upper: np.ndarray
    floor: float
    z: np.ndarray
    reduced_cost: np.ndarray
    cuts: list[Cuts]
    bound: float


class _Search:
    """Holds the best plan and the bound, and keeps bound <= optimum <= cost of the best plan."""

    def __init__(self, milp: Milp, options: SolveOptions, deadline: float) -> None:
        self.milp, self.options, self.deadline = milp, options, deadline
        self.began = deadline - options.time_limit_s
        self.best: np.ndarray | None = None
        self.cost = np.inf
        self.bound = -np.inf
        self.relaxation = Relaxation(milp)
        self.further = None if options.cuts == "off" else Pools(milp).separate

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

    def run(self, yesterday: np.ndarray | None) -> str:
        kept = yesterday is not None and self.offer(yesterday)
        status = self.relaxation.settle(self.deadline, self.further)
        if status == "unknown":
            raise SolveError("HiGHS comes to no verdict on the relaxation.", "Try other limits.")
        if status != "optimal":
            return self._end(status)
        if len(self.milp.links.names) <= _LINKS_AT_ONCE:
            others = [c.only(~np.isin(c.names, "link")) for c in self.relaxation.cuts]
            self.relaxation.cuts = [*others, self.milp.links]
        whole = self._node(self.milp.lower, self.milp.upper)
        self._prove(whole.bound)
        if yesterday is not None and not kept and not self.done:
            self._repair(whole, self.milp.upper, yesterday, 0.005)
        if 0 < len(self.milp.site_columns) <= _FEW_SITES:
            status = self._by_sites(whole)
        if status == "optimal" and not self.done:
            status = self._descend(whole, np.inf)
        return self._end(status)

    def _prove(self, bound: float) -> None:
        self.bound = max(self.bound, min(bound, self.cost))

    def _node(self, lower: np.ndarray, upper: np.ndarray) -> _Node:
        """Return the node at the relaxation just solved, with the cuts that it needs: others only slow it down."""
        r, every = self.relaxation, join(self.relaxation.cuts, len(self.milp.cost))
        slack, size = every.upper - every.matrix @ r.z, abs(every.matrix) @ abs(r.z)
        cuts = [every.only((slack <= 1e-5 * size) | np.isin(every.names, ("link", "CVaR")))]
        return _Node(lower, upper, r.value, r.z, r.reduced_cost, cuts, r.value)

    def _by_sites(self, whole: _Node) -> str:
        """Decide the sites first, counts at them next: a tree of two levels, best bound first.

        A fee is what the relaxation bounds worst: with the sites chosen it lies within 0.1 % of the
        best plan. The program with whole sites but parts of machines is therefore small and nearly
        exact. Its answer's sites become a node, which it must avoid from then on; its bound holds
        for all plans at other sites.
        """
        at, whole_sites = self.milp.site_columns, np.zeros(len(self.milp.cost), bool)
        whole_sites[at] = True
        program, rest = replace(self.milp, integer=whole_sites), whole.bound
        nodes: list[_Node] = []
        avoided: list[Cuts] = []
        gap = float(np.clip(self.options.gap / 10, 1e-6, 1e-4))
        for _ in range(_SITE_SETS):
            self._prove(min([rest, *(node.bound for node in nodes)]))
            least = min(nodes, key=lambda node: node.bound, default=None)
            if self.done or self.left_s <= 0:
                break
            if least is not None and least.bound * (1 - self.options.gap / 4) <= rest:
                before = least.bound
                self._descend(
                    least, min([rest, *(node.bound for node in nodes if node is not least)])
                )
                if least.bound <= before:  # the solver's tolerance, or time
                    break
                continue
            cuts = [c.only(~np.isin(c.names, "link")) for node in nodes for c in node.cuts]
            answer = self._ask(
                program, [*whole.cuts, *cuts, *avoided], self.milp.upper, gap=gap, share=0.4
            )
            if answer.status == "infeasible":
                rest = np.inf
                if all(np.isinf(node.bound) for node in nodes):
                    return "infeasible"
                continue
            rest = max(rest, answer.bound)
            if answer.z is None:
                break
            sites = np.round(answer.z[at])
            avoided.append(rows_of(self.milp, [(at, 2 * sites - 1, -1)], "sites", sites.sum() - 1))
            lower, upper = self.milp.lower.copy(), self.milp.upper.copy()
            lower[at] = upper[at] = sites
            self.relaxation.bound(at, sites, sites)
            status = self.relaxation.settle(self.deadline, self.further)
            if status == "optimal":
                nodes.append(self._node(lower, upper))
            elif (
                status != "infeasible"
            ):  # out of time, or no verdict: what bounds all plans bounds these
                nodes.append(replace(whole, lower=lower, upper=upper, cuts=[*whole.cuts]))
            self.relaxation.bound(at, self.milp.lower[at], self.milp.upper[at])
        return "optimal"

    def _descend(self, node: _Node, rest: float) -> str:
        """Search the plans of ``node`` until the gap is proven there; ``rest`` bounds all others.

        Columns whose reduced cost no plan worth having can pay are left out. A plan that breaks a limit
        by a little, as tail cuts and tangents may let it, is repaired: few machines must move.
        """
        milp, x, status = self.milp, np.arange(len(self.milp.problem.assignments)), "optimal"
        reduced = node.reduced_cost[x]
        reach = _FIRST_REACH * abs(node.floor)
        if len(x) > _MANY_COLUMNS:
            reach = min(reach, float(np.partition(reduced, _MANY_COLUMNS)[_MANY_COLUMNS]))
        reach = max(reach, 0.0)
        node.cuts += self._fan(milp.counts(node.z))
        stuck, last, first = 0, None, True
        while (
            not self.done
            and self.left_s > 0
            and node.bound < self.cost * (1 - 0.95 * self.options.gap)
        ):
            # a plan that uses a column costs at least its reduced cost above the relaxation
            if (
                self.best is not None
            ):  # yesterday's plan may lie far above: the first reach holds at first
                reach = min(reach, self.cost - node.floor) if first else self.cost - node.floor
            first = False
            upper = node.upper.copy()
            upper[x[reduced > reach]] = 0.0

            def seen(z: np.ndarray, bound: float, reach=reach) -> bool:
                self.offer(np.round(milp.counts(z)))
                self._prove(min(rest, max(node.bound, min(bound, node.floor + reach))))
                return self.done

            program = replace(milp, lower=node.lower)
            asked = node.cuts
            if self.best is not None and (milp.point(self.best) > upper + 1e-6).any():
                every = np.arange(len(milp.cost))  # the plan to beat stands elsewhere
                asked = [*asked, rows_of(milp, [(every, milp.cost, -1)], "cost", self.cost)]
            answer = self._ask(program, asked, upper, gap=0.9 * self.options.gap, seen=seen)
            counts = None if answer.z is None else np.round(milp.counts(answer.z))
            fits = counts is not None and self.offer(counts)
            proven = min(
                answer.bound if answer.status != "infeasible" else np.inf, node.floor + reach
            )
            node.bound = max(node.bound, proven)
            self._prove(min(rest, node.bound))
            if counts is None:
                if answer.status != "infeasible" or np.isinf(reach):
                    status = answer.status
                    break
                reach = np.inf if reach >= _LAST_REACH * abs(node.floor) else max(10 * reach, 1e-9)
                continue
            same = last is not None and bool((counts == last).all())
            if not fits:
                cuts = separate(milp, milp.point(counts), tolerance=1e-7, links=False)
                node.cuts.append(cuts)
                same |= not cuts.names
                if cuts.names and not self.done:
                    self._repair(node, upper, counts, self.options.gap / 2)
            stuck += same
            if stuck > 1:
                break  # nothing new: what is left of the gap is the solver's own tolerance
            last = counts
        return status

    def _ask(
        self,
        program: Milp,
        cuts: list[Cuts],
        upper: np.ndarray,
        *,
        gap: float,
        share: float = 1.0,
        seen=None,
    ) -> Answer:
        """Solve a program for a share of the time left; an interrupt ends the search.

        Without ``seen`` it is asked for its bound alone, and looks for no plans on the way.
        """
        start = None if self.best is None or seen is None else self.milp.point(self.best)
        if start is not None and ((start > upper + 1e-6) | (start < program.lower - 1e-6)).any():
            start = None
        options = replace(self.options, gap=gap, time_limit_s=max(self.left_s * share, 0.05))
        if seen is None:
            options = replace(options, heuristics="off")
        answer = solve_mip(program, cuts, upper=upper, options=options, start=start, seen=seen)
        if answer.stopped:
            if seen is not None and answer.z is not None:
                self.offer(np.round(self.milp.counts(answer.z)))
            raise KeyboardInterrupt
        return answer

    def _fan(self, counts: np.ndarray) -> list[Cuts]:
        """Return the tangents around the shares of ``counts``: plans near them that keep these keep the limit,
        or break it by next to nothing."""
        spend = spends(self.milp.problem, self.milp.problem.usage(counts))
        if self.milp.problem.limits.effective_providers is None or not spend.sum():
            return []
        return [tangents(self.milp, np.clip(spend / spend.sum() + _SHIFTS, 0.0, 1.0))]

    def _repair(self, node: _Node, upper: np.ndarray, plan: np.ndarray, gap: float) -> None:
        """Offer the cheapest plan within ``upper`` that keeps most of ``plan``, which breaks a limit."""
        held, most = np.flatnonzero(plan), plan.sum()
        near = upper.copy()
        near[held] = np.minimum(near[held], plan[held])

        def seen(z: np.ndarray, _: float) -> bool:
            return self.offer(np.round(self.milp.counts(z))) and self.done

        program, cuts = replace(self.milp, lower=node.lower), [*node.cuts, *self._fan(plan)]
        for kept in _KEPT:
            cuts.append(separate(self.milp, self.milp.point(plan), tolerance=1e-7, links=False))
            stays = rows_of(self.milp, [(held, -np.ones(len(held)), -1)], "kept", -kept * most)
            answer = self._ask(program, [*cuts, stays], near, gap=gap, share=0.1, seen=seen)
            if answer.z is not None:
                plan = np.round(self.milp.counts(answer.z))
                if self.offer(plan):
                    return

    def _end(self, status: str) -> str:
        if self.best is None and status in ("infeasible", "unbounded"):
            return status
        if self.best is None:
            return "time_limit_without_plan"
        if self.cost - self.bound <= PROVEN * max(abs(self.cost), 1e-9):
            return "optimal"
        return "within_gap" if self.done else "time_limit_with_plan"
