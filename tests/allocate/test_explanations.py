"""Every claim that an explanation makes, against all plans of small problems of every shape."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import explanation_oracle as oracle
from benchmarks.explanation_problems import random_problem
from cloudarb_lib import allocate
from cloudarb_lib.allocate import explain, trials
from cloudarb_lib.allocate.solver import work as counted
from cloudarb_lib.base.errors import SolveError
from cloudarb_lib.testing import OFFERS, figures, offers, plan_for, work

pytestmark = pytest.mark.solver

CASES = Path(__file__).parent / "cases"


def drawn(seed: int) -> allocate.Problem:
    """The problem that ``benchmarks.check_long explanations`` draws with a seed."""
    return random_problem(np.random.default_rng([seed, 7]))


# of 40: periods, scenarios, commitments, work left undone, zero limits, one path and none, CVaR
# next to level 1, and each kind of relief
@pytest.mark.parametrize("seed", [3, 4, 7, 9, 10, 12, 17, 19, 21, 22, 23, 29, 31, 34, 35])
def test_every_claim_holds_against_all_plans(seed):
    assert oracle.findings(drawn(seed)) == []


def test_what_a_plan_pays_for_cvar_beyond_its_limit_is_in_the_bound():
    problem = drawn(246)
    parts, (sentence, eased) = allocate.reliefs(problem)
    assert parts[0].startswith("Parts of machines")
    assert sentence.startswith("CVaR")
    assert not sentence.endswith("or less")
    assert oracle.wrong_reliefs(problem, [parts, (sentence, eased)]) == []


@pytest.mark.parametrize("seed", [672, 847])
def test_a_limit_on_a_share_gives_way_by_the_least_share(seed):
    problem = drawn(seed)
    reliefs = allocate.reliefs(problem)
    told = [sentence for sentence, _ in reliefs if sentence.startswith("share of a provider")]
    assert len(told) == 1
    assert "or less" not in told[0]
    assert oracle.wrong_reliefs(problem, reliefs) == []


def test_what_limits_give_together_is_a_bound_where_shares_are_among_them():
    problem = drawn(717)
    (relief, *_) = allocate.reliefs(problem)
    assert relief[0].startswith("no limit alone is at fault; together: share of a provider")
    assert ", or less" in relief[0]
    assert oracle.wrong_reliefs(problem, [relief]) == []
    claimed = relief[0].replace(", or less", "")
    found = oracle.wrong_reliefs(problem, [(claimed, relief[1])])
    assert any("less would do" in each for each in found)


def tight() -> allocate.Plan:
    """A plan whose first pool is full: 32 GPUs at 2 USD an hour, 8 at 2.5."""
    return plan_for(work(40.0), options=oracle.OPTIONS)


def test_the_oracle_finds_each_wrong_worth():
    plan = tight()
    binds = allocate.binding(plan)
    assert oracle.wrong_binding(plan, binds) == []
    for column, value, said in (
        ("worth_usd", 1.0, "the true one is"),
        ("less_usd", 1.0, "the true one is"),
        ("worth_is", "no plan", "a plan costs"),
        ("less_is", "at most", "not solved"),
    ):
        (found, *_) = oracle.wrong_binding(plan, binds.assign(**{column: value}))
        assert said in found


@pytest.mark.parametrize(("seed", "limit"), [(52, "CVaR"), (74, "budget")])
def test_the_oracle_finds_a_limit_that_is_not_told(seed, limit):
    plan = allocate.solve(drawn(seed), oracle.OPTIONS)
    binds = allocate.binding(plan, oracle.OPTIONS)
    assert oracle.wrong_binding(plan, binds) == []
    (found,) = oracle.wrong_binding(plan, binds[binds["limit"] != limit])
    assert found.startswith(f"binding: {limit} is not told")


def test_the_oracle_finds_each_wrong_runner_up():
    plan = tight()
    runners = allocate.runners_up(plan)
    assert oracle.wrong_runners_up(plan, runners) == []
    for column, value, said in (
        ("extra_usd", 1.0, "the true one is"),
        ("extra_is", "no plan", "a plan costs"),
        ("extra_is", "at most", "not solved"),
        ("runner_up", "none within the limits", "solved"),
        ("runner_up", runners["pool"].iloc[0], "its own pool"),
        ("workload", "another", "['w'] run"),
    ):
        found = oracle.wrong_runners_up(plan, runners.assign(**{column: value}))
        assert any(said in each for each in found)


def test_the_oracle_finds_each_wrong_relief():
    problem = drawn(14)
    (relief, *_) = allocate.reliefs(problem)
    assert oracle.wrong_reliefs(problem, [relief]) == []
    budget_usd = problem.limits.budget_usd
    for reliefs, said in (
        ([("budget", problem)], "does not mend it"),
        ([("budget", problem.under(budget_usd=2 * budget_usd))], "less would do"),
        ([("budget", None)], "not known by what"),
        ([], "budget alone would mend it, not told"),
    ):
        assert any(said in found for found in oracle.wrong_reliefs(problem, reliefs))


def test_the_oracle_finds_each_wrong_point_of_a_frontier():
    problem = drawn(9)
    over = "effective_providers"
    curve = allocate.frontier(problem, over, options=oracle.OPTIONS)
    wrong = partial(oracle.wrong_frontier, problem, over)
    assert wrong(curve) == []
    for column, value in (("cost_usd", 1.0), ("cost_usd", np.nan), ("gap", 0.5)):
        assert wrong(curve.assign(**{column: value}))
    assert any("bound 1e+09" in found for found in wrong(curve.assign(bound_usd=1e9)))
    rising = curve.assign(cost_usd=-np.arange(len(curve)) - 1.0)
    assert any("dearer where it is looser" in found for found in wrong(rising))


def test_the_oracle_finds_a_wrong_plan():
    plan = tight()
    said = oracle.Explained(plan, allocate.binding(plan), allocate.runners_up(plan), [], {})
    assert oracle.wrong_explanations(said) == []
    dear = replace(plan, counts=plan.counts + (plan.problem.assignments["slot"] == 1))
    (found,) = oracle.wrong_explanations(said._replace(plan=dear))
    assert found.startswith("plan: ")
    none = replace(plan, counts=None, status="infeasible")
    (found,) = oracle.wrong_explanations(oracle.Explained(none, None, None, [], {}))
    assert found.startswith("plan: infeasible where the best costs")


def answers(monkeypatch, **changes) -> None:
    """Make the solver answer every changed problem with its plan and these changes."""

    def answer(problem, options, start=None):
        return replace(allocate.solve(problem, oracle.OPTIONS), **changes)

    monkeypatch.setattr(trials, "solve", answer)


def test_what_is_not_proven_is_told_as_a_bound(monkeypatch):
    plan = tight()
    saved = 4 * 168.0
    answers(monkeypatch, bound_usd=plan.objective_usd - 3 * saved)
    binds = allocate.binding(plan).set_index("limit")
    pool = binds.loc["capacity of gcp/us-a/spot/H100"]
    # between the saving of the plan found and what the bound leaves open
    assert (pool["worth_is"], pool["worth_usd"]) == ("at most", pytest.approx(3 * saved / 8))
    assert pool["less_is"] == "at most"
    demand = binds.loc["demand of w"]
    assert demand["worth_is"] == "at most"
    facts = allocate.summary(plan, binds.reset_index()).set_index("fact")["text"]
    assert facts["binds: capacity of gcp/us-a/spot/H100"].endswith("is worth this, at most")
    runner = allocate.runners_up(plan).iloc[0]
    assert runner["extra_is"] == "at most"


def test_changes_are_proven_to_the_cent_where_the_plan_is():
    plan = tight()
    usd = plan.objective_usd
    rough = allocate.SolveOptions()
    to_half_a_cent = trials.to_the_cent(replace(plan, bound_usd=usd), rough)
    assert to_half_a_cent.gap * usd == pytest.approx(0.005)
    assert trials.to_the_cent(replace(plan, bound_usd=usd - 0.02), rough) == rough
    close = allocate.SolveOptions(gap=0.0)
    assert trials.to_the_cent(replace(plan, bound_usd=usd), close) == close


@pytest.mark.parametrize(
    ("unproven_share", "proof"), [(0.9e-6, trials.SOLVED), (3e-6, trials.AT_MOST)]
)
def test_what_two_optimal_plans_leave_unproven_is_no_difference(monkeypatch, unproven_share, proof):
    plan = tight()
    bound_usd = plan.objective_usd * (1 - unproven_share)  # more than a cent of 14,112 USD
    answers(monkeypatch, bound_usd=bound_usd)
    same = trials.extra_cost(replace(plan, bound_usd=bound_usd), plan.problem, oracle.OPTIONS)
    assert same.proof == proof
    assert abs(same.usd) < 4e-6 * plan.objective_usd


def test_a_plan_not_found_in_time_is_no_proof_that_there_is_none(monkeypatch):
    plan = tight()
    late = {"counts": None, "status": "work_limit_without_plan"}
    answers(monkeypatch, **late, bound_usd=plan.objective_usd + 100.0)
    runner = allocate.runners_up(plan).iloc[0]
    told = (runner["runner_up"], runner["extra_is"], runner["extra_usd"])
    assert told == ("none found in time", "at least", pytest.approx(100.0))
    answers(monkeypatch, **late, bound_usd=-np.inf)
    runner = allocate.runners_up(plan).iloc[0]
    assert (runner["extra_is"], np.isnan(runner["extra_usd"])) == ("not known", True)
    binds = allocate.binding(plan)
    assert set(binds["worth_is"]) == {"margin"}
    assert set(binds["less_is"]) == {"not known"}
    assert binds["less_usd"].isna().all()


def test_a_solver_that_fails_stops_no_explanation(monkeypatch):
    plan = tight()

    def fail(*_, **__):
        raise SolveError("the solver stopped.")

    monkeypatch.setattr(trials, "solve", fail)
    assert set(allocate.binding(plan)["worth_is"]) == {"margin"}
    assert allocate.runners_up(plan)["runner_up"].tolist() == ["none found in time"]
    curve = allocate.frontier(plan.problem, "effective_providers")
    assert set(curve["status"]) <= {"solver failed", "not tried"}
    assert curve[["cost_usd", "bound_usd", "gap"]].isna().all(axis=None)
    none = plan_for(work(4096.0)).problem
    assert allocate.conflicts(none) == ["nothing was found in time that would mend it"]
    assert len(allocate.summary(plan))


@pytest.mark.parametrize("explained", [allocate.binding, allocate.runners_up])
def test_an_explanation_keeps_the_work_limit_for_all_of_its_solves(monkeypatch, explained):
    plan = tight()
    spent = [0.0]
    solve = trials.solve

    def slow(problem, options, **given):
        spent.append(options.work_limit)
        return replace(solve(problem, options, **given), work=options.work_limit)

    monkeypatch.setattr(trials, "solve", slow)
    monkeypatch.setattr(explain, "MOST_TRIED", 99)
    explained(plan, allocate.SolveOptions(work_limit=3.0))
    least = len(spent) * 0.02  # where no work is left
    assert 1.0 < sum(spent) <= 3.0 + least


@pytest.mark.parametrize("explained", [allocate.binding, allocate.runners_up])
def test_an_explanation_that_the_clock_cuts_short_says_so(monkeypatch, explained):
    plan = tight()
    seconds = [0.0]
    solve = trials.solve

    def slow(problem, options, **given):
        seconds.append(options.time_limit_s)
        late = {"status": "time_limit_with_plan", "bound_usd": -np.inf}
        return replace(solve(problem, options, **given), **late)

    monkeypatch.setattr(trials, "solve", slow)
    monkeypatch.setattr(counted.time, "perf_counter", lambda: sum(seconds))
    table = explained(plan, allocate.SolveOptions(time_limit_s=3.0))
    least_s = len(seconds) * 0.05  # where no time is left
    assert 1.0 < sum(seconds) <= 3.0 + least_s
    assert allocate.is_timed(table)
    assert not allocate.is_timed(plan.table)


def test_what_there_is_no_time_to_try_is_told_at_the_margin(monkeypatch):
    plan = tight()
    monkeypatch.setattr(explain, "MOST_TRIED", 0)
    binds = allocate.binding(plan).set_index("limit")
    assert set(binds["worth_is"]) == {"margin"}
    assert binds.loc["capacity of gcp/us-a/spot/H100", "worth_usd"] == pytest.approx(4 / 8 * 168)
    monkeypatch.setattr(explain, "relaxation_at", lambda *_: None)
    assert allocate.binding(plan).empty


def test_one_more_that_no_plan_serves_is_said():
    plan = plan_for(work(8.0), table=OFFERS.iloc[:1], **{"capacity_gpus/spot": 8})
    (demand,) = allocate.binding(plan).to_dict("records")
    assert (demand["limit"], demand["worth_is"]) == ("demand of w", "no plan")
    assert (demand["less_is"], demand["less_usd"]) == (
        "solved",
        pytest.approx(-16 / 8 * 168, rel=0.01),
    )
    (fact,) = allocate.summary(plan).query("fact == 'demand of w, one more'")["text"]
    assert fact == "marginal cost: no plan has it within the limits"


def case(name: str, table) -> allocate.Plan:
    """The plan of a planner's demand file for 13 weeks."""
    demand = allocate.load_demand(CASES / f"{name}.yaml")
    problem = allocate.build_problem(demand, table, assumptions=figures(), hours=13 * 168.0)
    return allocate.solve(problem)


