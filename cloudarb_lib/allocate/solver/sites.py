"""Sites decided first, counts at them next: a tree of two levels, best bound first.

A fee is what the relaxation bounds worst: with the sites chosen it lies within 0.1 % of the best
plan. The program with whole sites but parts of machines is therefore small and nearly exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from cloudarb_lib.allocate.solver import descent
from cloudarb_lib.allocate.solver.answer import Answer
from cloudarb_lib.allocate.solver.milp import NEAR, Cuts, Milp, distinct, join, rows_of
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
    cuts_of_none: list[Cuts] = field(default_factory=list)
    """Found where a set of sites turned out to hold no plan: why it holds none."""

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


def nodes_at(search: Search, site_sets: list[np.ndarray]) -> list[Node]:
    """Return the nodes of the plans at sets of sites, and look for a first plan at the first.

    Parameters
    ----------
    site_sets
        Values of the columns of sites, each.

    Returns
    -------
    list[Node]
        Without those of no plans, or without a verdict.
    """
    nodes: list[Node] = []
    for sites in site_sets:
        _, node = _node_at(search, sites)
        if node is not None:
            nodes.append(node)
            if len(nodes) == 1:
                descent.dive(search, node)
    return nodes


def search_by_sites(search: Search, root: Node, nodes: list[Node]) -> str:
    """Search set after set of sites until the gap is proven, or no set can be better.

    The sites of the answer of the program with whole sites become a node, which that program must
    avoid from then on; its bound holds for all plans at other sites.

    Parameters
    ----------
    nodes
        Of sets of sites to begin with.

    Returns
    -------
    str
        ``infeasible`` where no set of sites holds a plan, else ``optimal``.
    """
    tree = _SiteTree(root, _sites_program(search.milp), root.bound, nodes)
    columns = search.milp.site_columns
    tree.avoided += [_avoided(search.milp, node.lower[columns]) for node in nodes]
    for _ in range(_MOST_ROUNDS):
        search.prove(tree.bound)
        if search.done or not search.may_go_on:
            break
        node = tree.least_node()
        if node is not None and descent.is_open(search, node) and _is_next(search, tree, node):
            bound_before = node.bound
            descent.search_node(search, node, tree.bound_without(node))
            if node.bound <= bound_before:  # the solver's tolerance, or a limit
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
        if tree.bound_of_others < search.worth_finding:  # else only nodes may hold a better plan
            _add_node(search, tree, np.round(answer.z[columns]))
    search.site_sets = [(node.bound, node.lower[columns]) for node in tree.nodes]
    return "optimal"


def _sites_program(milp: Milp) -> Milp:
    is_whole = np.zeros(len(milp.cost), bool)
    is_whole[milp.site_columns] = True
    is_whole[milp.place_columns] = True
    return replace(milp, integer=is_whole)


def _is_next(search: Search, tree: _SiteTree, node: Node) -> bool:
    """Whether a node is to be searched before others are asked for."""
    if search.incumbent is None:
        return True
    return node.bound * (1 - search.options.gap / 4) <= tree.bound_of_others


def _next_sites(search: Search, tree: _SiteTree, reach: float) -> Answer:
    """Ask for the best set of sites that has not been tried.

    Columns whose reduced cost at the root exceeds ``reach`` are in no plan worth finding.
    """
    upper = search.milp.upper.copy()
    counts = len(search.milp.problem.assignments)
    upper[np.flatnonzero(tree.root.reduced_cost[:counts] > reach)] = 0.0
    cuts = [only_lasting(cut) for node in tree.nodes for cut in node.cuts]
    lasting = distinct(join([*tree.root.cuts, *cuts, *tree.cuts_of_none], len(upper)))
    gap = float(np.clip(search.options.gap / 10, 1e-6, 1e-4))
    return search.ask(
        tree.sites_program,
        [lasting, *tree.avoided],
        upper,
        gap=gap,
        work_share=0.4,
        on_news=lambda _, bound: bound >= search.worth_finding,
        for_bound=True,
    )


def only_lasting(cuts: Cuts) -> Cuts:
    """Return the cuts without links and tangents near a plan, which each program takes anew."""
    return cuts.only(~np.isin(cuts.names, ("link", NEAR)))


def _add_node(search: Search, tree: _SiteTree, sites: np.ndarray) -> None:
    """Add the node of the plans at these sites, if there are any, and avoid them from now on."""
    tree.avoided.append(_avoided(search.milp, sites))
    cuts_before = len(search.relaxation.cuts)
    status, node = _node_at(search, sites)
    if status == "infeasible":
        tree.cuts_of_none += [only_lasting(cut) for cut in search.relaxation.cuts[cuts_before:]]
        return
    if node is None:  # a limit, or no verdict: what bounds all plans bounds these
        root = tree.root
        lower, upper = _bounds_at(search.milp, sites)
        node = replace(root, lower=lower, upper=upper, cuts=[*root.cuts])
    tree.nodes.append(node)
    descent.dive(search, node)


def _avoided(milp: Milp, sites: np.ndarray) -> Cuts:
    """Return a row that the plans at these sites break, and no other."""
    parts = [(milp.site_columns, 2 * sites - 1, -1)]
    return rows_of(milp, parts, "sites", sites.sum() - 1)


def _node_at(search: Search, sites: np.ndarray) -> tuple[str, Node | None]:
    """Return the status of the relaxation at these sites, and the node where it is optimal."""
    milp = search.milp
    columns = milp.site_columns
    search.relaxation.bound(columns, sites, sites)
    status = search.solve_relaxation()
    node = search.node_here(*_bounds_at(milp, sites)) if status == "optimal" else None
    search.relaxation.bound(columns, milp.lower[columns], milp.upper[columns])
    return status, node


def _bounds_at(milp: Milp, sites: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the column bounds of the plans at these sites."""
    lower = milp.lower.copy()
    upper = milp.upper.copy()
    lower[milp.site_columns] = sites
    upper[milp.site_columns] = sites
    return lower, upper
