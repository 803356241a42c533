"""Stress: what each shock does to a plan held and to one made anew, episodes, reverse stress."""

import numpy as np
import pytest

from cloudarb_lib import allocate, risk
from cloudarb_lib.risk import impact
from cloudarb_lib.testing import (
    AWS_SPOT,
    GCP_COMMITMENT,
    GCP_ON_DEMAND,
    GCP_SPOT,
    ODD_SPOT,
    RISK_OFFERS,
    planned,
    price_record,
    risk_inputs,
    risk_paths,
    stressed,
)

pytestmark = pytest.mark.slow


def test_what_each_factor_does_to_a_held_plan():
    table = stressed(*risk.load_scenarios()[:4], risk.StressScenario.of("wild", volatility=2.0))
    base = table.loc["base"]
    committed = 50.0 * 672
    floating = base["expected_cost_usd"] - committed
    loss = table["loss_usd"]
    assert loss["base"] == 0
    values = risk_paths().select([GCP_SPOT, AWS_SPOT]).values
    now = np.array([20.0, 30.0])[:, None, None]
    wild = 672 * (now * (values / now) ** 2).mean(axis=(1, 2)) @ [4.0, 2.0]
    assert loss["wild"] == pytest.approx(wild - floating)
    assert loss["market_crash"] == pytest.approx(0.7 * wild - floating)
    assert loss["regulatory_change"] == pytest.approx(0.2 * base["expected_cost_usd"])
    spike = 672 * (4 * 80.0 + 2 * 60.0 + 1 * 60.0)
    spike += 672 * (80.0 - 60.0)  # the commitment's fallback is the same machine, on demand at 80
    assert loss["demand_spike"] == pytest.approx(spike)
    assert table.loc["wild", "var_usd"] == pytest.approx(2 * base["var_usd"], rel=0.15)
    assert table.loc["regulatory_change", "var_usd"] == pytest.approx(1.2 * base["var_usd"])
    assert (table["recourse_loss_usd"] == loss).all()
    wide = risk.stress(
        risk_inputs(), [], planned({GCP_SPOT: 4.0}), replanned={}, budget_usd=1e5, level=0.99
    ).iloc[0]
    near = stressed(instances={GCP_SPOT: 4.0}).iloc[0]
    assert (near["level"], wide["level"]) == (0.95, 0.99)
    assert wide["var_usd"] > near["var_usd"]


def test_a_dearer_bill_takes_fees_along():
    held = planned({GCP_SPOT: 1.0}).assign(fees_usd=1000.0)
    here = risk_inputs(spread=0.0)
    dear = risk.StressScenario.of("dear", cost=1.2)
    table = risk.stress(here, [dear], held, replanned={}, budget_usd=1e5).set_index("scenario")
    assert table.loc["base", "expected_cost_usd"] == pytest.approx(20.0 * 672 + 1000.0)
    assert table.loc["dear", "loss_usd"] == pytest.approx(0.2 * (20.0 * 672 + 1000.0))


def test_more_volatility_stretches_around_todays_price_and_leaves_what_stays():
    paths = risk_paths(n=3)
    paths.values[:] = RISK_OFFERS["price_usd_per_hour"].to_numpy()[:, None, None]
    paths.values[0, 1] *= 1.1
    paths.values[0, 2] *= 0.8
    here = risk_inputs(paths=paths)
    scenario = risk.StressScenario.of("wild", volatility=2.0)
    wild = impact.struck(here, impact.impact_of(scenario, here, planned({GCP_SPOT: 1.0}))).paths
    np.testing.assert_allclose(wild.values[0, :, 0], [20.0, 20.0 * 1.1**2, 20.0 * 0.8**2])
    np.testing.assert_allclose(wild.values[1:], paths.values[1:])


def test_an_outage_hits_the_largest_provider_and_is_bought_elsewhere():
    table = stressed(risk.StressScenario.of("out", availability=0.5, provider="largest"))
    hours = 0.5 * 672
    away = hours * (4 * (60.0 - 20.0) + 1 * 60.0)  # the commitment stays paid
    assert table.loc["out", "loss_usd"] == pytest.approx(away, rel=0.01)
    gone = stressed(
        risk.StressScenario.of("out", availability=0.0, provider="nebula"), instances={ODD_SPOT: 1}
    )
    assert gone.loc["out", "unmet_gpu_hours"] == pytest.approx(672)


