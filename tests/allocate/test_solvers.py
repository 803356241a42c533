"""Each solver that ``SolveOptions`` offers, its options, and interrupts."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from benchmarks import allocation_oracle as oracle
from benchmarks.allocation import load_instance
from cloudarb_lib import allocate
from cloudarb_lib.allocate.solver.highs import most_cost
from cloudarb_lib.allocate.solver.options import Effort, Solver
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.allocate.solver.relaxation import Relaxation

INSTANCE = Path(__file__).parents[2] / "benchmarks" / "instances" / "seed_size_0.npz"
OPTIONS = allocate.SolveOptions(gap=1e-6, work_limit=20)


def drawn(seed: int, size: str) -> allocate.Problem:
    return oracle.random_problem(np.random.default_rng([seed, 11]), size)


@pytest.mark.slow
@pytest.mark.parametrize("solver", get_args(Solver))
def test_every_solver_finds_the_best_plan(solver):
    """Plans with and without risk and share limits, and one that has none."""
    statuses = set()
    for seed in range(12):
        problem = drawn(seed, "tiny")
        cost, _ = oracle.by_hand(problem)
        plan = allocate.solve(problem, replace(OPTIONS, solver=solver))
        statuses.add(plan.status)
        assert plan.has_plan == np.isfinite(cost)
        if plan.has_plan:
            assert plan.objective_usd == pytest.approx(cost, rel=1e-5)
    assert {"optimal", "infeasible"} <= statuses


@pytest.mark.parametrize("effort", get_args(Effort))
@pytest.mark.parametrize("solver", get_args(Solver))
def test_effort_changes_no_optimum(solver, effort):
    problem = drawn(6, "tiny")
    options = replace(OPTIONS, solver=solver, presolve=effort, cuts=effort, heuristics=effort)
    plan = allocate.solve(problem, options)
    assert plan.objective_usd == pytest.approx(oracle.by_hand(problem)[0], rel=1e-5)


@pytest.mark.solver
@pytest.mark.parametrize(
    ("solver", "limits"), [("highs", "cvar"), ("highs", "cvar+diversification")]
)
def test_an_interrupt_ends_with_the_best_plan_so_far(solver, limits):
    told = []

    def stop(plan):
        told.append(plan)
        if plan.has_plan:
            os.kill(os.getpid(), signal.SIGINT)

    problem = load_instance(INSTANCE, limits)
    options = allocate.SolveOptions(gap=0.0, work_limit=300, solver=solver, progress=stop)
    plan = allocate.solve(problem, options)
    assert plan.status == "interrupted"
    assert not plan.verdict.broken
    assert 0 < plan.gap < 0.2
    found = [best for best in told if best.has_plan]
    assert plan.bound_usd <= plan.objective_usd <= found[0].objective_usd + 1e-6
    assert all(0 < best.seconds < 300 and best.gap >= 0 for best in told)


def test_an_interrupt_before_any_plan_is_an_interrupt(monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Relaxation, "solve", stop)
    with pytest.raises(KeyboardInterrupt):
        allocate.solve(drawn(0, "small"), OPTIONS)


@pytest.mark.slow
def test_the_bound_that_spares_the_feasibility_pump_lies_above_every_plan():
    costs = 0
    for seed in range(20):
        problem = drawn(seed, "tiny")
        program = to_milp(problem)
        cost, _ = oracle.by_hand(problem)
        if np.isfinite(cost):
            costs += 1
            assert cost <= most_cost(program) * (1 + 1e-9)
    assert costs
    endless = replace(program, cost=np.abs(program.cost) + 1, upper=program.upper + np.inf)
    assert most_cost(endless) == np.inf
