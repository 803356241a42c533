"""Forecasts: blind to the future, calibrated, seeded, and calm about bad input."""

import threading
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cloudarb_lib import forecast as fc
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast import ensemble, features, members, neural
from cloudarb_lib.forecast import weights as judged
from cloudarb_lib.forecast import worlds as w
from cloudarb_lib.forecast.patterns import Patterns, find_patterns
from cloudarb_lib.forecast.splits import spaced
from cloudarb_lib.tables.validation import validate
from cloudarb_lib.testing import a_panel, a_task, damaged, some_assumptions, stepping

MEMBERS = dict(members.MEMBERS)  # the slow ones too
MOMENTUM = MEMBERS["momentum_8"]


def run(panel, **changed):
    given_ = {"horizon_steps": 6, "n_paths": 200, "assumptions": some_assumptions(), "seed": 3}
    return fc.forecast_offers(panel, **{**given_, **changed})


def medians(said):
    return {name: members.median(each) for name, each in said.items()}


def test_seasonal_naive_by_hand():
    """A season of three cells a day: the cell one day (two beyond the first) before the target comes again."""
    level = np.arange(12.0)[:, None] ** 2
    task = members.Task(level, np.zeros(1, int), np.array([2, 7]), 4, 1, pace=3)
    out = members.seasonal_naive(task)[:, 0]
    np.testing.assert_allclose(out[0], [0 - 4, 1 - 4, 0, 0 - 4])
    np.testing.assert_allclose(out[1], [25 - 49, 36 - 49, 0, 25 - 49])
    year = members.Task(level, np.zeros(1, int), np.array([7]), 4, 1)
    assert (members.seasonal_naive(year) == 0).all()  # no year of cells yet


def test_repeat_last_step_by_hand():
    """Steps of +10 % at cells 4 and 9: reviews 5 apart, the next due at 14 and 19."""
    price = np.ones((12, 1))
    price[4:] *= 1.1
    price[9:] *= 1.1
    out = members.repeat_last_step(a_task(price, origins=np.array([2, 6, 11]), horizon=8))
    up = np.log(1.1)
    assert (out[:2] == 0).all()  # no step yet; one step, so no gap known
    np.testing.assert_allclose(out[2, 0], [0, 0, up, up, up, up, up, 2 * up])


def test_momentum_and_median_by_hand():
    """Steps of +10 % at cells 4 and 9 of one series (the second steps at 4 only), a spike of the third."""
    price = np.ones((12, 3))
    price[4:, :2] *= 1.1
    price[9:, 0] *= 2.0  # beyond the cap: counts as the cap
    price[11, 2] = 50.0
    task = a_task(price, origins=np.array([2, 11]), horizon=2)
    up, cap = np.log(1.1), members.CAP_LOG
    out = members.momentum(task, cells=8)
    assert (out[0] == 0).all()
    np.testing.assert_allclose(out[1, 0], (up + cap) / 8 * np.array([1, 2]))
    np.testing.assert_allclose(out[1, 1], up / 8 * np.array([1, 2]))
    np.testing.assert_allclose(members.trailing_median(task, cells=5)[1, 2], -np.log(50))


def test_reviews_judge_what_lies_far_ahead_before_its_outcome_is_known():
    """Prices that stood still for long fall 5 % at each of the last reviews: 30 steps ahead nothing has come."""
    price = np.ones((100, 20))
    for at in (60, 80, 84, 88, 92, 96):
        price[at:] *= 0.95
    task = a_task(price, origins=np.arange(40, 100), horizon=30)
    forecasts = medians(ensemble.run_members(task)[0])
    weights, _ = judged.weigh(task, forecasts)
    last = list(forecasts).index("last_value")
    assert (weights[60 - 40, last, :, 29] == 1).all()
    assert (weights[-1, last, :, 29] < 0.7).all()


def test_where_no_review_ever_was_none_speaks_for_a_member():
    """Each cell another of 30 series steps: prices move, but a tenth of them never do at once."""
    change = np.where(np.arange(100)[:, None] % 30 == np.arange(30), -0.1, 0.0)
    task = a_task(np.exp(np.cumsum(change, axis=0)), origins=np.arange(40, 99), horizon=8)
    forecasts = {
        "last_value": members.last_value(task),
        "momentum_8": members.momentum(task, cells=8),
    }
    weights, _ = judged.weigh(task, forecasts)
    assert (weights[:, 0, :, w.LONG_STEPS :] == 1).all()


