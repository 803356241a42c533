"""The cost of a plan: against a slow loop, fallbacks, outages, hazards, guards."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate, risk
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Paths
from cloudarb_lib.tables import assumptions
from cloudarb_lib.testing import (
    AWS_ON_DEMAND,
    AWS_SPOT,
    GCP_COMMITMENT,
    GCP_ON_DEMAND,
    GCP_SPOT,
    ODD_SPOT,
    RISK_OFFERS,
    RISK_TIMES,
    cost_of,
    planned,
    risk_inputs,
    risk_offer,
    risk_paths,
)

pytestmark = pytest.mark.slow


def test_price_cost_against_a_slow_loop():
    here = risk_inputs(n=5)
    rows = pd.concat(
        [
            planned({GCP_SPOT: 4.0}, periods=2),
            planned({AWS_SPOT: 1.0, GCP_COMMITMENT: 2.0}, periods=2),
        ]
    )
    rows.loc[rows["period"] == 1, "instances"] *= 3
    cost = risk.plan_cost(here, rows)
    slow = np.zeros(5)
    for row in rows.itertuples():
        for step in (0, 1) if row.period == 0 else (2, 3):
            for path in range(5):
                price = here.paths.values[here.paths.offer_ids.get_loc(row.offer_id), path, step]
                price = 50.0 if row.offer_id == GCP_COMMITMENT else price
                slow[path] += price * row.instances * row.hours / 2
    np.testing.assert_allclose(cost.total, slow)
    np.testing.assert_allclose(cost.unit_usd @ cost.table["instance_hours"], slow)


def test_a_commitment_keeps_its_price():
    cost = cost_of()
    column = cost.table.index.get_loc(GCP_COMMITMENT)
    assert set(cost.price[:, column]) == {50.0 * 672}


def test_the_fallback_is_the_same_machine_on_demand_then_the_cheapest_of_its_model():
    columns = ["fallback", "fallback_usd_per_hour"]
    found = risk.find_fallbacks(RISK_OFFERS.reset_index(), RISK_OFFERS.index)[columns]
    assert found.loc[GCP_SPOT].tolist() == [GCP_ON_DEMAND, 80.0]
    assert found.loc[AWS_SPOT].tolist() == [AWS_ON_DEMAND, 60.0]
    assert found.loc[GCP_ON_DEMAND].tolist() == [AWS_ON_DEMAND, 60.0]
    assert found.loc[ODD_SPOT].isna().all()
    short = RISK_OFFERS.reset_index().assign(
        available_share=np.where(RISK_OFFERS.index == GCP_ON_DEMAND, 0.9, 1.0)
    )
    outside = risk.find_fallbacks(short, RISK_OFFERS.index)[columns]
    assert outside.loc[GCP_SPOT].tolist() == [AWS_ON_DEMAND, 60.0]
    none = risk.find_fallbacks(short.assign(available_share=0.0), RISK_OFFERS.index)[columns]
    assert none.isna().all(axis=None)


def lost_hours_of(*workloads: allocate.Workload) -> risk.PlanCost:
    """AWS spot of workload ``train``, taken away for a tenth of the time."""
    inputs = risk_inputs(outages=(0.01, 10.0), n=200, demand=allocate.Demand(list(workloads)))
    return risk.plan_cost(inputs, planned({AWS_SPOT: 2.0}))


def trains(**allowed) -> allocate.Workload:
    return allocate.Workload("train", 16.0, throughput={"H100": 1.0}, interruptible=True, **allowed)


@pytest.mark.parametrize(
    ("allowed", "fallbacks"),
    [
        ({}, [AWS_ON_DEMAND, GCP_ON_DEMAND]),
        ({"providers": ("aws",)}, [AWS_ON_DEMAND, None]),
        ({"regions": ("us",)}, [GCP_ON_DEMAND, None]),
        ({"not_in": ("eu",)}, [GCP_ON_DEMAND, None]),
        ({"options": ("spot",)}, [None, None]),
    ],
)
def test_hours_taken_away_are_bought_only_where_their_workload_may_run(allowed, fallbacks):
    cost = lost_hours_of(trains(**allowed))
    assert cost.table.loc[AWS_SPOT, ["fallback", "next_fallback"]].tolist() == fallbacks
    assert (cost.unmet_gpu_hours.sum() > 0) == (fallbacks == [None, None])
    anywhere = lost_hours_of(replace(trains(**allowed), name="another"))
    assert anywhere.table.loc[AWS_SPOT, "fallback"] == AWS_ON_DEMAND


def test_what_two_workloads_share_is_replaced_where_both_may_run():
    inputs = risk_inputs(
        demand=allocate.Demand(
            [
                trains(providers=("aws",)),
                replace(trains(regions=("us", "eu")), name="serve"),
                replace(trains(not_in=("eu",)), name="elsewhere"),
            ]
        )
    )
    shared = planned({AWS_SPOT: 2.0})
    both = pd.concat([shared, shared.assign(workload="serve")])
    assert risk.plan_cost(inputs, both).table.loc[AWS_SPOT, "fallback"] == AWS_ON_DEMAND
    apart = pd.concat([shared, shared.assign(workload="elsewhere")])
    assert risk.plan_cost(inputs, apart).table.loc[AWS_SPOT, "fallback"] is None


def test_a_stale_price_replaces_only_what_no_fresh_one_does():
    old = RISK_OFFERS.assign(stale=RISK_OFFERS.index == AWS_ON_DEMAND)
    other = (
        pd.DataFrame([risk_offer("gcp", "eu", "on_demand", 90.0)])
        .set_index("offer_id")
        .assign(stale=False)
    )
    columns = ["gpus", "fallback", "fallback_usd_per_hour"]
    found = risk.find_fallbacks(pd.concat([old, other]).reset_index(), pd.Index([GCP_ON_DEMAND]))
    assert found.loc[GCP_ON_DEMAND, columns].tolist() == [8.0, other.index[0], 90.0]
    found = risk.find_fallbacks(old.reset_index(), pd.Index([GCP_ON_DEMAND]))
    assert found.loc[GCP_ON_DEMAND, columns].tolist() == [8.0, AWS_ON_DEMAND, 60.0]


def test_outages_are_bought_at_the_fallback_and_their_mean_is_the_hazards():
    terms = {"instances": {GCP_SPOT: 4.0}, "n": 20_000, "outages": (0.01, 3.0), "seed": 1}
    cost = cost_of(**terms)
    away = 0.01 * 3.0  # share of the hours, as outages are short against the horizon
    expected = away * 4 * 672 * (80.0 - cost.unit_usd.mean())
    assert cost.capacity.mean() == pytest.approx(expected, rel=0.03)
    np.testing.assert_array_equal(cost.total, (cost.price + cost.capacity).sum(axis=1))
    np.testing.assert_array_equal(cost.capacity, cost_of(**terms).capacity)


def test_hours_that_nothing_replaces_are_unmet_and_not_paid():
    cost = cost_of({ODD_SPOT: 2.0}, shares={ODD_SPOT: 0.25})
    np.testing.assert_allclose(cost.unmet_gpu_hours, 0.75 * 2 * 672)
    np.testing.assert_allclose(cost.total, 0.25 * cost.price[:, 0])


def test_hazards_come_from_the_assumptions_by_preset():
    figures = assumptions.load_assumptions()
    table = RISK_OFFERS.loc[[GCP_SPOT, GCP_ON_DEMAND, GCP_COMMITMENT]]
    calm, trace = (risk.hazards(table, figures, p) for p in ("advisor-implied", "trace-calibrated"))
    assert (
        calm.loc[GCP_SPOT, "interruption_per_hour"] < trace.loc[GCP_SPOT, "interruption_per_hour"]
    )
    assert (trace.loc[[GCP_ON_DEMAND, GCP_COMMITMENT], "interruption_per_hour"] == 0).all()
    assert "outage_hours/spot/calm" in set(figures.used["name"])
    with pytest.raises(ParameterError, match="preset 'nice' is unknown"):
        risk.hazards(table, figures, "nice")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[:0], "holds no offer"),
        (lambda p: p.assign(offer_id="gcp/mars//h100-8/spot/"), "not among the offers"),
        (lambda p: p.assign(instances=-1.0), "negative"),
        (lambda p: p.assign(hours=np.nan), "missing"),
        (lambda p: p.assign(period=7), "8 periods"),
    ],
)
def test_a_plan_that_cannot_be_met_with_paths_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        risk.plan_cost(risk_inputs(n=3), change(planned({GCP_SPOT: 1.0})))


def test_no_path_no_horizon_and_a_wrong_size_are_refused():
    with pytest.raises(DataError, match="no path"):
        Paths(RISK_OFFERS.index, RISK_TIMES, np.zeros((6, 0, 4)))
    with pytest.raises(DataError, match="missing, infinite"):
        Paths(RISK_OFFERS.index, RISK_TIMES, np.full((6, 2, 4), np.nan))
    with pytest.raises(ParameterError, match="horizon"):
        risk_inputs(horizon_h=0.0)
    with pytest.raises(ParameterError, match="demand_factor is"):
        risk.plan_cost(risk_inputs(), planned({GCP_SPOT: 1.0}), demand_factor=0.5)
    with pytest.raises(DataError, match="no paths for offer"):
        risk.plan_cost(risk_inputs(paths=risk_paths().select([AWS_SPOT])), planned({GCP_SPOT: 1.0}))
