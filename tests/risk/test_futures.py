"""Plans for a need that may turn out in several ways, with machines held: cost and stress."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate, risk
from cloudarb_lib.base.errors import DataError
from cloudarb_lib.testing import GCP_COMMITMENT, GCP_ON_DEMAND, GCP_SPOT, planned, risk_inputs

P_SURGE = 0.3
TRAIN = allocate.Workload("train", 32.0, throughput={"H100": 1.0}, interruptible=True)
FUTURES = (
    allocate.DemandScenario("base", 1 - P_SURGE),
    allocate.DemandScenario("surge", P_SURGE, {"train": 2.0}),
)
DEMAND = allocate.Demand([TRAIN], scenarios=FUTURES)


def in_scenario(name: str, instances: dict[str, float], **changes) -> pd.DataFrame:
    rows = planned(instances).assign(scenario=name, fees_usd=0.0, purchase_option="spot")
    return rows.assign(workload="train in " + name, **changes)


def idle(name: str, instances: dict[str, float]) -> pd.DataFrame:
    return in_scenario(name, instances).assign(workload="idle commitment in " + name)


PLAN = pd.concat(
    [
        in_scenario("base", {GCP_SPOT: 4.0, GCP_COMMITMENT: 1.0}),
        idle("base", {GCP_COMMITMENT: 2.0}),
        in_scenario("surge", {GCP_SPOT: 7.0, GCP_ON_DEMAND: 2.0, GCP_COMMITMENT: 3.0}),
    ],
    ignore_index=True,
)
H = 672.0


def test_each_path_is_one_future_and_pays_what_is_committed_in_all_of_them():
    inputs = risk_inputs(n=200, spread=0.0, demand=DEMAND)
    cost = risk.plan_cost(inputs, PLAN)
    base_usd = (4 * 20 + 3 * 50) * H
    surge_usd = (7 * 20 + 2 * 80 + 3 * 50) * H
    assert np.unique(cost.total, return_counts=True)[1].tolist() == [140, 60]
    np.testing.assert_allclose(np.sort(cost.total), np.repeat([base_usd, surge_usd], [140, 60]))
    committed = cost.table.index.get_loc(GCP_COMMITMENT)
    np.testing.assert_allclose(cost.price[:, committed], 3 * 50 * H)
    assert cost.table.loc[GCP_COMMITMENT, "instance_hours"] == pytest.approx(3 * H)
    assert cost.table.loc[GCP_COMMITMENT, "idle_hours"] == pytest.approx(0.7 * 2 * H)
    assert cost.unused.mean() == pytest.approx(0.7 * 2 * 50 * H)
    assert cost.table.loc[GCP_ON_DEMAND, "instance_hours"] == pytest.approx(0.3 * 2 * H)


def test_expected_cost_is_that_of_the_plan_and_fees_are_paid_once():
    """A plan counts every path for each future: so does the mean of the samples."""
    inputs = risk_inputs(n=200, spread=0.3, demand=DEMAND)
    plan = PLAN.assign(fees_usd=[10.0, 20.0, 0.0, 5.0, 5.0, 0.0])
    cost = risk.plan_cost(inputs, plan)
    mean_usd = pd.Series(inputs.paths.values.mean(axis=(1, 2)), inputs.paths.offer_ids)
    mean_usd[GCP_COMMITMENT] = 50.0
    chance = plan["scenario"].map({"base": 0.7, "surge": 0.3})
    expected = chance * plan["instances"] * plan["hours"] * plan["offer_id"].map(mean_usd)
    assert cost.total.mean() == pytest.approx(expected.sum() + 40.0)
    assert cost.fees_usd == 40.0
    last = risk.cost_fan(inputs, plan).iloc[-1]
    assert last["p90_usd"] == pytest.approx(np.quantile(cost.total, 0.9))


def test_an_uncertain_need_is_part_of_the_risk():
    known = risk.plan_cost(risk_inputs(n=200, spread=0.0), planned({GCP_SPOT: 4.0}))
    unknown = risk.plan_cost(risk_inputs(n=200, spread=0.0, demand=DEMAND), PLAN)
    tables = [risk.risk_table(cost, budget_usd=1e9) for cost in (known, unknown)]
    var_usd = [
        table.query("measure == 'var' and scope == 'total'")["value_usd"] for table in tables
    ]
    assert var_usd[0].iloc[0] == pytest.approx(0.0)
    assert var_usd[1].iloc[0] == pytest.approx(0.7 * (3 * 20 + 2 * 80) * H)


def test_one_future_changes_no_figure():
    alone = replace(DEMAND, scenarios=(allocate.DemandScenario("", 1.0),))
    plan = planned({GCP_SPOT: 4.0, GCP_COMMITMENT: 1.0})
    here = risk_inputs(n=50, outages=(0.01, 5.0))
    cost = risk.plan_cost(here, plan)
    same = risk.plan_cost(replace(here, demand=replace(alone, scenarios=())), plan)
    np.testing.assert_array_equal(cost.total, same.total)


def test_what_cannot_be_weighed_is_refused():
    with pytest.raises(DataError, match=r"rows of scenario 'base', the demand has \[''\]"):
        risk.plan_cost(risk_inputs(n=50), PLAN)
    with pytest.raises(DataError, match="none of 1 paths is left to scenario"):
        risk.plan_cost(risk_inputs(n=1, demand=DEMAND), PLAN)


@pytest.mark.slow
def test_a_shock_is_met_in_each_future_and_what_is_held_stays_in_use():
    held = allocate.Commitment("gcp/us/h100-8", 3, 50.0)
    demand = replace(DEMAND, commitments=(held,))
    here = risk_inputs(n=20, spread=0.0, demand=demand)
    offers = allocate.with_held(demand, here.offers)
    contract = offers.loc[offers["held"].notna()].set_index("offer_id")["price_usd_per_hour"]
    here = replace(here, offers=offers, paths=risk.with_steady(here.paths, contract))
    problem = allocate.build_problem(
        demand, here.offers.drop(columns="held"), hours=H, assumptions=here.assumptions
    )
    plan = allocate.solve(problem).table
    twice = risk.StressScenario.of("twice", demand=2.0)
    anew = risk.replan(here, [twice], plan, demand)
    rows = anew["twice"]
    own = rows[rows["offer_id"].str.endswith(allocate.HELD)].groupby("scenario")["instances"].sum()
    assert own.to_dict() == {"base": 3.0, "surge": 3.0}
    table = risk.stress(here, [twice], plan, replanned=anew, budget_usd=1e9).set_index("scenario")
    assert table.loc["base", "expected_cost_usd"] == pytest.approx(
        plan["expected_cost_usd"].sum(), rel=1e-6
    )
    assert 0 < table.loc["twice", "recourse_loss_usd"] <= table.loc["twice", "loss_usd"]


def test_periods_end_where_the_demand_says():
    due = replace(TRAIN, batch=True, deadline_weeks=1.0)
    inputs = risk_inputs(n=5, demand=allocate.Demand([due]))
    assert inputs.period_of_step(2).tolist() == [0, 1, 1, 1]
    assert inputs.period_of_step(4).tolist() == [0, 1, 2, 3]
    assert risk_inputs(n=5).period_of_step(2).tolist() == [0, 0, 1, 1]
