"""The LSTM member: blind to the future, repeatable, able to learn, and calm about bad input."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib.forecast import members, neural
from cloudarb_lib.forecast.backtest import walk_forward
from cloudarb_lib.testing import a_panel, a_task, stepping


def trending(times=140, series=20, seed=3):
    """Steps every third cell, nearly always of the sign of the step before: what momentum can see."""
    rng = np.random.default_rng(seed)
    way = np.where(rng.random((1, series)) < 0.5, 1, -1)
    turn = np.where(rng.random((times, series)) < 0.03, -1, 1)
    step = 0.05 * way * np.cumprod(turn, axis=0)
    return np.exp(np.cumsum(np.where((np.arange(times) % 3 == 0)[:, None], step, 0), axis=0))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(2, 200))
def test_a_row_of_the_inputs_uses_nothing_after_it(seed, cut, scale_cells):
    rng = np.random.default_rng(seed)
    log_price = np.where(
        rng.random((70, 5)) < 0.2, np.nan, np.cumsum(rng.normal(0, 0.05, (70, 5)), 0)
    )
    other = log_price.copy()
    other[cut + 1 :] = np.where(rng.random(other[cut + 1 :].shape) < 0.3, np.nan, rng.normal(0, 9))
    groups = np.array([0, 0, 1, 1, 2])
    (one, unit), (two, unit2) = (neural.inputs(x, groups) for x in (log_price, other))
    np.testing.assert_array_equal(one[: cut + 1], two[: cut + 1])
    np.testing.assert_array_equal(unit[: cut + 1], unit2[: cut + 1])
    assert np.isfinite(one).all()
    rows, series = rng.integers(0, 70, 20), rng.integers(0, 5, 20)
    got = neural.windows(one, rows, series)
    for k in range(20):  # slow oracle
        for back in range(neural.WINDOW):
            cell = rows[k] - back
            want = one[cell, series[k]] if cell >= 0 else np.zeros(one.shape[2])
            np.testing.assert_array_equal(got[k, -1 - back], want)


def test_the_unit_is_the_root_mean_square_step_of_the_newest_cells(monkeypatch):
    monkeypatch.setattr(neural, "SCALE_CELLS", 7)
    log_price = np.log(stepping(series=3))
    _, unit = neural.inputs(log_price, np.zeros(3, int))
    change = np.diff(log_price, axis=0, prepend=log_price[:1])
    change[np.abs(change) < 0.005] = 0
    for t in (0, 3, 6, 7, 50, 79):
        want = np.sqrt((change[max(t - 6, 0) : t + 1] ** 2).mean(axis=0))
        np.testing.assert_allclose(unit[t], np.maximum(want, neural.MIN_SCALE), atol=1e-7)


def test_it_learns_momentum_and_says_the_same_again():
    task = a_task(trending(), origins=np.arange(100, 136))
    said = neural.lstm(task)
    out = members.median(said)
    truth = task.truth()
    error = np.nanmean(np.abs(out - truth), axis=(0, 1))
    assert (error < 0.6 * np.nanmean(np.abs(truth), axis=(0, 1)))[-1]
    np.testing.assert_array_equal(neural.lstm(task), said)


def test_no_forecast_changes_when_only_the_future_does():
    """Also not through training: a fit sees outcomes up to its own cell, and no further."""
    price, cut = trending(), 118
    other = price.copy()
    other[cut + 1 :] *= np.exp(np.random.default_rng(0).normal(0, 0.5, other[cut + 1 :].shape))
    one, two = (neural.lstm(a_task(p, origins=np.arange(90, 136))) for p in (price, other))
    here = np.arange(90, 136) <= cut
    np.testing.assert_array_equal(one[here], two[here])
    assert one[here].any()
    assert (one[~here] != two[~here]).any()


def test_bad_input_has_a_defined_outcome_and_stops_nobody():
    price = trending()
    price[:-1, 1] = np.nan  # one point
    price[:, 2] = 5.0  # constant
    price[30:85, 3] = np.nan  # a gap of months
    price[100:, 4] = np.nan  # withdrawn
    price[:, 5] = np.nan  # all missing
    out = members.median(neural.lstm(a_task(price, origins=np.arange(110, 140))))
    assert np.isfinite(out).all()
    assert out[:, 0].any()
    assert np.abs(out[:, [1, 2, 5]]).max() < 0.05  # nothing known of them: hardly a change
    alone = neural.lstm(a_task(np.full((30, 2), 3.0)))
    assert not alone.any()


def test_prophet_goes_on_with_the_trend_of_each_group_and_repeats_itself():
    steps = np.where(np.arange(60) % 4 == 0, 0.03, 0.0)[:, None] * np.array([1, 1, -1, 0])
    price, groups = np.exp(np.cumsum(steps, axis=0)), np.array([0, 0, 1, 2])
    task = a_task(price, groups=groups, origins=np.arange(40, 56), horizon=8)
    out = members.prophet(task)
    assert (out[:, :2, 7] > 0.02).all()
    assert (out[:, 2, 7] < -0.02).all()
    assert (out[:, 3] == 0).all()  # a group that never moved
    np.testing.assert_array_equal(out, members.prophet(task))


def test_prophet_knows_the_hours_of_a_day_and_nothing_of_the_future():
    cells = np.arange(24 * 20)
    price = np.exp(0.1 * np.sin(2 * np.pi * cells / 24))[:, None]
    origins = np.arange(24 * 17, 24 * 17 + 12)
    task = members.Task(np.log(price), np.zeros(1, int), origins, 12, 1, 24)
    out, came = members.prophet(task)[:, 0], task.truth()[:, 0]
    assert np.abs(out - came).mean() < 0.3 * np.abs(came).mean()
    other = np.log(price.copy())
    other[origins[0] + 1 :] = 3.0
    later = members.prophet(members.Task(other, np.zeros(1, int), origins, 12, 1, 24))
    np.testing.assert_allclose(later[0], out[:1], atol=1e-9)


def test_all_members_take_part_and_a_fixed_mix_is_scored_beside_them(monkeypatch):
    monkeypatch.setitem(members.MEMBERS, "prophet", members.prophet)
    monkeypatch.setitem(members.MEMBERS, "lstm", neural.lstm)
    price = stepping(seed=4, times=90, series=12, drift=-0.03)
    scores = walk_forward(a_panel(price), origins={4: np.arange(60, 86, 5)}, seed=1).scores
    wide = scores.pivot(index="series_id", columns="model", values="mae")
    assert {"prophet", "lstm", "fixed_weights", "seasonal_naive"} <= set(wide)
    assert not np.allclose(wide["fixed_weights"], wide["last_value"])


def test_the_step_process_learns_that_steps_go_on():
    price = trending(times=160, series=30)
    task = a_task(price, origins=np.arange(120, 150), horizon=6)
    out, came = members.step_process(task)[..., 5], task.truth()[..., 5]
    assert (np.sign(out) == np.sign(came))[came != 0].mean() > 0.75
    assert np.abs(out - came).mean() < np.abs(came).mean()


def test_the_step_process_says_unchanged_where_nothing_ever_steps_and_where_steps_say_nothing():
    still = members.step_process(a_task(np.ones((80, 4))))
    assert (still == 0).all()
    rng = np.random.default_rng(1)
    coin = np.where((np.arange(120) % 3 == 0)[:, None], rng.choice([-0.05, 0.05], (120, 40)), 0.0)
    task = a_task(np.exp(np.cumsum(coin, axis=0)), origins=np.arange(90, 110), horizon=3)
    assert (
        np.abs(members.step_process(task)[..., 2]).mean()
        < 0.3 * np.abs(task.truth()[..., 2]).mean()
    )