def test_an_alarm_halves_the_last_value_until_the_next_review_and_for_no_one_else(monkeypatch):
    """A year of steps of 1 % that say nothing, then all fall by a third: where the next review is due, half of the
    weight follows the trend, until that review has come."""
    rng = np.random.default_rng(1)
    change = np.where((np.arange(80) % 6 == 0)[:, None], rng.choice([-0.01, 0.01], (80, 30)), 0.0)
    change[60] = -0.4
    task = a_task(np.exp(np.cumsum(change, axis=0)), origins=np.arange(30, 72), horizon=13)
    since = judged.reviews_since_alarm(task)
    assert np.isinf(since[:60]).all()
    assert since[60:73].tolist() == [0] * 6 + [1] * 6 + [2]
    forecasts = medians(ensemble.run_members(task)[0])
    weights, gates = judged.weigh(task, forecasts)
    last, trend = (list(forecasts).index(n) for n in ("last_value", judged.TREND))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    alarmed = slice(60 - 30, 66 - 30)
    assert (weights[alarmed, last, :, 6:] <= judged.TURN_SHARE).all()
    assert (weights[alarmed, trend, :, 6:] >= 0.4).all()
    assert (gates[alarmed, trend, :, 6:] == "").all()
    first = a_task(
        np.exp(np.cumsum(np.where(change == -0.4, change, 0.0), axis=0)),
        origins=np.arange(30, 72),
        horizon=13,
    )
    two = {"last_value": members.last_value(first), judged.TREND: members.momentum(first, cells=8)}
    assert (judged.weigh(first, two)[0][:, 1] == 0).all()  # where no reviews were, none is due
    monkeypatch.setattr(judged, "LEAST_REVIEWS", 0)
    assert (judged.weigh(first, two)[0][alarmed, 1, :, -1] == 0.5).all()
    monkeypatch.undo()
    monkeypatch.setattr(judged, "TURN_SHARE", 1.0)
    without, _ = judged.weigh(task, forecasts)
    np.testing.assert_array_equal(weights[..., :4], without[..., :4])  # no review is due so soon
    np.testing.assert_array_equal(
        np.delete(weights, range(30, 36), 0), np.delete(without, range(30, 36), 0)
    )
    monkeypatch.undo()
    cut = a_task(np.exp(np.cumsum(change[:64], axis=0)), origins=np.arange(30, 63), horizon=13)
    earlier, _ = judged.weigh(cut, {name: f[:33] for name, f in forecasts.items()})
    np.testing.assert_allclose(earlier, weights[:33])


@pytest.mark.parametrize("pace", [1, 24])
def test_features_of_the_newest_cells_alone_are_those_of_all(pace):
    log_price = np.log(stepping(times=90, series=6))
    log_price[:30, 1], log_price[40:60, 2], log_price[:, 3] = np.nan, np.nan, np.nan
    groups = np.arange(6) % 2
    every, some = (
        features.features(log_price, groups, pace=pace, since=since) for since in (0, 85)
    )
    assert list(every) == list(some)
    for name in every:
        np.testing.assert_allclose(every[name][85:], some[name], atol=1e-7, err_msg=name)


def test_no_forecast_goes_beyond_reason():
    """Steps that double an hourly price each day must not add up to a price 2^30 times as high."""
    price = np.exp(np.log(2) * np.floor(np.arange(400) / 24))[:, None] * np.ones(3)
    patterns = find_patterns(a_panel(price[:300], step="1h"))
    walk = ensemble.walk_origins(patterns, np.arange(200, 290, 10), horizon=72, seed=1)
    assert patterns.pace == 24
    for change in (*walk.members.values(), walk.worlds(-1, n_paths=20, only=np.arange(1))):
        assert change.max() < 2 * ensemble.MAX_CHANGE_LOG
        assert change.min() >= -np.log(price.max()) - members.CAP_LOG  # down, to where it has been


def test_a_market_may_return_as_far_as_it_has_been_and_a_price_list_may_not():
    price = np.ones((300, 2))
    price[290:, 0] = 50.0
    for step, most in (("1h", np.log(50)), ("7D", ensemble.MAX_CHANGE_LOG)):
        patterns = find_patterns(a_panel(price, step=step))
        walk = ensemble.walk_origins(patterns, np.arange(200, 299, 7), horizon=2, seed=1)
        spiked = np.argmax(patterns.log_price[298])
        np.testing.assert_allclose(walk.members["median_168"][-1, spiked], -most)


def test_many_copies_of_a_pattern_weigh_as_many():
    price = stepping(series=4)
    price[:, 0] = np.exp(0.01 * np.arange(80))
    task = a_task(price)
    many = members.Task(
        task.log_price, task.groups, task.origins, 4, 1, 1, np.array([1000, 1, 1, 1])
    )
    forecasts = medians(ensemble.run_members(task)[0])
    last = list(forecasts).index("last_value")
    few, lots = (judged.weigh(t, forecasts)[0][-1, last, 0, 3] for t in (task, many))
    assert lots < 0.1 < few


def test_damped_trend_equals_holts_recursion():
    price = stepping(series=3)
    task = a_task(price)
    alpha, beta, phi = 0.99, 0.12, 0.95
    out = members.damped_trend(task)
    for s in range(3):
        y = task.log_price[:, s] - task.log_price[0, s]
        level, trend, trends = 0.0, 0.0, []
        for value in y:
            before = level
            level = alpha * value + (1 - alpha) * (level + phi * trend)
            trend = beta * (level - before) + (1 - beta) * phi * trend
            trends.append(trend)
        want = np.array(trends)[task.origins, None] * np.cumsum(phi ** np.arange(1, 5))
        np.testing.assert_allclose(out[:, s], want, atol=1e-10)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1000), st.integers(24, 70))
