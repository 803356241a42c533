"""Machines taken away: pools go together, as often and as long as stated; fallbacks run out."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate, risk
from cloudarb_lib.market.disruptions import pools_of
from cloudarb_lib.risk import outages
from cloudarb_lib.testing import (
    AWS_ON_DEMAND,
    AWS_SPOT,
    GCP_ON_DEMAND,
    GCP_SPOT,
    ODD_SPOT,
    RISK_OFFERS,
    cost_of,
    planned,
    risk_inputs,
    risk_offer,
    risk_paths,
    work,
)


@pytest.mark.parametrize(("rate", "hours"), [(0.002, 0.5), (0.01, 3.0), (0.02, 6.0), (0.45, 1.0)])
def test_pools_are_down_as_often_and_as_long_as_stated(rate, hours):
    drawn = outages.draw_outages((rate,), (hours,), (1.0,), hours=1000, n_paths=400, seed=0)
    down = (drawn.state[:, 0] > outages.UP) * outages.hours_lost(np.array([hours]))
    share = drawn.per_path(down).mean() / 1000
    assert share == pytest.approx(rate * hours, rel=0.1)
    assert drawn.per_path(np.ones(len(drawn.state))).tolist() == [1000.0] * 400


def test_each_fallback_has_room_in_the_share_stated():
    drawn = outages.draw_outages((0.1,), (1.0,), (0.7,), hours=1000, n_paths=100, seed=1)
    hours = {
        state: drawn.per_path((drawn.state[:, 0] == state).astype(float)).sum()
        for state in (outages.DOWN, outages.DOWN + 1, outages.DOWN + 2)
    }
    total = sum(hours.values())
    shares = [hours[state] / total for state in sorted(hours)]
    assert shares == pytest.approx([0.7, 0.3 * 0.7, 0.3 * 0.3], abs=0.02)


def test_a_pool_is_one_gpu_model_in_one_zone():
    rows = [
        risk_offer("gcp", "us", "spot", 1.0, zone="a"),
        risk_offer("gcp", "us", "spot", 1.0, zone="a", instance_type="h100-1"),
        risk_offer("gcp", "us", "spot", 1.0, zone="b"),
        risk_offer("gcp", "us", "on_demand", 1.0, zone="a"),
    ]
    table = pd.DataFrame(rows).assign(interruption_per_hour=[0.1, 0.1, 0.1, 0.0])
    assert pools_of(table).tolist() == [0, 0, 1, -1]


@pytest.mark.slow
def test_what_goes_together_spreads_the_cost_and_keeps_its_mean():
    terms = {"instances": {GCP_SPOT: 8.0}, "n": 4000, "outages": (0.01, 3.0), "spread": 0.0}
    together, apart = (cost_of(**terms, shared_share=share).capacity for share in (1.0, 0.0))
    assert together.mean() == pytest.approx(apart.mean(), rel=0.05)
    assert together.std() > 2 * apart.std()


@pytest.mark.slow
def test_hours_go_to_the_next_fallback_and_then_are_unmet():
    terms = {"instances": {GCP_SPOT: 2.0}, "n": 4000, "outages": (0.02, 2.0), "spread": 0.0}
    always = cost_of(**terms)
    assert (always.unmet_gpu_hours == 0).all()
    never = cost_of(**terms, fallback_share=0.0)
    np.testing.assert_allclose(never.total.mean(), 2 * 20.0 * 672 * 0.96, rtol=0.01)
    assert (never.unmet_gpu_hours > 0).mean() > 0.99
    half = cost_of(**terms, fallback_share=0.5)
    lost = never.unmet_gpu_hours.mean() / 8
    assert half.unmet_gpu_hours.mean() == pytest.approx(0.25 * 8 * lost, rel=0.05)
    # a half at its own region's 80 USD, a quarter at 60 elsewhere
    wanted = lost * (0.5 * 80.0 + 0.25 * 60.0 - 20.0)
    assert half.capacity.sum(axis=1).mean() == pytest.approx(wanted, rel=0.05)


def test_a_fallback_holds_no_more_than_its_room_beside_what_the_plan_holds():
    here = risk_inputs(n=2000, outages=(0.02, 2.0), spread=0.0)
    room = here.assumptions.get("capacity_gpus/on_demand/H100") / 8
    gone = {"offers": RISK_OFFERS.assign(available_share=1.0).reset_index()}
    gone["offers"].loc[gone["offers"]["offer_id"] == GCP_SPOT, "available_share"] = 0.0
    for held, wanted in (({GCP_SPOT: 2 * room}, 0.0), ({GCP_SPOT: 2 * room + 3}, 3.0)):
        cost = cost_of(held, n=3, **gone)
        np.testing.assert_allclose(cost.unmet_gpu_hours, wanted * 8 * 672)
        np.testing.assert_allclose(cost.total, room * (80.0 + 60.0) * 672)
    cost = cost_of({GCP_SPOT: room, GCP_ON_DEMAND: room}, n=3, spread=0.0, **gone)
    np.testing.assert_allclose(cost.capacity.sum(axis=1), room * (60.0 - 20.0) * 672)


@pytest.mark.parametrize(
    ("quotas", "unmet_gpus"),
    [
        ((allocate.Quota(("gcp",), option=("on_demand",), gpus=16.0),), 24.0),
        ((allocate.Quota(option=("on_demand",), gpus=8.0),), 56.0),
        ((allocate.Quota(("gcp",), gpus=0.0), allocate.Quota(("gcp",), gpus=24.0)), 40.0),
        ((allocate.Quota(("azure",), gpus=0.0),), 0.0),
    ],
)
def test_a_fallback_under_a_quota_holds_what_the_plan_leaves_of_it(quotas, unmet_gpus):
    gone = {"offers": RISK_OFFERS.assign(available_share=1.0).reset_index()}
    gone["offers"].loc[gone["offers"]["offer_id"] == GCP_SPOT, "available_share"] = 0.0
    quotas = (*quotas, allocate.Quota(("aws",), gpus=24.0))
    demand = allocate.Demand([work(64.0)], quotas=quotas)
    cost = cost_of({GCP_SPOT: 8.0}, n=3, demand=demand, **gone)
    np.testing.assert_allclose(cost.unmet_gpu_hours, unmet_gpus * 672)


def test_two_spot_offers_share_the_quota_that_both_fall_back_on():
    offers = RISK_OFFERS.assign(available_share=1.0).reset_index()
    offers.loc[offers["purchase_option"] == "spot", "available_share"] = 0.0
    quota = allocate.Quota(option=("on_demand",), gpus=32.0)
    demand = allocate.Demand([work(64.0)], quotas=(quota,))
    held = {GCP_SPOT: 4.0, AWS_SPOT: 4.0}
    cost = cost_of(held, n=3, spread=0.0, offers=offers, demand=demand)
    np.testing.assert_allclose(cost.unmet_gpu_hours, 32 * 672)
    np.testing.assert_allclose(cost.total, 2 * (80.0 + 60.0) * 672)


def test_a_machine_that_goes_alone_is_replaced_only_where_a_quota_lets_it():
    terms = {"instances": {GCP_SPOT: 2.0}, "n": 500, "outages": (0.02, 2.0), "shared_share": 0.0}
    none = allocate.Quota(option=("on_demand",), gpus=0.0)
    cost = cost_of(**terms, demand=allocate.Demand([work(16.0)], quotas=(none,)))
    assert cost.unmet_gpu_hours.mean() == pytest.approx(0.04 * 16 * 672, rel=0.1)
    assert (cost_of(**terms).unmet_gpu_hours == 0).all()


def test_machines_of_one_model_in_a_region_share_its_capacity():
    larger = risk_offer("gcp", "us", "on_demand", 160.0, instance_type="h100-16", gpu_count=16.0)
    offers = pd.concat([RISK_OFFERS.reset_index(), pd.DataFrame([larger])], ignore_index=True)
    offers = offers[offers["offer_id"] != AWS_ON_DEMAND].assign(available_share=1.0)
    offers.loc[offers["offer_id"] == GCP_SPOT, "available_share"] = 0.0
    usd_per_hour = offers.set_index("offer_id")["price_usd_per_hour"]
    paths = risk.with_steady(risk_paths(n=3), usd_per_hour)
    room = risk_inputs().assumptions.get("capacity_gpus/on_demand/H100") / 8
    held = {GCP_SPOT: room, larger["offer_id"]: room / 4}
    cost = cost_of(held, n=3, offers=offers, paths=paths)
    np.testing.assert_allclose(cost.unmet_gpu_hours, room / 2 * 8 * 672)


def test_pools_that_are_down_together_share_a_fallback():
    offers = RISK_OFFERS.drop(index=RISK_OFFERS.index[3]).reset_index()  # no on-demand of AWS
    here = {"offers": offers.assign(available_share=offers["offer_id"].isin([GCP_ON_DEMAND]) * 1.0)}
    room = risk_inputs().assumptions.get("capacity_gpus/on_demand/H100") / 8
    cost = cost_of({GCP_SPOT: room, AWS_SPOT: room}, n=3, **here)
    np.testing.assert_allclose(cost.unmet_gpu_hours, room * 8 * 672)
    np.testing.assert_allclose(cost.total, room * 80.0 * 672)


@pytest.mark.slow
def test_what_nothing_replaces_is_unmet_each_time_a_machine_goes():
    cost = risk.plan_cost(risk_inputs(n=4000, outages=(0.01, 2.0)), planned({ODD_SPOT: 3.0}))
    assert cost.unmet_gpu_hours.mean() == pytest.approx(0.02 * 3 * 672, rel=0.05)
    single = risk_inputs(n=4000, outages=(0.01, 2.0), shared_share=0.0)
    alone = risk.plan_cost(single, planned({ODD_SPOT: 3.0}))
    assert alone.unmet_gpu_hours.mean() == pytest.approx(0.02 * 3 * 672, rel=0.05)
