"""A budget: parts that add up, chances that are shares of samples, and work that may differ."""

import numpy as np
import pytest

from cloudarb_lib import risk
from cloudarb_lib.advice.budget import Budget, budget_outlook, until
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.testing import (
    AWS_SPOT,
    GCP_COMMITMENT,
    GCP_ON_DEMAND,
    GCP_SPOT,
    planned,
    risk_inputs,
)

PLAN = planned({GCP_SPOT: 4.0, AWS_SPOT: 2.0, GCP_COMMITMENT: 1.0})
TODAY_USD = 672.0 * (4 * 20.0 + 2 * 30.0 + 50.0)


def outlook(budget_usd=TODAY_USD, plan=PLAN, spent_usd=0.0, volume_sd=0.0, **inputs):
    return budget_outlook(risk_inputs(**inputs), plan, Budget(budget_usd, spent_usd, volume_sd))


@pytest.mark.slow
def test_the_parts_add_up_to_the_total_and_to_its_spread():
    parts = outlook(outages=(0.02, 10.0), volume_sd=0.1, spent_usd=1_000.0).parts
    alone = parts.drop("total")
    for column in ("mean_usd", "when_over_usd"):
        assert alone[column].sum() == pytest.approx(parts.loc["total", column])
    assert alone["share_of_spread"].sum() == pytest.approx(1.0)
    assert alone["share_of_spread"][["spent", "plan at today's prices"]].abs().max() < 1e-9
    assert (alone.loc[["price", "mix", "volume"], "share_of_spread"] > 0).all()
    assert alone["mean_usd"]["plan at today's prices"] >= TODAY_USD - 1e-6


def test_the_total_is_the_cost_of_the_plan_as_risk_counts_it():
    inputs = risk_inputs(outages=(0.02, 10.0))
    total = risk.plan_cost(inputs, PLAN).total
    found = budget_outlook(inputs, PLAN, Budget(TODAY_USD * 1.1))
    assert found.parts.loc["total", "mean_usd"] == pytest.approx(total.mean())
    assert found.p_over == pytest.approx((total > TODAY_USD * 1.1).mean())
    assert found.overrun_usd == pytest.approx(
        (total[total > TODAY_USD * 1.1] - TODAY_USD * 1.1).mean()
    )


def test_fees_count_among_what_is_planned():
    with_fees = outlook(plan=PLAN.assign(fees_usd=100.0), spread=0.0).parts
    without = outlook(spread=0.0).parts
    for part in ("plan at today's prices", "total"):
        assert with_fees.loc[part, "p50_usd"] - without.loc[part, "p50_usd"] == pytest.approx(300)


def test_prices_that_stay_cost_what_is_planned_and_are_never_over_it():
    found = outlook(TODAY_USD * 1.1, spread=0.0)
    assert found.p_over == 0
    assert found.overrun_usd == 0
    assert np.isnan(found.parts.loc["total", "when_over_usd"])
    assert found.parts.loc["total", "p90_usd"] == pytest.approx(
        found.parts.loc["plan at today's prices", "mean_usd"]
    )


def test_a_larger_budget_is_exceeded_less_often():
    chances = [outlook(TODAY_USD * factor).p_over for factor in (0.9, 1.0, 1.1, 1.5)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > 0.9
    assert chances[-1] < 0.01


def test_what_is_spent_already_counts():
    assert outlook(TODAY_USD, spent_usd=TODAY_USD / 2).p_over > 0.99


def test_uncertain_work_widens_the_range_and_is_dear_because_it_is_bought_on_demand():
    sure = outlook(spread=0.0).parts.loc["total"]
    unsure = outlook(spread=0.0, volume_sd=0.2).parts.loc["total"]
    assert unsure["p90_usd"] > sure["p90_usd"]
    assert unsure["p10_usd"] < sure["p10_usd"]
    assert unsure["mean_usd"] > sure["mean_usd"]


def test_work_that_fails_to_come_saves_nothing_of_a_commitment():
    committed = planned({GCP_COMMITMENT: 1.0})
    saved = outlook(plan=committed, spread=0.0, volume_sd=0.2).parts.loc["volume", "p10_usd"]
    assert saved == 0
    by_use = planned({GCP_ON_DEMAND: 1.0})
    assert outlook(plan=by_use, spread=0.0, volume_sd=0.2).parts.loc["volume", "p10_usd"] < 0


def test_a_plan_can_be_cut_at_the_end_of_a_month():
    half = until(PLAN.assign(fees_usd=100.0), 0.5)
    assert half["hours"].tolist() == [336.0] * 3
    assert half["fees_usd"].tolist() == [50.0] * 3
    with pytest.raises(ParameterError, match="none of it"):
        until(PLAN, 1.2)
    with pytest.raises(ParameterError, match="2 periods"):
        until(planned({GCP_SPOT: 1.0}, periods=2), 0.5)


@pytest.mark.parametrize("terms", [(0.0,), (1.0, -1.0), (1.0, 0.0, -0.1), (float("nan"),)])
def test_a_budget_that_is_none_is_refused(terms):
    with pytest.raises(ParameterError, match="is none"):
        Budget(*terms)
