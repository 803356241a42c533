"""What a plan commits to: use, coverage, break-even, and the cost of not knowing the need."""

import numpy as np
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.base.errors import InfeasibleError
from cloudarb_lib.testing import OFFERS, figures, work

COMMIT = OFFERS[
    OFFERS["offer_id"].str.startswith("gcp/us-a")
    & OFFERS["purchase_option"].isin(["on_demand", "reserved"])
]
COMMITTED_USD = 30.0
ON_DEMAND_USD = 80.0
P_SURGE = 0.3
FUTURES = (
    allocate.DemandScenario("calm", 1 - P_SURGE),
    allocate.DemandScenario("surge", P_SURGE, {"w": 3.0}),
)


def planned(*, amounts=(), scenarios=FUTURES, held=(), committed_usd=COMMITTED_USD, needs=8.0):
    """One machine of 8 GPUs for sure, three perhaps; a week in each period."""
    usd = np.where(COMMIT["term"] == "1y", committed_usd, ON_DEMAND_USD)
    problem = allocate.build_problem(
        allocate.Demand([work(needs, amounts=amounts, interruptible=False)], held, scenarios),
        COMMIT.assign(price_usd_per_hour=usd),
        assumptions=figures(),
        limits=allocate.Limits(terms=("1y",)),
        hours=[168.0] * max(len(amounts), 1),
    )
    return allocate.solve(problem, allocate.SolveOptions(gap=1e-7))


def test_not_knowing_costs_what_waiting_and_seeing_would_have_saved():
    """30 a week against 80 * 0.3: one machine is committed to, two more come on demand."""
    table = allocate.cost_of_not_knowing(planned()).set_index("scenario")
    planned_usd = 168 * np.array([30.0, 30.0 + 2 * 80.0])
    known_usd = 168 * np.array([30.0, 3 * 30.0])
    assert table["committed_gpus"].tolist() == [8, 8, 8]
    assert table["known_committed_gpus"].tolist() == pytest.approx([8, 24, 8 + 0.3 * 16])
    np.testing.assert_allclose(table["planned_usd"].iloc[:2], planned_usd)
    np.testing.assert_allclose(table["known_usd"].iloc[:2], known_usd)
    assert table.loc["expected", "more_usd"] == pytest.approx(0.3 * 168 * 100)
    assert table["probability"].tolist() == pytest.approx([0.7, 0.3, 1.0])


@pytest.mark.parametrize(("committed_usd", "known_usd"), [(30.0, 2 * 30.0), (50.0, 80.0)])
def test_who_knows_still_commits_for_all_periods_of_a_future(committed_usd, known_usd):
    """A machine for one week of two: its second week is paid for too, or it comes on demand."""
    plan = planned(amounts=(8.0, 0.0), committed_usd=committed_usd)
    table = allocate.cost_of_not_knowing(plan).set_index("scenario")
    np.testing.assert_allclose(
        table["known_usd"], 168 * known_usd * np.array([1, 3, 0.7 + 0.3 * 3])
    )
    assert (table["more_usd"] > -1e-6).all()


def test_nothing_is_lost_where_nothing_is_decided_in_advance():
    assert allocate.cost_of_not_knowing(planned(scenarios=())).empty
    too_dear = allocate.cost_of_not_knowing(planned(committed_usd=81.0))
    assert too_dear["more_usd"].tolist() == pytest.approx([0, 0, 0])


def test_the_ladder_tells_use_idle_hours_and_break_even():
    held = allocate.Commitment("gcp/us-a/h8", 2, 20.0)
    plan = planned(held=(held,))
    table = allocate.ladder(plan).set_index("term")
    rung = table.loc["held"]
    assert (rung["instances"], rung["gpus"], rung["paid_usd"]) == (2, 16, 2 * 20 * 168)
    assert rung["use_share"] == pytest.approx(0.7 * 0.5 + 0.3)
    assert rung["idle_usd"] == pytest.approx(0.7 * 20 * 168)
    assert rung["committed_usd_per_gpu_hour"] == pytest.approx(20 / 8)
    assert rung["on_demand_usd_per_gpu_hour"] == pytest.approx(80 / 8)
    assert rung["break_even_share"] == pytest.approx(0.25)
    assert table.index.tolist() == ["held"]  # a third machine, needed in 0.3, pays at 0.375
    covered = allocate.coverage(plan).set_index("scenario")
    assert covered["work_gpu_hours"].tolist() == pytest.approx(
        [8 * 168, 24 * 168, (0.7 * 8 + 0.3 * 24) * 168]
    )
    assert covered["coverage_share"].tolist() == pytest.approx([1.0, 2 / 3, 10.4 / 12.8])
    assert covered["use_share"].tolist() == pytest.approx([0.5, 1.0, 0.65])


def test_without_a_commitment_there_is_no_table_and_without_a_plan_an_error():
    assert allocate.commitment_tables(planned(scenarios=(), committed_usd=81.0)) == {}
    nowhere = planned(needs=1e6)
    for question in (allocate.ladder, allocate.coverage):
        with pytest.raises(InfeasibleError):
            question(nowhere)
