"""Plans over several periods and several futures of the demand, against enumeration by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import Paths
from cloudarb_lib.tables.validation import validate
from cloudarb_lib.testing import GOOD, OFFERS, figures, load, work

SPOT, STEADY = "gcp/us-a//h8/spot/", "gcp/us-a//h8/on_demand/"
TABLE = OFFERS[OFFERS["offer_id"].isin([f"gcp/us-a//h8/{o}" for o in ("spot/", "on_demand/")])]
COMMIT = OFFERS[
    OFFERS["offer_id"].str.startswith("gcp/us-a")
    & OFFERS["purchase_option"].isin(["on_demand", "reserved"])
]
OPTIONS = allocate.SolveOptions(gap=1e-7)


def worlds(*prices, ids=(SPOT, STEADY)) -> Paths:
    """One world, weekly steps: a list of prices for each offer."""
    times = pd.date_range("2026-01-01", periods=len(prices[0]), freq="7D", tz="UTC")
    return Paths(pd.Index(ids), times, np.array(prices, float)[:, None, :])


def built(
    *workloads,
    table=TABLE,
    hours=(168.0, 168.0),
    paths=None,
    limits=None,
    scenarios=(),
    held=(),
    **changes,
):
    return allocate.build_problem(
        allocate.Demand(list(workloads), held, scenarios),
        table,
        paths=paths,
        limits=limits,
        hours=hours,
        assumptions=figures(**{"interruption_per_hour/spot/typical": 0.0, **changes}),
    )


@pytest.mark.parametrize("seed", range(8))
def test_starts_and_stops_equal_enumeration(seed):
    rng = np.random.default_rng(seed)
    price = rng.uniform(10, 40, (2, 3))
    needs, minutes = rng.integers(1, 3, 3), rng.uniform(0, 9000, 2)
    w = work(16.0, amounts=tuple(8.0 * needs), start_minutes=minutes[0], stop_minutes=minutes[1])
    problem = built(w, hours=[168.0] * 3, paths=worlds(*price))
    plan = allocate.solve(problem, OPTIONS)
    best = np.inf
    for flat in itertools.product(range(4), repeat=6):
        held = np.array(flat).reshape(2, 3)  # machines of each offer in each period
        if (held.sum(axis=0) >= needs).all():
            more = np.diff(held, axis=1)
            moves = (
                (np.maximum(more, 0) * minutes[0] + np.maximum(-more, 0) * minutes[1])
                * price[:, 1:]
                / 60
            )
            best = min(best, (held * price).sum() * 168 + moves.sum())
    assert plan.objective_usd == pytest.approx(best)
    assert plan.table["expected_cost_usd"].sum() <= plan.objective_usd * (1 + 1e-9)
    validate(plan.table.drop(columns="hours").assign(hours=168.0), "plan")
    assert (allocate.plan.counts_of(problem, plan.table) == plan.counts).all()


@pytest.mark.parametrize(("commitment", "bought"), [(10.0, 2), (30.0, 1), (61.0, 0)])
def test_a_commitment_is_held_through_every_period(commitment, bought):
    """Needs of 1, 2 and 1 machines: the second is worth a commitment below a third of on demand."""
    table = COMMIT.assign(price_usd_per_hour=np.where(COMMIT["term"] == "1y", commitment, 60.0))
    w = work(16.0, amounts=(8.0, 16.0, 8.0), interruptible=False)
    plan = allocate.solve(
        built(w, table=table, hours=[168.0] * 3, limits=allocate.Limits(terms=("1y",))), OPTIONS
    )
    held = plan.table[plan.table["purchase_option"] == "reserved"]
    each = held.groupby("period")["instances"].sum().reindex(range(3), fill_value=0)
    assert each.tolist() == [bought] * 3
    needs = np.array([1, 2, 1])
    costs = [168 * (3 * x * commitment + 60 * np.maximum(needs - x, 0).sum()) for x in range(4)]
    assert plan.objective_usd == pytest.approx(min(costs))
    for row in plan.problem.rows:
        assert row.name.startswith("commitment to gcp/us-a/1y/h8/reserved/1y goes on")
    alone = np.where(plan.problem.assignments["case"] == 0, plan.problem.assignments["most"], 0.0)
    assert any("goes on" in said for said in allocate.check(plan.problem, alone).broken)


@pytest.mark.slow
def test_work_with_a_deadline_waits_for_the_cheap_week():
    batch = work(1344.0, batch=True, deadline_weeks=2.0)  # 2,688 GPU-hours: two machines for a week
    weeks = [168.0] * 3
    plan = allocate.solve(
        built(batch, hours=weeks, paths=worlds([30, 20, 5], [80, 80, 80])), OPTIONS
    )
    assert plan.table[["period", "instances"]].to_numpy().tolist() == [[1, 2]]
    assert plan.objective_usd == pytest.approx(2 * 20 * 168)
    short = allocate.solve(built(batch, hours=(168.0,)), OPTIONS)  # half of it falls in the plan
    assert short.table["instances"].tolist() == [1]
    ends = allocate.solve(
        built(batch, hours=(504.0,)), OPTIONS
    )  # one long period: two weeks of it are paid
    assert (ends.table["hours"] * ends.table["instances"]).tolist() == [336.0]
    worth = work(1344.0, batch=True, deadline_weeks=2.0, worth_usd_per_gpu_hour=2.0)
    left = allocate.solve(
        built(worth, hours=weeks, paths=worlds([30, 20, 5], [80, 80, 80])), OPTIONS
    )
    assert left.objective_usd == pytest.approx(2688 * 2.0)
    assert not len(left.table)


@pytest.mark.parametrize("probability", [0.05, 0.3])
def test_commit_first_then_recourse(probability):
    """One machine for sure, three perhaps: commit while it pays against on demand at 80."""
    futures = (
        allocate.DemandScenario("calm", 1 - probability),
        allocate.DemandScenario("surge", probability, {"w": 3.0}),
    )
    w = work(8.0, interruptible=False)
    limits = allocate.Limits(terms=("1y",))
    plan = allocate.solve(
        built(w, table=COMMIT, hours=(168.0,), limits=limits, scenarios=futures), OPTIONS
    )
    costs = [
        168 * (8 * x + 80 * ((1 - probability) * max(1 - x, 0) + probability * max(3 - x, 0)))
        for x in range(5)
    ]
    assert plan.objective_usd == pytest.approx(min(costs))
    held = plan.table[plan.table["purchase_option"] == "reserved"]
    by_future = held.groupby(held["workload"].str.split(" in ").str[1])["instances"].sum()
    assert by_future.to_dict() == dict.fromkeys(("calm", "surge"), float(np.argmin(costs)))


def test_the_tail_is_taken_over_prices_and_futures():
    futures = (
        allocate.DemandScenario("calm", 0.8),
        allocate.DemandScenario("surge", 0.2, {"w": 3.0}),
    )
    times = pd.date_range("2026-01-01", periods=1, freq="7D", tz="UTC")
    price = np.full((1, 10, 1), 16.0)
    paths = Paths(pd.Index([SPOT]), times, price)
    limits = allocate.Limits(cvar_level=0.9)
    plan = allocate.solve(
        built(work(8.0), hours=(168.0,), paths=paths, limits=limits, scenarios=futures)
    )
    assert plan.objective_usd == pytest.approx(168 * 16 * (0.8 + 0.2 * 3))
    assert plan.verdict.cvar_usd == pytest.approx(168 * 16 * 3)


def test_egress_and_carbon_count_by_probability():
    futures = (
        allocate.DemandScenario("calm", 0.75),
        allocate.DemandScenario("surge", 0.25, {"w": 2.0}),
    )
    more = {
        "egress_usd_per_gb/0": 0.1,
        "egress_usd_per_gb/aws/0": 0.1,
        "transfer_usd_per_gb": 0.01,
        "gpu_watts": 700,
        "gpu_utilisation": 1.0,
        "host_watts_per_gpu": 0,
        "pue": 1.0,
        "grid_gco2e_per_kwh": 100,
    }
    w = work(8.0, data_gb=1000.0, data_in="aws/us-west-2")
    table = TABLE.assign(grid_gco2e_per_kwh=500.0)
    plan = allocate.solve(
        built(w, table=table, hours=(84.0, 84.0), scenarios=futures, **more), OPTIONS
    )
    sums = dict(zip([r.name for r in plan.problem.rows], plan.verdict.sums, strict=True))
    assert sums["data out of aws in calm"] == pytest.approx(1000)
    assert sums["data out of aws in surge"] == pytest.approx(1000)
    assert plan.verdict.charges_usd.sum() == pytest.approx(100)
    assert sums["carbon"] == pytest.approx(8 * 0.7 * 0.5 * 168 * 1.25)


def test_periods_and_futures_that_do_not_fit_are_refused():
    with pytest.raises(ParameterError, match="needs amounts for 3 periods, the plan has 2"):
        built(work(8.0, amounts=(8.0, 8.0, 8.0)))
    with pytest.raises(ParameterError, match="2 periods on 1 steps"):
        built(work(8.0), paths=worlds([1.0], [2.0]))
    with pytest.raises(ParameterError, match="the plan covers"):
        built(work(8.0), hours=(168.0, 0.0))
    wrong = [
        ((allocate.DemandScenario("a", 0.5),), "add up to 0.5"),
        ((allocate.DemandScenario("a", 1.0, {"v": 1.0}),), "no workload 'v'"),
    ]
    for futures, said in wrong:
        with pytest.raises(ParameterError, match=said):
            built(work(8.0), scenarios=futures)
    with pytest.raises(ParameterError, match="probability is 0"):
        allocate.DemandScenario("a", 0.0)
    with pytest.raises(ParameterError, match=r"factors\.w is -1"):
        allocate.DemandScenario("a", 1.0, {"w": -1.0})


def test_needs_over_time_and_futures_read(tmp_path):
    text = GOOD.replace("3 x 8 H100", "[64 H100, 96 H100]") + (
        "    start_minutes: 30\n"
        "  - workload: b\n    needs: 9000 GPU-hours in 4 weeks\n    accepts: [H100]\n"
        "scenarios:\n  - scenario: base\n    probability: 0.7\n"
        "  - scenario: surge\n    probability: 0.3\n"
        "    times: {a: 2}\n"
    )
    file = tmp_path / "demand.yaml"
    file.write_text(text)
    demand = allocate.load_demand(file)
    a, b = demand.workloads
    assert (a.amounts, a.amount, a.start_minutes) == ((64.0, 96.0), 96.0, 30.0)
    assert (b.batch, b.amount, b.deadline_weeks) == (True, 2250.0, 4.0)
    assert demand.scenarios[1] == allocate.DemandScenario("surge", 0.3, {"a": 2.0})
    for old, new, said in (
        ("0.7", "0.6", "line 8: probabilities of the scenarios add up to 0.9"),
        ("96 H100", "96 H200", "line 3: needs: .* differs in more than its amounts"),
        ("{a: 2}", "2", "line 13: times is 2"),
    ):
        with pytest.raises(ParameterError, match=said):
            load(tmp_path, text.replace(old, new))
