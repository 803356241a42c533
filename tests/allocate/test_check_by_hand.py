"""The verdict on small plans, each figure and sentence worked out by hand: nothing is solved."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.allocate.check import TOLERANCE
from cloudarb_lib.allocate.problem.row import ELASTIC, WAIT, Row

MUST = np.inf
"""Worth of work that may not be left undone."""


def problem(**changes) -> allocate.Problem:
    """Two workloads, each on an offer of its own at 2 and 5 USD an hour, 10 hours a unit."""
    tables = {
        "demands": pd.DataFrame(
            {"workload": ["a", "b"], "need": [4.0, 8.0], "unmet_usd": [MUST, 3.0]}
        ),
        "slots": pd.DataFrame(
            {
                "offer_id": ["x", "y"],
                "provider": ["gcp", "aws"],
                "region": ["us", "eu"],
                "site": [0, 1],
                "pool": [0, 1],
                "on_demand": [True, False],
                "list_price": [3.0, 6.0],
                "mean_price": [2.0, 5.0],
                "gpus": [1.0, 1.0],
            }
        ),
        "assignments": pd.DataFrame(
            {
                "demand": [0, 1],
                "slot": [0, 1],
                "cover": [2.0, 2.0],
                "hours": [10.0, 10.0],
                "instances": [1.0, 1.0],
                "pool_use": [1.0, 1.0],
                "sure_usd": [0.5, 0.25],
                "most": [4.0, 4.0],
            }
        ),
        "pools": pd.DataFrame({"name": ["p", "q"], "capacity": [3.0, 3.0]}),
        "sites": pd.DataFrame({"name": ["us", "eu"], "fee_usd": [7.0, 11.0]}),
    }
    return allocate.Problem(**(tables | changes))


def charged(name: str, kind: str, usd: float, **limits) -> Row:
    """A row that charges for each unit of ``b`` beyond the first."""
    return Row(name, np.array([1]), np.array([1.0]), tiers=((1.0, usd),), kind=kind, **limits)


RENT_USD = 2 * (20.0 + 0.5) + 3 * (50.0 + 0.25) + 7.0 + 11.0
"""Of two units of ``a`` and three of ``b``: rent, certain costs and the fees of both sites."""
UNDONE_USD = (8.0 - 3 * 2.0) * 3.0
PLAN = np.array([2.0, 3.0])


def test_a_plan_costs_its_rent_and_the_worth_of_what_it_leaves_undone():
    verdict = allocate.check(problem(), PLAN)
    assert verdict.broken == ()
    assert verdict.objective_usd == pytest.approx(RENT_USD + UNDONE_USD)
    assert verdict.list_spend_usd == pytest.approx(2 * 30.0 + 3 * 60.0)
    assert verdict.effective == pytest.approx(190.0**2 / (40.0**2 + 150.0**2))
    assert np.isnan([verdict.cvar_usd, verdict.var_usd]).all()
    assert len(verdict.sums) == len(verdict.charges_usd) == 0
    assert {use.limit.kind for use in verdict.uses} >= {"demand", "capacity"}


def test_more_than_is_needed_is_worth_nothing():
    verdict = allocate.check(problem(pools=pools_of(9.0)), np.array([4.0, 4.0]))
    assert verdict.objective_usd == pytest.approx(4 * 20.5 + 4 * 50.25 + 18.0)


def pools_of(capacity: float) -> pd.DataFrame:
    return pd.DataFrame({"name": ["p", "q"], "capacity": [capacity, capacity]})


def test_risk_is_that_of_rent_over_the_sample_paths():
    paths = np.array([[2.0, 5.0]] * 19 + [[2.0, 50.0]])
    verdict = allocate.check(problem(paths=paths, limits=allocate.Limits(cvar_level=0.95)), PLAN)
    assert verdict.cvar_usd == pytest.approx(40.0 + 1500.0)
    assert verdict.var_usd == pytest.approx(40.0 + 150.0)


def test_charges_count_whether_they_are_money_or_decide_alone():
    rows = (
        charged("moved", "sum", 2.0),
        charged("eased", ELASTIC, 30.0),
        charged("later", WAIT, 500.0),
    )
    verdict = allocate.check(problem(rows=rows), PLAN)
    assert verdict.sums.tolist() == [3.0, 3.0, 3.0]
    assert verdict.charges_usd.tolist() == [4.0, 60.0, 1000.0]
    assert verdict.objective_usd == pytest.approx(RENT_USD + UNDONE_USD + 4.0 + 60.0 + 1000.0)


def test_what_exceeds_a_budget_that_gives_way_is_charged():
    tight = problem(limits=allocate.Limits(budget_usd=RENT_USD - 10.0), budget_excess_usd=6.0)
    verdict = allocate.check(tight, PLAN)
    assert verdict.broken == ()
    assert verdict.objective_usd == pytest.approx(RENT_USD + UNDONE_USD + 60.0)


def test_places_beyond_those_allowed_are_charged_where_the_limit_gives_way():
    base = problem()
    demands = base.demands.assign(
        together=["", "region"], jobs=[1.0, 1.0], places=[1.0, 1.0], place_usd=[9.0, 9.0]
    )
    assignments = pd.concat([base.assignments, base.assignments.iloc[1:].assign(slot=0)])
    apart = replace(base, demands=demands, assignments=assignments.reset_index(drop=True))
    one_place = allocate.check(apart, np.array([2.0, 3.0, 0.0])).objective_usd
    two_places = allocate.check(apart, np.array([2.0, 2.0, 1.0])).objective_usd
    assert one_place == pytest.approx(RENT_USD + UNDONE_USD)
    assert two_places == pytest.approx(one_place - 50.0 + 20.0 + 9.0)


WHOLE = "counts are not whole numbers from 0 up"
BOUND = "more units of an assignment than its bound"


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([2.5, 3.0], (WHOLE,)),
        ([2.0, -1.0], (WHOLE, "demand of b: -2 below 0")),
        ([2.0, 5.0], (BOUND, "capacity of q: 5 above 3")),
        ([1.0, 3.0], ("demand of a: 2 below 4",)),
        ([4.0, 3.0], ("capacity of p: 4 above 3",)),
        ([0.0, 4.0], ("capacity of q: 4 above 3", "demand of a: 0 below 4")),
        ([2.0, 0.0], ()),
    ],
)
def test_each_rule_that_a_plan_breaks_is_a_sentence(counts, said):
    assert allocate.check(problem(), np.array(counts)).broken == said


def test_a_count_that_is_missing_is_no_count():
    assert allocate.check(problem(), np.array([np.nan, 3.0])).broken[0] == WHOLE


def test_cover_beyond_the_need_breaks_a_problem_that_wants_it_exactly():
    exact = problem(exact=True)
    assert allocate.check(exact, np.array([2.0, 3.0])).broken == ()
    assert allocate.check(exact, np.array([3.0, 3.0])).broken == ("demand of a: 6 above 4",)


@pytest.mark.parametrize("capacity", [0.5, 2000.0])
def test_a_limit_bears_a_millionth_of_its_size_or_of_one(capacity):
    """A capacity of half a unit bears a millionth, one of 2,000 units two thousandths."""
    borne = TOLERANCE * max(capacity, 1.0)
    for beyond, breaks in ((0.99 * borne, False), (1.01 * borne, True)):
        pools = pools_of(capacity)
        used = (capacity + beyond) / 2
        base = problem(pools=pools)
        wide = replace(base, assignments=base.assignments.assign(pool_use=[used, 0.0]))
        assert bool(allocate.check(wide, PLAN).broken) == breaks


@pytest.mark.parametrize("need", [0.5, 2000.0])
def test_a_millionth_of_the_need_left_undone_is_none(need):
    borne = TOLERANCE * max(need, 1.0)
    base = problem()
    demands = base.demands.assign(need=[4.0, need])
    for short, is_undone in ((0.99 * borne, False), (1.01 * borne, True)):
        cover = base.assignments.assign(cover=[2.0, (need - short) / 3])
        done = allocate.check(replace(base, demands=demands, assignments=cover), PLAN)
        expected = RENT_USD + (3.0 * short if is_undone else 0.0)
        assert done.objective_usd == pytest.approx(expected, abs=1e-9, rel=0)
