"""Where a search stands: the best plan so far, the bound proven so far, and the work left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cloudarb_lib.allocate.check import check
from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.allocate.solver.answer import Answer
from cloudarb_lib.allocate.solver.engine import solve_mip
from cloudarb_lib.allocate.solver.knapsack import MachineCuts
from cloudarb_lib.allocate.solver.known import Known
from cloudarb_lib.allocate.solver.least_cost import LeastCost
from cloudarb_lib.allocate.solver.milp import Cuts, Milp, join, separate, tangents_near
from cloudarb_lib.allocate.solver.options import SolveOptions
from cloudarb_lib.allocate.solver.relaxation import Relaxation
from cloudarb_lib.allocate.solver.work import allowance_of

_TIGHT = 1e-5
"""A row with less slack than this share of its size holds the relaxation where it is."""

OnNews = Callable[[np.ndarray | None, float], bool]
"""Is called with a better point, or None where only the bound is better, and the bound proven by
then; true ends the solve."""


@dataclass
class Node:
    """A part of the problem: plans between column bounds, their relaxation, what they must cost."""

    lower: np.ndarray
    upper: np.ndarray
    relaxed_cost: float
    z: np.ndarray
    reduced_cost: np.ndarray
    cuts: list[Cuts]
    bound: float
    """No plan of the node costs less."""


class Search:
    """Holds the incumbent and the bound, and keeps bound <= optimum <= cost of the incumbent."""

    def __init__(self, milp: Milp, options: SolveOptions, known: Known) -> None:
        self.milp = milp
        self.options = options
        self.allowance = allowance_of(options)
        self.incumbent: np.ndarray | None = None
        self.cost = np.inf
        self.bound = -np.inf
        self.relaxation = Relaxation(milp)
        self.site_sets: list[tuple[float, np.ndarray]] = []
        """Bound of each set of sites at which plans were looked for, and the sites' columns."""
        self._least_cost = LeastCost(milp)
        self.strengthen: Callable[[np.ndarray], Cuts] | None = None
        self.relaxation.add(known.cuts(milp))
        if options.cuts != "off":
            machine_cuts = MachineCuts(milp, known.knapsacks)
            self.relaxation.add(machine_cuts.known())
            self.strengthen = machine_cuts.separate

    @property
    def is_stopped(self) -> bool:
        return self.options.stop is not None and self.options.stop()

    @property
    def may_go_on(self) -> bool:
        """Whether work and time are left, and nobody has stopped the search."""
        return not self.is_stopped and not self.allowance.is_spent

    @property
    def done(self) -> bool:
        """Whether the incumbent is proven to lie within the gap."""
        return self.incumbent is not None and self.cost - self.bound <= self._near_usd

    @property
    def worth_finding(self) -> float:
        """Plans that cost more than this are no better than the incumbent by the gap."""
        if self.incumbent is None:
            return np.inf
        return self.cost - 0.95 * self._near_usd

    @property
    def _near_usd(self) -> float:
        """How near the bound is to come to the cost of the incumbent."""
        return max(self.options.gap * max(abs(self.cost), 1e-9), self.options.gap_usd)

    def offer(self, counts: np.ndarray) -> bool:
        """Return whether ``counts`` keep every limit; they are the incumbent if they cost less."""
        verdict = check(self.milp.problem, counts)
        if not verdict.broken and verdict.objective_usd < self.cost:
            self.incumbent = counts
            self.cost = verdict.objective_usd
            self.report()
        return not verdict.broken

    def prove(self, bound: float) -> None:
        """Take a bound on the cost of every plan that could still be better."""
        bound = min(bound, self.cost)
        if bound > self.bound:
            self.bound = bound
            self.report()

    def report(self) -> None:
        if self.options.progress:
            self.options.progress(self.plan("searching"))

    def plan(self, status: str) -> Plan:
        """Return the best plan so far."""
        spent = self.allowance
        return Plan(
            self.milp.problem, status, self.bound, spent.seconds, self.incumbent, spent.work
        )

    def whole_counts(self, z: np.ndarray) -> np.ndarray:
        """Return the counts of a point that a MIP solver calls whole."""
        return np.round(self.milp.counts(z))

    def violated_at(self, z: np.ndarray) -> Cuts:
        """Return the cuts that a solver's answer violates, taken with whole counts.

        CVaR beyond a limit that may be exceeded at a price is what the answer says it pays for, not
        what its counts come to: else no answer would violate such a limit, and the bound would
        leave its price out.
        """
        point = self.milp.point(self.whole_counts(z))
        if self.milp.problem.cvar_excess_usd < np.inf:
            point[-1] = z[-1]
        return separate(self.milp, point, tolerance=1e-7, links=False)

    def solve_relaxation(self) -> str:
        return self.relaxation.solve_with_cuts(self.allowance, self.strengthen)

    def node_here(self, lower: np.ndarray, upper: np.ndarray) -> Node:
        """Return the node at the relaxation just solved, with those cuts alone that hold it."""
        relaxed = self.relaxation
        cuts = join(relaxed.cuts, len(self.milp.cost))
        slack = cuts.upper - cuts.matrix @ relaxed.z
        size = abs(cuts.matrix) @ abs(relaxed.z)
        kept = cuts.only((slack <= _TIGHT * size) | np.isin(cuts.names, ("link", "CVaR")))
        return Node(
            lower=lower,
            upper=upper,
            relaxed_cost=relaxed.value,
            z=relaxed.z,
            reduced_cost=relaxed.reduced_cost,
            cuts=[kept, *tangents_near(self.milp, self.milp.counts(relaxed.z))],
            bound=relaxed.value + self._least_cost.beyond(relaxed.z, relaxed.price),
        )

    def ask(
        self,
        program: Milp,
        cuts: list[Cuts],
        upper: np.ndarray,
        *,
        gap: float,
        on_news: OnNews,
        work_share: float = 1.0,
        for_bound: bool = False,
    ) -> Answer:
        """Solve a program by a share of the work left; an interrupt ends the search.

        ``for_bound``: its points are no plans, so none are looked for on the way.
        """
        left = self.allowance.within(self.options, self.allowance.left * work_share)
        options = replace(left, gap=gap)
        start = None
        if for_bound:
            options = replace(options, cuts="off", heuristics="off")
        else:
            start = self._start_within(program.lower, upper)
        answer = solve_mip(
            program, cuts, upper=upper, options=options, start=start, on_news=on_news
        )
        self.allowance.spend(answer.work)
        if answer.stopped:
            if answer.z is not None and not for_bound:
                self.offer(self.whole_counts(answer.z))
            raise KeyboardInterrupt
        return answer

    def _start_within(self, lower: np.ndarray, upper: np.ndarray) -> np.ndarray | None:
        """The point of the incumbent, if it lies within the column bounds."""
        if self.incumbent is None:
            return None
        start = self.milp.point(self.incumbent)
        is_outside = (start > upper + 1e-6) | (start < lower - 1e-6)
        return None if is_outside.any() else start
