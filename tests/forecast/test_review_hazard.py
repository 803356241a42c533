"""The small peer for price lists: its rates come from the record, and it knows no future."""

import numpy as np
import pytest

from benchmarks.review_hazard import LARGEST_RISE, MEMORIES, Reviews, forecaster, simulate
from cloudarb_lib.forecast.patterns import find_patterns
from cloudarb_lib.testing import a_panel, stepping


def test_reviews_signs_and_rates_by_hand():
    """Four series that all step up at week 2 and 4, and of which one turns at week 6."""
    log_price = np.zeros((8, 5))
    for week in (2, 4):
        log_price[week:] += 0.1
    log_price[6:, 1:] += 0.1
    log_price[6:, 0] -= 0.1
    reviews = Reviews.of(log_price)
    assert np.flatnonzero(reviews.is_review).tolist() == [2, 4, 6]
    assert np.isnan(reviews.same_sign[0])
    assert reviews.same_sign[1:].tolist() == [1.0, 0.8]
    assert reviews.last_sign.tolist() == [-1, 1, 1, 1, 1]
    rng = np.random.default_rng(0)
    hazard = reviews.draw_hazard(MEMORIES[2], 4000, rng).mean()
    assert 0.2 < hazard < 0.4  # three in eight weeks, and few beforehand
    weight = 0.5 ** (1 / 8)  # of the second review, when the third counts one; 1 and 1 beforehand
    want = (weight + 0.8 + 1) / (weight + 1 + 2)
    assert reviews.draw_repeats(MEMORIES[2], 4000, rng).mean() == pytest.approx(want, abs=0.02)


def test_without_reviews_nothing_moves_and_rises_are_bounded():
    rng = np.random.default_rng(0)
    still = simulate(np.zeros((30, 4)), np.zeros(4, int), horizon=5, rng=rng)
    assert not still.any()
    log_price = np.cumsum(np.where(np.arange(40)[:, None] % 4 == 0, 0.5, 0.0) + np.zeros(6), axis=0)
    steps = np.diff(simulate(log_price, np.zeros(6, int), horizon=20, rng=rng), axis=2)
    assert steps.max() == pytest.approx(LARGEST_RISE)


def test_what_comes_later_changes_nothing():
    price = stepping(times=80)
    longer = forecaster(find_patterns(a_panel(price)), [1, 4])(50)
    price[51:] *= np.linspace(1, 3, 29)[:, None]
    np.testing.assert_array_equal(forecaster(find_patterns(a_panel(price)), [1, 4])(50), longer)