def test_no_forecast_changes_when_only_the_future_does(seed, cut):
    past = stepping(seed)
    other = past.copy()
    other[cut + 1 :] *= np.exp(np.random.default_rng(seed).normal(0, 0.3, past[cut + 1 :].shape))
    groups = np.arange(12) % 2
    walks = []
    for price in (past, other):
        codes = find_patterns(a_panel(price, models=["H100", "L4"] * 6))
        walks.append(ensemble.walk_origins(codes, np.arange(20, 79), horizon=4, seed=1))
    a, b = walks
    assert (a.task.groups == b.task.groups).all()
    assert sorted(groups) == sorted(a.task.groups)
    here = a.task.origins <= cut
    for name in a.members:
        one, two = (np.exp(w.members[name][here]) * np.exp(w.task.log_price[:1].T) for w in walks)
        np.testing.assert_allclose(np.sort(one, axis=1), np.sort(two, axis=1), err_msg=name)
    np.testing.assert_allclose(a.weights[here], b.weights[here])
    last, every = int(np.flatnonzero(here)[-1]), np.arange(12)
    np.testing.assert_allclose(
        np.sort(a.worlds(last, n_paths=20, only=every), axis=0),
        np.sort(b.worlds(last, n_paths=20, only=every), axis=0),
    )


def test_boosting_learns_a_rule_and_bows_out_without_rows():
    """Every series rises 5 % in the cell after a fall of 5 %: last value is wrong half of the time."""
    price = np.where(np.arange(90)[:, None] % 2, 1.0, 0.95) * np.linspace(1, 3, 40)
    task = a_task(price, horizon=1, origins=np.arange(60, 89))
    task = members.Task(task.log_price, task.groups, task.origins, 1, 1)
    error = np.abs(members.median(members.boosting(task)) - task.truth()).mean()
    assert error < 0.2 * np.abs(task.truth()).mean()
    short = a_task(price[:10], origins=np.arange(5, 10), horizon=2)
    assert (members.boosting(short) == 0).all()


def test_weights_go_to_the_better_member_and_sum_to_one():
    noise = np.random.default_rng(0).normal(0, 0.01, (80, 30))
    price = np.exp(0.02 * np.arange(80)[:, None] + noise)
    task = a_task(price, groups=np.repeat([0, 1], 15))
    said, failed = ensemble.run_members(task)
    forecasts = medians(said)
    assert not failed
    weights, gates = judged.weigh(task, forecasts)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    last, trend, back = (
        list(forecasts).index(n) for n in ("last_value", "momentum_26", "median_24")
    )
    assert (weights[-1, last, :, 3] < 0.5).all()
    assert (weights[-1, back, :, 3] == 0).all()
    assert (weights[0, last] == 1).all()
    assert (gates[0, trend] == judged.NO_RECORD).all()


def test_a_member_worse_than_last_value_is_gated():
    task = a_task(np.exp(np.random.default_rng(0).normal(0, 0.1, (80, 30))))
    forecasts = medians(ensemble.run_members(task)[0])
    weights, gates = judged.weigh(task, forecasts)
    k = list(forecasts).index("repeat_last_step")
    assert (gates[-1, k] == judged.WORSE).all()
    assert (weights[-1, k] == 0).all()


def test_a_failing_member_is_reported_and_stops_nobody(monkeypatch):
    def raises(task):
        raise RuntimeError("no luck")

    broken = {"boosting": raises, "damped_trend": lambda task: members.last_value(task) * np.nan}
    monkeypatch.setattr(ensemble, "MEMBERS", {**members.MEMBERS, **broken})
    result = run(a_panel(stepping()))
    why = result.gates.groupby("model")["reason"].first()
    assert why["boosting"] == "failed: RuntimeError: no luck"
    assert why["damped_trend"] == "failed: DataError: it returned a number that is not finite."
    assert set(result.weights["model"]) == set(members.MEMBERS) - set(broken)
    assert len(result.paths.offer_ids) == 12


@pytest.mark.parametrize("name", ["repeat_last_step", "boosting", "prophet", "lstm"])
def test_any_member_that_hangs_is_given_up_and_stops_nobody(name, monkeypatch):
    free = threading.Event()
    hung = {name: lambda task: free.wait() and None}
    monkeypatch.setattr(
        ensemble, "MEMBERS", {"last_value": members.last_value, **hung, "momentum_8": MOMENTUM}
    )
    monkeypatch.setattr(ensemble, "LIMIT_S", 0.2)
    done, failed = ensemble.run_members(a_task(stepping()))
    free.set()
    assert failed == {name: "WorkerError: it did not answer within 0.2 s."}
    assert list(done) == ["last_value", "momentum_8"]


def test_offers_of_one_pattern_are_modelled_once():
    base = stepping(series=3)
    price = np.column_stack([base, base[:, 0] * 8, base[:, 0] * 1.001])
    patterns = find_patterns(a_panel(price, models=["H100"] * 4 + ["L4"]))
    assert patterns.log_price.shape[1] == 4  # the last one has another group
    assert patterns.of_offer[0] == patterns.of_offer[3] != patterns.of_offer[4]
    assert patterns.group_names == ("H100", "L4")
    result = run(a_panel(price))
    ratio = result.paths.values[3] / result.paths.values[0]
    np.testing.assert_allclose(ratio, 8)


def test_worlds_share_dates_and_keep_the_atom():
    step = np.zeros((50, 4))
    step[10::10] = [[0.1, 0.2, 0.3, 0.4]]
    drawn = w.draw_cells(49, n_paths=300, horizon=8, seed=5)
    assert drawn[0].min() >= 1
    assert drawn[0].max() <= 49
    worlds = w.draw_worlds(step, np.arange(4), np.arange(4), drawn)
    np.testing.assert_allclose(worlds[1], 2 * worlds[0])  # one series a group: always its own past
    assert 0.1 < (worlds[0] == 0).mean() < 0.9
    some = w.draw_worlds(step, np.array([0, 0, 1, 1]), np.array([1, 3]), drawn)
    every = w.draw_worlds(step, np.array([0, 0, 1, 1]), np.arange(4), drawn)
    np.testing.assert_array_equal(some, every[[1, 3]])


