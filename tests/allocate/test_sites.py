"""Sets of sites: what one of them shows is known at all others."""

import numpy as np
import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.allocate.solver import descent
from cloudarb_lib.allocate.solver.known import Known
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.allocate.solver.sites import nodes_at
from cloudarb_lib.allocate.solver.state import Search

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