def test_the_largest_region_is_that_of_the_offers_hit():
    spot = {"purchase_option": "spot", "region": "largest"}
    table = stressed(
        risk.StressScenario.of("dear", price=2.0, **spot),
        instances={GCP_ON_DEMAND: 9.0, AWS_SPOT: 2.0, GCP_SPOT: 1.0},
    )
    only = stressed(
        risk.StressScenario.of("dear", price=2.0, region="eu"),
        instances={GCP_ON_DEMAND: 9.0, AWS_SPOT: 2.0, GCP_SPOT: 1.0},
    )
    assert table.loc["dear", "loss_usd"] == pytest.approx(only.loc["dear", "loss_usd"])


SINCE = {"since": "2025-08-06", "until": "2025-09-10"}  # cells 9 and 14 of the record


def test_an_episode_moves_each_offer_as_its_own_record_did():
    table = stressed(
        risk.StressScenario.of("again", **SINCE),
        spread=0.0,
        instances={GCP_SPOT: 1.0, AWS_SPOT: 1.0, GCP_COMMITMENT: 1.0},
    )
    # five weeks within four steps: sampled every 8.75 days, in the cells 11, 12, 13 and 14
    gcp, aws = np.array([1.25, 1.5, 1.75, 2.0]), np.array([1.0, 0.5, 0.5, 0.5])
    expected = 672 * (20.0 * (gcp.mean() - 1.0) + 30.0 * (aws.mean() - 1.0))
    assert table.loc["again", "loss_usd"] == pytest.approx(expected)


def test_an_episode_of_another_record_and_of_offers_without_one():
    other = risk.StressScenario.of("as gcp", record="gcp/*/spot/", provider="aws", **SINCE)
    table = stressed(other, spread=0.0, instances={AWS_SPOT: 1.0})
    assert table.loc["as gcp", "loss_usd"] == pytest.approx(672 * 30.0 * 0.625)
    younger = price_record().select([GCP_SPOT])
    table = stressed(
        risk.StressScenario.of("again", **SINCE),
        spread=0.0,
        instances={AWS_SPOT: 1.0},
        record=younger,
    )
    assert table.loc["again", "loss_usd"] == pytest.approx(672 * 30.0 * 0.625)


@pytest.mark.parametrize(
    "lacking",
    [
        {"since": "2020-01-01", "until": "2020-02-01"},
        {"since": "2025-12-01", "until": "2026-02-01"},
        {"record": "gcp/mars/*", **SINCE},
        {"provider": "nobody", "region": "largest"},
        {"provider": "nebula", "region": "largest"},  # whose region is not stated
    ],
)
def test_an_episode_that_the_record_lacks_is_left_out(lacking):
    alone = risk.StressScenario.of("gone", **lacking)
    table = stressed(
        alone, risk.StressScenario.of("both", all_of=(alone, risk.StressScenario.of("x", cost=2.0)))
    )
    assert list(table.index) == ["base"]
    assert risk.replan(risk_inputs(), [alone], planned({GCP_SPOT: 1.0}), WORK) == {}


def test_scenarios_combine_by_multiplying():
    dear, short = (
        risk.StressScenario.of("dear", cost=1.5),
        risk.StressScenario.of("short", availability=0.5, provider="gcp"),
    )
    more = risk.StressScenario.of("more", demand=2.0, cost=1.1)
    table = stressed(
        risk.StressScenario.of("all", cost=2.0, all_of=(dear, short, more)),
        instances={GCP_SPOT: 1.0},
    )
    hours = 672 * (
        0.5 * 20.0 + 0.5 * 60.0 + 60.0
    )  # half at its price, half and as much again at the fallback
    assert table.loc["all", "expected_cost_usd"] == pytest.approx(3.3 * hours, rel=0.01)


TRAIN = allocate.Workload("train", 16.0, {"H100": 1.0}, interruptible=True)
WORK = allocate.Demand([TRAIN])


