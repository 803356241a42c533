"""A demand with commitments, scenarios and prices agreed, as notebooks 04 and 05 call it."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import advice, allocate, risk
from cloudarb_lib.base.types import Paths
from cloudarb_lib.market import read_market
from cloudarb_lib.tables.assumptions import load_assumptions
from cloudarb_lib.tables.run_tables import paid_usd, save_table
from cloudarb_lib.testing import Record

pytestmark = pytest.mark.slow

PRICES = {
    "us-a:spot": [(0, 10.0)],
    "us-a:on_demand": [(0, 80.0)],
    "us-b:spot": [(0, 12.0)],
    "us-b:on_demand": [(0, 90.0)],
}
DEMAND = """
demand:
  - workload: serve
    needs: 16 H100
  - workload: train
    needs: 32 H100
    interruptible: yes
commitments:
  - machine: gcp/us-a/{machine}
    instances: 3
    usd_per_hour: 50
prices:
  - {{option: on_demand, discount: 0.25}}
scenarios:
  - {{scenario: base, probability: 0.7}}
  - {{scenario: surge, probability: 0.3, times: {{serve: 2, train: 1.5}}}}
"""
HOURS = 4 * 168.0
END = Record.END


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Demand, market, paths of its prices, plan and inputs of its risk."""
    folder = tmp_path_factory.mktemp("run")
    record = Record(PRICES)
    file = folder / "demand.yaml"
    file.write_text(DEMAND.format(machine=record.rows["instance_type"].iloc[0]))
    work = allocate.load_demand(file)
    market = read_market(record, END, providers=["gcp"], stale_after_days=14.0)
    offers = market.offers
    usd = offers["price_usd_per_hour"].to_numpy(float)[:, None, None]
    spread = np.exp(0.1 * np.random.default_rng(0).standard_normal((len(offers), 40, 4)))
    times = pd.date_range(END, periods=5, freq="7D")[1:]
    paths = Paths(pd.Index(offers["offer_id"].astype(object)), times, usd * spread)
    book = load_assumptions()
    terms = {"limits": allocate.Limits(budget_usd=1e6), "assumptions": book, "hours": HOURS}
    plan = advice.plan_of_run(work, offers, paths, str(folder), **terms).table
    size = {"horizon_h": HOURS, "seed": 1, "demand": work}
    return work, market, paths, plan, advice.risk_inputs(market, paths, plan, book, **size)


def test_cost_is_the_plan_and_what_is_bought_elsewhere(run):
    _, _, _, plan, inputs = run
    cost = risk.plan_cost(inputs, plan)
    planned_usd = plan["expected_cost_usd"].sum()
    assert cost.price.sum(axis=1).mean() + cost.fees_usd == pytest.approx(planned_usd)
    total_usd = cost.total.mean()
    assert total_usd == pytest.approx(planned_usd + cost.capacity.sum(axis=1).mean())
    assert total_usd == pytest.approx(paid_usd(plan).sum(), rel=0.01)
    held = cost.table.index.str.endswith(allocate.HELD)
    np.testing.assert_allclose(cost.price[:, held], 3 * 50 * HOURS)
    on_demand = cost.table[cost.table["purchase_option"] == "on_demand"]
    assert set(on_demand["price_usd_per_hour"]) <= {0.75 * 80.0, 0.75 * 90.0}


def test_tables_of_risk_and_stress_come_out_of_it(run):
    work, _, _, plan, inputs = run
    table = risk.risk_table(risk.plan_cost(inputs, plan), budget_usd=1e6)
    paid = table.set_index("measure").loc["commitment_paid", "value_usd"]
    assert paid == pytest.approx(3 * 50 * HOURS)
    assert len(risk.by_hazard(inputs, plan, budget_usd=1e6)) >= 3
    assert risk.by_horizon(inputs, plan)["value_usd"].notna().all()
    more = risk.StressScenario.of("more", demand=1.5)
    anew = risk.replan(inputs, [more], plan, work)
    held = anew["more"][anew["more"]["offer_id"].str.endswith(allocate.HELD)]
    assert held.groupby("scenario")["instances"].sum().to_dict() == {"base": 3, "surge": 3}
    stressed = risk.stress(inputs, [more], plan, replanned=anew, budget_usd=1e6)
    assert (stressed["recourse_loss_usd"] <= stressed["loss_usd"]).all()


