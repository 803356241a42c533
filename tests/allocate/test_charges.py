"""Commitments held, carbon, places and data that moves: limits and charges beside rent."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.allocate.problem.assign import rework_factor
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.testing import OFFERS, WATTS, figures, plan_for, random_allocation, work

HELD = allocate.Commitment("gcp/us-b/h8", 2, 30.0)


def committed(*workloads, options=None, limits=None, table=OFFERS, held=HELD):
    problem = allocate.build_problem(
        allocate.Demand(list(workloads), (held,)), table, assumptions=figures(), limits=limits
    )
    return allocate.solve(problem, options)


@pytest.mark.slow
def test_what_is_committed_is_paid_for_used_or_not_and_used_first():
    idle = committed(work(8, regions=("us-a",)))
    held = idle.table.set_index("workload").loc["idle commitment"]
    assert (held["instances"], held["hours"], held["expected_cost_usd"]) == (2, 168, 2 * 30 * 168)
    spot = 16 * 168 * float(rework_factor(0.002, checkpoint_h=0, restart_h=0))
    assert idle.objective_usd == pytest.approx(2 * 30 * 168 + spot)
    used = committed(work(24))  # three machines of 8: the two paid for, and one on spot
    offers_used = used.table.set_index("offer_id")["instances"].to_dict()
    assert offers_used == {"gcp/us-b//h8/reserved/held": 2, "gcp/us-a//h8/spot/": 1}
    assert used.objective_usd == pytest.approx(2 * 30 * 168 + spot)
    half = committed(work(8))
    assert half.objective_usd == pytest.approx(2 * 30 * 168)
    assert sorted(half.table["workload"]) == ["idle commitment", "w"]
    assert allocate.runners_up(half)["workload"].tolist() == ["w"]
    broken = allocate.check(half.problem, np.zeros(len(half.counts))).broken
    assert any("commitment to gcp/us-b//h8/reserved/held" in said for said in broken)
    with pytest.raises(ParameterError, match="did you mean 'gcp/us-b/h8'"):
        committed(work(8), held=replace(HELD, machine="gcp/us-b/h9"))


GRID = OFFERS.assign(grid_gco2e_per_kwh=np.where(OFFERS["region"] == "us-a", 500.0, 100.0))


@pytest.mark.slow
def test_carbon_is_counted_priced_and_capped():
    hours = 168 * float(rework_factor(0.002, checkpoint_h=0, restart_h=0))
    kg = 8 * (0.5 * 700 + 150) / 1000 * 1.2 * 0.5 * hours  # one machine of 8 in us-a
    free = plan_for(work(8), table=GRID, **WATTS)
    assert free.table["region"].tolist() == ["us-a"]
    assert allocate.summary(free).set_index("fact").loc["carbon", "value"] == pytest.approx(kg)
    capped = plan_for(work(8), table=GRID, limits=allocate.Limits(carbon_kg=kg - 1), **WATTS)
    assert capped.table["region"].tolist() == ["us-b"]
    assert capped.verdict.sums[0] == pytest.approx(kg / 5)
    # us-b costs 4 USD/h more and emits 0.8 kg the fewer: worth it from this price of carbon on
    tipping = 4 * hours / (0.8 * kg) * 1000
    for usd, region in ((0.99 * tipping, "us-a"), (1.01 * tipping, "us-b")):
        priced = plan_for(
            work(8), table=GRID, limits=allocate.Limits(carbon_usd_per_tonne=usd), **WATTS
        )
        assert priced.table["region"].tolist() == [region]
        assert priced.objective_usd == pytest.approx(priced.table["expected_cost_usd"].sum())
    none = plan_for(work(8), table=GRID, limits=allocate.Limits(carbon_kg=1.0), **WATTS)
    assert any(s.startswith("carbon 1 is short by") for s in allocate.conflicts(none.problem))
    unknown = plan_for(work(8), table=GRID.assign(grid_gco2e_per_kwh=np.nan), **WATTS)
    assert unknown.verdict.sums[0] == pytest.approx(kg / 500 * 400)
    with pytest.raises(ParameterError, match="offers have no grid_gco2e_per_kwh"):
        plan_for(work(8), limits=allocate.Limits(carbon_kg=1.0), **WATTS)


@pytest.mark.slow
def test_a_frontier_over_carbon_tells_what_emitting_less_costs():
    free = plan_for(work(8), table=GRID, **WATTS)
    kg = free.verdict.sums[0]
    curve = allocate.frontier(free.problem, "carbon_kg").set_index("limit")["cost_usd"]
    assert curve.index[-1] == pytest.approx(kg)
    assert curve.iloc[-1] == pytest.approx(free.objective_usd, rel=1e-3)
    assert curve[0.2 * kg : 0.5 * kg].min() > free.objective_usd * 1.1, "in us-b, at a fifth"
    assert curve[: 0.15 * kg].isna().all(), "nowhere less than that"
    capped = plan_for(work(8), table=GRID, limits=allocate.Limits(carbon_kg=kg - 1), **WATTS)
    wider = allocate.frontier(capped.problem, "carbon_kg", [kg])["cost_usd"]
    assert wider.iloc[0] == pytest.approx(free.objective_usd, rel=1e-3)
    with pytest.raises(ParameterError, match="needs the grid intensity"):
        allocate.frontier(plan_for(work(8)).problem, "carbon_kg")


PLACED = OFFERS.assign(
    provider=["gcp", "gcp", "gcp", "aws", "gcp", "gcp"],
    region=["us-east4", "us-east4", "us-west1", "us-east-2", "europe-west3", "us-east4"],
    offer_id=[f"o{j}" for j in range(6)],
)


PRICES = {
    "latency_ms_per_1000_km": 15,
    "latency_ms_at_least": 2,
    "transfer_usd_per_gb": 0.02,
    "egress_usd_per_gb/gcp/0": 0.12,
    "egress_usd_per_gb/gcp/1000": 0.08,
    "egress_usd_per_gb/0": 0.5,
}


def placed(workload, **changes) -> allocate.Plan:
    grid = pd.DataFrame({"provider": ["gcp"], "region": ["us-west1"], "grid_gco2e_per_kwh": [80.0]})
    return plan_for(
        workload, table=allocate.with_places(PLACED, grid), **PRICES, **WATTS, **changes
    )


@pytest.mark.slow
def test_work_stays_near_and_within_its_country():
    assert placed(work(8)).table["offer_id"].tolist() == ["o0"]
    # Ashburn to The Dalles is 3,700 km as the crow flies: 57 ms by the assumptions
    for within_ms, nearest in ((56.0, "o2"), (59.0, "o0")):
        plan = placed(work(8, latency=allocate.Users(within_ms, "gcp/us-west1")))
        assert plan.table["offer_id"].tolist() == [nearest]
    for area in ("DE", "EU"):
        only = placed(work(8, throughput={"H100": 1.0, "A100-80GB": 1.0}, residency=(area,)))
        assert only.table["offer_id"].tolist() == ["o4"]
    for area, said in (
        ("FR", "residency FR: 0 left .there are US"),
        ("us", "residency us: 0 left .did you mean 'US'"),
        ("Germany", "countries have two letters, such as DE, or are EU"),
    ):
        with pytest.raises(ParameterError, match=said):
            placed(work(8, residency=(area,)))
    for at, said in (
        ("aws/eu-west-1", "round trips of 1 ms to aws/eu-west-1: 0 left .*gcp/us-east4 is at 8"),
        ("aws/eu-west-11", "did you mean 'aws/eu-west-1'"),
    ):
        with pytest.raises(ParameterError, match=said):
            placed(work(8, latency=allocate.Users(1.0, at)))
    with pytest.raises(ParameterError, match="offers have no country"):
        plan_for(work(8, residency=("DE",)))


@pytest.mark.slow
def test_data_that_moves_is_paid_for_in_tiers():
    rework = float(rework_factor(0.002, checkpoint_h=0, restart_h=0))
    rent = {"o0": 16 * 168 * rework, "o2": 20 * 168 * rework, "o3": 8 * 9 * 168}
    month = 168 / 730
    far = placed(work(8, data_gb=9000.0, data_in="gcp/us-west1"))
    assert far.objective_usd == pytest.approx(rent["o0"] + 9000 * 0.02)
    more = placed(
        work(8, data_gb=90_000.0, data_in="gcp/us-west1")
    )  # now the machines go to the data
    assert more.objective_usd == pytest.approx(rent["o2"])
    weekly = placed(work(8, data_gb=4500.0, data_weekly=True, data_in="gcp/us-west1"), hours=336.0)
    assert weekly.objective_usd == pytest.approx(2 * rent["o0"] + 9000 * 0.02)
    out = placed(
        work(8, data_gb=9000.0, data_in="gcp/us-west1", providers=("aws",), interruptible=False)
    )
    first = 1000 * month
    assert out.objective_usd == pytest.approx(rent["o3"] + first * 0.12 + (9000 - first) * 0.08)
    assert out.table["expected_cost_usd"].sum() == pytest.approx(out.objective_usd)
    facts = allocate.summary(out).set_index("fact")
    assert facts.loc["data out of gcp", "value"] == pytest.approx(9000)
    other = placed(work(8, data_gb=9000.0, data_in="lambdalabs/somewhere"))
    assert other.objective_usd == pytest.approx(rent["o0"] + 9000 * 0.5)


@pytest.mark.parametrize(
    ("tiers", "value", "usd"),
    [
        (((0.0, 3.0),), 5.0, 15.0),
        (((0.0, 3.0),), -5.0, 0.0),
        (((2.0, 1.0), (4.0, 2.0)), 5.0, 4.0),
        (((0.0, 3.0), (4.0, 1.0)), 6.0, 14.0),
    ],
)
def test_a_charge_is_the_sum_over_its_tiers(tiers, value, usd):
    base = random_allocation(3, small=True)
    base = replace(base, demands=base.demands.assign(unmet_usd=9.0))
    counts = np.zeros(len(base.assignments))
    counts[0] = 1
    row = allocate.Row("r", np.array([0]), np.array([value]), tiers=tiers)
    verdict = allocate.check(replace(base, rows=(row,)), counts)
    assert verdict.charges_usd.tolist() == [usd]
    assert verdict.objective_usd - allocate.check(base, counts).objective_usd == pytest.approx(usd)


@pytest.mark.parametrize(
    "tiers",
    [
        ((1.0, 2.0), (0.0, 3.0)),
        ((0.0, -1.0),),
        ((1.0, 2.0), (2.0, 1.0)),
        ((0.0, 1.0), (1.0, 3.0), (2.0, 2.0)),
    ],
)
def test_tiers_that_mean_nothing_are_refused(tiers):
    with pytest.raises(DataError):
        allocate.Row("r", np.array([0]), np.ones(1), tiers=tiers)
