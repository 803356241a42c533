"""What is left of a demand whose work gave way by priority, as further questions ask it."""

from dataclasses import replace

import pytest

from cloudarb_lib import allocate
from cloudarb_lib.testing import OFFERS, figures, work

TEAMS = (allocate.Team("first", priority=1), allocate.Team("last", priority=2))
FIRST = work(16, team="first", options=("spot",), regions=("us-a",))
"""The place has room for 32 GPUs."""
LAST = replace(FIRST, name="last", team="last")


def served(demand: allocate.Demand, hours=168.0) -> tuple[allocate.Problem, allocate.Demand]:
    """The problem of what is served of a demand, and that demand."""
    planned = replace(demand, current=())
    problem = allocate.build_problem(planned, OFFERS, assumptions=figures(), hours=hours)
    problem = allocate.by_priority(problem)
    return problem, allocate.what_is_served(demand, problem)


def amounts(demand: allocate.Demand) -> dict[str, float]:
    return {w.name: w.count * w.amount for w in demand.workloads}


def test_of_jobs_alike_there_are_fewer():
    _, left = served(allocate.Demand([FIRST, replace(LAST, amount=8, count=3)], teams=TEAMS))
    last = left.workloads[1]
    assert (last.count, last.amount) == (2, 8)


def test_each_period_loses_what_it_cannot_have():
    by_period = replace(LAST, amount=32, amounts=(32.0, 8.0))
    _, left = served(allocate.Demand([FIRST, by_period], teams=TEAMS), hours=[168.0, 168.0])
    assert left.workloads[1].amounts == (16, 8)
    assert left.workloads[0] == FIRST


def test_each_scenario_loses_what_it_cannot_have():
    futures = (
        allocate.DemandScenario("base", 0.5),
        allocate.DemandScenario("surge", 0.5, {"last": 2.0}),
    )
    _, left = served(allocate.Demand([FIRST, LAST], scenarios=futures, teams=TEAMS))
    assert amounts(left) == {"w": 16, "last": 16}
    assert [s.factors for s in left.scenarios] == [{"w": 1, "last": 1}, {"w": 1, "last": 1}]


def test_work_of_which_nothing_is_served_is_gone_and_so_is_what_runs_for_it():
    running = (allocate.Placement("last", "gcp/us-a//h8/spot/", 2),)
    demand = allocate.Demand([replace(FIRST, amount=32), LAST], teams=TEAMS, current=running)
    _, left = served(demand)
    assert amounts(left) == {"w": 32}
    assert left.current == ()


def test_a_demand_of_which_all_is_served_stays():
    demand = allocate.Demand([FIRST, LAST], teams=TEAMS)
    problem = allocate.build_problem(demand, OFFERS, assumptions=figures())
    assert allocate.what_is_served(demand, problem) is demand
    plan = allocate.solve(problem)
    assert allocate.as_planned(problem, plan.table) is problem


def test_a_plan_says_what_it_leaves_undone_unless_its_offers_are_gone():
    demand = allocate.Demand([FIRST, replace(LAST, amount=24)], teams=TEAMS)
    problem, _ = served(demand)
    plan = allocate.solve(problem)
    whole = allocate.build_problem(demand, OFFERS, assumptions=figures())
    assert allocate.as_planned(whole, plan.table).need.tolist() == problem.need.tolist()
    gone = plan.table.assign(offer_id="gcp/us-z//h8/spot/")
    assert allocate.as_planned(whole, gone) is whole


def test_work_without_a_priority_that_cannot_be_served_stays_a_conflict():
    problem, left = served(
        allocate.Demand([replace(FIRST, amount=64, team=None), LAST], teams=TEAMS)
    )
    assert allocate.solve_by_priority(problem).status == "infeasible"
    assert amounts(left) == {"w": 64, "last": 16}


@pytest.mark.parametrize("budget_usd", [3000.0, 5000.0])
def test_priorities_decide_what_a_budget_pays_for(budget_usd):
    demand = allocate.Demand([LAST, FIRST], teams=TEAMS)
    limits = allocate.Limits(budget_usd=budget_usd)
    plan = allocate.solve_by_priority(
        allocate.build_problem(demand, OFFERS, assumptions=figures(), limits=limits)
    )
    assert plan.objective_usd <= budget_usd
    gpus = plan.table.groupby("workload")["gpus"].sum()
    # a machine of eight costs 16 USD an hour: 2,700 a week and a little more
    assert gpus.to_dict() == {"w": 8.0}


@pytest.mark.slow
def test_work_that_must_survive_a_loss_gives_way_with_what_it_keeps_spare():
    safe = work(48, team="last", survives_loss_of="region", options=("spot",), regions=("us-*",))
    demand = allocate.Demand([FIRST, replace(safe, name="safe")], teams=TEAMS)
    problem = allocate.build_problem(demand, OFFERS, assumptions=figures())
    assert allocate.solve(problem).status == "infeasible"
    plan = allocate.solve_by_priority(problem)
    gpus = plan.table.groupby(["workload", "region"])["gpus"].sum()
    # 32 GPUs a region, of which the first has 16: as many are left of the last in each
    assert gpus.to_dict() == {("w", "us-a"): 16, ("safe", "us-a"): 16, ("safe", "us-b"): 16}
    (said,) = allocate.left_undone(plan)
    assert said.startswith("demand of safe: 32")
    again = allocate.as_planned(problem, plan.table)
    assert again.need[1] == pytest.approx(16, abs=0.5)
    assert allocate.solve(again).has_plan
    first_too_much = replace(FIRST, amount=64, team=None)
    none = allocate.Demand([first_too_much, replace(safe, name="safe")], teams=TEAMS)
    problem = allocate.build_problem(none, OFFERS, assumptions=figures())
    assert allocate.by_priority(problem) is problem
