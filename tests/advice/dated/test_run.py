"""What is said of a run with a deadline, and what is refused; the back-test of it."""

import numpy as np
import pytest

from cloudarb_lib.advice.dated import backtest
from cloudarb_lib.advice.dated.run import BEST, SPOT_ALONE, DatedRun, advise_run, assumed, recorded
from cloudarb_lib.advice.dated.traces import Trace, load_traces, trace_of
from cloudarb_lib.base.errors import ParameterError


def run(**terms):
    usual = {
        "work_h": 20.0,
        "deadline_h": 30.0,
        "restart_h": 0.2,
        "spot_usd_per_hour": 3.0,
        "on_demand_usd_per_hour": 10.0,
    }
    return DatedRun(**(usual | terms))


def advised(run, hazard=(0.3, 2.0), **terms):
    usual = {"n_paths": 400, "seed": 1, "spot_now": None}
    return advise_run(run, assumed(*hazard, run), **(usual | terms))


def test_the_best_policy_is_cheapest_and_never_late():
    costs = advised(run()).costs
    assert costs["expected_usd"].drop(SPOT_ALONE).idxmin() == BEST
    assert (costs["p_late"].drop(SPOT_ALONE) == 0).all()
    assert costs["p_late"][SPOT_ALONE] > 0.05
    assert costs["expected_usd"]["on-demand only"] == pytest.approx(10 * 20.2)
    assert (costs["p10_usd"] <= costs["p50_usd"]).all()
    assert (costs["p50_usd"] <= costs["p90_usd"]).all()


def test_spot_is_taken_at_once_and_on_demand_in_time_where_none_comes():
    advice = advised(run())
    assert advice.first == {True: "spot", False: "wait"}
    assert 0 < advice.switch_h <= 30.0 - 20.0 - 0.2


def test_without_time_to_spare_on_demand_is_taken_now():
    advice = advised(run(deadline_h=20.2))
    assert advice.first[False] == "on-demand"
    assert advice.switch_h == 0


def test_spot_that_costs_more_than_on_demand_is_not_taken():
    advice = advised(run(spot_usd_per_hour=11.0))
    assert advice.first[True] != "spot"
    assert advice.costs["interruptions"][BEST] == 0


def test_without_on_demand_only_spot_is_left_and_may_be_late():
    advice = advised(run(on_demand_usd_per_hour=None))
    assert list(advice.costs.index) == [BEST]
    assert advice.switch_h is None
    assert 0 < advice.costs["p_late"][BEST] < 1


@pytest.mark.slow
def test_knowing_that_spot_is_up_lowers_the_chance_to_be_late():
    p_late = [
        advised(run(), spot_now=spot_now, n_paths=4000).costs["p_late"][SPOT_ALONE]
        for spot_now in (True, False)
    ]
    assert p_late[0] < p_late[1]


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ({"deadline_h": -2.0}, "the deadline is past by 2 h"),
        ({"deadline_h": 20.1}, "the work and one start take 20.2 h"),
        ({"work_h": 0.0}, "is none"),
        ({"restart_h": -1.0}, "is none"),
    ],
)
def test_a_run_that_cannot_be_is_refused(terms, told):
    with pytest.raises(ParameterError, match=told):
        run(**terms)


def test_a_recorded_trace_states_its_doubt():
    trace = trace_of(load_traces(), "k80_8")
    availability = recorded(trace, run(), seed=1)
    assert "us-west-2a" in availability.source
    costs = advise_run(run(), availability, n_paths=400, seed=1, spot_now=None).costs
    alone = costs.loc[SPOT_ALONE]
    assert alone["p_late_low"] < alone["p_late"] < alone["p_late_high"]
    assert costs["p_late"][BEST] == 0


def case(probes=700):
    """Return a trace of two zones, a probe each half hour, up about half of the time each."""
    rng = np.random.default_rng(2)
    switches = rng.random((probes, 2)) < 0.1
    up = switches.cumsum(axis=0) % 2 == 0
    trace = Trace("made", "v100_1", ("a", "b"), 0.5, up)
    return list(backtest.cases([trace]))


def test_each_zone_and_all_together_are_scored_on_their_second_half():
    found = case()
    assert [len(c.trace.zones) for c in found] == [1, 1, 2]
    assert found[0].counts.visits.sum() == 349  # moves within the first half
    assert found[0].starts(48).min() == 350
    assert found[0].starts(48).max() + 48 < 700


def test_the_back_test_holds_rules_against_hindsight():
    scored = backtest.back_test(case()[2], 0.3)
    assert len(scored) == len(backtest.SLACKS) * len(backtest.RESTARTS_H) * 4
    assert (scored["cost"] >= scored["hindsight"] - 1e-9).all()
    assert (scored["late"] == 0).all()
    assert scored["stated"].notna().sum() == len(scored) / 4
    table = backtest.summary(scored, ["slack"])
    assert table.loc[2.0, BEST] <= table.loc[2.0, "uniform progress"]
    assert table.loc[2.0, "on-demand only"] > table.loc[1.1, "on-demand only"]


def test_a_record_too_short_to_score_on_is_left_out():
    assert backtest.back_test(case(90)[0], 0.3).empty
    assert backtest.back_test_stated(case(90)[0], 0.3).empty


def test_what_is_stated_is_kept_beside_what_came():
    stated = backtest.back_test_stated(case()[0], 0.3)
    assert stated["p_late"].between(0, 1).all()
    assert (stated["p10"] <= stated["p90"]).all()
    assert set(stated["slack"]) == set(backtest.STATED_SLACKS)
