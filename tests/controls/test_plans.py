"""Controls of the plan: it follows in place, stops, and says why there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.base.types import Paths
from cloudarb_lib.controls.plans import AllocationControl
from cloudarb_lib.controls.replanning import Answer, Case, Change, Replanner, cvar_range_usd
from cloudarb_lib.testing import OFFERS, figures, plan_for, work

pytestmark = pytest.mark.slow

WAIT_S = 120.0


@pytest.fixture(scope="module")
def case() -> Case:
    plan = plan_for(work()).table
    limits = allocate.Limits()
    return Case(allocate.Demand([work()]), OFFERS, None, figures(), limits, [168.0], plan)


@pytest.fixture(scope="module")
def shared(case) -> AllocationControl:
    made = AllocationControl(case)
    yield made
    made.background.worker.close()


@pytest.fixture
def control(shared) -> AllocationControl:
    """The controls as they are at first, with their process warm."""
    with_all = {name: [v for _, v in f.options] for name, f in shared.places.items()}
    shared.budget.value = 0.0
    shared.spot.value = 0.0
    for name, every in with_all.items():
        shared.places[name].value = every
    assert shared.background.wait(WAIT_S)
    return shared


def machines(control):
    return set(control.answer.table["offer_id"])


def test_a_place_given_up_moves_the_plan_and_the_picture_in_place(control):
    widget = control.picture.widget
    assert machines(control) == {"gcp/us-a//h8/spot/"}
    control.places["w"].value = ["gcp/us-b"]
    assert control.background.wait(WAIT_S)
    assert machines(control) == {"gcp/us-b//h8/spot/"}
    assert "us-b" in control.picture.title
    assert "us-b" in control.plan.value
    assert control.picture.widget is widget


def test_spot_hours_at_most(control):
    control.spot.value = 1.0
    assert control.background.wait(WAIT_S)
    assert set(control.answer.table["purchase_option"]) == {"on_demand"}
    assert "Proven" in control.status.value
    assert control.stop.disabled


def test_a_budget_that_nothing_keeps_is_explained_and_the_plan_stays(control):
    before = control.plan.value
    control.budget.value = control.budget.options[0][1]
    assert control.background.wait(WAIT_S)
    assert 'role="alert"' in control.status.value
    assert "No plan keeps these limits: budget" in control.status.value
    assert control.plan.value == before


def test_a_workload_without_a_place_keeps_those_of_the_demand(control):
    control.places["w"].value = []
    assert control.change().places == {}


def test_the_gap_is_shown_while_it_closes_and_what_a_stop_leaves_is_shown(control):
    table = control.answer.table
    before = control.plan.value
    searching = Answer("searching", 0.4, table.head(1), cost_usd=200.0, gap=0.05)
    control.background.listener.progress(searching)
    assert "the best so far. Expected cost $200, at most 5.00 % above" in control.status.value
    assert control.plan.value == before  # the same plan
    control.background.listener.result(replace(searching, status="interrupted"))
    assert control.status.value.startswith("<p>Stopped: the best so far.")
    control.background.listener.ended("Stopped.")
    assert "Stopped. The plan below is one of before." in control.status.value
    assert control.stop.disabled


def test_the_planner_alone_gives_what_a_solve_gives(case):
    answer = Replanner(case).plan(Change({"min_on_demand_share": 1.0}))
    cold = plan_for(work(), limits=allocate.Limits(min_on_demand_share=1.0))
    assert answer.cost_usd == pytest.approx(cold.objective_usd, rel=2e-3)
    assert answer.gap <= 1e-3


def test_where_not_all_fits_the_planner_serves_by_priority_and_says_what_it_leaves(case, control):
    teams = (allocate.Team("a", priority=1), allocate.Team("b", priority=2))
    both = [work(24, team="a"), replace(work(24, team="b"), name="last")]
    both = [replace(each, options=("spot",), regions=("us-a",)) for each in both]
    answer = Replanner(replace(case, work=allocate.Demand(both, teams=teams))).plan(Change())
    assert answer.table.groupby("workload")["gpus"].sum().to_dict() == {"w": 24, "last": 8}
    assert answer.left_undone == ("demand of last: 16 of 24 left undone (priority 2)",)
    control.background.listener.result(answer)
    assert control.status.value.count("Not served: demand of last: 16 of 24 left undone") == 1


def test_a_limit_on_cvar_may_lie_between_the_mean_of_a_plan_and_its_worst_paths(case):
    times = pd.date_range("2026-05-07", periods=1, freq="7D", tz="UTC")
    moves = np.exp(np.linspace(-0.2, 0.2, 20))[None, :, None]
    usd = OFFERS["price_usd_per_hour"].to_numpy()[:, None, None] * moves
    paths = Paths(pd.Index(OFFERS["offer_id"]), times, usd)
    low, high = cvar_range_usd(replace(case, paths=paths))
    rent = 168.0 * 16.0 * moves.ravel()
    elsewhere_usd = low - rent.mean()
    assert 0 <= elsewhere_usd < 0.1 * low
    assert high > low
    assert high == pytest.approx(rent.max(), rel=0.1)
    assert np.isnan(cvar_range_usd(case)).all()
