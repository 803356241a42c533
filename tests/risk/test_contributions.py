"""Contributions to VaR and CVaR, liquidity: closed forms, exact sums, sampling errors, guards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.risk import measures
from cloudarb_lib.testing import shuffled

pytestmark = pytest.mark.slow

levels = st.sampled_from([0.5, 0.9, 0.95, 0.975])
parts = arrays(
    float,
    st.tuples(st.integers(25, 60), st.integers(1, 4)),
    elements=st.integers(-9999, 9999).map(float),
)
COVARIANCE = np.array([[4.0, 1.5, 0.0], [1.5, 1.0, -0.3], [0.0, -0.3, 0.25]])


def normals(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).multivariate_normal([1.0, 2.0, 0.5], COVARIANCE, n)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_components_of_normals_have_the_closed_form(level):
    # McNeil, Frey and Embrechts, Quantitative Risk Management (2015), section 8.5:
    # mean + cov(component, total) / sd * k
    x = normals(400_000)
    beta = COVARIANCE.sum(axis=1) / np.sqrt(COVARIANCE.sum())
    q = stats.norm.ppf(level)
    for component, factor in (
        (measures.component_var, q),
        (measures.component_cvar, stats.norm.pdf(q) / (1 - level)),
    ):
        value, error = component(x, level)
        truth = np.array([1.0, 2.0, 0.5]) + beta * factor
        assert (np.abs(value - truth) < 4 * error + 0.005).all()
        np.testing.assert_allclose(value, truth, atol=0.08)


@given(parts, levels)
def test_var_components_sum_to_the_var(x, level):
    whole = measures.var(x.sum(axis=1), level).value
    assert measures.component_var(x, level).value.sum() == pytest.approx(whole, rel=1e-9, abs=1e-5)


@given(parts, levels, st.randoms(use_true_random=False))
def test_neither_the_order_of_paths_nor_of_offers_changes_a_contribution(x, level, shuffle):
    mixed, columns = shuffled(x, shuffle)
    for measure in (measures.component_var, measures.incremental):
        was, now = measure(x, level).value, measure(mixed, level).value
        np.testing.assert_allclose(now, was[columns], rtol=1e-7, atol=1e-4)


@given(parts, levels)
def test_incremental_cvar_against_a_slow_loop_and_below_the_offer_alone(x, level):
    slow = [
        measures.cvar(x.sum(axis=1), level).value
        - measures.cvar(np.delete(x, j, 1).sum(axis=1), level).value
        for j in range(x.shape[1])
    ]
    found = measures.incremental(x, level).value
    np.testing.assert_allclose(found, slow, rtol=1e-9, atol=1e-6)
    assert (found <= measures.cvar(x, level).value + 1e-6).all()  # subadditive
    # the tail of the whole is one of those that the CVaR without j is the worst of
    assert (found <= measures.component_cvar(x, level).value + 1e-6).all()


@pytest.mark.parametrize("measure", [measures.component_var, measures.incremental])
def test_the_standard_error_is_the_spread_of_the_estimate(measure):
    runs = [measure(normals(4000, seed)) for seed in range(100)]
    spread = np.array([r.value for r in runs]).std(axis=0)
    np.testing.assert_allclose(np.mean([r.standard_error for r in runs], axis=0), spread, rtol=0.35)


@pytest.mark.parametrize(
    ("component", "measure"), [(measures.component_var, "var"), (measures.component_cvar, "cvar")]
)
def test_marginal_is_the_slope_of_the_measure_and_knows_offers_not_held(component, measure):
    unit, held = normals(200_000), np.array([2.0, 1.0, 0.0])
    marginal = component(unit, total=unit @ held).value
    for j in range(3):
        up, down = (held + sign * 0.05 * (np.arange(3) == j) for sign in (1, -1))
        value = getattr(measures, measure)
        slope = (value(unit @ up).value - value(unit @ down).value) / 0.1
        assert marginal[j] == pytest.approx(slope, abs=0.1)
    whole = getattr(measures, measure)(unit @ held).value
    assert marginal @ held == pytest.approx(whole, rel=1e-9)
    np.testing.assert_allclose(marginal * held, component(unit * held).value, atol=1e-9)


def test_an_atom_shares_evenly_and_one_path_is_enough_for_a_value():
    still = np.ones((1000, 2)) * [3.0, 4.0]
    assert measures.component_var(still).value.tolist() == pytest.approx([3.0, 4.0])
    assert measures.component_var(still).standard_error.tolist() == pytest.approx(
        [0.0, 0.0], abs=1e-12
    )
    one = measures.component_var(np.array([[1.0, 2.0]]))
    assert one.value.tolist() == [1.0, 2.0]
    assert np.isnan(one.standard_error).all()
    assert np.isnan(measures.incremental(normals(100)).standard_error).all()


def test_liquidity_is_the_share_unmet():
    unmet = np.where(np.arange(1000) < 100, 50.0, 0.0)
    found = measures.liquidity(unmet, 200.0)
    assert found["probability"].value == 0.1
    assert found["mean"].value == pytest.approx(0.025)
    assert found["var"].value == 0.25
    assert found["cvar"].value == pytest.approx(0.25)
    with pytest.raises(ParameterError, match="wanted"):
        measures.liquidity(unmet, 0.0)
    with pytest.raises(DataError, match="samples"):
        measures.liquidity(np.array([np.inf]), 1.0)


@pytest.mark.parametrize(
    "measure", [measures.component_var, measures.component_cvar, measures.incremental, measures.var]
)
def test_bad_samples_and_levels_are_refused(measure):
    for bad in (np.zeros((0, 2)), np.full((9, 2), np.nan), np.full((9, 2), np.inf)):
        with pytest.raises(DataError, match="samples"):
            measure(bad)
    for level in (0.0, 1.0, 95.0):
        with pytest.raises(ParameterError, match="level"):
            measure(np.zeros((9, 2)), level)


def test_a_total_of_other_samples_is_refused():
    for component in (measures.component_var, measures.component_cvar):
        with pytest.raises(DataError, match="total"):
            component(np.zeros((9, 2)), total=np.zeros(8))
