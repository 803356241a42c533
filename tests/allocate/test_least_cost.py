"""The least that whole machines cost: against all there are, and as a bound on every plan."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import allocation_oracle as oracle
from cloudarb_lib import allocate
from cloudarb_lib.allocate.solver.least_cost import LeastCost, least_cost
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.allocate.solver.relaxation import Relaxation
from cloudarb_lib.allocate.solver.work import Allowance

OPTIONS = allocate.SolveOptions(gap=1e-6, work_limit=20)
PRICED = st.tuples(st.integers(1, 9), st.floats(0.0, 100.0))


def problem_of(seed, size):
    return oracle.random_problem(np.random.default_rng([seed, 11]), size)


def bounds(problem):
    """Return what a relaxation costs, and the bound of whole machines."""
    milp = to_milp(problem)
    relaxation = Relaxation(milp)
    if relaxation.solve_with_cuts(Allowance(np.inf, np.inf)) != "optimal":
        return np.nan, np.nan
    beyond = LeastCost(milp).beyond(relaxation.z, relaxation.price)
    return relaxation.value, relaxation.value + beyond


def by_hand(priced, need):
    """Return the least cost over all numbers of machines of each size."""
    counts = product(*(range(-(-need // size) + 1) for size, _ in priced))
    bought = (list(zip(count, priced, strict=True)) for count in counts)
    return min(
        sum(n * usd for n, (_, usd) in those)
        for those in bought
        if sum(n * size for n, (size, _) in those) >= need
    )


@given(st.lists(PRICED, min_size=1, max_size=3), st.integers(1, 14))
def test_the_least_cost_is_that_of_all_machines_there_are(priced, need):
    sizes, usd = np.array(priced).T
    found = least_cost(usd, sizes.astype(int), need)
    assert found == pytest.approx(by_hand(priced, need), abs=1e-9)


@pytest.mark.solver
def test_it_bounds_the_best_plan():
    for seed in range(7):
        problem = problem_of(seed, "small")
        relaxed, bound = bounds(problem)
        plan = allocate.solve(problem, replace(OPTIONS, gap=1e-4))
        if plan.has_plan:
            assert relaxed <= bound <= plan.objective_usd * (1 + 1e-6)


@pytest.mark.solver
def test_it_bounds_better_than_parts_of_machines():
    found = [bounds(problem_of(seed, "small")) for seed in range(30)]
    assert sum(bound > relaxed * 1.0001 for relaxed, bound in found) >= 8


@pytest.mark.solver
@pytest.mark.parametrize("third", [1 / 3, 0.123456])
def test_machines_that_no_unit_measures_are_rounded_up(third):
    """So the bound holds, and is nearly that of machines that a unit does measure."""
    for seed in range(12):
        problem = problem_of(seed, "tiny")
        scaled = replace(
            problem,
            assignments=problem.assignments.assign(cover=problem.cover * third),
            demands=problem.demands.assign(need=problem.need * third),
        )
        if not np.isinf(problem.unmet_usd).all():
            continue  # what a unit left undone costs would have to be scaled too
        _, bound = bounds(problem)
        _, of_scaled = bounds(scaled)
        assert of_scaled <= bound * (1 + 1e-6) or np.isnan(bound)
        assert of_scaled >= bound * 0.99 or np.isnan(bound)


@pytest.mark.solver
def test_a_part_of_a_machine_that_is_left_undone_is_paid_as_such():
    problem = problem_of(0, "tiny")
    for need in (0.5, 2.25, 3.7):
        some = replace(problem, demands=problem.demands.assign(need=need, unmet_usd=1.0))
        _, bound = bounds(some)
        plan = allocate.solve(some, OPTIONS)
        assert bound <= plan.objective_usd * (1 + 1e-6) + 1e-6
