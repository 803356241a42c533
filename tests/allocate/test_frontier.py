"""What safety costs: frontiers, the plan without risk limits, and a limit on VaR."""

import importlib
import itertools
from dataclasses import replace

import numpy as np
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.base.errors import ParameterError, SolveError
from cloudarb_lib.testing import random_allocation

pytestmark = pytest.mark.solver


def test_a_frontier_falls_and_ends_where_no_plan_is():
    base = random_allocation(11, small=False)
    base = allocate.without_risk_limits(replace(base, limits=replace(base.limits, budget_usd=None)))
    free = allocate.solve(base)
    limits = [free.verdict.cvar_usd * scale for scale in (0.01, 0.9, 0.95, 1.01)]
    curve = allocate.frontier(base, "cvar_usd", limits)
    costs = curve["cost_usd"].dropna().to_numpy()
    assert (
        np.diff(costs) <= 1e-3 * costs[0]
    ).all()  # a looser limit never costs more, within the gap
    assert costs[-1] == pytest.approx(free.objective_usd, rel=1e-3)
    there = curve[curve["cost_usd"].notna()]
    assert (there["cvar_usd"] <= there["limit"] * (1 + 1e-6)).all()
    spread = allocate.frontier(base, "effective_providers", [1.0, 1.5, 99.0])
    assert spread["status"].tolist()[-1] == "infeasible"
    assert spread["effective"].iloc[1] >= 1.5 - 1e-6
    with pytest.raises(ParameterError, match="no frontier over 'var'"):
        allocate.frontier(base, "var", [1.0])
    with pytest.raises(ParameterError, match="needs price paths"):
        allocate.frontier(replace(base, paths=None), "cvar_usd", [1.0])


@pytest.mark.solver
def test_a_frontier_chooses_its_limits_and_tightens_its_bounds():
    base = random_allocation(11, small=False)
    base = allocate.without_risk_limits(replace(base, limits=replace(base.limits, budget_usd=None)))
    free = allocate.solve(base)
    risk = allocate.frontier(base, "cvar_usd")
    assert len(risk) == 6
    assert risk["limit"].iloc[-1] == pytest.approx(free.verdict.cvar_usd)
    assert risk["limit"].iloc[0] < free.verdict.cvar_usd
    quick = allocate.SolveOptions(work_limit=1.0)  # equal spends take long to prove
    spread = allocate.frontier(base, "effective_providers", options=quick)
    assert spread["limit"].tolist() == list(range(1, len(np.unique(base.groups)) + 1))
    for curve, tight_first in ((risk, True), (spread, False)):
        bounds = curve["bound_usd"].to_numpy()
        assert (np.diff(bounds if not tight_first else bounds[::-1]) >= 0).all()
        there = curve["cost_usd"].notna()
        assert (curve.loc[there, "bound_usd"] <= curve.loc[there, "cost_usd"] * (1 + 1e-9)).all()


def test_where_less_spread_has_no_plan_in_time_more_is_not_tried(monkeypatch):
    asked = []

    def solve(problem, options, start=None):
        least = problem.limits.effective_providers
        asked.append(least)
        return allocate.solve(problem) if least < 1.5 else None

    module = importlib.import_module("cloudarb_lib.allocate.frontier")  # its function hides it
    monkeypatch.setattr(module, "try_to_solve", solve)
    base = allocate.without_risk_limits(random_allocation(11, small=False))
    curve = allocate.frontier(base, "effective_providers", [1.0, 1.5, 1.6, 1.7])
    assert asked == [1.0, 1.5]
    assert curve["status"].tolist()[1:] == ["solver failed", "not tried", "not tried"]
    assert (curve["bound_usd"] == curve["bound_usd"].iloc[0]).all(), "a bound of less spread holds"


def test_a_frontier_tells_no_dearer_plan_than_the_one_it_begins_with():
    problem = random_allocation(11, small=False)
    plan = allocate.solve(problem, allocate.SolveOptions(gap=0.0))
    coarse = allocate.SolveOptions(gap=0.5)  # any plan would do
    curve = allocate.frontier(problem, "cvar_usd", options=coarse, start=plan)
    kept = curve[curve["limit"] >= plan.verdict.cvar_usd * (1 - 1e-9)]
    assert kept["cost_usd"].tolist() == pytest.approx([plan.objective_usd] * len(kept))
    assert len(kept)


def test_without_risk_limits_only_budget_and_capacity_stay():
    limits = allocate.Limits(
        budget_usd=5.0,
        cvar_usd=1.0,
        effective_providers=2.0,
        max_provider_share=0.5,
        max_region_share=0.5,
        min_on_demand_share=0.5,
        terms=("1y",),
    )
    base = replace(random_allocation(3, small=True), limits=limits)
    assert allocate.without_risk_limits(base).limits == allocate.Limits(
        budget_usd=5.0, terms=("1y",)
    )


@pytest.mark.parametrize("seed", range(12))
def test_var_is_held_and_the_repair_is_sound(seed):
    problem = random_allocation(seed, small=True)
    most = np.minimum(problem.assignments["most"], 1)
    problem = replace(
        problem,
        assignments=problem.assignments.assign(most=most),
        demands=problem.demands.assign(unmet_usd=30.0),
        limits=allocate.Limits(cvar_level=0.9),
    )
    free = allocate.solve(problem)
    limit = 0.9 * free.verdict.var_usd
    plan = allocate.hold_var(problem, limit)
    assert plan.status == "var_repaired"
    assert plan.verdict.var_usd <= limit * (1 + 1e-6)
    best = np.inf  # the true optimum under the limit, by enumeration
    for counts in itertools.product(*(range(m + 1) for m in most.astype(int))):
        verdict = allocate.check(problem, np.array(counts, float))
        if not verdict.broken and verdict.var_usd <= limit:
            best = min(best, verdict.objective_usd)
    assert plan.bound_usd <= best + 1e-6
    assert best - 1e-6 <= plan.objective_usd <= 1.2 * best
    assert allocate.hold_var(problem, 2 * free.verdict.var_usd).status == free.status


def test_a_var_that_cannot_be_held_is_said():
    problem = replace(random_allocation(3, small=True), limits=allocate.Limits())
    problem = replace(problem, demands=problem.demands.assign(unmet_usd=np.inf))
    with pytest.raises(SolveError, match=r"no plan with VaR .*The cheapest plan without it has \d"):
        allocate.hold_var(problem, 0.01)
    for bad in (0.0, np.nan, np.inf):
        with pytest.raises(ParameterError, match="VaR cannot be held"):
            allocate.hold_var(problem, bad)
