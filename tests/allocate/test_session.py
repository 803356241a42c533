"""A session's answers equal those from nothing; it tells how far it is, and can be stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.allocation import load_instance
from cloudarb_lib import allocate
from cloudarb_lib.allocate.solver.known import Known
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.allocate.solver.relaxation import Relaxation
from cloudarb_lib.allocate.solver.search import solve_from
from cloudarb_lib.testing import random_allocation

pytestmark = pytest.mark.slow

INSTANCE = Path(__file__).parents[2] / "benchmarks" / "instances" / "seed_size_0.npz"
OPTIONS = allocate.SolveOptions(gap=1e-6, work_limit=20)


def changed(problem: allocate.Problem, rng: np.random.Generator) -> allocate.Problem:
    """The problem with one thing changed, as a person would with a slider."""
    limits = problem.limits
    scale_usd = float(problem.demands["need"].sum()) * 6.0
    change = rng.choice(["budget", "cvar", "spread", "price", "need", "capacity", "gone"])
    if change == "budget":
        return problem.under(budget_usd=scale_usd * rng.uniform(0.5, 2))
    if change == "cvar":
        return problem.under(cvar_usd=scale_usd * rng.uniform(0.6, 2))
    if change == "spread":
        by = str(rng.choice(["provider", "region"]))
        least = None if limits.effective_providers and rng.random() < 0.3 else rng.uniform(1, 2.2)
        return problem.under(effective_providers=least, diversify=by)
    if change == "price":
        factor = np.where(np.arange(len(problem.slots)) == 1, rng.uniform(0.5, 2), 1.0)
        assert problem.paths is not None
        slots = problem.slots.assign(mean_price=problem.slots["mean_price"] * factor)
        return replace(problem, slots=slots, paths=problem.paths * factor)
    if change == "capacity":
        capacity = np.maximum(problem.pools["capacity"] + rng.integers(-2, 3, 3), 0.0)
        return replace(problem, pools=problem.pools.assign(capacity=capacity))
    if change == "need" and not problem.exact:
        need = np.maximum(problem.demands["need"] + rng.integers(-1, 2), 1.0)
        return replace(problem, demands=problem.demands.assign(need=need))
    kept = problem.assignments[rng.random(len(problem.assignments)) < 0.9]
    return replace(problem, assignments=kept.reset_index(drop=True))


@pytest.mark.parametrize("seed", range(6))
def test_what_is_solved_from_the_plan_before_equals_what_is_solved_from_nothing(seed):
    rng = np.random.default_rng(seed)
    problem = random_allocation(seed, small=False)
    session = allocate.PlanSession(OPTIONS)
    for _ in range(5):
        warm = session.solve(problem)
        cold = allocate.solve(problem, OPTIONS)
        assert warm.status == cold.status
        if cold.has_plan:
            assert not warm.verdict.broken
            assert warm.objective_usd == pytest.approx(cold.objective_usd, rel=3e-6)
            assert warm.bound_usd <= cold.objective_usd * (1 + 1e-9)
        problem = changed(problem, rng)


def test_progress_closes_the_gap():
    told: list[allocate.Plan] = []
    problem = random_allocation(3, small=False)
    plan = allocate.PlanSession(OPTIONS).solve(problem, on_progress=told.append)
    assert plan.status == "optimal"
    assert {best.status for best in told} == {"searching"}
    gaps = [best.gap for best in told]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > gaps[-1]
    assert [best.bound_usd for best in told] == sorted(best.bound_usd for best in told)


@pytest.mark.solver
def test_what_is_stopped_leaves_the_best_plan_so_far():
    problem = load_instance(INSTANCE, "cvar")
    told: list[allocate.Plan] = []
    session = allocate.PlanSession(allocate.SolveOptions(gap=0.0, work_limit=300))
    plan = session.solve(
        problem, on_progress=told.append, stop=lambda: any(best.has_plan for best in told)
    )
    assert plan.status == "interrupted"
    assert not plan.verdict.broken
    assert 0 < plan.gap < 0.2
    assert plan.seconds < 60


def test_what_is_stopped_at_once_has_no_plan_and_says_so():
    session = allocate.PlanSession(OPTIONS)
    plan = session.solve(random_allocation(3, small=False), stop=lambda: True)
    assert (plan.status, plan.has_plan) == ("interrupted", False)
    assert session.solve(random_allocation(3, small=False)).status == "optimal"


def test_a_limit_that_a_plan_keeps_anyway_is_answered_without_a_search(monkeypatch):
    """What bounds the looser problem bounds the tighter one, and the plan keeps it."""
    problem = load_instance(INSTANCE, "none")
    session = allocate.PlanSession(allocate.SolveOptions(gap=1e-3, work_limit=300))
    first = session.solve(problem)
    monkeypatch.setattr(Relaxation, "solve", lambda *_: pytest.fail("searched"))
    (spend,) = problem.rows
    tighter = replace(problem, rows=(replace(spend, upper=first.verdict.list_spend_usd * 1.001),))
    again = session.solve(tighter)
    assert (again.status, again.bound_usd) == (first.status, first.bound_usd)
    assert (again.units == first.units).all()


def test_sites_known_are_looked_at_first():
    problem = load_instance(INSTANCE, "cvar")
    known = Known()
    options = allocate.SolveOptions(gap=0.02, work_limit=300)
    plan = solve_from(problem, options, known, None)
    program = to_milp(problem)
    used = program.point(plan.units)[program.site_columns]
    sets = [tuple(sites) for sites in known.sites(program)]
    assert tuple(used) in sets
    gone = problem.sites["name"].where(np.arange(len(problem.sites)) != used.argmax(), "renamed")
    other = to_milp(replace(problem, sites=problem.sites.assign(name=gone)))
    assert known.sites(other)[sets.index(tuple(used))].sum() == used.sum() - 1


def test_what_is_known_holds_under_other_figures():
    """Rows from usages of before cut off no plan of today; of other offers none are known."""
    met = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        problem = random_allocation(seed, small=False)
        known = Known()
        solve_from(problem, OPTIONS, known, None)
        today = changed(problem, rng)
        plan = allocate.solve(today, OPTIONS)
        program = to_milp(today)
        cuts = known.cuts(program)
        met += len(cuts.names)
        if plan.has_plan:
            beyond = cuts.matrix @ program.point(plan.counts) - cuts.upper
            assert (beyond <= 1e-6 * np.maximum(1, abs(cuts.upper))).all()
        slots = problem.slots.assign(offer_id="other")
        assert known.cuts(to_milp(replace(problem, slots=slots))).names == []
    assert met > 5