def test_recourse_moves_away_from_what_is_short_and_pays_for_the_move():
    here = risk_inputs(spread=0.0)
    shocks = [
        risk.StressScenario.of("gone", availability=0.0, provider="gcp"),
        risk.StressScenario.of("dear", cost=2.0),
    ]
    held = planned({GCP_SPOT: 2.0})
    anew = risk.replan(here, shocks, held, WORK)
    assert anew["gone"]["offer_id"].tolist() == [AWS_SPOT]
    assert anew["dear"]["offer_id"].tolist() == [GCP_SPOT]
    table = risk.stress(here, shocks, held, replanned=anew, budget_usd=1e5).set_index("scenario")
    hours = anew["gone"]["hours"].iloc[0]  # with rework
    moved = 2 * 30.0 * (hours + here.assumptions.get("move_overlap_h"))
    moved += anew["gone"]["fees_usd"].sum()
    assert table.loc["gone", "recourse_loss_usd"] == pytest.approx(moved - 2 * 20.0 * 672)
    assert table.loc["gone", "loss_usd"] == pytest.approx(2 * 40.0 * 672)
    assert table.loc["dear", "recourse_loss_usd"] == table.loc["dear", "loss_usd"]


def test_recourse_is_taken_where_it_serves_more_though_it_costs_more():
    here = risk_inputs(spread=0.0)
    gone = risk.StressScenario.of("gone", availability=0.0, provider="nebula")
    table = risk.stress(
        here,
        [gone],
        planned({ODD_SPOT: 1.0}),
        replanned={"gone": planned({AWS_SPOT: 1.0})},
        budget_usd=1e5,
    )
    assert table["loss_usd"].iloc[1] < table["recourse_loss_usd"].iloc[1]
    assert table["unmet_gpu_hours"].iloc[1] > table["recourse_unmet_gpu_hours"].iloc[1] == 0


def test_a_trifle_left_undone_does_not_speak_against_a_plan():
    rare = {"outages": (0.001, 1.0), "fallback_share": 0.9, "spread": 0.0}
    spike = risk.StressScenario.of("spike", demand=2.0)
    held = planned({GCP_ON_DEMAND: 2.0})
    table = stressed(
        spike, instances={GCP_ON_DEMAND: 2.0}, replanned={"spike": planned({GCP_SPOT: 4.0})}, **rare
    )
    assert 0 < table.loc["spike", "recourse_unmet_gpu_hours"] < 0.001 * 4 * 8 * 672
    assert table.loc["spike", "recourse_loss_usd"] < table.loc["spike", "loss_usd"]
    often = {"outages": (0.05, 2.0), "fallback_share": 0.0, "spread": 0.0}
    here = risk_inputs(**often)
    anew = {"spike": planned({GCP_SPOT: 4.0})}
    table = risk.stress(here, [spike], held, replanned=anew, budget_usd=1e5).set_index("scenario")
    assert table.loc["spike", "recourse_unmet_gpu_hours"] == 0


def test_recourse_acts_on_what_a_shock_has_shown_not_on_how_it_goes_on():
    here, held = risk_inputs(spread=0.0), planned({GCP_SPOT: 2.0})
    again = risk.StressScenario.of("again", **SINCE)
    # GCP goes to 25, 30, 35, 40 and AWS from 30 to 15 in the second step: at first GCP is cheaper
    anew = risk.replan(here, [again], held, WORK)
    assert anew["again"]["offer_id"].tolist() == [GCP_SPOT]
    later = price_record()
    later.price[12:, :] *= 3.0
    assert risk.replan(risk_inputs(spread=0.0, record=later), [again], held, WORK)["again"].equals(
        anew["again"]
    )
    # alone, the fall of AWS shows in the second of four steps: the plan is held in the first
    fall = risk.StressScenario.of("fall", provider="aws", **SINCE)
    moved = risk.replan(here, [fall], held, WORK)
    assert moved["fall"]["offer_id"].tolist() == [AWS_SPOT]
    table = risk.stress(here, [fall], held, replanned=moved, budget_usd=1e5).set_index("scenario")
    hours, overlap = moved["fall"]["hours"].iloc[0], here.assumptions.get("move_overlap_h")
    paid = 2 * (20.0 * 672 / 4 + 15.0 * (hours * 3 / 4 + overlap))
    paid += 3 / 4 * moved["fall"]["fees_usd"].sum()
    assert table.loc["fall", "recourse_loss_usd"] == pytest.approx(paid - 2 * 20.0 * 672)
    assert table.loc["fall", "loss_usd"] == 0
    # a fall that is taken back: the move was right by what was seen, and a mistake
    back = price_record()
    back.price[13:, 2] *= 10.0
    table = stressed(fall, spread=0.0, instances={GCP_SPOT: 2.0}, replanned=moved, record=back)
    assert table.loc["fall", "recourse_loss_usd"] > table.loc["fall", "loss_usd"] == 0