def test_in_most_worlds_of_a_list_a_series_goes_one_way_with_its_group_or_against_its_last_step():
    step = features.steps(np.log(stepping(times=50, series=6)))
    groups = np.array([0, 0, 0, 1, 1, 1])
    ways = w.draw_ways(step, groups, np.arange(6), n_paths=4000, seed=5)
    trending = (ways != 0).all(axis=0)
    assert trending.mean() == pytest.approx(w.TREND_SHARE, abs=0.03)
    assert (ways[:, ~trending] == 0).all()
    last = np.array([np.sign(column[column != 0][-1]) for column in step.T])[:, None]
    goes_on = (ways * last)[:, trending]
    assert (goes_on[:3] == goes_on[0]).all()
    assert (goes_on[3:] == goes_on[3]).all()
    np.testing.assert_allclose(
        [(goes_on[0] > 0).mean(), (goes_on[0] == goes_on[3]).mean()], 0.5, atol=0.04
    )
    np.testing.assert_array_equal(
        w.draw_ways(step, groups, np.array([1, 4]), n_paths=4000, seed=5), ways[[1, 4]]
    )
    drawn = w.draw_cells(49, n_paths=4000, horizon=8, seed=5)
    free, bound = (w.draw_worlds(step, groups, np.arange(6), drawn, of) for of in (None, ways))
    np.testing.assert_array_equal(bound[:, ~trending], free[:, ~trending])
    change = np.diff(bound, axis=2, prepend=0.0)
    assert (change[:, trending] * ways[:, trending, None] > -1e-12).all()
    own = np.diff(free, axis=2, prepend=0.0)
    size = np.where(
        own * ways[..., None] < 0, np.minimum(np.abs(own), members.CAP_LOG), np.abs(own)
    )
    np.testing.assert_allclose(np.abs(change), size, atol=1e-12)


def test_past_cells_of_a_list_age_by_reviews():
    """Sixty cells without one and then one in every cell: the newest ten weigh nearly half."""
    reviews = np.concatenate([np.zeros(60), np.arange(1, 11)])
    never = np.full(70, np.inf)
    by_review, by_cell = (
        w.draw_cells(69, n_paths=3000, horizon=1, seed=1, reviews=told)[0]
        for told in ((reviews, never), None)
    )
    weight = 0.5 ** ((reviews[69] - reviews[1:]) / w.HALF_LIFE_REVIEWS)
    assert (by_review >= 60).mean() == pytest.approx(weight[59:].sum() / weight.sum(), abs=0.03)
    assert (by_cell >= 60).mean() < 0.3 < 0.4 < (by_review >= 60).mean()


def test_steps_not_known_come_from_a_neighbour():
    log_price = np.log(stepping(series=3))
    late = log_price.copy()
    late[:40, 1] = np.nan
    step = w.known_steps(features.steps(late), late, np.zeros(3, int))
    assert (step[1:40, 1] != 0).any()
    assert set(step[8, 1:2]) <= set(step[8, [0, 2]])


def test_recentring_a_market_moves_the_median_and_leaves_unchanged_alone():
    rng = np.random.default_rng(0)
    worlds = np.where(rng.random((3, 999, 2)) < 0.2, 0.0, rng.normal(0.3, 0.05, (3, 999, 2)))
    point = np.full((3, 2), 0.1)
    moved = w.recentre(worlds, point, lists=False)
    np.testing.assert_array_equal(moved == 0, worlds == 0)
    np.testing.assert_allclose(np.median(moved, axis=1), point, atol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 0.7, 0.98])
def test_a_step_expected_moves_the_median_and_unchanged_stays_possible(share):
    """Also where most worlds move, up and down: what stands still then holds the median at zero."""
    rng = np.random.default_rng(0)
    way = rng.choice([-0.3, 0.3], (2, 999, 1)) + rng.normal(0, 0.05, (2, 999, 1))
    worlds = np.where(rng.random((2, 999, 1)) < 1 - share, 0.0, way)
    moved = w.recentre(worlds, np.array([[-0.05], [0.001]]))
    assert np.median(moved[0]) == pytest.approx(-0.05, abs=1e-12)
    still = (worlds[0] == 0).mean()
    assert still / 2 - 0.01 < (moved[0] == 0).mean() < 0.52
    np.testing.assert_array_equal(moved[1] == 0, worlds[1] == 0)


