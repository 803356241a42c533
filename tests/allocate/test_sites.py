"""Sets of sites: what one of them shows is known at all others."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.allocate.solver import descent
from cloudarb_lib.allocate.solver.known import Known
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.allocate.solver.sites import nodes_at, search_by_sites
from cloudarb_lib.allocate.solver.state import Node, Search

pytestmark = pytest.mark.slow

OPTIONS = allocate.SolveOptions(gap=1e-6, time_limit_s=60.0)


def safer_than_the_cheapest(share: float, *, n_sites: int = 6) -> allocate.Problem:
    """Six machines over sites of three, a fee each; CVaR is a share of the cheapest plan's."""
    rng = np.random.default_rng(5)
    at = np.arange(n_sites)
    price = rng.uniform(1.0, 1.3, n_sites)
    paths = price * np.exp(rng.normal(0.0, 0.4, (40, n_sites)))
    names = [f"place {i}" for i in at]
    slots = pd.DataFrame({"offer_id": names, "pool": at, "region": at, "site": at})
    slots = slots.assign(period=0, provider="p", on_demand=False, gpus=1.0)
    each = {"cover": 1.0, "hours": 10.0, "instances": 1.0, "pool_use": 1.0, "sure_usd": 0.0}
    problem = allocate.Problem(
        demands=pd.DataFrame({"workload": ["w"], "need": [6.0], "unmet_usd": [np.inf]}),
        slots=slots.assign(list_price=price, mean_price=paths.mean(axis=0)),
        assignments=pd.DataFrame({"demand": 0, "slot": at, "most": 3.0, **each}),
        pools=pd.DataFrame({"name": names, "capacity": 3.0}),
        sites=pd.DataFrame({"name": names, "fee_usd": 5.0}),
        paths=paths,
        limits=allocate.Limits(cvar_level=0.9),
    )
    return problem.under(cvar_usd=share * allocate.solve(problem).verdict.cvar_usd)


def test_why_sites_hold_no_plan_rules_out_others_too(monkeypatch):
    """Were it forgotten, seventeen sets of sites would be asked for until the plan is proven."""
    problem = safer_than_the_cheapest(0.85)
    ask = Search.ask
    sets_asked_for = []

    def count(search, *arguments, for_bound=False, **options):
        sets_asked_for.append(for_bound)
        return ask(search, *arguments, for_bound=for_bound, **options)

    monkeypatch.setattr(Search, "ask", count)
    assert allocate.solve(problem, OPTIONS).status == "optimal"
    assert 0 < sum(sets_asked_for) < 15


def test_what_cuts_off_a_plan_at_some_sites_holds_at_others():
    problem = safer_than_the_cheapest(0.85)
    risky = allocate.solve(problem.under(cvar_usd=None)).units
    search = Search(to_milp(problem), OPTIONS, Known())
    search.relaxation.solve(search.allowance)  # without the cuts that its own point violates
    milp = search.milp
    descent.search_node(search, search.node_here(milp.lower, milp.upper), np.inf)
    other = search.node_here(milp.lower, milp.upper)
    beyond = [
        (cuts.matrix @ milp.point(risky) - cuts.upper).max(initial=0.0) for cuts in other.cuts
    ]
    assert max(beyond) > 1.0


def test_sites_of_a_session_that_hold_no_plan_today_are_no_node():
    """The first relaxation of the search then has no point."""
    search = Search(to_milp(safer_than_the_cheapest(1.0)), OPTIONS, Known())
    nowhere = np.zeros(len(search.milp.site_columns))
    assert nodes_at(search, [nowhere]) == []
    assert len(nodes_at(search, [nowhere, nowhere + 1])) == 1


def searched_from_the_best_plan() -> tuple[Search, Node, list[Node]]:
    """A search that knows the best plan, its root, and the node of the sites of that plan."""
    problem = safer_than_the_cheapest(0.85)
    search = Search(to_milp(problem), OPTIONS, Known())
    milp = search.milp
    search.offer(allocate.solve(problem, OPTIONS).units)
    assert search.incumbent is not None
    nodes = nodes_at(search, [milp.point(search.incumbent)[milp.site_columns]])
    assert search.solve_relaxation() == "optimal"
    return search, search.node_here(milp.lower, milp.upper), nodes


def test_sites_that_can_hold_no_better_plan_are_no_node(monkeypatch):
    """Each set of sites that is gone into takes a relaxation."""
    search, root, nodes = searched_from_the_best_plan()
    ask = Search.ask
    relax = Search.solve_relaxation
    bounds_of_others = []
    relaxed = []

    def note_bound(search, *arguments, for_bound=False, **options):
        answer = ask(search, *arguments, for_bound=for_bound, **options)
        if for_bound:
            bounds_of_others.append(answer.bound)
        return answer

    def note_relaxation(search):
        relaxed.append(relax(search))
        return relaxed[-1]

    monkeypatch.setattr(Search, "ask", note_bound)
    monkeypatch.setattr(Search, "solve_relaxation", note_relaxation)
    assert search_by_sites(search, root, nodes) == "optimal"
    assert search.done
    is_better = np.array(bounds_of_others) < search.worth_finding
    assert 0 < len(relaxed) == is_better.sum() < len(is_better)


def test_where_the_best_plan_stands_elsewhere_only_one_better_by_the_gap_is_asked_for(monkeypatch):
    search, root, _ = searched_from_the_best_plan()
    ask = Search.ask
    dearest = []

    def note(search, program, cuts, upper, **options):
        rows = [cut.upper for cut in cuts if cut.names == ["cost"]]
        dearest.append(float(rows[0][0]) if rows else np.inf)
        return ask(search, program, cuts, upper, **options)

    monkeypatch.setattr(Search, "ask", note)
    assert search.incumbent is not None
    elsewhere = root.upper.copy()
    elsewhere[np.flatnonzero(search.milp.point(search.incumbent) > 0)[0]] = 0.0
    root.upper = elsewhere
    descent.search_node(search, root, np.inf)
    assert dearest[0] == search.worth_finding < search.cost
    assert root.bound >= search.worth_finding


@pytest.mark.parametrize(("above", "is_opened"), [(0.001, True), (0.01, False)])
def test_the_first_round_opens_all_that_pays_where_the_plan_to_beat_is_near(
    above, is_opened, monkeypatch
):
    """A column beyond the first reach, 0.05 %, that pays for a plan so far above the relaxation."""
    search, root, _ = searched_from_the_best_plan()
    ask = Search.ask
    uppers = []

    def note(search, program, cuts, upper, **options):
        uppers.append(upper)
        return ask(search, program, cuts, upper, **options)

    monkeypatch.setattr(Search, "ask", note)
    root.relaxed_cost = (1 - above) * search.worth_finding
    root.reduced_cost = np.zeros(len(search.milp.cost))
    root.reduced_cost[0] = 0.0008 * search.worth_finding
    descent.search_node(search, root, np.inf)
    assert (uppers[0][0] > 0) == is_opened
