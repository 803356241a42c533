"""Features: defined on hard input, and blind to the future."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib import features as ft


def prices(seed, times=40, series=5, gaps=True):
    rng = np.random.default_rng(seed)
    move = np.where(rng.random((times, series)) < 0.2, rng.normal(0, 0.1, (times, series)), 0)
    out = np.cumsum(move, axis=0)
    if gaps:
        out[rng.random(out.shape) < 0.05] = np.nan
        out[: rng.integers(0, 10), 0] = np.nan
    return out


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 39), st.sampled_from([1, 4, 24]))
def test_changing_the_future_changes_no_row_of_the_past(seed, cut, pace):
    groups = np.array([0, 0, 1, 1, 2])
    past = prices(seed)
    other = past.copy()
    other[cut:] = prices(seed + 1)[cut:] * 3
    a, b = ft.features(past, groups, pace=pace), ft.features(other, groups, pace=pace)
    for name in a:
        np.testing.assert_array_equal(a[name][:cut], b[name][:cut], err_msg=name)


def test_the_future_does_show_later():
    groups = np.zeros(5, int)
    past = prices(3, gaps=False)
    other = past + (np.arange(40) >= 20)[:, None]
    a, b = ft.features(past, groups), ft.features(other, groups)
    assert not np.array_equal(a["change_1"][20], b["change_1"][20])


def test_steps_ignore_jitter_unknown_and_first_prices():
    log_price = np.log([[np.nan], [1.0], [1.004], [1.1], [np.nan], [1.1], [1.0]])
    step = ft.steps(log_price)[:, 0]
    assert np.flatnonzero(step).tolist() == [3, 6]
    assert step[6] == pytest.approx(np.log(1.0 / 1.1))


def test_last_step_by_hand():
    step = np.array([[0.0], [0.1], [0.0], [0.0], [-0.2], [0.0]])
    size, since, gap = ft.last_step(step)
    np.testing.assert_array_equal(size[:, 0], [np.nan, 0.1, 0.1, 0.1, -0.2, -0.2])
    np.testing.assert_array_equal(since[:, 0], [np.nan, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(gap[:, 0], [np.nan, np.nan, np.nan, np.nan, 3, 3])


@given(st.integers(0, 1000))
def test_breadth_equals_a_slow_loop(seed):
    log_price = prices(seed)
    out = ft.features(log_price, np.array([0, 0, 1, 1, 1]))
    level = np.full(log_price.shape, np.nan)
    for s in range(5):
        for t in range(40):
            seen = log_price[: t + 1, s]
            seen = seen[np.isfinite(seen)]
            level[t, s] = seen[-1] if len(seen) else np.nan
    change = (level[39] - level[31])[2:]
    known = np.isfinite(change).sum()
    assert out["rises"][39, 2] == pytest.approx((change > 0).sum() / known)
    assert out["falls"][39, 2] == pytest.approx((change < 0).sum() / known)
    assert out["group_change_8"][39, 2] == pytest.approx(np.nanmean(change))
    assert out["from_median_13"][39, 2] == pytest.approx(level[39, 2] - np.nanmedian(level[27:, 2]))
    assert out["drawdown_26"][39, 2] == pytest.approx(level[39, 2] - np.nanmax(level[14:, 2]))
    step = ft.steps(log_price)[:, 2]
    assert out["volatility_13"][39, 2] == pytest.approx(np.sqrt(np.mean(step[27:] ** 2)), abs=1e-7)


def test_a_run_counts_the_steps_of_one_sign():
    log_price = np.cumsum([[0.0], [0.1], [0.0], [0.1], [-0.2], [0.0], [-0.1], [-0.1], [0.1]], axis=0)
    run = ft.features(log_price, np.array([0]))["run"][:, 0]
    np.testing.assert_array_equal(run, [np.nan, 1, 1, 2, -1, -1, -2, -3, 1])


def test_hours_and_days_are_told_apart_on_an_hourly_grid_only():
    out = ft.features(np.zeros((200, 1)), np.array([0]), pace=24)
    assert out["cell_of_day"][25, 0] == 1
    assert out["day_of_week"][[25, 170], 0].tolist() == [1, 0]
    assert "cell_of_day" not in ft.features(np.zeros((200, 1)), np.array([0]))


def test_a_panel_shorter_than_every_lag_gives_nan_not_an_error():
    out = ft.features(np.zeros((3, 2)), np.array([0, 0]))
    assert np.isnan(out["change_26"]).all()
    assert (out["change_1"][1:] == 0).all()
    assert all(values.shape == (3, 2) for values in out.values())