def test_demand_is_scaled_stale_offers_wait_and_what_fits_nothing_has_no_plan():
    spike = risk.StressScenario.of("spike", demand=2.0)
    offers = RISK_OFFERS.reset_index().assign(stale=RISK_OFFERS.index == GCP_SPOT)
    anew = risk.replan(risk_inputs(offers=offers), [spike], planned({GCP_SPOT: 2.0}), WORK)["spike"]
    assert anew.groupby("offer_id")["gpus"].sum().to_dict() == {AWS_SPOT: 32.0}
    only = risk_inputs(offers=RISK_OFFERS.reset_index().assign(stale=True))
    assert risk.replan(only, [spike], planned({GCP_SPOT: 2.0}), WORK)["spike"]["gpus"].sum() == 32.0
    away = risk.StressScenario.of("away", availability=0.0)
    assert risk.replan(risk_inputs(), [away], planned({GCP_SPOT: 2.0}), WORK) == {}


def test_an_offer_half_there_costs_half_its_fallback_and_commitments_stay_paid():
    here = risk_inputs(spread=0.0)
    half = risk.StressScenario.of("half", availability=0.5, provider="gcp")
    anew = risk.replan(here, [half], planned({GCP_SPOT: 2.0, GCP_COMMITMENT: 1.0}), WORK)["half"]
    assert set(anew["offer_id"]) == {AWS_SPOT, GCP_COMMITMENT}  # 30 against (20 + 60) / 2


def test_reverse_stress_finds_the_change_that_breaks_the_limit():
    held, here = planned({GCP_SPOT: 4.0, AWS_SPOT: 2.0}), risk_inputs()
    base = risk.stress(here, [], held, replanned={}, budget_usd=1e5)
    expected, tail = base["expected_cost_usd"].iloc[0], base["cvar_usd"].iloc[0]
    found = risk.reverse_stress(
        here, held, budget_usd=1.2 * expected, cvar_limit_usd=1.5 * expected
    ).set_index(["limit", "factor"])["change"]
    assert found["budget", "price"] == pytest.approx(0.2, abs=0.01)
    assert found["budget", "cost"] == pytest.approx(0.2, abs=0.01)
    assert found["cvar", "cost"] == pytest.approx(1.5 * expected / (expected + tail) - 1, abs=0.01)
    assert 0 < found["budget", "volatility"] < 9
    assert 0 < found["cvar", "volatility"] < 9
    more = 672 * (4 * 80.0 + 2 * 60.0)
    assert found["budget", "demand"] == pytest.approx(0.2 * expected / more, abs=0.01)
    gone = 672 * (4 * (60.0 - 20.0))
    assert found["budget", "availability"] == pytest.approx(-0.2 * expected / gone, abs=0.01)
    assert 0.2 < found["budget", "together"] < 0.5
    just = found["budget", "price"]
    for share, breaks in ((1.0, True), (0.9, False)):
        after = stressed(
            risk.StressScenario.of("x", price=1 + share * just),
            instances={GCP_SPOT: 4.0, AWS_SPOT: 2.0},
        )
        assert (after.loc["x", "expected_cost_usd"] > 1.2 * expected) == breaks
    already = risk.reverse_stress(here, held, budget_usd=1e9, cvar_limit_usd=expected)
    assert (already.loc[already["limit"] == "cvar", "change"] == 0).all()
    assert already.loc[already["limit"] == "budget", "change"].isna().all()