def test_after_an_alarm_moves_far_ahead_have_the_tails_of_students_t():
    """One review since the alarm: two degrees of freedom; near steps, and lists without an alarm, stay as drawn."""
    count, since = np.arange(50.0), np.full(50, np.inf)
    drawn = {"n_paths": 20_000, "horizon": 4, "seed": 3}
    *cells, scale = w.draw_cells(49, reviews=(count, since), **drawn)
    assert (scale == 1).all()
    since[40:] = 1
    *same, scale = w.draw_cells(49, reviews=(count, since), **drawn)
    np.testing.assert_array_equal(same, cells)
    assert (scale[:, : w.LONG_STEPS] == 1).all()
    far = scale[:, w.LONG_STEPS]
    np.testing.assert_array_equal(scale[:, -1], far)
    normal = np.random.default_rng(0).normal(size=20_000)
    assert stats.kstest(normal * far, stats.t(2).cdf).pvalue > 0.01
    assert stats.kstest(normal, stats.t(2).cdf).pvalue < 1e-6
    step = np.ones((50, 1))
    worlds = w.draw_worlds(step, np.zeros(1, int), np.zeros(1, int), (*cells, scale))
    np.testing.assert_allclose(worlds[0, :, -1], w.LONG_STEPS + 2 * far)


def needed(spread, rng, *, origins, series=40, paths=64):
    """Widths that normal outcomes need of normal worlds of ``spread``."""
    return np.stack(
        [
            w.needed_width(
                rng.normal(0, spread, (series, paths, 1)), rng.normal(0, 1, (series, 1)), rng=rng
            )
            for _ in range(origins)
        ]
    )


@pytest.mark.parametrize("spread", [0.4, 0.7, 1.0, 2.0])
def test_calibration_brings_wrong_widths_to_nominal_coverage(spread):
    """Worlds too narrow or too wide by a known factor; coverage of new outcomes is then right."""
    rng = np.random.default_rng(1)
    groups = np.zeros(40, int)
    counts = w.count_widths(needed(spread, rng, origins=300), groups)
    assert counts.sum() == 300 * 40
    maps = w.width_maps(counts, np.ones((300, 1)), np.ones((300, 1)))
    pit = np.stack(
        [
            w.transform(
                w.calibrate(rng.normal(0, spread, (40, 128, 1)), maps, groups),
                rng.normal(0, 1, (40, 1)),
                rng=rng,
            )
            for _ in range(100)
        ]
    )
    for level in (0.8, 0.95):
        assert (abs(2 * pit - 1) <= level).mean() == pytest.approx(level, abs=0.03)


def test_the_width_needed_by_hand():
    worlds = np.arange(-50.0, 51.0)[None, :, None].repeat(5, axis=0)
    truth = np.array([[0.0], [40.0], [-50.0], [100.0], [np.nan]])
    width = w.needed_width(worlds, truth, rng=np.random.default_rng(0))[:, 0]
    assert 0 <= width[0] < 0.02
    assert 1.44 < width[1] < 1.64  # ranks 90 to 92 of 102: about 80 % lie nearer
    assert np.log(101) - 0.75 < width[2] <= np.log(101)  # the last world: as much as they tell
    assert width[3] == pytest.approx(
        2 * np.log(101)
    )  # twice as far from the median as the last world
    assert np.isnan(width[4])


def test_calibration_keeps_atoms_order_and_median():
    rng = np.random.default_rng(2)
    worlds = np.where(rng.random((5, 401, 2)) < 0.6, 0.0, rng.normal(0, 0.1, (5, 401, 2)))
    same = np.broadcast_to(w.NATS, (1, 2, len(w.NATS)))
    np.testing.assert_allclose(
        np.sort(w.calibrate(worlds, same, np.zeros(5, int)), axis=1),
        np.sort(worlds, axis=1),
        atol=2e-2,
    )
    out = w.calibrate(worlds, 2 * same, np.zeros(5, int))
    np.testing.assert_allclose(np.median(out, axis=1), np.median(worlds, axis=1), atol=2e-3)
    assert out.std() > worlds.std()
    assert out.max() > 1.5 * worlds.max()  # what is beyond the last world is in proportion
    for s in range(5):
        order = np.argsort(worlds[s, :, 0], kind="stable")
        assert (np.diff(out[s, order, 0]) >= 0).all()
    assert set(np.unique(w.calibrate(np.zeros((1, 9, 1)), 2 * same[:, :1], np.zeros(1, int)))) == {
        0.0
    }


def test_few_windows_leave_widths_near_what_they_are_taken_to_need():
    """Without outcomes the widths of the prior; outcomes that share most of their time move them less."""
    none = w.count_widths(np.full((30, 5, 1), np.nan), np.zeros(5, int))
    asked = np.argmin(abs(w.NATS - 1.6))
    weight = np.ones((30, 1))
    width = w.width_maps(none, weight, weight)[0, 0, asked]
    assert width == pytest.approx(w.PRIOR_WIDTH * w.NATS[asked], abs=0.05)
    counts = w.count_widths(np.full((30, 5, 1), 0.5), np.zeros(5, int))  # far narrower would do
    apart, shared = (w.width_maps(counts, weight, own * weight)[0, 0, asked] for own in (1.0, 0.1))
    assert apart < shared < width


@given(st.integers(0, 500))
def test_transform_is_uniform_for_a_fair_simulation_with_an_atom(seed):
    rng = np.random.default_rng(seed)
    draw = np.where(rng.random((400, 65, 1)) < 0.7, 0.0, rng.normal(size=(400, 65, 1)))
    u = w.transform(draw[:, 1:], draw[:, 0], rng=rng)
    assert abs(u.mean() - 0.5) < 0.08
    assert u.min() >= 0
    assert u.max() <= 1


