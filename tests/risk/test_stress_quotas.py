"""What a planner may rent stays so under stress: quotas, and commitments that the plan buys."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate, risk
from cloudarb_lib.risk.bought import commitments_bought, that_can_be_held
from cloudarb_lib.testing import (
    AWS_ON_DEMAND,
    AWS_SPOT,
    GCP_COMMITMENT,
    GCP_ON_DEMAND,
    GCP_SPOT,
    RISK_OFFERS,
    planned,
    risk_inputs,
    risk_offer,
)

HOURS = 672
TRAIN = allocate.Workload("train", 16.0, {"H100": 1.0}, interruptible=True)
SPIKE = risk.StressScenario.of("spike", demand=2.0)
HALF = risk.StressScenario.of("half", availability=0.5, provider="gcp")
GONE = risk.StressScenario.of("gone", availability=0.0, provider="gcp")
DEAR = risk.StressScenario.of("dear", price=2.0)
ON_DEMAND = ("on_demand",)


def demand_under(*quotas, workload=TRAIN, **stated) -> allocate.Demand:
    return allocate.Demand([workload], quotas=quotas, **stated)


def inputs_of(demand, **changes) -> risk.RiskInputs:
    return risk_inputs(**({"demand": demand, "spread": 0.0, "n": 20} | changes))


def stress_row(demand, instances, scenario) -> pd.Series:
    """Return the row of table ``stress`` of a scenario, with the plan made anew that it finds."""
    inputs = inputs_of(demand)
    held = planned(instances)
    anew = risk.replan(inputs, [scenario], held, demand)
    table = risk.stress(inputs, [scenario], held, replanned=anew, budget_usd=1e5)
    return table.set_index("scenario").loc[scenario.name]


def machines_anew(demand, instances, scenario) -> dict[str, float] | None:
    """Return the machines of the plan made anew by offer, None where there is none."""
    anew = risk.replan(inputs_of(demand), [scenario], planned(instances), demand)
    if scenario.name not in anew:
        return None
    return anew[scenario.name].groupby("offer_id")["instances"].sum().to_dict()


@pytest.mark.parametrize(
    ("quotas", "loss_usd_per_hour", "unmet_gpus"),
    [
        ((), 2 * 80.0, 0.0),
        ((allocate.Quota(gpus=16.0),), 0.0, 16.0),
        ((allocate.Quota(option=ON_DEMAND, gpus=8.0),), 80.0, 8.0),
        ((allocate.Quota(provider=("gcp",), gpus=24.0),), 80.0 + 60.0, 0.0),
        ((allocate.Quota(provider=("gcp",), option=ON_DEMAND, gpus=0.0),), 2 * 60.0, 0.0),
        ((allocate.Quota(option=ON_DEMAND, gpus=0.0),), 0.0, 16.0),
    ],
)
def test_work_beyond_a_held_plan_is_bought_as_far_as_quotas_leave_room(
    quotas, loss_usd_per_hour, unmet_gpus
):
    inputs = inputs_of(demand_under(*quotas))
    held = planned({GCP_SPOT: 2.0})
    table = risk.stress(inputs, [SPIKE], held, replanned={}, budget_usd=1e5)
    spike = table.set_index("scenario").loc["spike"]
    assert spike["loss_usd"] == pytest.approx(HOURS * loss_usd_per_hour)
    assert spike["unmet_gpu_hours"] == pytest.approx(HOURS * unmet_gpus)


def test_on_demand_machines_ask_their_own_offer_at_its_own_price_first():
    few = allocate.Quota(provider=("gcp",), option=ON_DEMAND, gpus=24.0)
    inputs = inputs_of(demand_under(few), spread=0.2)
    cost = risk.plan_cost(inputs, planned({GCP_ON_DEMAND: 2.0}), demand_factor=2.0)
    np.testing.assert_allclose(cost.demand, HOURS * (cost.unit_usd + 60.0))
    assert np.ptp(cost.demand) > 0
    assert cost.unmet_gpu_hours.tolist() == [0.0] * 20


def test_an_on_demand_offer_that_cannot_be_had_is_not_asked():
    offers = RISK_OFFERS.assign(available_share=1.0)
    offers.loc[GCP_ON_DEMAND, "available_share"] = 0.5
    inputs = inputs_of(demand_under(), offers=offers.reset_index())
    cost = risk.plan_cost(inputs, planned({GCP_ON_DEMAND: 2.0}), demand_factor=2.0)
    np.testing.assert_allclose(cost.demand, HOURS * 2 * 60.0)


def test_hours_taken_away_find_what_work_beyond_the_plan_leaves_of_a_quota():
    quota = allocate.Quota(option=ON_DEMAND, gpus=16.0)
    inputs = inputs_of(demand_under(quota), outages=(0.01, 5.0))
    held = planned({GCP_SPOT: 2.0})
    as_planned = risk.plan_cost(inputs, held)
    assert as_planned.capacity.sum() > 0
    assert as_planned.unmet_gpu_hours.tolist() == [0.0] * 20
    more = risk.plan_cost(inputs, held, demand_factor=2.0)
    np.testing.assert_allclose(more.demand[:, 0], HOURS * 2 * 80.0)
    assert more.unmet_gpu_hours.sum() > 0
    np.testing.assert_allclose(more.unmet_gpu_hours, -more.capacity[:, 0] / 20.0 * 8)


@pytest.mark.slow
def test_a_plan_made_anew_rents_within_quotas():
    spot = allocate.Quota(option=("spot",), gpus=16.0)
    assert machines_anew(demand_under(), {GCP_SPOT: 2.0}, SPIKE) == {GCP_SPOT: 4}
    within = machines_anew(demand_under(spot), {GCP_SPOT: 2.0}, SPIKE)
    assert within == {GCP_SPOT: 2, AWS_ON_DEMAND: 2}
    assert machines_anew(demand_under(allocate.Quota(gpus=16.0)), {GCP_SPOT: 2.0}, SPIKE) is None


@pytest.mark.slow
def test_an_offer_partly_there_is_no_choice_where_no_quota_lets_the_rest_be_bought():
    only_gcp = allocate.Quota(provider=("aws",), gpus=0.0)
    dearer = allocate.Quota(provider=("aws",), option=("spot",), gpus=0.0)
    assert machines_anew(demand_under(dearer), {GCP_SPOT: 2.0}, HALF) == {GCP_SPOT: 2}
    assert machines_anew(demand_under(only_gcp), {GCP_SPOT: 2.0}, HALF) is None


def test_a_quota_on_what_a_shock_leaves_to_no_work_forbids_no_plan():
    capped = replace(TRAIN, max_usd_per_gpu_hour=11.0)
    quota = allocate.Quota(provider=("gcp",), option=ON_DEMAND, gpus=16.0)
    # twice as dear, machines on demand are above the cap
    assert machines_anew(demand_under(quota, workload=capped), {GCP_SPOT: 2.0}, DEAR) == {
        GCP_SPOT: 2
    }


@pytest.mark.slow
def test_commitments_that_a_plan_buys_are_used_first_and_take_of_quotas():
    quota = allocate.Quota(provider=("gcp",), gpus=16.0)
    bought = {GCP_COMMITMENT: 2.0}
    assert machines_anew(demand_under(), bought, SPIKE) == {GCP_COMMITMENT: 2, GCP_SPOT: 2}
    within = machines_anew(demand_under(quota), bought, SPIKE)
    assert within == {GCP_COMMITMENT: 2, AWS_SPOT: 2}
    spike = stress_row(demand_under(quota), bought, SPIKE)
    assert spike["loss_usd"] == pytest.approx(HOURS * 2 * 60.0)  # the rest of gcp is no longer free
    rent_usd = HOURS * 2 * 30.0
    assert rent_usd < spike["recourse_loss_usd"] < 1.05 * rent_usd  # with fees and the move


@pytest.mark.slow
def test_commitments_that_a_shock_takes_are_paid_beside_and_still_take_of_quotas():
    quota = allocate.Quota(gpus=32.0)
    assert machines_anew(demand_under(quota), {GCP_COMMITMENT: 2.0}, GONE) == {
        GCP_COMMITMENT: 2,
        AWS_SPOT: 2,
    }
    less = allocate.Quota(gpus=24.0)
    assert machines_anew(demand_under(less), {GCP_COMMITMENT: 2.0}, GONE) is None


def test_of_two_commitments_of_one_machine_none_is_used_by_a_new_plan():
    longer = risk_offer("gcp", "us", "reserved", 40.0, term="3y")
    offers = pd.concat([RISK_OFFERS.reset_index(), pd.DataFrame([longer])], ignore_index=True)
    plan = planned({GCP_COMMITMENT: 2.0, longer["offer_id"]: 1.0}, periods=2)
    bought = commitments_bought(plan, offers)
    assert bought["instances"].to_dict() == {GCP_COMMITMENT: 2.0, longer["offer_id"]: 1.0}
    all_there = pd.Series(1.0, offers["offer_id"])
    assert that_can_be_held(bought, demand_under(), all_there).empty
    (one,) = that_can_be_held(bought[:1], demand_under(), all_there).index
    assert one == GCP_COMMITMENT
    held = (allocate.Commitment("gcp/us/h100-8", 1, 50.0),)
    assert that_can_be_held(bought[:1], demand_under(commitments=held), all_there).empty
