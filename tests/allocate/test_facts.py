"""What a demand states beside its needs: each fact changes the plan, and its limit fires."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.allocate.problem.assign import rework_factor
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import Paths
from cloudarb_lib.testing import OFFERS, figures, work

pytestmark = pytest.mark.slow

SPOT_A = "gcp/us-a//h8/spot/"
SPOT_B = "gcp/us-b//h8/spot/"
ON_DEMAND_A = "gcp/us-a//h8/on_demand/"
AWS = "aws/us-a//h1/on_demand/"
REWORK = float(rework_factor(0.002, checkpoint_h=0, restart_h=0))
WEEK_H = 168.0


def problem_of(*workloads, hours=WEEK_H, under=None, paths=None, table=OFFERS, **stated):
    demand = allocate.Demand(list(workloads), **stated)
    return allocate.build_problem(
        demand, table, assumptions=figures(), hours=hours, limits=under, paths=paths
    )


def machines(*workloads, **stated) -> dict[str, float]:
    """Return how many machines of each offer the best plan has."""
    plan = allocate.solve(problem_of(*workloads, **stated), allocate.SolveOptions(gap=0.0))
    assert plan.status == "optimal"
    return plan.table.groupby("offer_id")["instances"].sum().to_dict()


def broken(problem, wanted: dict[str, float]) -> list[str]:
    """Say which limits a plan of so many machines of each offer breaks."""
    offer = problem.assignment_details["offer_id"].astype(str)
    counts = offer.map(wanted).fillna(0.0).to_numpy(float)
    return list(allocate.check(problem, counts).broken)


def test_what_is_held_needs_no_price_on_offer():
    held = allocate.Commitment("aws/us-east-1/p5.48xlarge", 2, 10.0)
    plan = allocate.solve(problem_of(work(24), commitments=(held,)))
    used = plan.table.set_index("offer_id")["instances"].to_dict()
    assert used == {"aws/us-east-1//p5.48xlarge/reserved/held": 2, SPOT_A: 1}
    assert plan.problem.notes == (
        "aws/us-east-1/p5.48xlarge is held: no price of it is on offer, its contract's counts",
    )


def test_what_is_prepaid_costs_nothing_more_and_a_machine_of_no_list_says_its_gpus():
    held = allocate.Commitment("own/hall-2/dgx", 1, 0.0, gpus_each=8.0, gpu_model="H100")
    plan = allocate.solve(problem_of(work(8), commitments=(held,)))
    assert plan.table["offer_id"].tolist() == ["own/hall-2//dgx/reserved/held"]
    assert plan.objective_usd == 0


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        ("own/hall-2/dgx", "no machine 'own/hall-2/dgx' on record.*gpus_each: 8 H100"),
        ("aws/us-east-11/p5.48xlarge", "no region 'us-east-11' .did you mean 'us-east-1'"),
        ("p5.48xlarge", "is no provider/region/instance type"),
    ],
)
def test_a_machine_held_that_nothing_tells_about_is_refused(machine, said):
    with pytest.raises(allocate.DemandError, match=said):
        problem_of(work(8), commitments=(allocate.Commitment(machine, 1, 1.0),))


def test_a_quota_takes_the_place_of_the_capacity_assumed():
    # 32 spot GPUs are assumed of a pool, so that 64 need a second one
    assert machines(work(64)) == {SPOT_A: 4, SPOT_B: 4}
    mine = allocate.Quota(provider=("gcp",), option=("spot",), region=("us-a",), gpus=64.0)
    assert machines(work(64), quotas=(mine,)) == {SPOT_A: 8}
    few = replace(mine, gpus=16.0)
    assert machines(work(64), quotas=(few,))[SPOT_A] == 2


def test_a_quota_counts_all_that_it_names_together_in_each_period():
    mine = allocate.Quota(provider=("gcp",), gpu=("H100",), gpus=16.0)
    problem = problem_of(work(24), quotas=(mine,), hours=[WEEK_H, WEEK_H])
    plan = allocate.solve(problem)
    gcp = plan.table[plan.table["provider"] == "gcp"]
    assert gcp.groupby("period")["gpus"].sum().tolist() == [16, 16]
    said = broken(problem, {SPOT_A: 1.0, SPOT_B: 2.0})
    assert said == [
        "quota of gcp H100 in period 1: 24 above 16",
        "quota of gcp H100 in period 2: 24 above 16",
    ]


def test_a_quota_that_leaves_no_plan_is_told_with_the_least_more():
    mine = allocate.Quota(gpus=16.0)
    assert "quota of everything 16 is short by 8 (50.0%)" in allocate.conflicts(
        problem_of(work(24, providers=("gcp",)), quotas=(mine,))
    )
    none = replace(mine, provider=("gcp",), gpus=0.0)
    assert machines(work(8), quotas=(none,)) == {AWS: 8}


def test_a_quota_that_names_no_offer_is_refused():
    nowhere = allocate.Quota(region=("us-c",), gpus=16.0)
    with pytest.raises(allocate.DemandError, match="us-c names no offer"):
        problem_of(work(8), quotas=(nowhere,))


def test_a_quota_on_what_no_work_may_use_limits_nothing_and_says_so():
    theirs = allocate.Quota(provider=("gcp",), option=("spot",), gpus=0.0)
    problem = problem_of(work(24, providers=("aws",)), quotas=(theirs,))
    (note,) = problem.notes
    assert note == "quota of gcp spot limits nothing: no work may run on what it names"
    assert allocate.solve(problem).table["gpus"].sum() == 24
    assert problem_of(work(24), quotas=(replace(theirs, gpus=8.0),)).notes == ()


def test_machines_held_are_beside_a_quota():
    held = allocate.Commitment("gcp/us-b/h8", 2, 1.0)
    mine = allocate.Quota(provider=("gcp",), gpus=8.0)
    used = machines(work(24), commitments=(held,), quotas=(mine,))
    assert used == {"gcp/us-b//h8/reserved/held": 2, SPOT_A: 1}


def test_a_price_cap_leaves_dearer_offers_out_and_tells_the_cheapest():
    assert machines(work(64, max_usd_per_gpu_hour=2.5)) == {SPOT_A: 4, SPOT_B: 4}
    with pytest.raises(
        allocate.DemandError, match=r"1.5 USD per GPU-hour: 0 left \(the cheapest asks 2.00\)"
    ):
        problem_of(work(8, max_usd_per_gpu_hour=1.5))


def test_prices_agreed_are_those_of_the_plan():
    agreed = (allocate.Price(provider=("aws",), usd_per_gpu_hour=0.9), allocate.Price(discount=0.5))
    plan = allocate.solve(problem_of(work(8), prices=agreed))
    assert plan.table["offer_id"].tolist() == [AWS]
    assert plan.objective_usd == pytest.approx(8 * 0.9 * WEEK_H)
    half = allocate.solve(problem_of(work(8), prices=agreed[1:]))
    assert half.objective_usd == pytest.approx(8 * WEEK_H * REWORK)
    assert half.verdict.list_spend_usd == pytest.approx(8 * WEEK_H * REWORK)
    assert half.problem.notes == ("prices of everything: 50% off, as agreed",)


def test_prices_agreed_hold_on_every_path():
    times = pd.date_range("2026-01-01", periods=1, freq="7D", tz="UTC")
    ids = pd.Index([SPOT_A, SPOT_B])
    paths = Paths(ids, times, np.array([[[10.0], [30.0]], [[40.0], [40.0]]]))
    agreed = (
        allocate.Price(region=("us-b",), usd_per_gpu_hour=2.25),
        allocate.Price(provider=("gcp",), discount=0.1),
    )
    problem = problem_of(work(8), prices=agreed, paths=paths)
    price = pd.DataFrame(problem.paths.T, problem.slots["offer_id"].astype(str))
    assert price.loc[SPOT_A].tolist() == pytest.approx([9.0, 27.0])
    assert price.loc[SPOT_B].tolist() == [18.0, 18.0]
    assert paths.values[0, 0, 0] == 10.0, "what is given is not changed"


@pytest.mark.parametrize("given", [{}, {"discount": 0.1, "usd_per_gpu_hour": 2.0}])
def test_a_price_is_a_discount_or_fixed(given):
    with pytest.raises(ParameterError, match="one of the two"):
        allocate.Price(**given)


def test_the_budget_of_a_team_holds_for_its_work_alone():
    mine = work(8, team="research", providers=("gcp",), worth_usd_per_gpu_hour=100.0)
    theirs = replace(mine, name="theirs", team=None)
    whole = 16 * WEEK_H * REWORK
    team = allocate.Team("research", budget_usd=0.9 * whole, budget_weekly=True)
    problem = problem_of(mine, theirs, teams=(team,), hours=2 * WEEK_H)
    plan = allocate.solve(problem)
    assert plan.table["workload"].tolist() == ["theirs"]
    said = broken(problem, {SPOT_A: 1.0})
    assert said == [f"budget of research: {2 * whole:,.6g} above {1.8 * whole:,.6g}"]


def test_work_of_the_last_priority_is_left_undone_first():
    teams = (allocate.Team("first", priority=1), allocate.Team("last", priority=2))
    only_spot = {"options": ("spot",), "regions": ("us-a",)}
    mine = work(24, team="first", **only_spot)
    theirs = replace(mine, name="theirs", team="last")
    problem = problem_of(theirs, mine, teams=teams)
    assert allocate.solve(problem).status == "infeasible"
    plan = allocate.solve_by_priority(problem)
    assert allocate.left_undone(plan) == ["demand of theirs: 16 of 24 left undone (priority 2)"]
    assert plan.table.set_index("workload")["gpus"].to_dict() == {"w": 24, "theirs": 8}
    swapped = problem_of(replace(theirs, team="first"), replace(mine, team="last"), teams=teams)
    said = allocate.cut_by_priority(allocate.by_priority(swapped))
    assert said == ["demand of w: 16 of 24 left undone (priority 2)"]


def test_without_a_priority_nothing_is_left_undone():
    problem = problem_of(work(48, options=("spot",), regions=("us-a",)))
    assert allocate.by_priority(problem) is problem
    assert allocate.solve_by_priority(problem).status == "infeasible"


def test_a_share_of_a_workload_stays_off_spot():
    steady = work(16, min_on_demand_share=0.5)
    assert machines(steady, work_on_spot()) == {SPOT_A: 2, AWS: 8}
    assert broken(problem_of(steady), {SPOT_A: 2.0}) == ["w without spot: 0 below 8"]


def work_on_spot() -> allocate.Workload:
    return replace(work(8), name="other")


def test_what_survives_the_loss_of_a_region_has_all_of_it_elsewhere():
    one = work(16, survives_loss_of="region")
    assert machines(one) == {SPOT_A: 2, SPOT_B: 2}
    problem = problem_of(one)
    assert broken(problem, {SPOT_A: 2.0, SPOT_B: 1.0}) == ["w without gcp/us-a: 8 below 16"]
    assert machines(work(16, survives_loss_of="provider")) == {SPOT_A: 2, AWS: 16}
    spare = allocate.binding(allocate.solve(problem)).set_index("limit")["worth_usd"]
    assert spare["w without gcp/us-a"] == pytest.approx(-9 * WEEK_H), "a single GPU on aws"
    few = {"survives_loss_of": "region", "options": ("spot",), "regions": ("us-*",)}
    none = problem_of(work(40, **few))  # 32 spot GPUs are assumed of a region
    assert "w without gcp/us-a 40 is too much by 8 (20.0%)" in " ".join(allocate.conflicts(none))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"survives_loss_of": "region", "regions": ("us-b",)}, "in one region, gcp/us-b"),
        ({"survives_loss_of": "provider", "options": ("spot",)}, "in one provider, gcp"),
        ({"min_on_demand_share": 0.5, "options": ("spot",)}, "2 offers that fit it all are spot"),
    ],
)
def test_what_no_offers_together_can_give_is_refused(asked, said):
    with pytest.raises(allocate.DemandError, match=said):
        problem_of(work(16, **asked))


def test_machines_are_taken_away_no_more_often_than_said():
    a_week = 0.002 * WEEK_H * REWORK  # of a machine
    rarely = work(24, max_interruptions_a_week=2.5 * a_week)
    assert machines(rarely) == {SPOT_A: 2, AWS: 8}
    assert machines(replace(rarely, max_interruptions_a_week=0.0)) == {AWS: 24}
    said = broken(problem_of(rarely), {SPOT_A: 3.0})
    assert said == [f"interruptions of w: {3 * a_week:,.6g} above {2.5 * a_week:,.6g}"]


@pytest.mark.parametrize(
    ("workload", "stated"),
    [
        (work(24, providers=("gcp",)), {"quotas": (allocate.Quota(gpus=16.0),)}),
        (
            work(24, providers=("gcp",), team="t"),
            {"teams": (allocate.Team("t", budget_usd=3000.0),)},
        ),
        (work(24, options=("spot",), max_interruptions_a_week=0.5), {}),
    ],
)
def test_what_is_told_to_mend_it_does(workload, stated):
    reliefs = allocate.reliefs(problem_of(workload, **stated))
    assert len(reliefs) == 2
    for sentence, mended in reliefs:
        assert allocate.solve(mended).status == "optimal", sentence


def test_limits_that_a_demand_states_hold_unless_others_are_given():
    stated = allocate.Limits(max_provider_share=0.5, hazard="calm")
    problem = problem_of(work(16), under=allocate.Limits(max_provider_share=0.75), limits=stated)
    assert problem.limits.max_provider_share == 0.75
    assert problem.limits.hazard == "calm"


COMMITTED = allocate.Limits(terms=("1y",), min_commitment_use=0.9)


def test_commitments_are_used_for_the_share_asked():
    needs = {"amounts": (16.0, 8.0), "interruptible": False, "providers": ("gcp",)}
    periods = [WEEK_H, WEEK_H]
    both = machines(
        work(16, **needs), hours=periods, limits=replace(COMMITTED, min_commitment_use=None)
    )
    assert both == {"gcp/us-a/1y/h8/reserved/1y": 4}, "the second idles in the second week"
    held = allocate.solve(problem_of(work(16, **needs), hours=periods, limits=COMMITTED))
    bought = held.table[held.table["purchase_option"] == "reserved"]
    assert bought["instances"].tolist() == [1, 1]
    assert held.verdict.broken == ()


def test_a_use_of_commitments_that_cannot_be_is_told():
    held = allocate.Commitment("gcp/us-b/h8", 2, 1.0)
    problem = problem_of(
        work(8), commitments=(held,), limits=allocate.Limits(min_commitment_use=0.75)
    )
    assert "use of commitments 0.75 is too much by 0.25 (33.3%)" in allocate.conflicts(problem)


def test_a_use_of_commitments_is_said_to_limit_nothing_where_there_are_none():
    asked = allocate.Limits(min_commitment_use=0.9)
    held = allocate.Commitment("gcp/us-b/h8", 2, 1.0)
    (note,) = problem_of(work(8), limits=asked).notes
    assert note.startswith("min_commitment_use limits nothing")
    assert problem_of(work(8), limits=replace(asked, terms=("1y",))).notes == ()
    assert "limits nothing" not in " ".join(
        problem_of(work(8), commitments=(held,), limits=asked).notes
    )


def test_work_that_is_worth_being_early_is_done_first():
    one_offer = {"options": ("spot",), "regions": ("us-a",)}
    batch = work(16 * WEEK_H * 0.5, batch=True, deadline_weeks=2.0, **one_offer)
    early = replace(batch, early_usd_per_gpu_hour_week=0.5)
    hours = allocate.hours_of_periods(allocate.Demand([early]), 3 * WEEK_H)
    assert hours == [WEEK_H, WEEK_H, WEEK_H]
    dearer_now = Paths(
        pd.Index([SPOT_A]),
        pd.date_range("2026-01-01", periods=3, freq="7D", tz="UTC"),
        np.array([[[17.0, 16.0, 16.0]]]),
    )
    given = {"hours": hours, "paths": dearer_now}
    patient = allocate.solve(problem_of(batch, **given))
    assert set(patient.table["period"]) == {1}
    hurried = allocate.solve(problem_of(early, **given))
    assert set(hurried.table["period"]) == {0}
    rent_usd = 17 * WEEK_H * REWORK * hurried.table["instances"].sum()
    assert hurried.table["expected_cost_usd"].sum() == pytest.approx(rent_usd, rel=0.01)
    assert hurried.objective_usd > hurried.table["expected_cost_usd"].sum() + 100
    facts = allocate.summary(hurried).set_index("fact")
    assert facts.loc["mean wait of w", "value"] == pytest.approx(0.5, rel=0.02)


BY_HALF_WEEK = replace(work(amounts=(1.0,) * 26), name="b")


@pytest.mark.parametrize(
    ("workloads", "weeks"),
    [
        ([work()], [13]),
        ([work(batch=True, deadline_weeks=4.0)], [4, 9]),
        ([work(batch=True, deadline_weeks=3.5)], [4, 9]),
        ([work(batch=True, deadline_weeks=20.0)], [13]),
        (
            [work(batch=True, deadline_weeks=4.0), replace(work(amounts=(1.0,) * 26), name="b")],
            [0.5] * 26,
        ),
    ],
)
def test_periods_follow_from_the_demand(workloads, weeks):
    hours = allocate.hours_of_periods(allocate.Demand(workloads), 13 * WEEK_H)
    assert np.array(hours) / WEEK_H == pytest.approx(weeks)


def test_needs_by_period_for_different_numbers_of_periods_are_refused():
    twice = work(amounts=(8.0, 8.0))
    thrice = replace(twice, name="x", amounts=(8.0,) * 3)
    with pytest.raises(ParameterError, match="w for 2, x for 3"):
        allocate.hours_of_periods(allocate.Demand([twice, thrice]), WEEK_H)