def test_the_forecast_table_is_what_the_paths_say():
    panel = a_panel(stepping())
    result = run(panel)
    validate(result.table, "forecast")
    validate(result.weights, "weights")
    assert (result.table["origin_utc"] == panel.times[-1]).all()
    wide = result.table.pivot_table(
        index=["offer_id", "target_utc"],
        columns="quantile",
        values="price_usd_per_hour",
        observed=True,
    )
    assert (np.diff(wide.to_numpy(), axis=1) >= 0).all()
    for level in fc.QUANTILES:
        below = (result.paths.values <= wide[level].to_numpy().reshape(12, 1, 6) + 1e-12).mean(1)
        assert (below >= level - 1e-9).all()
    assert (result.paths.values > 0).all()
    np.testing.assert_allclose(
        result.paths.table()["price_usd_per_hour"].max(), wide.max().max(), rtol=1
    )


def test_a_seed_gives_the_same_worlds_and_a_part_the_same_as_the_whole():
    panel = a_panel(stepping(), options=["spot"] * 9 + ["on_demand"] * 3)
    some = some_assumptions(per_year=20.0)
    one, two = run(panel, assumptions=some), run(panel, assumptions=some)
    np.testing.assert_array_equal(one.paths.values, two.paths.values)
    part = run(panel, assumptions=some, paths_for=panel.offers.index[[2, 10]])
    assert list(part.paths.offer_ids) == ["o2", "o10"]
    np.testing.assert_array_equal(part.paths.values, one.paths.values[[2, 10]])
    assert not np.array_equal(run(panel, seed=4).paths.values[0], one.paths.values[0])


def test_list_prices_stay_but_for_the_stated_jump():
    panel = a_panel(stepping(series=4), options=["on_demand", "on_demand", "reserved", "spot"])
    calm = run(panel).paths.values
    assert (calm[:3] == panel.price[-1, :3, None, None]).all()
    rate, size = 2.0, 0.3
    used = some_assumptions(rate, 1.0, size)
    jumpy = (
        run(panel, assumptions=used, n_paths=20_000).paths.values / panel.price[-1, :, None, None]
    )
    hit = (jumpy[0, :, -1] < 1).mean()
    want = 1 - np.exp(-rate * 6 * 7 / 365)
    assert abs(hit - want) < 4 * np.sqrt(want * (1 - want) / 20_000)
    np.testing.assert_array_equal(jumpy[0] < 1, jumpy[1] < 1)  # one model: one jump
    assert np.isclose(
        jumpy[0].min(), (1 - size) ** np.round(np.log(jumpy[0].min()) / np.log(1 - size))
    )
    assert len(used.used) == 6


def test_bad_input_has_a_defined_outcome_and_stops_nobody():
    price = stepping(series=7)
    price[:-1, 1] = np.nan  # one point
    price[:, 2] = 5.0  # constant
    price[30:55, 3] = np.nan  # a gap of months
    price[70:, 4] = np.nan  # withdrawn
    price[:, 5] = np.nan  # all missing
    result = run(a_panel(price))
    assert list(result.paths.offer_ids) == ["o0", "o1", "o2", "o3", "o6"]
    assert result.left_out.set_index("offer_id")["reason"].to_dict() == {
        "o4": "withdrawn, or a price of zero",
        "o5": "no price on record",
    }
    assert np.isfinite(result.paths.values).all()
    assert result.paths.values[1].std() > 0  # its neighbours tell how it may move
    alone = run(a_panel(np.full((30, 2), 3.0)))
    assert (alone.paths.values == 3.0).all()
    newborn = run(a_panel(np.array([[2.0, 3.0]])))
    assert (newborn.paths.values[:, :, -1] == [[2.0], [3.0]]).all()
    zero = stepping(series=2)
    zero[-1, 0] = 0.0
    assert list(run(a_panel(zero)).paths.offer_ids) == ["o1"]


@pytest.mark.parametrize("step", ["7D", "1h"])
@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_answers_bad_input_with_finite_numbers(name, step):
    patterns = find_patterns(damaged(step=step))
    task = ensemble.task_of(patterns, np.arange(60, 110, 7), horizon=6, seed=1)
    said = MEMBERS[name](task)
    assert np.isfinite(said).all()
    if name in ("boosting", "lstm"):
        assert (np.diff(said, axis=-1) >= 0).all()
    out = members.median(said)
    assert out.shape == (8, 20, 6)
    unseen = np.flatnonzero(~np.isfinite(patterns.log_price).any(axis=0))
    if name not in (
        "prophet",
        "step_process",
        "boosting",
        "lstm",
    ):  # these speak of a group, or of all series
        assert not out[:, unseen].any()
    nothing = ensemble.task_of(
        find_patterns(a_panel(np.full((30, 2), np.nan), step=step)),
        np.array([29]),
        horizon=3,
        seed=1,
    )
    assert not MEMBERS[name](nothing).any()


def test_features_that_are_all_missing_stop_no_member(monkeypatch):
    task = ensemble.task_of(find_patterns(damaged()), np.arange(90, 110), horizon=4, seed=1)
    none = {name: np.full(values.shape, np.nan) for name, values in task.features.items()}
    monkeypatch.setattr(members, "features", lambda *_, **__: none)
    blind = ensemble.task_of(find_patterns(damaged()), np.arange(90, 110), horizon=4, seed=1)
    done, failed = ensemble.run_members(blind)
    assert not failed
    assert all(np.isfinite(each).all() for each in done.values())


