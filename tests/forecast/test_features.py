"""Features: defined on hard input, and blind to the future."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib.forecast import features as ft
from cloudarb_lib.testing import stepping


def prices(seed, times=40, series=5, gaps=True):
    rng = np.random.default_rng(seed)
    move = np.where(rng.random((times, series)) < 0.2, rng.normal(0, 0.1, (times, series)), 0)
    out = np.cumsum(move, axis=0)
    if gaps:
        out[rng.random(out.shape) < 0.05] = np.nan
        out[: rng.integers(0, 10), 0] = np.nan
    return out


def machines(option="spot"):
    """Five of two families in two regions, with 8, 1, 2 and no GPUs, and one of unknown size."""
    return pd.DataFrame(
        {
            "provider": "gcp",
            "region": ["r1", "r1", "r2", "r2", "r2"],
            "instance_type": ["a2-x", "a2-y", "n2-x", "n2-y", "n2-z"],
            "purchase_option": option,
            "gpu_count": [8, 1, 2, np.nan, np.nan],
            "vcpus": [96, 12, 24, 16, np.nan],
        }
    )


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 39), st.sampled_from([1, 4, 24]))
def test_changing_the_future_changes_no_row_of_the_past(seed, cut, cells_per_day):
    groups = np.array([0, 0, 1, 1, 2])
    past = prices(seed)
    other = past.copy()
    other[cut:] = prices(seed + 1)[cut:] * 3
    known, listed = ft.offer_attributes(machines(), machines("on_demand")), prices(seed + 2)
    later = np.concatenate([listed[:cut], prices(seed + 3)[cut:]])
    a, b = (
        ft.features(
            level, groups, cells_per_day=cells_per_day, about={**known, "log_listed": listing}
        )
        for level, listing in ((past, listed), (other, later))
    )
    assert {"spread", "discount", "region"} <= set(a)
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
    step = ft.price_steps(log_price)[:, 0]
    assert np.flatnonzero(step).tolist() == [3, 6]
    assert step[6] == pytest.approx(np.log(1.0 / 1.1))


def test_last_step_by_hand():
    step = np.array([[0.0], [0.1], [0.0], [0.0], [-0.2], [0.0]])
    size, since, gap, run = ft.last_step(step)
    np.testing.assert_allclose(size[:, 0], [np.nan, 0.1, 0.1, 0.1, -0.2, -0.2])
    np.testing.assert_array_equal(since[:, 0], [np.nan, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(gap[:, 0], [np.nan, np.nan, np.nan, np.nan, 3, 3])
    np.testing.assert_array_equal(run[:, 0], [np.nan, 1, 1, 1, -1, -1])


@pytest.mark.slow
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
    step = ft.price_steps(log_price)[:, 2]
    assert out["volatility_13"][39, 2] == pytest.approx(np.sqrt(np.mean(step[27:] ** 2)), abs=1e-7)


def test_a_run_counts_the_steps_of_one_sign():
    log_price = np.cumsum(
        [[0.0], [0.1], [0.0], [0.1], [-0.2], [0.0], [-0.1], [-0.1], [0.1]], axis=0
    )
    run = ft.features(log_price, np.array([0]))["run"][:, 0]
    np.testing.assert_array_equal(run, [np.nan, 1, 1, 2, -1, -1, -2, -3, 1])


def test_hours_and_days_are_told_apart_on_an_hourly_grid_only():
    out = ft.features(np.zeros((200, 1)), np.array([0]), cells_per_day=24)
    assert out["cell_of_day"][25, 0] == 1
    assert out["day_of_week"][[25, 170], 0].tolist() == [1, 0]
    assert "cell_of_day" not in ft.features(np.zeros((200, 1)), np.array([0]))


def test_a_panel_shorter_than_every_lag_gives_nan_not_an_error():
    out = ft.features(np.zeros((3, 2)), np.array([0, 0]))
    assert np.isnan(out["change_26"]).all()
    assert (out["change_1"][1:] == 0).all()
    assert all(values.shape == (3, 2) for values in out.values())


def test_spread_to_the_cheapest_equivalent_and_discount_from_on_demand_by_hand():
    log_price = np.log([[16.0, 3.0, 4.0, 2.0, 7.0], [16.0, np.nan, 4.0, 2.0, 7.0]])
    listed = (
        machines("on_demand")
        .iloc[[4, 2, 0, 0]]
        .assign(purchase_option=["on_demand"] * 3 + ["reserved"])
    )
    about = ft.offer_attributes(machines(), listed)
    assert about["listed_at"].tolist() == [2, -1, 1, -1, 0]
    assert about["family"].tolist() == [0, 0, 1, 1, 1]
    listing = np.log([[32.0, np.nan, 16.0, np.nan, 7.0]] * 2)
    out = ft.features(log_price, np.array([0, 0, 1, 1, 1]), about={**about, "log_listed": listing})
    by_gpu = [2.0, 3.0, 2.0, 2 / 16, 7.0]
    np.testing.assert_allclose(
        out["spread"][0], np.log(np.array(by_gpu) / [2, 2, 0.125, 0.125, 0.125]), atol=1e-6
    )
    np.testing.assert_allclose(
        out["spread"][1, [0, 1]], [0.0, np.nan]
    )  # who is gone is no equivalent
    np.testing.assert_allclose(
        out["discount"][1], [np.log(0.5), np.nan, np.log(0.25), np.nan, 0.0], atol=1e-6
    )


def test_distance_from_the_mean_and_what_is_further_back_than_the_memory():
    log_price = np.zeros((1000, 2))
    log_price[3:, 0], log_price[900:, 1] = 0.1, 0.3
    out = ft.features(log_price, np.array([0, 1]), cells_per_day=24)
    assert out["from_mean_168"][999, 1] == pytest.approx(0.3 * 68 / 168)
    assert out["since_step"][999, 1] == 99
    assert out["since_step"][3 + ft.MEMORY_CELLS - 1, 0] == ft.MEMORY_CELLS - 1
    for name in ("since_step", "last_step", "run", "since_repricing"):
        assert np.isnan(out[name][3 + ft.MEMORY_CELLS, 0])
        newest = ft.features(log_price, np.array([0, 1]), cells_per_day=24, first_cell=990)[name]
        np.testing.assert_array_equal(newest, out[name][990:])


@pytest.mark.parametrize("cells_per_day", [1, 24])
def test_features_of_the_newest_cells_alone_are_those_of_all(cells_per_day):
    log_price = np.log(stepping(times=90, series=6))
    log_price[:30, 1], log_price[40:60, 2], log_price[:, 3] = np.nan, np.nan, np.nan
    groups = np.arange(6) % 2
    every, some = (
        ft.features(log_price, groups, cells_per_day=cells_per_day, first_cell=first_cell)
        for first_cell in (0, 85)
    )
    assert list(every) == list(some)
    for name in every:
        np.testing.assert_allclose(every[name][85:], some[name], atol=1e-7, err_msg=name)