def spot(region: str, usd_per_hour: float):
    return offers(("gcp", region, "a3-highgpu-8g", "spot", "H100", 8.0, usd_per_hour))


def test_work_dearer_than_its_worth_is_left_undone_and_said():
    plan = case("17-worth", spot("europe-west4", 20.0))  # 2.50 USD per GPU-hour for 1.20
    undone_usd = 16 * 13 * 168 * 1.2
    assert plan.table.empty
    assert plan.objective_usd == pytest.approx(undone_usd)
    assert allocate.runners_up(plan).empty
    facts = allocate.summary(plan).set_index("fact")["value"]
    assert facts["left undone of nice-to-have"] == pytest.approx(undone_usd)
    assert facts["demand of nice-to-have, one more"] == pytest.approx(undone_usd / 16)


def test_work_that_would_be_left_undone_without_its_pool_has_that_as_its_runner_up():
    plan = case("18-worth-crash", spot("europe-southwest1", 10.0))
    assert plan.table["instances"].tolist() == [2.0]
    (runner,) = allocate.runners_up(plan).to_dict("records")
    assert (runner["runner_up"], runner["extra_is"]) == ("left undone", "solved")
    worth_usd = 16 * 13 * 168 * 1.4
    assert runner["extra_usd"] == pytest.approx(worth_usd - plan.objective_usd)


def test_of_two_teams_short_of_room_what_runs_and_what_is_left_are_told():
    plan = case("19-two-teams-short", spot("us-west2", 20.0))  # 32 GPUs for 48 and 48
    assert plan.table.groupby("workload")["gpus"].sum().to_dict() == {"team-a": 32.0}
    facts = allocate.summary(plan).set_index("fact")["value"]
    hours = 13 * 168
    assert facts["left undone of team-a"] == pytest.approx(16 * hours * 6.0)
    assert facts["left undone of team-b"] == pytest.approx(48 * hours * 3.0)
    (runner,) = allocate.runners_up(plan).to_dict("records")
    assert (runner["workload"], runner["runner_up"]) == ("team-a", "left undone")
    binds = allocate.binding(plan).set_index("limit")
    # eight GPUs more go to the team whose work is worth more
    pool = binds.loc["capacity of gcp/us-west2/spot/H100"]
    rent_usd = plan.table["expected_cost_usd"].sum() / 4
    assert pool["worth_usd"] == pytest.approx(6.0 * hours - rent_usd / 8)