def test_damaged_series_are_scored_where_they_can_be_and_stop_no_other():
    scores = fc.walk_forward(
        damaged(), origins={1: np.arange(90, 109), 4: np.arange(90, 106)}, seed=1
    ).scores
    validate(scores, "scores")
    n = scores[(scores["model"] == "ensemble") & (scores["horizon"] == 1)].set_index("series_id")[
        "n"
    ]
    assert n[["o0", "o2", "o3"]].tolist() == [19, 19, 19]
    assert n[["o1", "o4", "o5", "o6"]].tolist() == [0, 9, 0, 3]
    assert np.isfinite(fc.headline(scores).loc["ensemble", "ratio"]).all()


def test_guards():
    panel = a_panel(stepping())
    for steps in (0, 300):
        with pytest.raises(ParameterError, match="not between 1 and 731 days"):
            run(panel, horizon_steps=steps)
    for paths in (0, 10_000_000):
        with pytest.raises(ParameterError, match="too many, or none"):
            run(panel, n_paths=paths)
    with pytest.raises(DataError, match="no offer of the panel has a price"):
        run(a_panel(np.full((5, 2), np.nan)))


def test_a_trend_is_rewarded_and_weights_and_pits_are_those_of_the_origins():
    panel = a_panel(stepping(4, drift=-0.1), models=["H100", "L4"] * 6)
    origins = spaced(80, first=58, horizons=[1, 4], origins=40)
    scores, weights, pits = fc.walk_forward(panel, origins=origins, seed=1)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights.index == panel.times[58:79]).all()
    assert pits.groupby("horizon")["pit"].count().to_dict() == {1: 21 * 12, 4: 18 * 12}
    assert pits["pit"].between(0, 1).all()
    board = fc.headline(validate(scores, "scores"))
    assert board.loc[("ensemble", 4), "ratio"] < 0.9
    assert board.loc[("ensemble", 4), "crps_ratio"] < 0.9
    h100 = scores[scores["series_group"] == "H100"]
    assert sorted(h100["series_id"].unique()) == [f"o{k}" for k in (0, 10, 2, 4, 6, 8)]
    assert fc.headline(h100).loc[("ensemble", 4), "cov80"] > 0.6


def test_an_outcome_from_an_unknown_price_is_not_scored():
    """A price not known at the origin makes no forecast, and so no miss, though one is known at the target."""
    price = stepping(4)
    price[60:78:2, 0] = np.nan
    _, _, pits = fc.walk_forward(a_panel(price), origins={1: np.arange(58, 78)}, seed=1)
    assert pits["pit"].count() == 20 * 12 - 18  # nor where it is known here, and not there


def test_nothing_that_moves_cannot_be_scored():
    times = pd.date_range("2026-01-01", periods=3, freq="7D", tz="UTC")
    cells = np.ones((3, 0))
    empty = Panel(
        times,
        pd.Timedelta("7D"),
        pd.DataFrame(index=pd.Index([], name="offer_id")),
        cells,
        cells,
        cells,
    )
    with pytest.raises(DataError, match="no offer whose price moves"):
        fc.walk_forward(empty, origins={1: np.array([1])}, seed=1)


def some_maps(origins=12, groups=2, ahead=3):
    return np.broadcast_to(w.NATS, (origins, groups, ahead, len(w.NATS))).copy()


def outcomes(inside, origins=12, groups=2, ahead=3):
    """Ten outcomes an origin, all in the middle or all in the outermost bin."""
    counts = np.zeros((origins, groups, ahead, len(w.NATS) - 1))
    counts[..., 0 if inside else -1] = 10
    return counts


def test_intervals_widen_after_misses_and_narrow_after_none():
    """At both levels, each by its own misses."""
    weight = np.tri(12, 12, -1)[:, :, None] * np.ones(3)
    missed, held = (
        w.adapt(some_maps(), outcomes(inside), weight)[:, 0, 0] for inside in (False, True)
    )
    np.testing.assert_allclose(missed[0], w.NATS)  # nothing known yet
    for share, at in ((0.2, 8), (0.05, 15)):
        assert (np.diff(missed[:4, at]) > 0).all()
        assert (np.diff(held[:4, at]) < 0).all()
        grown = np.exp(
            w.GAIN * (1 - share) / (share * -np.log(share))
        )  # after one origin of misses
        assert missed[1, at] == pytest.approx(w.NATS[at] * grown, rel=0.02)
    assert (np.diff(missed, axis=-1) >= 0).all()
    assert (np.diff(held, axis=-1) >= 0).all()
    assert missed.max() <= np.exp(w.MOST_SHIFT) * w.NATS[-1]


def test_widths_use_only_outcomes_known_by_then():
    weight = np.tri(12, 12, -3)[:, :, None] * np.ones(3)  # an outcome is known three origins later
    counts = outcomes(True)
    other = counts.copy()
    other[5:] = outcomes(False)[5:]
    one, two = (w.adapt(some_maps(), c, weight) for c in (counts, other))
    np.testing.assert_array_equal(one[:8], two[:8])
    assert (two[8:, ..., 8] > one[8:, ..., 8]).all()


