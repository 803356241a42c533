"""What binds, what a unit more is worth, and runners-up."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.testing import plan_for, work

pytestmark = pytest.mark.slow


def test_binding_limits_have_their_worth():
    plan = plan_for(work(40))
    binds = allocate.binding(plan).set_index("limit")
    pool = binds.loc["capacity of gcp/us-a/spot/H100"]
    assert (pool["used"], pool["available"]) == (32, 32)
    assert pool["worth_usd"] == pytest.approx((20 - 16) / 8 * 168)
    runner = allocate.runners_up(plan).iloc[0]
    assert runner["pool"] == "gcp/us-a/spot/H100"
    assert runner["extra_usd"] > 0
    facts = allocate.summary(plan).set_index("fact")
    assert facts.loc["expected cost", "value"] == pytest.approx(plan.objective_usd)
    assert "capacity" in " ".join(facts.index)


def test_a_pool_that_closes_with_its_site_still_shows_its_capacity():
    plan = plan_for(work(40), site_fee_usd_per_week=100.0)
    capacity = allocate.binding(plan)[
        allocate.binding(plan)["limit"].str.startswith("capacity")
    ].set_index("limit")
    assert list(capacity.index) == ["capacity of gcp/us-a/spot/H100"]
    pool = capacity.iloc[0]
    assert (pool["used"], pool["available"]) == (32, 32)
    roomy = replace(
        plan.problem, pools=plan.problem.pools.assign(capacity=plan.problem.pools["capacity"] + 8)
    )
    saved = plan.objective_usd - allocate.solve(roomy).objective_usd
    assert saved == pytest.approx(4 * 168 + 100)  # a machine more, and the other region is left
    assert (pool["step"], pool["worth_is"]) == (8.0, "solved")
    assert pool["worth_usd"] == pytest.approx(saved / 8)


def test_names_of_workloads_are_no_keys():
    """Each of these names begins or ends like a sentence about a limit."""
    names = ["x goes on", "share", "on-demand share", "CVaR", "idle commitment x"]
    plan = plan_for(*(replace(work(8.0, interruptible=False), name=name) for name in names))
    binds = allocate.binding(plan).set_index("limit")
    assert set(binds.index) == {f"demand of {name}" for name in names}
    assert (binds["unit"] == "GPU or GPU-hour a week").all()
    assert binds["worth_usd"].tolist() == pytest.approx([-9 * 168] * len(names))
    assert set(allocate.runners_up(plan)["workload"]) == set(names)
    assert not allocate.is_idle(plan.table).any()
    facts = allocate.summary(plan).set_index("fact")
    assert facts.loc["demand of x goes on, one more", "value"] == pytest.approx(9 * 168)


def test_a_sum_named_like_another_limit_keeps_its_own_worth():
    """None of the second offer is allowed: one more saves what the next costs beyond it."""
    base = plan_for(work(40.0)).problem
    at = np.arange(len(base.assignments))
    is_spot = base.assignment_details["offer_id"].eq("gcp/us-b//h8/spot/").to_numpy(float)
    worth = {}
    for name in ("plain", "share of the second", "on-demand machines", "demand of w", "CVaR"):
        row = allocate.Row(name, at, is_spot, upper=0.0)
        binds = allocate.binding(allocate.solve(replace(base, rows=(row,))))
        (own,) = binds[(binds["limit"] == name) & (binds["unit"] == "")].to_dict("records")
        worth[name] = own["worth_usd"]
    assert worth["plain"] > 0
    assert worth == pytest.approx(dict.fromkeys(worth, worth["plain"]))


def test_only_what_no_work_uses_is_idle():
    label = ["idle commitment in base", "idle commitment", "idle commitment x", "w in base"]
    table = pd.DataFrame({"workload": label, "scenario": ["base", "", "", "base"]})
    assert allocate.is_idle(table).tolist() == [True, True, False, False]
    assert allocate.is_idle(table[["workload"]]).tolist() == [False, True, False, False]


def test_work_left_undone_without_its_pool_is_said():
    plan = plan_for(work(8.0, worth_usd_per_gpu_hour=2.1))
    runner = allocate.runners_up(plan).iloc[0]
    assert (runner["pool"], runner["runner_up"]) == ("gcp/us-a/spot/H100", "left undone")
    assert runner["extra_usd"] == pytest.approx(8 * 2.1 * 168 - plan.objective_usd, abs=1e-5)
