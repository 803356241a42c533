"""What a plan changes against the last one, in machines and in dollars."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.allocate.difference import difference
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.testing import OFFERS, figures, plan_for, work

WEEK_H = 168.0


def replanned(last: allocate.Plan, amount: float, table=OFFERS):
    """The difference of the best plan for so many GPUs, moves paid for, from the last one."""
    first = last.table[last.table["period"] == 0]
    current = [
        allocate.Placement("w", offer, float(instances))
        for offer, instances in zip(first["offer_id"], first["instances"], strict=True)
    ]
    demand = allocate.Demand([work(amount)], current=tuple(current))
    problem = allocate.build_problem(demand, table, assumptions=figures(move_overlap_h=4))
    return difference(allocate.solve(problem), last.table)


def test_nothing_changes_where_the_last_plan_is_still_the_best():
    found = replanned(plan_for(work(8)), 8)
    assert found.table.empty
    assert found.must == ()
    assert found.keep_usd == found.now_usd == pytest.approx(16 * WEEK_H)


def test_what_is_given_up_and_taken_up_is_told_in_machines_and_dollars():
    last = plan_for(work(8), table=OFFERS[OFFERS["region"] == "us-b"])
    found = replanned(last, 8)
    row = found.table.set_index("offer_id")
    up, down = "gcp/us-a//h8/spot/", "gcp/us-b//h8/spot/"
    assert row["machines_before"].to_dict() == {up: 0, down: 1}
    assert row["machines_now"].to_dict() == {up: 1, down: 0}
    assert row["usd_before"].to_dict() == pytest.approx({up: 0, down: 20 * WEEK_H})
    assert row["usd_now"].to_dict() == pytest.approx({up: 16 * WEEK_H, down: 0})
    assert found.keep_usd == pytest.approx(20 * WEEK_H)
    assert found.now_usd == pytest.approx(16 * (WEEK_H + 4)), "four hours run twice"


def test_what_is_not_offered_any_more_cannot_go_on():
    found = replanned(plan_for(work(8)), 8, OFFERS[OFFERS["region"] != "us-a"])
    assert found.must == ("gcp/us-a//h8/spot/ does not serve w any more",)
    assert np.isnan(found.keep_usd)
    gone = found.table.set_index("offer_id").loc["gcp/us-a//h8/spot/"]
    assert np.isnan(gone["usd_before"])
    assert gone["machines_before"] == 1


def test_what_no_longer_suffices_cannot_go_on():
    found = replanned(plan_for(work(8)), 16)
    assert found.must == ("demand of w: 8 below 16",)


def test_machines_of_the_first_period_go_on_in_all():
    last = plan_for(work(8))
    problem = plan_for(work(8), hours=[WEEK_H, WEEK_H])
    found = difference(problem, last.table)
    assert found.keep_usd == pytest.approx(2 * 16 * WEEK_H)
    assert isinstance(found.table, pd.DataFrame)
    assert found.table.empty


def test_what_the_demand_lacks_now_is_given_up_and_no_reason_to_move():
    last = plan_for(work(8)).table
    other = last.assign(workload="other")
    found = difference(plan_for(work(8)), pd.concat([last, other]))
    assert found.must == ()
    assert found.table["workload"].tolist() == ["other"]
    assert found.table["machines_now"].tolist() == [0]


FUTURES = (allocate.DemandScenario("base", 0.7), allocate.DemandScenario("surge", 0.3, {"w": 2.0}))


def of_futures(*futures) -> allocate.Plan:
    demand = allocate.Demand([work(8)], scenarios=futures)
    return allocate.solve(allocate.build_problem(demand, OFFERS, assumptions=figures()))


def test_a_plan_of_the_same_scenarios_changes_nothing():
    plan = of_futures(*FUTURES)
    found = difference(plan, plan.table, "base")
    assert found.table.empty
    assert found.keep_usd == pytest.approx(plan.verdict.objective_usd)


@pytest.mark.slow
def test_what_came_of_other_scenarios_goes_on_in_all():
    found = difference(of_futures(), of_futures(*FUTURES).table, "surge")
    (row,) = found.table.to_dict("records")
    assert (row["workload"], row["machines_before"], row["machines_now"]) == ("w", 2, 1)
    now_known = difference(of_futures(*FUTURES), of_futures().table)
    (row,) = now_known.table.to_dict("records")
    assert (row["workload"], row["machines_before"], row["machines_now"]) == ("w in surge", 1, 2)
    assert now_known.must == ("demand of w in surge: 8 below 16",)


@pytest.mark.slow
def test_a_scenario_that_the_last_plan_lacks_is_refused():
    with pytest.raises(ParameterError, match=r"no scenario 'surg' .did you mean 'surge'"):
        difference(of_futures(), of_futures(*FUTURES).table, "surg")
    with pytest.raises(ParameterError, match=r"no scenario 'surge'.*It has no scenarios"):
        difference(of_futures(*FUTURES), of_futures().table, "surge")
