"""Without a plan: the least that limits must give, and what alone would mend it."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.allocate import relax, trials
from cloudarb_lib.allocate.problem.assign import rework_factor
from cloudarb_lib.base.errors import InfeasibleError, SolveError
from cloudarb_lib.base.types import Paths
from cloudarb_lib.testing import OFFERS, WATTS, plan_for, work

pytestmark = pytest.mark.solver

QUICK = allocate.SolveOptions(gap=1e-6, work_limit=10)


def test_conflicts_name_the_limit_and_the_least_change():
    hours = 168 * float(rework_factor(0.002, checkpoint_h=0, restart_h=0))
    cost = 4 * 16 * hours  # four machines in the cheapest pool
    short = plan_for(work(32), limits=allocate.Limits(budget_usd=cost - 1000))
    assert short.status == "infeasible"
    said = allocate.conflicts(short.problem)
    assert any(s.startswith("budget") and "short by $1,000 " in s for s in said)
    assert any(s.startswith("demand of w 32 is too much by 7 (21.9%)") for s in said)
    full = plan_for(work(256))  # 2 x 32 spot, 2 x 64 on demand
    said = allocate.conflicts(full.problem)
    assert any(s.startswith("capacity of") and "short by 64 " in s for s in said)
    assert not any(s.startswith("budget") for s in said)
    whole = plan_for(work(31), table=OFFERS.iloc[:1], **{"capacity_gpus/spot": 31})
    assert allocate.conflicts(whole.problem) == [
        "Parts of machines would fit: only whole machines are in the way.",
        "capacity of gcp/us-a/spot/H100 31 is short by 1 (3.2%)",
        "demand of w 31 is too much by 7 (22.6%)",
    ]


def test_a_plan_is_required_with_what_would_mend_its_lack():
    short = plan_for(work(32), limits=allocate.Limits(budget_usd=100.0))
    with pytest.raises(InfeasibleError, match=r"no plan keeps every limit.*budget \$100 is short"):
        allocate.require_plan(short)
    late = replace(short, status="time_limit_without_plan")
    with pytest.raises(SolveError, match="no proof that there is none"):
        allocate.require_plan(late)
    served = plan_for(work(32))
    assert allocate.require_plan(served) is served


def test_an_interrupt_ends_the_explanation(monkeypatch):
    short = plan_for(work(32), limits=allocate.Limits(budget_usd=100.0))
    asked = []

    def stopped(problem, *_, **__):
        asked.append(problem)
        return replace(short, status="interrupted")

    monkeypatch.setattr(trials, "solve", stopped)
    with pytest.raises(KeyboardInterrupt):
        allocate.conflicts(short.problem)
    assert len(asked) == 1


def in_worlds(price: np.ndarray, table=OFFERS) -> Paths:
    times = pd.date_range("2026-01-01", periods=1, freq="7D", tz="UTC")
    return Paths(
        pd.Index(table["offer_id"]), times, np.outer(table["price_usd_per_hour"], price)[:, :, None]
    )


@pytest.mark.parametrize(
    ("limits", "said"),
    [  # the least spend is on 8 machines (4 at 16, 4 at 20 USD/h); parts of machines would need 7.5
        (
            {"budget_usd": 20_000.0},
            ["budget $20,000 is short by $4,192 (21.0%)", "demand of w 60 is too much by 11 "],
        ),
        (
            {"cvar_usd": 30_000.0, "cvar_level": 0.5},
            ["CVaR $30,000 is short by $6,288 (21.0%)", "demand of w 60 is "],
        ),
        # 4 machines a region is the most even: 20 of 36 USD/h in us-b
        ({"max_region_share": 0.4}, ["share of a region 0.4 is short by 0.155556 (38.9%)"]),
        # 5 machines on spot and 23 single GPUs on demand for the budget; 3 and 36 for the share
        (
            {"min_on_demand_share": 0.9, "budget_usd": 50_000.0},
            [
                "budget $50,000 is short by $12,496 (25.0%)",
                "on-demand share 0.9 is too much by 0.0785715 ",
                "demand of w 60 ",
            ],
        ),
        (
            {"carbon_kg": 500.0},
            ["carbon 500 is short by 104.8 (21.0%)", "demand of w 60 is too much by 11 (18.3%)"],
        ),
        # 4 and 4 machines at 16 and 20 USD an hour on gcp, 16 at 9 on aws
        ({"effective_providers": 3.0}, ["2.00 effective providers can be had, not 3"]),
        (
            {"budget_usd": 20_000.0, "cvar_usd": 30_000.0, "cvar_level": 0.5},
            [
                "no limit alone is at fault; together: budget $20,000 is short by $4,192 (21.0%); "
                "CVaR $30,000 is short by $6,288 "
            ],
        ),
    ],
)
def test_each_relief_mends_it_and_less_would_not(limits, said):
    gcp = "max_region_share" in limits
    problem = plan_for(
        work(60, providers=("gcp",) if gcp else ("*",)),
        paths=in_worlds(np.array([0.5, 1.5])),
        table=OFFERS.assign(grid_gco2e_per_kwh=np.where(OFFERS["provider"] == "aws", 100.0, 500.0)),
        limits=allocate.Limits(**limits),
        **(WATTS | {"interruption_per_hour/spot/typical": 0.0}),
    ).problem
    assert allocate.solve(problem).status == "infeasible"
    reliefs = list(allocate.reliefs(problem))
    assert [told[: len(start)] for (told, _), start in zip(reliefs, said, strict=False)] == said
    for told, eased in reliefs:
        assert allocate.solve(eased, replace(QUICK, gap=0.5)).has_plan, told
        if (
            "together" not in told
        ):  # the limit that gave way, 1 % nearer to what it was, admits none
            assert allocate.solve(nearer(problem, eased), QUICK).status == "infeasible", told


def nearer(tight: allocate.Problem, loose: allocate.Problem) -> allocate.Problem:
    """The problem whose limits and demands lie 99 % of the way from ``tight`` to ``loose``."""
    numbers = {
        name: 0.01 * before + 0.99 * getattr(loose.limits, name)
        for name, before in vars(tight.limits).items()
        if isinstance(before, float)
    }
    return replace(
        loose,
        limits=replace(loose.limits, **numbers),
        demands=loose.demands.assign(
            need=0.01 * tight.demands["need"] + 0.99 * loose.demands["need"]
        ),
        rows=tuple(
            replace(row, upper=0.01 * before.upper + 0.99 * row.upper)
            for before, row in zip(tight.rows, loose.rows, strict=True)
        ),
    )


def test_without_a_plan_of_whole_machines_in_time_the_least_is_told_as_such(monkeypatch):
    late = "time_limit_without_plan"
    monkeypatch.setattr(
        relax, "try_to_solve", lambda problem, _: allocate.Plan(problem, late, 0.0, 30.0, None)
    )
    tight = plan_for(
        work(60),
        limits=allocate.Limits(budget_usd=20_000.0),
        **{"interruption_per_hour/spot/typical": 0.0},
    )
    said, eased = allocate.reliefs(tight.problem)[0]
    assert said == "budget $20,000 is short by $2,512 (12.6%), or more for whole machines"
    assert eased is None


@pytest.mark.parametrize("need", range(1, 10))
def test_a_demand_of_which_nothing_can_be_met_is_no_demand(need):
    """Rounded to the figures of a sentence, what is too much may be more than there is."""
    nothing = plan_for(work(float(need)), limits=allocate.Limits(budget_usd=1.0)).problem
    told, less = relax.relaxed_for(nothing, np.zeros(len(nothing.assignments)))
    assert told == f"demand of w {need} is too much by {need} (100.0%)"
    assert less.demands["need"].tolist() == [0.0]


def test_a_region_that_would_mend_it_is_named():
    bound = work(64, regions=("us-b",))  # one pool of 32 there, on spot
    said = allocate.conflicts(plan_for(bound).problem)
    assert "allow w in gcp/us-a" in said
    assert not any("eu-a" in s for s in said)
    dear = plan_for(bound, limits=allocate.Limits(budget_usd=100.0))
    assert not any(s.startswith("allow") for s in allocate.conflicts(dear.problem))


def test_limits_at_fault_together_and_spread_are_told_in_words():
    budget = allocate.Limits(budget_usd=1000.0, effective_providers=1.5)
    one = OFFERS[OFFERS["provider"] == "gcp"]
    said = allocate.conflicts(plan_for(work(8), table=one, limits=budget).problem)
    assert said[0].startswith(
        "no limit alone is at fault; together: budget $1,000 is short by $1,6"
    )
    assert said[0].endswith("; fewer effective providers")
    one = OFFERS[OFFERS["provider"] == "gcp"]
    said = allocate.conflicts(
        plan_for(work(8), table=one, limits=allocate.Limits(effective_providers=2.0)).problem
    )
    assert said[0] == "1.00 effective providers can be had, not 2"
    # whole machines: 8 GPUs at 16 USD an hour on gcp, single ones at 9 on aws
    rent = 168 * float(rework_factor(0.002, checkpoint_h=0, restart_h=0))
    spend = allocate.Limits(budget_usd=10_000.0, effective_providers=2.0)
    (said, *_) = [
        s for s in allocate.conflicts(plan_for(work(24), limits=spend).problem) if "can be had" in s
    ]
    most = 0.0
    for gcp, aws in itertools.product(range(4), range(25)):
        a, b = 16 * gcp * rent, 9 * aws * 168
        if 8 * gcp + aws >= 24 and a + b <= 10_000:
            most = max(most, (a + b) ** 2 / (a**2 + b**2))
    assert most > 1.1
    assert float(said.split(" ")[0]) == pytest.approx(most, abs=0.01)


def test_a_cvar_limit_too_low_is_named():
    times = pd.date_range("2026-01-01", periods=1, freq="7D", tz="UTC")
    paths = Paths(pd.Index(["gcp/us-a//h8/spot/"]), times, np.array([[[10.0], [30.0]]]))
    limits = allocate.Limits(cvar_usd=1000.0, cvar_level=0.5)
    plan = plan_for(work(8), table=OFFERS.iloc[:1], paths=paths, limits=limits)
    said = allocate.conflicts(plan.problem)
    assert any(s.startswith("CVaR $1,000 is short by") for s in said)


def test_a_share_on_demand_that_must_give_way_whole_is_no_limit_any_more():
    only_spot = OFFERS[OFFERS["purchase_option"] == "spot"]
    limits = allocate.Limits(min_on_demand_share=0.5)
    short = plan_for(work(8), table=only_spot, limits=limits)
    reliefs = dict(allocate.reliefs(short.problem))
    relaxed = reliefs["on-demand share 0.5 is too much by 0.5 (100.0%)"]
    assert relaxed.limits == allocate.Limits()
    assert allocate.solve(relaxed).has_plan


@pytest.mark.parametrize(
    ("share", "compared"), [(0.8, " (25.0%)"), (0.4, " (2.5 times as much is needed)"), (1e-4, "")]
)
def test_a_budget_is_compared_as_people_would(share, compared):
    cost = plan_for(work(32)).objective_usd
    short = plan_for(work(32), limits=allocate.Limits(budget_usd=share * cost))
    (said,) = [each for each in allocate.conflicts(short.problem) if each.startswith("budget")]
    assert re.fullmatch(rf"budget \$[\d.,]+ is short by \$[\d,]+{re.escape(compared)}", said)
