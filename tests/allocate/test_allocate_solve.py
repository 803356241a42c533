"""Allocation against slow oracles: a sample of what ``make check-long`` runs in full."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import allocation_oracle as oracle
from benchmarks.allocation import load_instance
from cloudarb_lib import allocate
from cloudarb_lib.allocate import explain
from cloudarb_lib.allocate.solver import descent, knapsack, search, state
from cloudarb_lib.allocate.solver.answer import Answer, shared_status
from cloudarb_lib.allocate.solver.knapsack import MachineCuts
from cloudarb_lib.allocate.solver.known import Knapsacks, Known
from cloudarb_lib.allocate.solver.milp import separate, spends, tangents_near
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.allocate.solver.relaxation import Relaxation
from cloudarb_lib.allocate.solver.state import Search
from cloudarb_lib.allocate.solver.work import Allowance
from cloudarb_lib.base.errors import SolveError

pytestmark = pytest.mark.solver

INSTANCE = Path(__file__).parents[2] / "benchmarks" / "instances" / "seed_size_0.npz"
OPTIONS = allocate.SolveOptions(gap=1e-6, work_limit=20)
ENOUGH = Allowance(np.inf, np.inf)


def drawn(seed: int, size: str) -> allocate.Problem:
    return oracle.random_problem(np.random.default_rng([seed, 11]), size)


@pytest.mark.parametrize("seed", range(25))
def test_tiny_problems_equal_brute_force(seed):
    problem = drawn(seed, "tiny")
    known = oracle.by_hand(problem)
    plan = allocate.solve(problem, OPTIONS)
    assert oracle.disagreement(problem, plan, known) == ""
    if plan.has_plan:
        assert plan.objective_usd == pytest.approx(known[0], rel=1e-5)


@pytest.mark.parametrize(
    ("seed", "size"), [(0, "small"), (1, "small"), (2, "small"), (3, "small"), (4, "medium")]
)
def test_larger_problems_agree_with_another_formulation(seed, size):
    problem = drawn(seed, size)
    known = oracle.by_scipy(problem, gap=1e-4, time_limit_s=20)
    plan = allocate.solve(problem, replace(OPTIONS, gap=1e-3))
    assert oracle.disagreement(problem, plan, known) == ""


@pytest.mark.parametrize("seed", range(20))
def test_the_two_oracles_agree(seed):
    problem = drawn(seed, "tiny")
    cost, bound = oracle.by_scipy(problem, gap=1e-9, time_limit_s=20)
    assert (cost, bound) == pytest.approx(oracle.by_hand(problem), rel=1e-6)


def test_an_oracle_finds_each_wrong_answer():
    problem = next(
        p for p in (drawn(s, "tiny") for s in range(99)) if np.isfinite(oracle.by_hand(p)[0])
    )
    known = oracle.by_hand(problem)
    plan = allocate.solve(problem, OPTIONS)
    zero = np.zeros_like(plan.counts)
    for wrong, against, said in (
        (replace(plan, status="infeasible", counts=None), known, "called infeasible"),
        (replace(plan, bound_usd=known[0] * 1.01), known, "above a plan"),
        (replace(plan, counts=zero + 99), known, "the plan breaks"),
        (plan, (np.inf, np.inf), "proves that there is none"),
        (plan, (known[0] * 1.02, known[0] * 1.01), "below the oracle's bound"),
        (replace(plan, status="time_limit_without_plan", counts=None), known, "unsolved"),
        (replace(plan, status="time_limit_with_plan"), known, "unsolved"),
    ):
        assert said in oracle.disagreement(problem, wrong, against)


def test_no_added_row_cuts_off_the_best_plan():
    """Rounded capacities, closed pools, links, knapsack, tail and cone cuts keep the optimum."""
    met = set()
    for problem in (drawn(seed, "tiny") for seed in (*range(60), 120, 141, 162)):
        program, plan = to_milp(problem), allocate.solve(problem, OPTIONS)
        if not plan.has_plan:
            continue
        best = program.point(plan.counts)
        assert (best <= program.upper + 1e-9).all()
        assert (program.rows @ best <= program.row_upper + 1e-6).all()
        assert (program.rows @ best >= program.row_lower - 1e-6).all()
        assert (program.links.matrix @ best <= 1e-9).all()
        relaxation = Relaxation(program)
        machine_cuts = MachineCuts(program)
        for _ in range(8):
            assert relaxation.solve(ENOUGH) == "optimal"
            for cuts in (
                separate(program, relaxation.z, tolerance=1e-7),
                machine_cuts.separate(relaxation.z),
            ):
                assert (
                    cuts.matrix @ best <= cuts.upper + 1e-6 * np.maximum(1, abs(cuts.upper))
                ).all()
                met |= set(cuts.names)
                relaxation.add(cuts)
    assert met == {"link", "knapsack", "whole machines", "CVaR", "tangent"}


def test_tangents_leave_next_to_nothing_between_them_and_the_limit():
    """Each square takes at most a ninth of its squared distance more than its tangents say."""
    problem = load_instance(INSTANCE, "cvar+diversification")
    program = to_milp(problem)
    counts = np.zeros(len(problem.assignments))
    counts[problem.assignments.groupby("demand").head(1).index] = 1
    (cuts,) = tangents_near(program, counts)
    spend = spends(problem, problem.usage(counts))
    for seed in range(20):
        shares = np.maximum(
            spend / spend.sum() + np.random.default_rng(seed).uniform(-0.06, 0.06, 6), 0.0
        )
        distance = abs(shares - spend / spend.sum())
        z = np.zeros(len(program.cost))
        z[program.spread_columns[:7]] = [*shares, 1.0]
        least = (cuts.matrix @ z).reshape(6, -1).max(axis=1)  # of q
        assert (least <= shares**2 + 1e-12).all()
        assert (least >= shares**2 - np.maximum(0.00025, distance / 3) ** 2 - 1e-12).all()


def relaxed_cost(problem: allocate.Problem, counts: np.ndarray) -> float:
    """Cost of parts of machines where the sites of a plan are paid for."""
    program = to_milp(problem, tight=False)
    relaxation = Relaxation(program)
    sites = program.site_columns
    relaxation.bound(sites, program.point(counts)[sites], program.upper[sites])
    assert relaxation.solve_with_cuts(ENOUGH) == "optimal"
    return relaxation.value


def test_what_one_effective_provider_more_costs_in_parts_of_machines(monkeypatch):
    monkeypatch.setattr(explain, "MOST_TRIED", 0)
    problem = load_instance(INSTANCE, "cvar+diversification")
    n = problem.limits.effective_providers
    plan = allocate.solve(problem, allocate.SolveOptions(gap=0.01))
    costs = []
    for step in (-0.01, 0.01):
        limits = replace(problem.limits, effective_providers=n + step)
        costs.append(relaxed_cost(replace(problem, limits=limits), plan.counts))
    worth = allocate.binding(plan).set_index("limit").loc["effective providers", "worth_usd"]
    assert worth == pytest.approx((costs[0] - costs[1]) / 0.02, rel=0.02)
    assert worth < 0


def test_a_plan_that_breaks_a_limit_is_repaired():
    """The cheapest plan that keeps most of its machines is offered."""
    problem = load_instance(INSTANCE, "cvar")
    plan = allocate.solve(problem, replace(OPTIONS, gap=0.01))
    used = np.bincount(
        problem.assignments["slot"],
        plan.counts * problem.assignments["pool_use"],
        len(problem.slots),
    )
    fullest = int(used.argmax())  # in an instance file, each offer is a pool of its own
    capacity = problem.pools["capacity"].where(np.arange(len(used)) != fullest, used[fullest] - 1)
    today = replace(problem, pools=problem.pools.assign(capacity=capacity))
    assert allocate.check(today, plan.counts).broken
    options = replace(OPTIONS, gap=0.005)
    search = Search(to_milp(today), options, Known())
    assert search.solve_relaxation() == "optimal"
    milp = search.milp
    descent.repair(search, search.node_here(milp.lower, milp.upper), milp.upper, plan.counts)
    assert search.incumbent is not None
    assert not allocate.check(today, search.incumbent).broken
    assert np.minimum(search.incumbent, plan.counts).sum() >= 0.9 * plan.counts.sum()


def test_whole_machines_bound_better_than_parts_of_them():
    """On real problems this takes the gap at the root from 5 % to under 0.5 %."""
    gained = 0
    for seed in range(10):
        program = to_milp(drawn(seed, "medium"))
        relaxation = Relaxation(program)
        machine_cuts = MachineCuts(program)
        if relaxation.solve(ENOUGH) == "optimal":
            before = relaxation.value
            relaxation.add(machine_cuts.separate(relaxation.z))
            gained += relaxation.solve(ENOUGH) == "optimal" and relaxation.value > before * 1.001
    assert gained >= 3


def test_rows_known_of_a_pool_cut_off_what_they_were_found_for():
    program = to_milp(load_instance(INSTANCE, "none"))
    knapsacks: Knapsacks = {}
    relaxation = Relaxation(program)
    assert relaxation.solve(ENOUGH) == "optimal"
    found = MachineCuts(program, knapsacks).separate(relaxation.z)
    known = MachineCuts(program, knapsacks).known()
    assert found.names
    assert known.matrix.sum() == pytest.approx(found.matrix.sum())
    assert (known.matrix @ relaxation.z > known.upper + 1e-5).all()


def test_a_pool_that_was_found_to_fit_is_looked_at_once(monkeypatch):
    program = to_milp(load_instance(INSTANCE, "none"))
    cuts = MachineCuts(program)
    relaxation = Relaxation(program)
    while relaxation.solve(ENOUGH) == "optimal" and (found := cuts.separate(relaxation.z)).names:
        relaxation.add(found)
    monkeypatch.setattr(knapsack, "silent_highs", lambda: pytest.fail("asked again"))
    assert cuts.separate(relaxation.z).names == []


def test_the_cost_of_sites_decided_first_is_the_cost_of_all_at_once(monkeypatch):
    problems = [drawn(seed, "small") for seed in range(6)]
    by_sites = [allocate.solve(problem, OPTIONS) for problem in problems]
    monkeypatch.setattr(search, "FEW_SITES", 0)
    for plan, problem in zip(by_sites, problems, strict=True):
        whole = allocate.solve(problem, OPTIONS)
        assert (whole.status == "infeasible") == (plan.status == "infeasible")
        if plan.has_plan:
            assert whole.objective_usd == pytest.approx(plan.objective_usd, rel=1e-5)


@pytest.mark.parametrize("verdict", ["unknown", "limit"])
def test_sites_whose_relaxation_has_no_verdict_stay_in_the_bound(monkeypatch, verdict):
    problem = load_instance(INSTANCE, "none")
    known = allocate.solve(problem, allocate.SolveOptions(gap=1e-3))
    solve = Relaxation.solve
    asked = []

    def silent(self, allowance):
        closed = self.highs.getLp().col_upper_[self.milp.site_columns[0]] < 1
        opened = self.highs.getLp().col_lower_[self.milp.site_columns[0]] > 0
        asked.append(closed or opened)
        return verdict if asked[-1] else solve(self, allowance)

    monkeypatch.setattr(Relaxation, "solve", silent)
    plan = allocate.solve(problem, allocate.SolveOptions(gap=1e-3))
    assert any(asked)
    assert plan.status == "within_gap"
    assert plan.bound_usd <= known.objective_usd * (1 + 1e-9)
    assert plan.objective_usd <= known.objective_usd * (1 + 1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_without_a_verdict_on_the_relaxation_the_solver_is_asked_for_all(monkeypatch, seed):
    problem = drawn(seed, "tiny")
    monkeypatch.setattr(Relaxation, "solve", lambda self, allowance: "unknown")
    plan = allocate.solve(problem, OPTIONS)
    assert oracle.disagreement(problem, plan, oracle.by_hand(problem)) == ""


def test_a_solver_without_any_verdict_is_an_error(monkeypatch):
    monkeypatch.setattr(Relaxation, "solve", lambda self, allowance: "unknown")
    none = Answer(shared_status("HiGHS", "Solve error"), None, np.inf, -np.inf)
    monkeypatch.setattr(state, "solve_mip", lambda *_, **__: none)
    with pytest.raises(SolveError, match=r"comes to no verdict\. Way out: Name another"):
        allocate.solve(drawn(0, "small"), OPTIONS)