def test_a_calm_market_moves_less_at_first_and_a_wild_one_as_ever():
    step = np.tile([0.2, -0.2], 100)[:, None] * np.ones(2)
    step[-24:, 0] = 0.0
    factor = w.calm(step, pace=24, horizon=100)
    assert factor[0, 0] == w.CALMEST
    assert (np.diff(factor[0]) > 0).all()
    assert factor[0, -1] == pytest.approx(1.0, abs=0.02)
    np.testing.assert_allclose(factor[1], 1.0)


def test_worlds_of_a_market_stay_near_the_extremes_that_it_has_shown():
    rng = np.random.default_rng(5)
    price = np.exp(np.where(rng.random((300, 4)) < 0.1, 1.0, 0.0))  # spikes, that end
    walk = ensemble.walk_origins(
        find_patterns(a_panel(price, step="1h")), np.arange(280, 300), horizon=12, seed=1
    )
    drawn = walk.task.log_price[299][:, None, None] + walk.worlds(
        -1, n_paths=200, only=np.arange(4)
    )
    assert drawn.max() <= 1.0 + 2 * members.CAP_LOG
    assert drawn.min() >= -2 * members.CAP_LOG


def test_a_step_that_is_turned_about_is_no_larger_than_a_reviews_cap():
    step = np.zeros((4, 1))
    step[2] = -1.1  # a price cut to a third
    drawn = (np.full((2, 1), 2), np.zeros((2, 1), int), np.ones((2, 1)))
    ways = np.array([[1.0, -1.0]])
    found = w.draw_worlds(step, np.zeros(1, int), np.zeros(1, int), drawn, ways)
    np.testing.assert_allclose(found[0, :, 0], [members.CAP_LOG, -1.1])


@pytest.mark.parametrize("step", ["7D", "1h"])
def test_a_forecast_made_now_is_the_one_that_a_back_test_scores(step, monkeypatch):
    """Same origins to learn from, same weights, same intervals: the back-test merely knows what came."""
    walks, ahead = [], 4
    whole = a_panel(stepping(times=200, drift=-0.1), step=step)
    at = len(whole.times) - 1 - ahead
    walk_origins = ensemble.walk_origins
    monkeypatch.setattr(
        ensemble, "walk_origins", lambda *a, **k: walks.append(walk_origins(*a, **k)) or walks[0]
    )
    fc.walk_forward(whole, origins={ahead: np.array([at])}, seed=3)
    then = walks[0]
    worlds = np.exp(then.worlds(-1, n_paths=200, only=then.patterns.of_offer))
    quantiles = np.quantile(worlds, fc.QUANTILES, axis=1, method="inverted_cdf").transpose(1, 2, 0)
    live = run(whole.until(whole.times[at]), horizon_steps=ahead)
    said = live.table["price_usd_per_hour"].to_numpy().reshape(quantiles.shape)
    np.testing.assert_allclose(said, quantiles * whole.price[at][:, None, None], rtol=1e-12)
    assert len(live.walk.task.origins) == len(then.task.origins)
    assert (live.weights["weight"] > 0).groupby(live.weights["model"]).any().sum() > 1


def test_a_walk_learns_from_each_sixth_hour_from_fewer_of_very_many_series_and_goes_on_where_it_began():
    def positions(series, at, **changed):
        level = np.broadcast_to(0.0, (at + 1, series))
        patterns = Patterns(level, np.zeros(series, int), ("all",), np.arange(series), 24)
        return ensemble.walk_positions(patterns, np.array([at]), horizon=24, **changed)

    few, many = positions(10, 2000), positions(5000, 2000)
    assert few.tolist() == [*range(2000 - 52 * 24, 2000, 6), 2000]
    assert len(many) * 5000 * 24 < 1.2 * ensemble.MOST_FORECASTS
    later = positions(10, 2003, first=int(few[0]))
    assert later[-1] == 2003
    assert set(few[1:]) <= set(later)
    assert later[0] >= 2003 - 52 * 24


def test_on_a_market_outcomes_before_an_alarm_count_less():
    """50 days of prices that wander, then ten of spikes that end: the way back to the median pays from then on, and is
    believed sooner than without the alarm."""
    rng = np.random.default_rng(2)
    wander = np.cumsum(rng.choice([-0.006, 0.006], (240, 20)), axis=0)
    wander[200:] = wander[199] + np.where(rng.random((40, 20)) < 0.4, 0.3, 0.0)
    task = replace(a_task(np.exp(wander), origins=np.arange(100, 239), horizon=1), pace=4)
    alarm = judged.last_alarm(task)
    assert (alarm[:200] == -1).all()
    assert 200 <= alarm[-1] < 220
    names = {
        "last_value": members.last_value(task),
        "median_24": members.trailing_median(task, cells=24),
    }
    weights, _ = judged.weigh(task, names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judged, "FORGOTTEN_SHARE", 1.0)
        slow, _ = judged.weigh(task, names)
    before = alarm[-1] - 100
    np.testing.assert_array_equal(slow[:before], weights[:before])
    sooner, later = (int(np.argmax(each[:, 1, 0, 0] > 0.5)) for each in (weights, slow))
    assert before < sooner < later


def test_quantiles_that_cross_leave_the_median_where_it_is():
    said = np.array([[3.0, 1.0, 2.0], [0.0, 1.0, -1.0], [0.0, 1.0, 2.0]])
    found = neural.in_order(said)
    np.testing.assert_array_equal(found[:, 1], said[:, 1])
    np.testing.assert_array_equal(found, [[1, 1, 2], [0, 1, 1], [0, 1, 2]])
