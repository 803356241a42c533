"""Random small demands with facts: the plan is the best of all that an enumeration allows."""

import itertools

import numpy as np
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.testing import OFFERS, figures, work

HOURS = 168.0
HAZARD_PER_H = 0.002
RESTART_MINUTES = 60.0
OF_8_H100 = OFFERS[(OFFERS["gpu_count"] == 8) & (OFFERS["purchase_option"] != "reserved")]
LARGE = OF_8_H100.assign(region=["us-a", "us-a", "us-b"])
"""Spot and on demand in one region, spot in another."""
NEED = 3
"""Machines of 8 GPUs."""


def stated(seed: int) -> tuple[allocate.Workload, dict, dict]:
    """A random workload, what the demand states beside it, and the same in plain numbers."""
    rng = np.random.default_rng(seed)
    facts = {
        "share": rng.choice([0.0, 0.3, 0.6]),
        "survives": bool(rng.random() < 0.3),
        "a_week": rng.choice([np.inf, 0.3, 0.7, 1.1]),
        "cap": rng.choice([np.inf, 2.2, 9.0]),
        "quota_a": rng.choice([np.inf, 8.0, 16.0, 40.0]),
        "discount_b": rng.choice([0.0, 0.3]),
    }
    workload = work(
        8.0 * NEED,
        restart_minutes=RESTART_MINUTES,
        min_on_demand_share=float(facts["share"]),
        survives_loss_of="region" if facts["survives"] else "",
        max_interruptions_a_week=float(facts["a_week"]) if facts["a_week"] < np.inf else None,
        max_usd_per_gpu_hour=float(facts["cap"]) if facts["cap"] < np.inf else None,
    )
    beside: dict = {}
    if facts["quota_a"] < np.inf:
        beside["quotas"] = (allocate.Quota(region=("us-a",), gpus=float(facts["quota_a"])),)
    if facts["discount_b"]:
        beside["prices"] = (allocate.Price(region=("us-b",), discount=0.3),)
    return workload, beside, facts


def least_usd(facts: dict) -> float:
    """The cost of the best plan by trying all counts of the three offers; infinite without one."""
    rework = 1 / (1 - HAZARD_PER_H * RESTART_MINUTES / 60)
    price = LARGE["price_usd_per_hour"].to_numpy() * [1, 1, 1 - facts["discount_b"]]
    busy_h = HOURS * np.array([rework, 1.0, rework])
    is_spot = np.array([True, False, True])
    is_in_a = np.array([True, True, False])
    most_a_pool = np.array([4, 8, 4])
    if facts["quota_a"] < np.inf:
        most_a_pool = np.array([9, 9, 4])
    best = np.inf
    for counts in itertools.product(range(7), repeat=3):
        n = np.array(counts)
        gpu_hours = n * busy_h
        keeps = [
            n.sum() >= NEED,
            (n <= most_a_pool).all(),
            not n[price / 8 > facts["cap"] + 1e-12].any(),
            n[~is_spot].sum() >= facts["share"] * NEED - 1e-9,
            not facts["survives"] or min(n[is_in_a].sum(), n[~is_in_a].sum()) >= NEED,
            HAZARD_PER_H * gpu_hours[is_spot].sum() <= facts["a_week"] + 1e-9,
            8 * n[is_in_a].sum() <= facts["quota_a"],
        ]
        if all(keeps):
            best = min(best, float(price @ gpu_hours))
    return best


@pytest.mark.parametrize("seed", range(25))
def test_the_plan_is_the_best_of_all_that_keep_the_facts(seed):
    workload, beside, facts = stated(seed)
    demand = allocate.Demand([workload], **beside)
    least = least_usd(facts)
    try:
        problem = allocate.build_problem(demand, LARGE, assumptions=figures())
    except allocate.DemandError:  # no offers together can give what it asks
        assert least == np.inf
        return
    plan = allocate.solve(problem, allocate.SolveOptions(gap=1e-9))
    if least == np.inf:
        assert plan.status == "infeasible"
    else:
        assert plan.objective_usd == pytest.approx(least)


def test_the_draws_have_plans_and_none():
    found = [least_usd(stated(seed)[2]) < np.inf for seed in range(25)]
    assert 5 < sum(found) < 25
