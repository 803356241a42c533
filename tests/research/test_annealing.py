"""Annealing of the assignment: plans that keep the limits, and costs counted from the problem."""

import sys

import numpy as np
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.allocate.examples import example_offers
from cloudarb_lib.base.errors import ParameterError, SolveError
from cloudarb_lib.research import needs
from cloudarb_lib.research.annealing import anneal
from cloudarb_lib.tables.assumptions import load_assumptions


def a_problem(workloads, **columns):
    offers = example_offers().assign(**columns)
    offers = offers[offers["purchase_option"] != "reserved"]
    return allocate.build_problem(workloads, offers, assumptions=load_assumptions(), hours=168.0)


def test_a_tiny_problem_is_annealed_to_its_optimum():
    pytest.importorskip("dimod", reason="extra research is not installed")
    problem = a_problem(needs.single_machines(2, seed=1))
    best = allocate.solve(problem, allocate.SolveOptions(gap=1e-9))
    found = anneal(problem, reads=50, sweeps=500, seed=7)
    assert found.cost_usd == pytest.approx(best.objective_usd, rel=1e-6)
    assert found.plans > 0
    assert np.bincount(problem.demand_of, found.counts).tolist() == [1, 1]


def test_pools_hold_what_they_can():
    pytest.importorskip("dimod", reason="extra research is not installed")
    problem = a_problem(needs.single_machines(3, seed=1), offer_count=1.0)
    found = anneal(problem, reads=50, sweeps=500, seed=7)
    used = np.bincount(problem.pool_of, found.counts * problem.pool_use, len(problem.capacity))
    assert (used <= problem.capacity).all()
    best = allocate.solve(problem, allocate.SolveOptions(gap=1e-9))
    assert found.cost_usd >= best.objective_usd - 1e-6


def test_a_demand_of_several_machines_is_refused():
    pytest.importorskip("dimod", reason="extra research is not installed")
    problem = a_problem([allocate.Workload("w", 64.0, {"H100": 1.0}, interruptible=True)])
    with pytest.raises(ParameterError, match="not met by one machine"):
        anneal(problem, reads=1, sweeps=1, seed=7)


def test_without_the_extra_the_way_out_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "dimod", None)
    with pytest.raises(SolveError, match="make platform"):
        anneal(a_problem(needs.single_machines(1, seed=1)), reads=1, sweeps=1, seed=7)
