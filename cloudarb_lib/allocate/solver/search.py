"""The search for the best plan, and the proof of how far from it a plan can be."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.plan import Plan, counts_of
from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.allocate.solver import descent
from cloudarb_lib.allocate.solver.known import Known
from cloudarb_lib.allocate.solver.options import SolveOptions
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.allocate.solver.sites import nodes_at, only_lasting, search_by_sites
from cloudarb_lib.allocate.solver.state import Search
from cloudarb_lib.base.errors import SolveError
from cloudarb_lib.base.tracing import traced

FEW_SITES = 40
"""So many sites with a fee are decided before the counts at them."""
_LINKS_AT_ONCE = 20_000
"""So many links are all added at once, not as they are violated."""
PROVEN = 1e-6
"""Relative gap under which a plan is called optimal."""


def solve(
    problem: Problem, options: SolveOptions | None = None, *, start: pd.DataFrame | None = None
) -> Plan:
    """Return the best plan found, proven as far as its limits allow, and checked apart.

    The relaxation is tightened by links, knapsacks, tail cuts and tangents until none is violated.
    Few sites are decided first, the counts at them next (``search_by_sites``); what that leaves
    open, and problems of many sites, go to the solver whole. Plans that break a limit are cut off
    and the solver asked again. Ctrl-C ends the search with the best plan so far (status
    ``interrupted``).

    Parameters
    ----------
    start
        Yesterday's plan (table ``plan``): as it is where it still keeps the limits, else repaired,
        it is the plan to beat.

    Raises
    ------
    SolveError
        A solver is missing or fails, or the plan found does not pass ``check``.
    """
    return solve_from(problem, options or SolveOptions(), Known(), start)


@traced("solve")
def solve_from(
    problem: Problem, options: SolveOptions, known: Known, start: pd.DataFrame | None
) -> Plan:
    """Return the best plan as ``solve`` does, from what is known, and add to it."""
    search = Search(to_milp(problem), options, known)
    plans = known.counts(problem) if start is None else [counts_of(problem, start)]
    try:
        for counts in plans:
            search.offer(counts)
        search.prove(known.bound_usd(problem))
        status = _run(search, _site_sets(search, known, plans))
    except KeyboardInterrupt:  # in a notebook or a shell: the best so far, with its proven gap
        if search.incumbent is None and not search.is_stopped:
            raise
        status = "within_gap" if search.done else "interrupted"
    plan = search.plan(status)
    if plan.has_plan and plan.verdict.broken:
        raise SolveError(f"the plan found breaks {plan.verdict.broken[0]}.", "Report this.")
    known.learn(plan, search.relaxation.usages_cut_off, search.site_sets)
    return plan


def _site_sets(search: Search, known: Known, plans: list[np.ndarray]) -> list[np.ndarray]:
    """Return the sets of sites to begin with: that of the best plan so far, then those known."""
    milp = search.milp
    counts = plans[0] if search.incumbent is None and plans else search.incumbent
    if counts is None or not 0 < len(milp.site_columns) <= FEW_SITES:
        return []
    sets = [milp.point(counts)[milp.site_columns], *known.sites(milp)]
    return [sites for i, sites in enumerate(sets) if not _is_among(sites, sets[:i])]


def _is_among(sites: np.ndarray, sets: list[np.ndarray]) -> bool:
    return any(np.array_equal(sites, other) for other in sets)


def _run(search: Search, site_sets: list[np.ndarray]) -> str:
    """Search from the sets of sites to begin with, and return how it ended."""
    if search.done:
        return _final_status(search, "optimal")
    milp = search.milp
    nodes = nodes_at(search, site_sets)
    status = search.solve_relaxation()
    if status == "unknown":
        return _final_status(search, _search_whole(search))
    if status != "optimal":
        return _final_status(search, status)
    if len(milp.links.names) <= _LINKS_AT_ONCE:
        lasting = [only_lasting(cuts) for cuts in search.relaxation.cuts]
        search.relaxation.cuts = [*lasting, milp.links]
    root = search.node_here(milp.lower, milp.upper)
    search.prove(root.bound)
    if 0 < len(milp.site_columns) <= FEW_SITES:
        status = search_by_sites(search, root, nodes)
    if status == "optimal" and not search.done:
        descent.dive(search, root)
        status = descent.search_node(search, root, np.inf)
    return _final_status(search, status)


def _search_whole(search: Search) -> str:
    """Search by the MIP solver alone, where HiGHS comes to no verdict on the relaxation.

    Returns
    -------
    str
        ``optimal``, or the solver's status where it finds no plan.
    """
    milp = search.milp
    cuts = [milp.links]

    def on_news(z: np.ndarray | None, _: float) -> bool:
        return z is not None and search.offer(search.whole_counts(z)) and search.done

    while search.may_go_on and not search.done:
        gap = 0.9 * search.options.gap
        answer = search.ask(milp, cuts, milp.upper, gap=gap, on_news=on_news)
        if answer.z is None:
            return answer.status
        search.offer(search.whole_counts(answer.z))
        search.prove(answer.bound)
        violated = search.violated_at(answer.z)
        if not violated.names:
            break
        cuts.append(violated)
    return "optimal"


def _final_status(search: Search, status: str) -> str:
    if search.incumbent is None:
        if status == "unknown":
            raise SolveError(
                "the solver comes to no verdict.", "Name another in SolveOptions, or other limits."
            )
        if status in ("infeasible", "unbounded"):
            return status
        return "interrupted" if search.is_stopped else f"{_limit(search)}_without_plan"
    if search.cost - search.bound <= PROVEN * max(abs(search.cost), 1e-9):
        return "optimal"
    if search.done:
        return "within_gap"
    return "interrupted" if search.is_stopped else f"{_limit(search)}_with_plan"


def _limit(search: Search) -> str:
    """Return what ended a search short of its gap: the clock, or limits that are counted."""
    is_timed = search.options.solver != "highs" or search.allowance.is_late
    return "time_limit" if is_timed else "work_limit"
