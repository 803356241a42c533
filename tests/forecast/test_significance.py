"""The test of equal accuracy: its size on records like a price list's, and where it is silent."""

import numpy as np
import pytest
from scipy.stats import t

from benchmarks.significance import loss_difference, rejections
from cloudarb_lib.forecast.significance import equal_accuracy_p, frequencies


def test_one_frequency_by_hand():
    """With overlap of half of the record one cosine is left: Student's t of one degree."""
    gap = np.random.default_rng(0).normal(0.3, 1, 20)
    wave = np.sqrt(2 / 20) * np.cos(np.pi * (np.arange(20) + 0.5) / 20)
    statistic = np.sqrt(20) * gap.mean() / abs(wave @ gap)
    got = equal_accuracy_p(gap, overlap=10, n_events=9)
    assert got == pytest.approx(2 * t.sf(abs(statistic), 1))


@pytest.mark.parametrize(
    ("n", "overlap", "n_events", "count"),
    [(120, 1, 50, 9), (120, 13, 50, 4), (120, 1, 6, 3), (26, 13, 50, 1), (8, 30, 4, 1)],
)
def test_overlap_and_few_reviews_leave_fewer_frequencies(n, overlap, n_events, count):
    assert frequencies(n, overlap=overlap, n_events=n_events) == count


def test_it_is_silent_where_there_is_too_little_and_certain_where_nothing_differs():
    gap = np.random.default_rng(0).random(40)
    assert np.isnan(equal_accuracy_p(gap[:7], n_events=20))
    assert np.isnan(equal_accuracy_p(gap, n_events=3))
    assert equal_accuracy_p(0 * gap, n_events=20) == 1
    assert equal_accuracy_p(gap, n_events=20) < 0.001
    assert equal_accuracy_p(np.append(gap, np.nan), n_events=20) == equal_accuracy_p(
        gap, n_events=20
    )


@pytest.mark.slow
def test_its_size_holds_where_the_usual_test_rejects_too_often():
    """Half a year of weekly origins, eight weeks ahead: `python -m benchmarks.significance`."""
    shares = rejections(300, n_origins=26, horizon=8, review_hazard=0.5, squared=False, seed=3)
    assert shares["usual"] > 0.12
    assert shares["ours"] < 0.09
    assert shares["answers"] == 1


@pytest.mark.slow
def test_the_simulated_forecast_gains_only_where_directions_repeat():
    rng = np.random.default_rng(1)
    design = {"n_origins": 120, "horizon": 8, "review_hazard": 0.5}
    chance, known = (
        np.mean([loss_difference(rng, **design, repeats=r)[0].mean() for _ in range(60)])
        for r in (0.5, 0.9)
    )
    assert known < 0 < chance
