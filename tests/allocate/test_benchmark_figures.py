"""What the benchmarks of allocation print of a search is what its definition says."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.allocation import INSTANCES, drawn_problem, load_instance
from benchmarks.allocation_drawn import draw
from benchmarks.allocation_warm import primal_integral
from benchmarks.allocation_without import MECHANISMS, left_out
from cloudarb_lib import allocate


def test_the_primal_integral_weighs_seconds_by_the_distance_above_the_best():
    # 2 s without a plan; 3 s at (200 - 100) / 200; 4 s at (125 - 100) / 125; 1 s at the best
    trace = [(2.0, 200.0), (5.0, 125.0), (9.0, 100.0)]
    assert primal_integral(trace, best=100.0, end=10.0) == pytest.approx(2 + 1.5 + 0.8)


def test_the_primal_integral_of_a_search_without_a_plan_is_its_time():
    assert primal_integral([], best=100.0, end=7.0) == 7.0


def test_a_plan_far_above_the_best_counts_less_than_none():
    assert primal_integral([(1.0, 1000.0)], best=1.0, end=3.0) == pytest.approx(1 + 2 * 0.999)


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_mechanism_left_out_is_back_afterwards(name):
    where, attribute, instead = MECHANISMS[name]
    before = getattr(where, attribute)
    with left_out(name):
        assert getattr(where, attribute) is instead
        assert (before is instead) == (name == "nothing")
    assert getattr(where, attribute) is before


def test_an_instance_drawn_is_as_large_as_those_bundled_and_the_same_each_time():
    bundled = load_instance(INSTANCES / "seed_size_0.npz", "none")
    instance = draw(7)
    assert all((each == draw(7)[name]).all() for name, each in instance.items())
    assert instance["scenario_price"].shape == bundled.paths.shape
    assert len(np.unique(instance["pair_workload"])) == len(bundled.demands)
    assert len(instance["site_fee"]) == len(bundled.sites)
    assert len(instance["pair_offer"]) == pytest.approx(len(bundled.assignments), rel=0.2)
    pairs = np.c_[instance["pair_workload"], instance["pair_offer"]]
    assert len(np.unique(pairs, axis=0)) == len(pairs)


@pytest.mark.slow
def test_limits_of_an_instance_drawn_bend_its_cheapest_plan():
    problem = drawn_problem(100, "cvar+diversification")
    plan = allocate.solve(allocate.without_risk_limits(problem), allocate.SolveOptions(gap=0.01))
    broken = allocate.check(problem, plan.units).broken
    assert {name.split(":")[0] for name in broken} == {"CVaR", "effective providers"}
