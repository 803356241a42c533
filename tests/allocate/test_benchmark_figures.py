"""What the benchmarks of allocation print of a search is what its definition says."""

from __future__ import annotations

import pytest

from benchmarks.allocation_warm import primal_integral
from benchmarks.allocation_without import MECHANISMS, left_out


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