def test_the_summary_says_what_is_held_first_and_in_which_scenario(run):
    work, market, paths, plan, inputs = run
    book = inputs.assumptions
    losses = risk.risk_table(risk.plan_cost(inputs, plan), budget_usd=1e6)
    hazards = risk.by_hazard(inputs, plan, budget_usd=1e6)
    figures = advice.headline(plan, losses, hazards, as_of=END, assumptions=book)
    gpus = figures.set_index("name").loc["gpus", "value"]
    assert gpus == 16 + 32  # in base; the third machine held serves train
    assert "(if it comes as base)" in advice.in_short(figures, plan, weeks=4)
    free = {"paths": paths, "assumptions": book, "hours": HOURS}
    values = advice.provider_values(work, market.offers, plan, **free).set_index("provider")
    assert values.loc["gcp", "rented_usd"] == pytest.approx(paid_usd(plan).sum())
    assert values.loc["gcp", "alone_usd"] == pytest.approx(values.loc["gcp", "rented_usd"], 1e-3)
    now = allocate.build_problem(
        allocate.as_it_is_now(work), market.offers, assumptions=book, hours=HOURS
    )
    running = advice.move.with_current(work, allocate.solve(now).table)  # as the look-back does
    decided = advice.move.move_or_stay(running, market, book, weeks=4)
    assert not decided.is_move
    assert decided.keep_usd == pytest.approx(decided.move_usd)


SHORT = """
demand:
  - {workload: first, needs: 24 H100, team: a, interruptible: yes, options: [spot]}
  - {workload: last, needs: 64 H100, team: b, interruptible: yes, options: [spot]}
  - {workload: none, needs: 8 H100, team: c, interruptible: yes, options: [spot]}
teams:
  - {team: a, priority: 1}
  - {team: b, priority: 2}
  - {team: c, priority: 3}
"""


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    """A market with room for 64 GPUs of 96 wanted: demand, market, plan of a run and its terms."""
    folder = tmp_path_factory.mktemp("short")
    (folder / "demand.yaml").write_text(SHORT)
    work = allocate.load_demand(folder / "demand.yaml")
    market = read_market(Record(PRICES), END, providers=["gcp"], stale_after_days=14.0)
    usd = market.offers["price_usd_per_hour"].to_numpy(float)[:, None, None]
    times = pd.date_range(END, periods=5, freq="7D")[1:]
    paths = Paths(pd.Index(market.offers["offer_id"].astype(object)), times, usd * np.ones((1, 4)))
    terms = {"paths": paths, "run_dir": str(folder), "hours": HOURS}
    terms["assumptions"] = load_assumptions()
    return work, market, advice.plan_of_run(work, market.offers, **terms), terms


def test_in_a_run_work_gives_way_by_priority(short_run):
    work, market, made, terms = short_run
    assert made.table.groupby("workload")["gpus"].sum().to_dict() == {"first": 24, "last": 40}
    said = "**Not served**: demand of last: 24 of 64 left undone (priority 2); demand of none: 8 "
    assert made.left_undone_in_words.startswith(said)
    save_table(made.table, "plan", terms["run_dir"])
    save_table(made.binding, "plan_binding", terms["run_dir"])
    taken = advice.plan_of_run(work, market.offers, **terms)
    assert taken.left_undone == made.left_undone
    assert {w.name: w.amount for w in taken.demand.workloads} == {"first": 24, "last": 40}


def test_what_follows_in_a_run_serves_what_its_plan_does(short_run):
    work, market, made, terms = short_run
    book = terms["assumptions"]
    free = {name: terms[name] for name in ("paths", "assumptions", "hours")}
    values = advice.provider_values(made.demand, market.offers, made.table, **free)
    assert values["alone_usd"].notna().all()
    inputs = advice.risk_inputs(
        market, terms["paths"], made.table, book, demand=made.demand, horizon_h=HOURS, seed=1
    )
    dearer = risk.StressScenario.of("dearer", price=2.0)
    anew = risk.replan(inputs, [dearer], made.table, made.demand)
    assert anew["dearer"].groupby("workload")["gpus"].sum().to_dict() == {"first": 24, "last": 40}
    running = advice.move.with_current(work, made.table)
    decided = advice.move.move_or_stay(running, market, book, weeks=4)
    assert not decided.is_move
    assert decided.keep_usd == pytest.approx(decided.move_usd)
