"""Scores against published formulas, slow oracles and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cloudarb_lib.forecast import losses

values = st.lists(st.floats(-50, 50), min_size=2, max_size=12)


def test_mean_leaves_what_is_not_finite_out():
    values = np.array([[1.0, np.nan], [3.0, np.inf]])
    assert losses.mean(values) == 2
    np.testing.assert_array_equal(losses.mean(values, 0), [2, np.nan])


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
    """Closed form: sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)); Gneiting, 2005, eq. 5."""
    levels = (np.arange(20_000) + 0.5) / 20_000
    z = 0.7
    want = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)
    assert losses.crps(stats.norm.ppf(levels), np.float64(z)) == pytest.approx(want, abs=1e-4)
