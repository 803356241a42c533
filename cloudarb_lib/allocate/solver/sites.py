"""Sites decided first, counts at them next: a tree of two levels, best bound first.

A fee is what the relaxation bounds worst: with the sites chosen it lies within 0.1 % of the best
plan. The program with whole sites but parts of machines is therefore small and nearly exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from cloudarb_lib.allocate.solver.answer import Answer
from cloudarb_lib.allocate.solver.descent import search_node
from cloudarb_lib.allocate.solver.milp import Cuts, Milp, rows_of
from cloudarb_lib.allocate.solver.state import Node, Search

_MOST_ROUNDS = 30
"""Sets of sites that are tried, and nodes that are gone into, taken together."""


@dataclass
class _SiteTree:
    """The sets of sites tried so far, each a node, and what bounds the plans at all others."""

    root: Node
    sites_program: Milp
    """Whole sites, and jobs whole at each; parts of machines."""
    bound_of_others: float
    nodes: list[Node] = field(default_factory=list)
    avoided: list[Cuts] = field(default_factory=list)
    """A row that each set of sites tried breaks, and no other."""

    @property
    def bound(self) -> float:
        return self.bound_without(None)

    def bound_without(self, left_out: Node | None) -> float:
        bounds = (node.bound for node in self.nodes if node is not left_out)
        return min([self.bound_of_others, *bounds])

    def least_node(self) -> Node | None:
        """Return the node of the least bound, of those that may hold a plan."""
        open_nodes = (node for node in self.nodes if np.isfinite(node.bound))
        return min(open_nodes, key=lambda node: node.bound, default=None)


def search_by_sites(search: Search, root: Node, yesterday: np.ndarray | None) -> str:
    """Search set after set of sites until the gap is proven, or no set can be better.

    The sites of the answer of the program with whole sites become a node, which that program must
    avoid from then on; its bound holds for all plans at other sites.

    Parameters
    ----------
    yesterday
        Counts of a plan whose sites are tried first.

    Returns
    -------
    str
        ``infeasible`` where no set of sites holds a plan, else ``optimal``.
    """
    is_site = np.zeros(len(search.milp.cost), bool)
    is_site[search.milp.site_columns] = True
    is_site[search.milp.place_columns] = True
    tree = _SiteTree(root, replace(search.milp, integer=is_site), root.bound)
    if yesterday is not None:
        _add_node(search, tree, search.milp.point(yesterday)[search.milp.site_columns])
    for _ in range(_MOST_ROUNDS):
        search.prove(tree.bound)
        if search.done or search.left_s <= 0:
            break
        node = tree.least_node()
        if node is not None and (
            search.incumbent is None
            or node.bound * (1 - search.options.gap / 4) <= tree.bound_of_others
        ):
            bound_before = node.bound
            search_node(search, node, tree.bound_without(node))
            if node.bound <= bound_before:  # the solver's tolerance, or time
                break
            continue
        reach = search.worth_finding - root.relaxed_cost
        answer = _next_sites(search, tree, reach)
        if answer.status == "infeasible":
            tree.bound_of_others = root.relaxed_cost + reach
            if np.isinf(tree.bound):
                return "infeasible"
            continue
        bound = min(answer.bound, root.relaxed_cost + reach)
        tree.bound_of_others = max(tree.bound_of_others, bound)
        if answer.z is None:
            break
        _add_node(search, tree, np.round(answer.z[search.milp.site_columns]))
    return "optimal"


def _next_sites(search: Search, tree: _SiteTree, reach: float) -> Answer:
    """Ask for the best set of sites that has not been tried.

    Columns whose reduced cost at the root exceeds ``reach`` are in no plan worth finding.
    """
    upper = search.milp.upper.copy()
    counts = len(search.milp.problem.assignments)
    upper[np.flatnonzero(tree.root.reduced_cost[:counts] > reach)] = 0.0
    cuts = [only_lasting(cut) for node in tree.nodes for cut in node.cuts]
    gap = float(np.clip(search.options.gap / 10, 1e-6, 1e-4))
    return search.ask(
        tree.sites_program,
        [*tree.root.cuts, *cuts, *tree.avoided],
        upper,
        gap=gap,
        time_share=0.4,
        on_news=lambda _, bound: bound >= search.worth_finding,
        for_bound=True,
    )


def only_lasting(cuts: Cuts) -> Cuts:
    """Return the cuts without links, which each program has already or takes anew."""
    return cuts.only(~np.isin(cuts.names, "link"))


def _add_node(search: Search, tree: _SiteTree, sites: np.ndarray) -> None:
    """Add the node of the plans at these sites, if there are any, and avoid them from now on."""
    milp = search.milp
    columns = milp.site_columns
    parts = [(columns, 2 * sites - 1, -1)]
    tree.avoided.append(rows_of(milp, parts, "sites", sites.sum() - 1))
    lower = milp.lower.copy()
    upper = milp.upper.copy()
    lower[columns] = sites
    upper[columns] = sites
    search.relaxation.bound(columns, sites, sites)
    status = search.solve_relaxation()
    if status == "optimal":
        tree.nodes.append(search.node_here(lower, upper))
    elif status != "infeasible":
        # out of time, or no verdict: what bounds all plans bounds these
        tree.nodes.append(replace(tree.root, lower=lower, upper=upper, cuts=[*tree.root.cuts]))
    search.relaxation.bound(columns, milp.lower[columns], milp.upper[columns])
