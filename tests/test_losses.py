"""Scores against published formulas, slow oracles and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cloudarb_lib import losses

values = st.lists(st.floats(-50, 50), min_size=2, max_size=12)


def test_mean_leaves_what_is_not_finite_out():
    values = np.array([[1.0, np.nan], [3.0, np.inf]])
    assert losses.mean(values) == 2
    np.testing.assert_array_equal(losses.mean(values, 0), [2, np.nan])


def test_scaled_mae_weighs_series_by_their_own_price():
    assert losses.scaled_mae(np.array([0.1, 9.0, np.nan]), np.array([1.0, 90.0, 5.0])) == (pytest.approx(0.2))


@given(values, st.floats(-60, 60))
def test_crps_equals_the_integral_of_the_squared_distance_of_distributions(samples, truth):
    """Oracle: the definition, integral of (F(x) - 1[x >= y])^2 (Matheson and Winkler, 1976)."""
    samples = np.array(samples)
    edges = np.sort(np.append(samples, truth))
    middle = (edges[1:] + edges[:-1]) / 2
    below = (samples[:, None] <= middle).mean(axis=0)
    slow = float((np.diff(edges) * (below - (middle >= truth)) ** 2).sum())
    assert losses.crps(samples, np.float64(truth)) == pytest.approx(slow, abs=1e-9)


def test_crps_of_a_normal_sample_nears_the_closed_form():
    """Closed form: sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)), Gneiting et al. (2005), eq. 5."""
    levels = (np.arange(20_000) + 0.5) / 20_000
    z = 0.7
    want = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)
    assert losses.crps(stats.norm.ppf(levels), np.float64(z)) == pytest.approx(want, abs=1e-4)


def test_coverage_counts_the_ends_and_skips_unknown_truth():
    low, high = np.zeros(4), np.ones(4)
    assert losses.coverage(low, high, np.array([0.0, 1.0, 2.0, np.nan])) == pytest.approx(2 / 3)


def test_diebold_mariano_at_one_step_is_the_paired_t_test():
    """At horizon 1 the corrected statistic is Student's paired t (Harvey et al., 1997, eq. 9)."""
    rng = np.random.default_rng(1)
    a, b = rng.gamma(2, size=40), rng.gamma(2.3, size=40)
    want = stats.ttest_rel(a, b).pvalue
    assert losses.diebold_mariano(a, b, horizon=1) == pytest.approx(want)


def test_diebold_mariano_holds_its_level_on_overlapping_errors():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(400):
        noise = np.convolve(rng.normal(size=83), np.ones(4), "valid")
        hits += losses.diebold_mariano(noise, np.zeros(80), horizon=4) < 0.05
    assert hits / 400 < 0.10


def test_diebold_mariano_says_when_it_cannot_tell():
    assert losses.diebold_mariano(np.ones(20), np.ones(20), horizon=2) == 1.0
    assert np.isnan(losses.diebold_mariano(np.ones(7), np.zeros(7), horizon=1))
    assert np.isnan(losses.diebold_mariano(np.ones(20), np.zeros(20), horizon=13))
    wave = np.tile([1.0, -1.0], 20)
    assert 0 <= losses.diebold_mariano(wave, np.zeros(40), horizon=2) <= 1
