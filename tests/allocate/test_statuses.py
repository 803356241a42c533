"""How a solve ends, and what is refused or said where it fails."""

import sys
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.allocate.solver import engine, state
from cloudarb_lib.allocate.solver.answer import Answer
from cloudarb_lib.allocate.solver.known import Known
from cloudarb_lib.allocate.solver.options import Solver
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.allocate.solver.state import Search
from cloudarb_lib.base.errors import ParameterError, SolveError
from cloudarb_lib.testing import plan_for, work


@pytest.mark.slow
@pytest.mark.parametrize("solver", get_args(Solver))
def test_each_status_fires(solver):
    options = allocate.SolveOptions(solver=solver)
    assert plan_for(work(64), options=options).status == "optimal"
    none = plan_for(work(4096), options=options)
    assert none.status == "infeasible"
    assert not none.has_plan
    assert none.gap == np.inf
    for name in ("table", "objective_usd", "verdict"):
        with pytest.raises(SolveError, match="no plan: infeasible"):
            getattr(none, name)
    with pytest.raises(SolveError, match="no plan: infeasible"):
        allocate.binding(none)
    late = plan_for(work(64), options=replace(options, time_limit_s=1e-9))
    assert late.status == "time_limit_without_plan"
    assert late.is_timed
    assert not late.has_plan
    cut = plan_for(work(64), options=replace(options, work_limit=1e-9))
    is_counted = solver == "highs"
    assert cut.status == f"{'work' if is_counted else 'time'}_limit_without_plan"
    assert cut.is_timed != is_counted


def test_a_distance_in_usd_ends_a_search_too():
    best = plan_for(work(32))
    options = allocate.SolveOptions(gap=0.0, gap_usd=100.0)
    search = Search(to_milp(best.problem), options, Known())
    search.offer(best.units)
    search.prove(best.objective_usd - 101.0)
    assert not search.done
    search.prove(best.objective_usd - 99.0)
    assert search.done
    assert search.worth_finding == pytest.approx(best.objective_usd - 95.0)


def test_a_broken_plan_is_never_returned(monkeypatch):
    wrong = Answer("optimal", np.zeros(200), 0.0, 0.0)
    monkeypatch.setattr(
        state, "solve_mip", lambda *a, **k: replace(wrong, z=np.zeros(len(k["upper"])))
    )
    assert plan_for(work()).status == "work_limit_without_plan"


@pytest.mark.parametrize(
    "bad",
    [
        {"gap": -1},
        {"time_limit_s": 0},
        {"work_limit": 0},
        {"solver": "magic"},
        {"threads": 0},
        {"cuts": "some"},
    ],
)
def test_impossible_options_are_refused(bad):
    with pytest.raises(ParameterError):
        allocate.SolveOptions(**bad)


@pytest.mark.slow
def test_a_cost_that_the_point_does_not_have_is_refused(monkeypatch):
    wrong = Answer("optimal", np.zeros(0), 5.0, 5.0)
    monkeypatch.setattr(
        engine, "solve_with_highs", lambda m, *a: replace(wrong, z=np.zeros(len(m.cost)))
    )
    with pytest.raises(SolveError, match="reports a cost of 5 for a point of 0"):
        plan_for(work(64))


def test_a_solver_error_is_translated(monkeypatch):
    from ortools.math_opt.python import mathopt

    def fail(*args, **kwargs):
        raise AttributeError("'StatusNotOk' object has no attribute 'canonical_code'")

    monkeypatch.setattr(mathopt, "solve", fail)
    with pytest.raises(SolveError, match="failed"):
        plan_for(work(64), options=allocate.SolveOptions(solver="mathopt_gscip"))


@pytest.mark.parametrize(
    ("module", "solver", "said"),
    [
        ("highspy", "highs", "highspy is not installed. Way out: pip install highspy"),
        (
            "ortools.math_opt",
            "mathopt_gscip",
            "OR-Tools is not installed. Way out: pip install ortools",
        ),
    ],
)
def test_a_missing_solver_is_named(monkeypatch, module, solver, said):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SolveError, match=said):
        plan_for(work(64), options=allocate.SolveOptions(solver=solver))
