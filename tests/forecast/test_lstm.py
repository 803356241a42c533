"""The LSTM: blind to the future, repeatable, able to learn, and calm about bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib.forecast.members import lstm
from cloudarb_lib.forecast.task import WINDOW_CELLS
from cloudarb_lib.testing import a_task, stepping, trending

pytestmark = pytest.mark.fit


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60))
def test_a_row_of_the_inputs_uses_nothing_after_it(seed, cut):
    rng = np.random.default_rng(seed)
    log_price = np.where(
        rng.random((70, 5)) < 0.2, np.nan, np.cumsum(rng.normal(0, 0.05, (70, 5)), 0)
    )
    other = log_price.copy()
    other[cut + 1 :] = np.where(rng.random(other[cut + 1 :].shape) < 0.3, np.nan, rng.normal(0, 9))
    groups = np.array([0, 0, 1, 1, 2])
    first, second = (lstm.inputs_of(each, groups) for each in (log_price, other))
    np.testing.assert_array_equal(first.cube[: cut + 1], second.cube[: cut + 1])
    np.testing.assert_array_equal(first.unit[: cut + 1], second.unit[: cut + 1])
    one = first.cube
    assert np.isfinite(one).all()
    rows, series = rng.integers(0, 70, 20), rng.integers(0, 5, 20)
    got = lstm.windows(one, rows, series)
    for k in range(20):  # slow oracle
        for back in range(WINDOW_CELLS):
            cell = rows[k] - back
            want = one[cell, series[k]] if cell >= 0 else np.zeros(one.shape[2])
            np.testing.assert_array_equal(got[k, -1 - back], want)


def test_the_unit_is_the_root_mean_square_step_of_the_newest_cells(monkeypatch):
    monkeypatch.setattr(lstm, "SCALE_CELLS", 7)
    log_price = np.log(stepping(series=3))
    unit = lstm.inputs_of(log_price, np.zeros(3, int)).unit
    change = np.diff(log_price, axis=0, prepend=log_price[:1])
    change[np.abs(change) < 0.005] = 0
    for t in (0, 3, 6, 7, 50, 79):
        want = np.sqrt((change[max(t - 6, 0) : t + 1] ** 2).mean(axis=0))
        np.testing.assert_allclose(unit[t], np.maximum(want, lstm.MIN_SCALE), atol=1e-7)


@pytest.mark.long
def test_it_learns_momentum_and_says_the_same_again():
    task = a_task(trending(), origins=np.arange(100, 136))
    out = lstm.lstm(task)
    truth = task.truth()
    error = np.nanmean(np.abs(out - truth), axis=(0, 1))
    assert (error < 0.6 * np.nanmean(np.abs(truth), axis=(0, 1)))[-1]
    np.testing.assert_array_equal(lstm.lstm(task), out)


@pytest.mark.long
def test_no_forecast_changes_when_only_the_future_does():
    """Also not through training: a fit sees outcomes up to its own cell, and no further."""
    price, cut = trending(), 118
    other = price.copy()
    other[cut + 1 :] *= np.exp(np.random.default_rng(0).normal(0, 0.5, other[cut + 1 :].shape))
    one, two = (lstm.lstm(a_task(p, origins=np.arange(90, 136))) for p in (price, other))
    here = np.arange(90, 136) <= cut
    np.testing.assert_array_equal(one[here], two[here])
    assert one[here].any()
    assert (one[~here] != two[~here]).any()


@pytest.mark.long
def test_bad_input_has_a_defined_outcome_and_stops_nobody():
    price = trending()
    price[:-1, 1] = np.nan  # one point
    price[:, 2] = 5.0  # constant
    price[30:85, 3] = np.nan  # a gap of months
    price[100:, 4] = np.nan  # withdrawn
    price[:, 5] = np.nan  # all missing
    out = lstm.lstm(a_task(price, origins=np.arange(110, 140)))
    assert np.isfinite(out).all()
    assert out[:, 0].any()
    assert np.abs(out[:, [1, 2, 5]]).max() < 0.05  # nothing known of them: hardly a change
    alone = lstm.lstm(a_task(np.full((30, 2), 3.0)))
    assert not alone.any()
