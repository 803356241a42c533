"""The best plan of small problems, known by hand or by enumeration."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.allocate.problem.assign import rework_factor
from cloudarb_lib.testing import OFFERS, plan_for, work

pytestmark = pytest.mark.slow


def test_cheapest_machines_first_then_the_next_pool():
    plan = plan_for(work(64))  # 32 spot GPUs a region
    held = plan.table.set_index("offer_id")["instances"]
    assert held.to_dict() == {"gcp/us-a//h8/spot/": 4.0, "gcp/us-b//h8/spot/": 4.0}
    hours = 168 * rework_factor(0.002, checkpoint_h=0, restart_h=0)
    assert plan.objective_usd == pytest.approx(4 * (16 + 20) * float(hours))
    assert plan.status == "optimal"
    assert plan.gap == 0
    assert "optimal" in repr(plan)
    assert plan.table["gpus"].sum() == 64


@pytest.mark.parametrize(("amount", "count"), [(8.0, 3), (8.0, 5), (16.0, 3), (16.0, 4)])
def test_a_class_of_workloads_alike_has_the_optimum_of_them_one_by_one(amount, count):
    fee = {"site_fee_usd_per_week": 500}
    together = plan_for(work(amount, count=count), **fee)
    apart = plan_for(*(replace(work(amount), name=f"w{k}") for k in range(count)), **fee)
    assert together.status == apart.status == "optimal"
    assert together.objective_usd == pytest.approx(apart.objective_usd, rel=1e-9)
    assert len(together.problem.assignments) * count == len(apart.problem.assignments)


def test_commitments_are_bought_only_where_asked_for():
    assert (plan_for(work()).table["purchase_option"] == "spot").all()
    asked = plan_for(work(hours_a_week=40.0), limits=allocate.Limits(terms=("1y",)))
    assert asked.table["hours"].tolist() == [168.0 * 40 / 168]  # spot, only when used
    alone = plan_for(work(hours_a_week=40.0), table=OFFERS[OFFERS["purchase_option"] == "reserved"])
    assert alone.table["hours"].tolist() == [168.0]  # paid for every hour


@pytest.mark.parametrize(
    "limits",
    [
        {"min_on_demand_share": 0.5},
        {"min_on_demand_share": 1.0},
        {"max_provider_share": 0.6},
        {"max_region_share": 0.5},
        {"effective_providers": 1.9},
        {"budget_usd": 168 * 81.0, "max_provider_share": 0.7},
    ],
)
def test_each_limit_gives_the_plan_known_by_enumeration(limits):
    """Machines of 8 GPUs, a at 16 and b at 20 USD/h (gcp, spot, two regions); c of 1 at 9 (aws)."""
    plan = plan_for(
        work(24), limits=allocate.Limits(**limits), **{"interruption_per_hour/spot/typical": 0.0}
    )
    best = np.inf
    for a, b, c in itertools.product(range(5), range(5), range(25)):
        spend, gcp = 16 * a + 20 * b + 9 * c, 16 * a + 20 * b
        if 8 * (a + b) + c >= 24 and (
            c >= limits.get("min_on_demand_share", 0.0) * (a + b + c)
            and max(gcp, 9 * c) <= limits.get("max_provider_share", 1.0) * spend
            and max(16 * a, 20 * b, 9 * c) <= limits.get("max_region_share", 1.0) * spend
            and spend**2 >= limits.get("effective_providers", 1.0) * (gcp**2 + (9 * c) ** 2)
            and 168 * spend <= limits.get("budget_usd", np.inf)
        ):
            best = min(best, 168 * spend)
    assert best > 168 * 3 * 16, "the limit costs something"
    assert plan.objective_usd == pytest.approx(best)


def test_work_not_worth_its_price_is_left_undone():
    plan = plan_for(work(8, worth_usd_per_gpu_hour=1.0))
    assert not len(plan.table)
    assert plan.objective_usd == pytest.approx(8 * 168)
    assert len(plan_for(work(8, worth_usd_per_gpu_hour=3.0)).table) == 1


CALM = {"interruption_per_hour/spot/typical": 0.0}
FEES = {"site_fee_usd_per_week": 500.0, "boot_disk_usd_per_week": 10.0}


def test_the_budget_is_on_the_whole_expected_cost_and_the_plan_sums_up_to_it():
    """24 GPUs are 3 machines at 16 USD an hour, a disk each, and a region's fee."""
    cost_usd = 168 * 3 * 16 + 3 * 10 + 500
    plan = plan_for(work(24), limits=allocate.Limits(budget_usd=cost_usd), **CALM, **FEES)
    assert plan.objective_usd == pytest.approx(cost_usd)
    assert plan.table["expected_cost_usd"].sum() == pytest.approx(cost_usd)
    short = plan_for(work(24), limits=allocate.Limits(budget_usd=cost_usd - 1), **CALM, **FEES)
    assert short.status == "infeasible"
    assert any(
        "budget $8,593 is short by $1 " in said for said in allocate.conflicts(short.problem)
    )


def test_a_budget_leaves_undone_what_is_worth_doing_and_counts_no_worth_as_cost():
    """One machine fits the budget, though both would pay."""
    limits = allocate.Limits(budget_usd=168 * 16.0)
    plan = plan_for(work(16, worth_usd_per_gpu_hour=5.0), limits=limits, **CALM)
    assert plan.table["instances"].tolist() == [1.0]
    assert plan.table["expected_cost_usd"].sum() == pytest.approx(168 * 16)
    assert plan.objective_usd == pytest.approx(168 * 16 + 168 * 8 * 5)


def test_lost_work_is_bought_again():
    calm = plan_for(work(restart_minutes=60), limits=allocate.Limits(hazard="calm"))
    rough = plan_for(work(restart_minutes=60), limits=allocate.Limits(hazard="stressed"))
    assert rough.objective_usd == pytest.approx(calm.objective_usd / (1 - 0.02))


def test_yesterdays_plan_is_the_one_to_beat():
    plan = plan_for(work(40))
    assert (allocate.counts_of(plan.problem, plan.table) == plan.counts).all()
    again = allocate.solve(plan.problem, allocate.SolveOptions(time_limit_s=1e-9), start=plan.table)
    assert again.has_plan
    assert again.objective_usd == plan.objective_usd


def test_what_differs_between_plans_is_that_of_the_first_period():
    then = plan_for(work(32)).table
    now = pd.concat([plan_for(work(40)).table, then.assign(period=1, instances=9.0)])
    changes = allocate.changes(then, now)
    assert changes.to_numpy().tolist() == [["w", "gcp/us-b//h8/spot/", 0.0, 1.0]]
