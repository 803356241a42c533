"""Hours that are taken away and bought elsewhere: a part of what a plan is expected to cost."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate, risk
from cloudarb_lib.base.types import Paths
from cloudarb_lib.testing import figures, offers, work

pytestmark = pytest.mark.slow

HOURS = 4 * 168.0
SPOT_AND_ON_DEMAND = offers(
    ("gcp", "us-a", "h8", "spot", "H100", 8.0, 16.0),
    ("gcp", "us-a", "h8", "on_demand", "H100", 8.0, 80.0),
    ("aws", "us-b", "p5", "on_demand", "H100", 8.0, 60.0),
).assign(zone="")
TAKEN = {
    "interruption_per_hour/spot/typical": 0.02,
    "outage_hours/spot/typical": 4.0,
    "fallback_share/spot/typical": 0.8,
}
DOWN = 0.02 * 4.0
AT_FIRST = DOWN * (0.1 + 0.9 * 0.8)
AT_NEXT = DOWN * 0.9 * 0.2 * 0.8
"""Shares of the hours that are bought on demand at home, and elsewhere: nine interruptions of ten
take all machines of a pool."""
EXTRA_USD_PER_HOUR = AT_FIRST * (80.0 - 16.0) + AT_NEXT * (60.0 - 16.0)


def problem_of(workload=None, *, hours=HOURS, limits=None, table=SPOT_AND_ON_DEMAND, **changes):
    workload = workload or work(16.0)
    return allocate.build_problem(
        [workload], table, assumptions=figures(**TAKEN, **changes), hours=hours, limits=limits
    )


def fact(plan, name):
    return allocate.summary(plan).set_index("fact")["value"][name]


def test_an_hour_taken_away_costs_what_its_fallbacks_ask_beyond_the_rent_saved():
    plan = allocate.solve(problem_of())
    (row,) = plan.table.to_dict("records")
    assert row["expected_cost_usd"] == pytest.approx(2 * HOURS * 16.0)
    assert row["fallback_usd"] == pytest.approx(2 * HOURS * EXTRA_USD_PER_HOUR)
    assert plan.objective_usd == pytest.approx(row["expected_cost_usd"] + row["fallback_usd"])
    assert fact(plan, "rent and fees") == pytest.approx(row["expected_cost_usd"])
    assert fact(plan, "hours bought elsewhere") == pytest.approx(row["fallback_usd"])


def test_a_plan_is_expected_to_cost_what_the_risk_pages_say():
    assumptions = figures(**TAKEN)
    n_paths = 2_000
    spot = SPOT_AND_ON_DEMAND["price_usd_per_hour"].to_numpy()
    times = pd.date_range("2026-05-07", periods=4, freq="7D", tz="UTC")
    steady = np.tile(spot[:, None, None], (1, n_paths, len(times)))
    paths = Paths(pd.Index(SPOT_AND_ON_DEMAND["offer_id"]), times, steady)
    demand = allocate.Demand([work(16.0)])
    plan = allocate.solve(problem_of())
    inputs = risk.RiskInputs(
        SPOT_AND_ON_DEMAND, paths, assumptions, horizon_h=HOURS, seed=3, demand=demand
    )
    total = risk.plan_cost(inputs, plan.table).total
    # the pages take off the rent of hours that nothing replaces: told beside, as unmet
    unmet_usd = 2 * HOURS * DOWN * 0.9 * 0.2 * 0.2 * 16.0
    error = total.std() / np.sqrt(n_paths)
    assert abs(total.mean() - (plan.objective_usd - unmet_usd)) < 4 * error
    assert error < 0.01 * plan.objective_usd


def test_a_budget_that_rent_keeps_and_fallbacks_break_is_refused_and_relieved():
    rent_usd = 2 * HOURS * 16.0
    free = allocate.solve(problem_of())
    between = (rent_usd + free.objective_usd) / 2
    tight = problem_of(limits=allocate.Limits(budget_usd=between))
    plan = allocate.solve(tight)
    assert plan.status == "infeasible"
    (mends,) = [said for said in allocate.conflicts(tight) if said.startswith("budget")]
    assert f"short by ${np.ceil(free.objective_usd - between):,.0f} " in mends
    no_outages = {"interruption_per_hour/spot/typical": 0.0}
    assert allocate.solve(
        allocate.build_problem(
            [work(16.0)],
            SPOT_AND_ON_DEMAND,
            assumptions=figures(**{**TAKEN, **no_outages}),
            hours=HOURS,
            limits=tight.limits,
        )
    ).has_plan


def test_work_of_some_worth_gives_way_to_a_budget_that_fallbacks_would_break():
    budget_usd = 2 * HOURS * 16.0 * 1.01
    valued = work(16.0, worth_usd_per_gpu_hour=20.0)
    plan = allocate.solve(problem_of(valued, limits=allocate.Limits(budget_usd=budget_usd)))
    assert plan.table["instances"].sum() == 1
    paid = plan.table[["expected_cost_usd", "fallback_usd"]].sum().sum()
    assert paid <= budget_usd


def test_spot_that_its_fallbacks_make_dearer_than_on_demand_is_left():
    dear = SPOT_AND_ON_DEMAND.assign(price_usd_per_hour=[59.0, 80.0, 60.0])
    plan = allocate.solve(problem_of(table=dear))
    assert plan.table["provider"].tolist() == ["aws"]
    assert plan.table["fallback_usd"].tolist() == [0.0]


def test_what_a_workload_does_not_accept_replaces_nothing_of_it():
    spot_only = allocate.solve(problem_of(work(16.0, options=("spot",))))
    assert spot_only.table["fallback_usd"].sum() == 0
    at_home = allocate.solve(problem_of(work(16.0, regions=("us-a",))))
    extra = 2 * HOURS * AT_FIRST * (80.0 - 16.0)
    assert at_home.table["fallback_usd"].sum() == pytest.approx(extra)


def test_a_budget_of_a_team_counts_hours_bought_elsewhere():
    team = allocate.Team("t", budget_usd=2 * HOURS * 16.0 * 1.01)
    demand = allocate.Demand([work(16.0, team="t")], teams=(team,))
    given = {"assumptions": figures(**TAKEN), "hours": HOURS}
    problem = allocate.build_problem(demand, SPOT_AND_ON_DEMAND, **given)
    assert allocate.solve(problem).status == "infeasible"


def test_scenarios_bear_hours_bought_elsewhere_by_their_chance():
    futures = (
        allocate.DemandScenario("base", 0.75),
        allocate.DemandScenario("twice", 0.25, {"w": 2.0}),
    )
    demand = allocate.Demand([work(16.0)], scenarios=futures)
    given = {"assumptions": figures(**TAKEN), "hours": HOURS}
    plan = allocate.solve(allocate.build_problem(demand, SPOT_AND_ON_DEMAND, **given))
    extra = plan.table.set_index("scenario")["fallback_usd"]
    assert extra["base"] == pytest.approx(0.75 * 2 * HOURS * EXTRA_USD_PER_HOUR)
    assert extra["twice"] == pytest.approx(0.25 * 4 * HOURS * EXTRA_USD_PER_HOUR)


def problem_under(*quotas):
    """Two spot offers, each with its own on-demand peer, for 16 GPUs at each provider."""
    gcp = ("gcp", "us-a", "h8", "spot", "H100", 8.0, 16.0)
    aws = ("aws", "us-b", "p5", "spot", "H100", 8.0, 15.0)
    spot = offers(gcp, aws).assign(zone="")
    table = pd.concat([spot, SPOT_AND_ON_DEMAND[1:]], ignore_index=True)
    works = [replace(work(16.0, providers=(name,)), name=name) for name in ("gcp", "aws")]
    demand = allocate.Demand(works, quotas=quotas)
    return allocate.build_problem(demand, table, assumptions=figures(**TAKEN), hours=HOURS)


def moving(table, *, n_paths=40, seed=0):
    """Paths of spot that move widely, of one step."""
    rng = np.random.default_rng(seed)
    price = table["price_usd_per_hour"].to_numpy()[:, None, None]
    moves = np.where(table["purchase_option"] == "spot", 0.5, 0.0)[:, None, None]
    paths = price * np.exp(moves * rng.standard_normal((len(table), n_paths, 1)))
    times = pd.date_range("2026-05-07", periods=1, freq="28D", tz="UTC")
    return Paths(pd.Index(table["offer_id"]), times, paths)


def test_cvar_is_of_rent_kept_and_of_what_lost_hours_cost_elsewhere():
    paths = moving(SPOT_AND_ON_DEMAND)
    given = {"assumptions": figures(**TAKEN), "hours": HOURS, "paths": paths}
    problem = allocate.build_problem([work(16.0)], SPOT_AND_ON_DEMAND, **given)
    plan = allocate.solve(problem)
    assert plan.table["offer_id"].tolist() == [SPOT_AND_ON_DEMAND["offer_id"][0]]
    lost = AT_FIRST + AT_NEXT
    an_hour = (1 - lost) * paths.values[0, :, 0] + AT_FIRST * 80.0 + AT_NEXT * 60.0
    on_paths = np.sort(2 * HOURS * an_hour)
    assert plan.verdict.cvar_usd == pytest.approx(on_paths[-2:].mean())  # 5 % of 40
    np.testing.assert_allclose(problem.path_costs(plan.units).mean(), plan.objective_usd)
    facts = allocate.summary(plan).set_index("fact")
    assert facts["text"]["CVaR 0.95"] == "of rent and hours bought elsewhere"


def test_cvar_with_fees_adds_what_is_certain():
    fees = {"site_fee_usd_per_week": 50, "boot_disk_usd_per_week": 10}
    given = {"assumptions": figures(**TAKEN, **fees), "hours": HOURS}
    paths = moving(SPOT_AND_ON_DEMAND)
    plan = allocate.solve(
        allocate.build_problem([work(16.0)], SPOT_AND_ON_DEMAND, paths=paths, **given)
    )
    assert fact(plan, "CVaR 0.95 with fees") - fact(plan, "CVaR 0.95") == pytest.approx(4 * 70)


def test_a_limit_on_cvar_that_rent_keeps_and_fallbacks_break_binds():
    """The least cost within it is that of all plans tried, one by one."""
    table = SPOT_AND_ON_DEMAND.assign(price_usd_per_hour=[16.0, 80.0, 22.0])
    given = {"assumptions": figures(**TAKEN), "hours": HOURS, "paths": moving(table)}
    problem = allocate.build_problem([work(32.0)], table, **given)
    free = allocate.solve(problem)
    rent_alone = np.sort(problem.paths @ problem.usage(free.counts))[-2:].mean()
    limit_usd = (rent_alone + free.verdict.cvar_usd) / 2
    assert rent_alone < limit_usd < free.verdict.cvar_usd
    plan = allocate.solve(problem.under(cvar_usd=limit_usd))
    assert plan.verdict.cvar_usd <= limit_usd
    assert plan.objective_usd > free.objective_usd
    tried = [allocate.check(problem, np.array(c)) for c in np.ndindex(5, 5, 5) if sum(c) == 4]
    kept = [each.objective_usd for each in tried if each.cvar_usd <= limit_usd]
    assert plan.objective_usd == pytest.approx(min(kept))


def test_lost_hours_cost_on_the_paths_of_their_own_scenario():
    futures = (
        allocate.DemandScenario("base", 0.75),
        allocate.DemandScenario("none", 0.25, {"w": 0.0}),
    )
    demand = allocate.Demand([work(16.0)], scenarios=futures)
    given = {"assumptions": figures(**TAKEN), "hours": HOURS}
    paths = moving(SPOT_AND_ON_DEMAND)
    problem = allocate.build_problem(demand, SPOT_AND_ON_DEMAND, paths=paths, **given)
    costs = problem.path_costs(allocate.solve(problem).units)
    lost = AT_FIRST + AT_NEXT
    an_hour = (1 - lost) * paths.values[0, :30, 0] + AT_FIRST * 80.0 + AT_NEXT * 60.0
    np.testing.assert_allclose(costs, [*(2 * HOURS * an_hour), *np.zeros(10)])


ON_DEMAND = ("on_demand",)


@pytest.mark.parametrize(
    ("quotas", "unmet"),
    [
        ((), 0.0),
        ((allocate.Quota(option=ON_DEMAND, gpus=16.0),), 16.0),  # shared: not 16 for each of two
        ((allocate.Quota(option=ON_DEMAND, gpus=32.0),), 0.0),
        ((allocate.Quota(gpus=32.0),), 0.0),  # what is lost leaves the quota it held
        ((allocate.Quota(("gcp",), option=ON_DEMAND, gpus=0.0),), 16.0),
    ],
)
def test_a_plan_tells_what_finds_no_room_if_all_spot_goes(quotas, unmet):
    plan = allocate.solve(problem_under(*quotas))
    assert plan.table["gpus"].sum() == 32
    assert fact(plan, "finds no room elsewhere") == unmet
    facts = allocate.summary(plan).set_index("fact")
    assert facts["text"]["finds no room elsewhere"].startswith("of 32 that may")


def one_quota(gpus):
    """A plan of 32 GPUs of spot under a quota on all on-demand machines, and its demand."""
    demand = allocate.Demand([work(32.0)], quotas=(allocate.Quota(option=ON_DEMAND, gpus=gpus),))
    given = {"assumptions": figures(**TAKEN), "hours": HOURS}
    return allocate.solve(allocate.build_problem(demand, SPOT_AND_ON_DEMAND, **given)), demand


def cost_on_risk_pages(plan, demand, table, n_paths):
    """The cost of a plan at steady prices as the risk pages draw it."""
    times = pd.date_range("2026-05-07", periods=4, freq="7D", tz="UTC")
    steady_usd = table["price_usd_per_hour"].to_numpy()[:, None, None]
    paths = Paths(pd.Index(table["offer_id"]), times, np.tile(steady_usd, (1, n_paths, 4)))
    inputs = risk.RiskInputs(table, paths, figures(**TAKEN), horizon_h=HOURS, seed=3, demand=demand)
    return risk.plan_cost(inputs, plan.table)


@pytest.mark.parametrize("quota_gpus", [32.0, 16.0, 8.0])
def test_a_plan_tells_what_it_is_expected_not_to_serve_as_the_risk_pages_do(quota_gpus):
    plan, demand = one_quota(quota_gpus)
    assert plan.table["offer_id"].tolist() == [SPOT_AND_ON_DEMAND["offer_id"][0]]
    cost = cost_on_risk_pages(plan, demand, SPOT_AND_ON_DEMAND, 2_000)
    unmet = cost.unmet_gpu_hours
    error = unmet.std() / np.sqrt(len(unmet))
    assert abs(fact(plan, "hours not replaced") - unmet.mean()) < 4 * error
    full_everywhere = 4 * HOURS * DOWN * 0.9 * 0.2 * 0.2  # instance-hours: their rent is saved
    facts = allocate.summary(plan).set_index("fact")["value"]
    counted_usd = facts.get("counted for hours not replaced", 0.0)
    total = cost.total
    error = total.std() / np.sqrt(len(total))
    told_usd = plan.objective_usd - counted_usd - full_everywhere * 16.0
    assert abs(told_usd - total.mean()) < 4 * error
    assert (counted_usd > 0) == (quota_gpus < 32)


def test_what_is_not_served_by_hand():
    plan, _ = one_quota(16.0)
    # two of four machines find room where all of the pool go, and one that goes alone does
    no_room = 2 * DOWN * 0.9 * (0.8 + 0.2 * 0.8)
    full = 4 * DOWN * 0.9 * 0.2 * 0.2
    assert fact(plan, "hours not replaced") == pytest.approx(8 * HOURS * (no_room + full))
    usd_per_hour = 2 * DOWN * 0.9 * (0.8 * 80.0 + 0.2 * 0.8 * 60.0)
    assert fact(plan, "counted for hours not replaced") == pytest.approx(HOURS * usd_per_hour)


def pools_at_one_room(n_pools, *, often=0.1):
    """A plan of a machine of spot in each of several regions under a quota for one of them."""
    spot = [("gcp", f"us-{k}", "h8", "spot", "H100", 8.0, 16.0) for k in range(n_pools)]
    on_demand = ("gcp", "us-0", "h8", "on_demand", "H100", 8.0, 80.0)
    table = offers(*spot, on_demand).assign(zone="")
    workloads = [
        replace(work(8.0, regions=(f"us-{k}", "us-0")), name=f"w{k}") for k in range(n_pools)
    ]
    quotas = (
        allocate.Quota(option=ON_DEMAND, gpus=8.0),
        *(allocate.Quota(region=(f"us-{k}",), option=("spot",), gpus=8.0) for k in range(n_pools)),
    )
    demand = allocate.Demand(workloads, quotas=quotas)
    taken = TAKEN | {
        "interruption_per_hour/spot/typical": often / 4.0,
        "fallback_share/spot/typical": 1.0,
        "interruption_shared_share": 1.0,
    }
    problem = allocate.build_problem(demand, table, assumptions=figures(**taken), hours=HOURS)
    plan = allocate.solve(problem)
    assert plan.table["offer_id"].nunique() == n_pools
    return plan


def test_pools_that_are_gone_together_find_less_room():
    share = 0.1
    # two of two are gone together in a hundredth of the hours: one of them finds room
    plan = pools_at_one_room(2, often=share)
    assert fact(plan, "hours not replaced") == pytest.approx(8 * HOURS * share**2)
    # of three, two find none where all are gone, one where two are
    plan = pools_at_one_room(3, often=share)
    machines = 2 * share**3 + 3 * share**2 * (1 - share)
    assert fact(plan, "hours not replaced") == pytest.approx(8 * HOURS * machines)


def test_many_pools_are_weighed_each_by_itself():
    assert fact(pools_at_one_room(7), "hours not replaced") == 0.0  # each alone finds room


def test_what_is_not_served_counts_by_the_chance_of_a_scenario():
    futures = (
        allocate.DemandScenario("base", 0.75),
        allocate.DemandScenario("none", 0.25, {"w": 0.0}),
    )
    quotas = (allocate.Quota(option=ON_DEMAND, gpus=16.0),)
    demand = allocate.Demand([work(32.0)], scenarios=futures, quotas=quotas)
    given = {"assumptions": figures(**TAKEN), "hours": HOURS}
    plan = allocate.solve(allocate.build_problem(demand, SPOT_AND_ON_DEMAND, **given))
    certain, _ = one_quota(16.0)
    for name in ("hours not replaced", "counted for hours not replaced"):
        assert fact(plan, name) == pytest.approx(0.75 * fact(certain, name))


def test_what_no_quota_lets_be_rented_replaces_nothing():
    none_at_home = allocate.Quota(("gcp",), option=ON_DEMAND, gpus=7.0)  # less than a machine
    demand = allocate.Demand([work(16.0)], quotas=(none_at_home,))
    given = {"assumptions": figures(**TAKEN), "hours": HOURS}
    plan = allocate.solve(allocate.build_problem(demand, SPOT_AND_ON_DEMAND, **given))
    extra = 2 * HOURS * AT_FIRST * (60.0 - 16.0)  # elsewhere at first, and then nowhere
    assert plan.table["fallback_usd"].sum() == pytest.approx(extra)
    none = allocate.Quota(option=ON_DEMAND, gpus=0.0)
    demand = allocate.Demand([work(16.0)], quotas=(none,))
    plan = allocate.solve(allocate.build_problem(demand, SPOT_AND_ON_DEMAND, **given))
    assert plan.table["fallback_usd"].sum() == 0.0
