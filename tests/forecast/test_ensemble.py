"""Rolling-origin forecasts: blind to the future, within reason, and stopped by no member."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib import forecast as fc
from cloudarb_lib.forecast import ensemble, evaluate, features, rolling
from cloudarb_lib.forecast.member import Member, no_change
from cloudarb_lib.forecast.members import MEMBERS
from cloudarb_lib.forecast.patterns import Patterns, find_patterns
from cloudarb_lib.testing import a_panel, a_task, forecast_of, going_on, stepping

pytestmark = pytest.mark.fit


def test_offers_of_one_pattern_are_modelled_once():
    base = stepping(series=3)
    price = np.column_stack([base, base[:, 0] * 8, base[:, 0] * 1.001])
    patterns = find_patterns(a_panel(price, models=["H100"] * 4 + ["L4"]))
    assert patterns.log_price.shape[1] == 4  # the last one has another group
    assert patterns.of_offer[0] == patterns.of_offer[3] != patterns.of_offer[4]
    assert patterns.group_names == ("H100", "L4")
    result = forecast_of(a_panel(price))
    ratio = result.paths.values[3] / result.paths.values[0]
    np.testing.assert_allclose(ratio, 8)


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 1000), st.integers(24, 70))
def test_no_forecast_changes_when_only_the_future_does(seed, cut):
    past = stepping(seed)
    other = past.copy()
    other[cut + 1 :] *= np.exp(np.random.default_rng(seed).normal(0, 0.3, past[cut + 1 :].shape))
    groups = np.arange(12) % 2
    found = []
    for price in (past, other):
        codes = find_patterns(a_panel(price, models=["H100", "L4"] * 6))
        found.append(ensemble.rolling_ensemble(codes, np.arange(20, 79), horizon=4, seed=1))
    a, b = found
    assert (a.task.groups == b.task.groups).all()
    assert sorted(groups) == sorted(a.task.groups)
    here = a.task.origins <= cut
    for name in a.members:
        one, two = (
            np.exp(each.members[name][here]) * np.exp(each.task.log_price[:1].T) for each in found
        )
        np.testing.assert_allclose(np.sort(one, axis=1), np.sort(two, axis=1), err_msg=name)
    np.testing.assert_allclose(a.weights[here], b.weights[here])
    last = int(np.flatnonzero(here)[-1])
    asked = {"n_paths": 20, "only": np.arange(12), "ahead": np.arange(4)}
    np.testing.assert_allclose(
        np.sort(a.paths(last, **asked), axis=0), np.sort(b.paths(last, **asked), axis=0)
    )


def test_no_forecast_goes_beyond_reason():
    """Steps that double an hourly price each day must not add up to a price 2^30 times as high."""
    price = np.exp(np.log(2) * np.floor(np.arange(400) / 24))[:, None] * np.ones(3)
    patterns = find_patterns(a_panel(price[:300], step="1h"))
    found = ensemble.rolling_ensemble(patterns, np.arange(200, 290, 10), horizon=72, seed=1)
    assert patterns.cells_per_day == 24
    paths = found.paths(-1, n_paths=20, only=np.arange(1), ahead=np.arange(72))
    for change in (*found.members.values(), paths):
        assert change.max() < 2 * ensemble.MAX_CHANGE_LOG
        assert change.min() >= -np.log(price.max()) - features.CAP_LOG  # down, to where it has been


def test_a_member_may_go_as_far_as_the_price_has_been_and_else_not_beyond_reason(monkeypatch):
    """One price rose fifty times, the other never moved: a member says that both fall away."""
    price = np.ones((300, 2))
    price[290:, 0] = 50.0
    fallen = Member("fallen", lambda task: no_change(task) - 9.0)
    monkeypatch.setattr(ensemble, "MEMBERS", {"fallen": fallen})
    task = a_task(price, origins=[298], cells_per_day=24)
    answers, _ = ensemble.run_members(task)
    least = -np.array([np.log(50) + features.CAP_LOG, ensemble.MAX_CHANGE_LOG])
    np.testing.assert_allclose(answers["fallen"][0, :, -1], least, rtol=1e-6)


def test_paths_of_a_market_stay_near_the_extremes_that_it_has_shown():
    rng = np.random.default_rng(5)
    price = np.exp(np.where(rng.random((300, 4)) < 0.1, 1.0, 0.0))  # spikes, that end
    found = ensemble.rolling_ensemble(
        find_patterns(a_panel(price, step="1h")), np.arange(280, 300), horizon=12, seed=1
    )
    drawn = found.task.log_price[299][:, None, None] + found.paths(
        -1, n_paths=200, only=np.arange(4), ahead=np.arange(12)
    )
    assert drawn.max() <= 1.0 + 2 * features.CAP_LOG
    assert drawn.min() >= -2 * features.CAP_LOG


def test_a_failing_member_is_reported_and_stops_nobody(monkeypatch):
    def raises(task):
        raise RuntimeError("no luck")

    def not_a_number(task):
        return no_change(task) * np.nan

    broken = {"boosting": raises, "meta_learner": not_a_number}
    for name, forecast in broken.items():
        monkeypatch.setitem(MEMBERS, name, Member(name, forecast))
    result = forecast_of(a_panel(stepping(), kind="market"))
    why = result.gates.groupby("model")["reason"].first()
    assert why["boosting"] == "failed: RuntimeError: no luck"
    assert why["meta_learner"] == "failed: DataError: it returned a number that is not finite."
    assert set(result.weights["model"]) == set(MEMBERS) - set(broken)
    assert len(result.paths.offer_ids) == 12


@pytest.mark.parametrize("name", ["boosting", "prophet", "lstm"])
def test_any_member_that_hangs_is_given_up_and_stops_nobody(name, monkeypatch):
    free = threading.Event()
    hung = Member(name, lambda task: free.wait() and None, other_process=name == "lstm")
    few = {"last_value": MEMBERS["last_value"], name: hung, "simple": Member("simple", no_change)}
    monkeypatch.setattr(ensemble, "MEMBERS", few)
    monkeypatch.setattr(ensemble, "LIMIT_S", 0.2)
    answers, failed = ensemble.run_members(a_task(stepping()))
    free.set()
    assert failed == {name: "WorkerError: it did not answer within 0.2 s."}
    assert list(answers) == ["last_value", "simple"]


def test_origins_are_each_sixth_hour_fewer_of_very_many_series_and_go_on_where_they_began():
    def positions(series, at, **changed):
        level = np.broadcast_to(0.0, (at + 1, series))
        patterns = Patterns(level, np.zeros(series, int), ("all",), np.arange(series), 24)
        return ensemble.rolling_origins(patterns, np.array([at]), horizon=24, **changed)

    few, many = positions(10, 2000), positions(5000, 2000)
    assert few.tolist() == [*range(2000 - 52 * 24, 2000, 6), 2000]
    assert len(many) * 5000 * 24 < 1.2 * ensemble.MOST_FORECASTS
    later = positions(10, 2003, first=int(few[0]))
    assert later[-1] == 2003
    assert set(few[1:]) <= set(later)
    assert later[0] >= 2003 - 52 * 24


@pytest.mark.parametrize(("step", "kind"), [("7D", "administered"), ("1h", "market")])
def test_a_forecast_made_now_is_the_one_that_a_back_test_scores(step, kind, monkeypatch):
    """Same origins to learn from, weights and intervals: the back-test merely knows what came."""
    made, ahead = [], 4
    whole = a_panel(stepping(times=200, drift=-0.1), step=step, kind=kind)
    at = len(whole.times) - 1 - ahead

    def noted(*arguments, **settings):
        made.append(rolling.rolling_forecasts(*arguments, **settings))
        return made[0]

    monkeypatch.setattr(evaluate, "rolling_forecasts", noted)
    monkeypatch.setitem(MEMBERS, "going_on", Member("going_on", going_on))
    evaluate.walk_forward(whole, origins={ahead: np.array([at])}, seed=3)
    then = made[0]
    every_offer = then.patterns.of_offer
    paths = np.exp(then.paths(-1, n_paths=200, only=every_offer, ahead=np.arange(ahead)))
    quantiles = np.quantile(paths, fc.QUANTILES, axis=1, method="inverted_cdf").transpose(1, 2, 0)
    live = forecast_of(whole.until(whole.times[at]), horizon_steps=ahead)
    said = live.table["price_usd_per_hour"].to_numpy().reshape(quantiles.shape)
    np.testing.assert_allclose(said, quantiles * whole.price[at][:, None, None], rtol=1e-12)
    if kind == "market":
        assert len(live.rolling.ensemble.task.origins) == len(then.origins)
        assert (live.weights["weight"] > 0).groupby(live.weights["model"]).any().sum() > 1
