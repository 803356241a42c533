"""The search below one node: its columns opened as they pay, plans that break a limit repaired."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cloudarb_lib.allocate.problem.limits.cvar import Cvar
from cloudarb_lib.allocate.solver.answer import Answer
from cloudarb_lib.allocate.solver.milp import Cuts, Milp, rows_of, separate, tangents_near
from cloudarb_lib.allocate.solver.state import Node, Search

_FIRST_REACH = 0.0005
_LAST_REACH = 0.1
"""Columns dearer than this share of the relaxation wait until a plan proves which can be left out;
past the last reach all are opened."""
_NEAR_REACHES = 4.0
"""Up to so many first reaches above the relaxation a plan to beat is near."""
_MANY_COLUMNS = 20_000
"""So many columns are tried at first where more lie within the first reach."""
_DIVE_GAP = 5e-4
"""How near to the best of its few plans a dive looks."""
_TAIL_MARGIN = 3e-4
"""By so much a dive keeps below a limit on CVaR: tail cuts leave as much between them."""
_ROUNDING = 1e-12
"""Of sums of costs, relative: a bound nearer than this to what it is to reach has reached it."""
_KEPT_SHARES = (0.97, 0.97, 0.9, 0.6)
"""Shares of the machines of a plan that a repair tries to keep, with more cuts each time."""


@dataclass
class _Descent:
    """How far the search below a node has come."""

    node: Node
    bound_elsewhere: float
    """No plan outside the node costs less."""
    reduced_cost: np.ndarray
    """Of the counts: a plan that uses one costs at least this above the relaxation."""
    reach: float
    """Columns of a larger reduced cost are closed."""
    is_first_round: bool = True
    last_counts: np.ndarray | None = None
    rounds_without_news: int = 0

    def narrow(self, cost: float) -> None:
        """Close the columns that no plan cheaper than ``cost`` by more than the gap can use.

        Where that plan lies far above, as yesterday's may, the first reach holds in the first
        round, if it closes more. Where it lies near, one round does what two would.
        """
        affordable = cost - self.node.relaxed_cost
        is_far = affordable > _NEAR_REACHES * self.reach
        is_within = self.reduced_cost <= self.reach
        closes_more = (is_within < (self.reduced_cost <= affordable)).any()
        if self.is_first_round and is_far and closes_more:
            affordable = self.reach
        self.reach = affordable

    def widen(self) -> None:
        if self.reach >= _LAST_REACH * abs(self.node.relaxed_cost):
            self.reach = np.inf
        else:
            self.reach = max(10 * self.reach, 1e-9)

    def column_bounds(self) -> np.ndarray:
        """The upper bounds of the node, 0 for columns out of reach."""
        upper = self.node.upper.copy()
        upper[np.flatnonzero(self.reduced_cost > self.reach)] = 0.0
        return upper

    def proven_by(self, bound: float) -> float:
        """What a bound on the plans within reach proves for all plans of the node."""
        return max(self.node.bound, min(bound, self.node.relaxed_cost + self.reach))


def search_node(search: Search, node: Node, bound_elsewhere: float) -> str:
    """Search the plans of ``node`` until the gap is proven there.

    A plan that breaks a limit by a little, as tail cuts and tangents may let it, is cut off and
    repaired: few machines must move.

    Parameters
    ----------
    bound_elsewhere
        No plan outside the node costs less.

    Returns
    -------
    str
        ``optimal``, or the solver's status where it finds no plan and none is ruled out.
    """
    descent = _descent(search, node, bound_elsewhere)
    while is_open(search, node):
        if search.incumbent is not None:
            descent.narrow(search.worth_finding)
        descent.is_first_round = False
        upper = descent.column_bounds()
        answer = _best_within(search, descent, upper)
        counts = None if answer.z is None else search.whole_counts(answer.z)
        keeps_limits = counts is not None and search.offer(counts)
        node.bound = descent.proven_by(answer.bound if answer.status != "infeasible" else np.inf)
        search.prove(min(bound_elsewhere, node.bound))
        if answer.z is None or counts is None:
            if answer.status != "infeasible" or np.isinf(descent.reach):
                return answer.status
            descent.widen()
            continue
        is_news = _is_new(descent, counts)
        is_cut_off = _cut_off(search, node, answer.z)
        if keeps_limits:  # a cut then tells what the plan pays for exceeding a limit
            is_news |= is_cut_off
        else:
            is_news &= is_cut_off
            if is_cut_off and not search.done:
                repair(search, node, upper, counts)
        descent.rounds_without_news += not is_news
        if descent.rounds_without_news > 1:
            break  # what is left of the gap is the solver's own tolerance
        descent.last_counts = counts
    return "optimal"


def _descent(search: Search, node: Node, bound_elsewhere: float) -> _Descent:
    reduced_cost = node.reduced_cost[: len(search.milp.problem.assignments)]
    return _Descent(node, bound_elsewhere, reduced_cost, _first_reach(node, reduced_cost))


def dive(search: Search, node: Node) -> None:
    """Offer a plan close to the relaxation: what is whole there stays, the rest is chosen anew.

    Where the incumbent lies as close already, none is looked for.
    """
    milp = search.milp
    descent = _descent(search, node, np.inf)
    if not is_open(search, node) or search.worth_finding <= node.relaxed_cost + descent.reach:
        return
    upper = descent.column_bounds()
    whole = np.floor(milp.counts(node.z) + 1e-6)
    lower = node.lower.copy()
    lower[: len(whole)] = np.clip(whole, lower[: len(whole)], upper[: len(whole)])

    def on_news(z: np.ndarray | None, _: float) -> bool:
        if z is not None:
            search.offer(search.whole_counts(z))
        return search.done

    gap = max(search.options.gap, _DIVE_GAP)
    program = replace(milp, lower=lower)
    cuts = _with_tail_margin(node.cuts)
    answer = search.ask(program, cuts, upper, gap=gap, work_share=0.2, on_news=on_news)
    if answer.z is None:
        return
    counts = search.whole_counts(answer.z)
    keeps_limits = search.offer(counts)
    is_cut_off = _cut_off(search, node, answer.z)
    if is_cut_off and not keeps_limits and not search.done:
        repair(search, node, upper, counts)


def is_open(search: Search, node: Node) -> bool:
    """Whether the node may still hold a plan that matters, and work is left to look for it."""
    worth_finding = search.worth_finding
    is_bounded = node.bound >= worth_finding - _ROUNDING * abs(worth_finding)
    return not search.done and search.may_go_on and not is_bounded


def _first_reach(node: Node, reduced_cost: np.ndarray) -> float:
    reach = _FIRST_REACH * abs(node.relaxed_cost)
    if len(reduced_cost) > _MANY_COLUMNS:
        reach = min(reach, float(np.partition(reduced_cost, _MANY_COLUMNS)[_MANY_COLUMNS]))
    return max(reach, 0.0)


def _best_within(search: Search, descent: _Descent, upper: np.ndarray) -> Answer:
    """Ask for the best plan of the node within the column bounds ``upper``."""
    milp = search.milp
    node = descent.node
    cuts = node.cuts
    if search.incumbent is not None and (milp.point(search.incumbent) > upper + 1e-6).any():
        # the incumbent stands elsewhere: ask for a plan better by the gap, or a proof of none
        columns = np.arange(len(milp.cost))
        cuts = [*cuts, rows_of(milp, [(columns, milp.cost, -1)], "cost", search.worth_finding)]

    def on_news(z: np.ndarray | None, bound: float) -> bool:
        if z is not None:
            search.offer(search.whole_counts(z))
            _cut_off(search, node, z)
        search.prove(min(descent.bound_elsewhere, descent.proven_by(bound)))
        return search.done or bound >= search.worth_finding

    program = replace(milp, lower=node.lower)
    return search.ask(program, cuts, upper, gap=0.9 * search.options.gap, on_news=on_news)


def _is_new(descent: _Descent, counts: np.ndarray) -> bool:
    return descent.last_counts is None or not bool((counts == descent.last_counts).all())


def _cut_off(search: Search, node: Node, z: np.ndarray) -> bool:
    """Return whether an answer breaks a limit, or pays too little beyond one: it is cut off.

    At all nodes to come too.
    """
    cuts = search.violated_at(z)
    if cuts.names:
        node.cuts.append(cuts)
        search.relaxation.add(cuts)
    return bool(cuts.names)


def _with_tail_margin(cuts: list[Cuts]) -> list[Cuts]:
    """Return the cuts with those on CVaR a little tighter."""
    return [
        replace(cut, upper=cut.upper * (1 - _TAIL_MARGIN * np.isin(cut.names, Cvar.cuts)))
        for cut in cuts
    ]


def repair(search: Search, node: Node, upper: np.ndarray, plan: np.ndarray) -> None:
    """Offer the cheapest plan within ``upper`` that keeps most of one that breaks a limit."""
    milp = search.milp
    columns = np.flatnonzero(plan)
    machines = plan.sum()
    near = upper.copy()
    near[columns] = np.minimum(near[columns], plan[columns])

    def on_news(z: np.ndarray | None, _: float) -> bool:
        return z is not None and search.offer(search.whole_counts(z)) and search.done

    gap = max(search.options.gap, _DIVE_GAP)
    program: Milp = replace(milp, lower=node.lower)
    cuts = [*node.cuts, *tangents_near(milp, plan)]
    for share in _KEPT_SHARES:
        cuts.append(separate(milp, milp.point(plan), tolerance=1e-7, links=False))
        keep = rows_of(milp, [(columns, -np.ones(len(columns)), -1)], "kept", -share * machines)
        answer = search.ask(program, [*cuts, keep], near, gap=gap, work_share=0.1, on_news=on_news)
        if answer.z is not None:
            plan = search.whole_counts(answer.z)
            if search.offer(plan):
                return
