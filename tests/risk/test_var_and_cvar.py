"""VaR, CVaR, probability over a budget: closed forms, a library's values, properties, guards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from cloudarb_lib import risk
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.testing import shuffled

pytestmark = pytest.mark.slow

finite = st.floats(-1e4, 1e4).map(lambda v: round(v, 3))


samples = arrays(float, st.integers(25, 60), elements=finite)


levels = st.sampled_from([0.5, 0.9, 0.95, 0.975])


parts = arrays(float, st.tuples(st.integers(25, 60), st.integers(1, 4)), elements=finite)


@pytest.mark.parametrize(
    ("law", "tail"),
    [
        (stats.norm(), lambda q, a: stats.norm.pdf(q) / (1 - a)),
        (stats.t(5), lambda q, a: stats.t.pdf(q, 5) / (1 - a) * (5 + q**2) / 4),
    ],
)
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_closed_forms_of_normal_and_t(law, tail, level):
    # McNeil, Frey and Embrechts, Quantitative Risk Management (2015), examples 2.11 and 2.14
    x = law.ppf((np.arange(200_000) + 0.5) / 200_000)
    q = law.ppf(level)
    assert risk.var(x, level).value == pytest.approx(q, rel=1e-3)
    assert risk.cvar(x, level).value == pytest.approx(tail(q, level), rel=2e-3)


# fmt: off
T4 = [-0.263, 0.298, -1.489, 1.04, -1.15, -0.743, -0.551, 2.373, 11.741, -0.758, -0.261, -2.076,
      0.652, -2.436, 0.742, 2.778, 0.464, 0.957, 1.748, 0.27, 1.017, 0.702, -1.051, 0.121, -4.204,
      -0.323, -0.447, -1.876, -1.677, -0.361, 2.342, 0.458, 0.239, -0.612, -2.259, -0.813, 0.571,
      -0.139, -1.021, -1.089]
"""numpy default_rng(20).standard_t(4, 40), rounded to 3 places."""
# fmt: on


@pytest.mark.parametrize(
    ("level", "var", "cvar"),
    # skfolio 1.12.2: skfolio.measures.value_at_risk(-x, beta), cvar(-x, beta) with x = T4
    [(0.9, 1.748, 4.8085), (0.95, 2.373, 7.2595), (0.93, 2.373, 5.863357142857145)],
)
def test_values_of_an_independent_library(level, var, cvar):
    assert risk.var(T4, level).value == pytest.approx(var, rel=1e-12)
    assert risk.cvar(T4, level).value == pytest.approx(cvar, rel=1e-12)


@given(samples, levels)
def test_var_is_at_most_cvar_is_at_most_the_worst(x, level):
    var, cvar = risk.var(x, level), risk.cvar(x, level)
    assert var.value <= cvar.value + 1e-9
    assert cvar.value <= x.max() + 1e-6
    assert not var.standard_error < 0
    assert not cvar.standard_error < 0


@given(samples, levels, st.floats(0.01, 50), st.floats(-1e3, 1e3))
def test_homogeneous_and_translated(x, level, scale, shift):
    for measure in (risk.var, risk.cvar):
        value, error = measure(x, level)
        moved = measure(scale * x + shift, level)
        assert moved.value == pytest.approx(scale * value + shift, rel=1e-9, abs=1e-6)
        assert moved.standard_error == pytest.approx(scale * error, rel=1e-9, abs=1e-6, nan_ok=True)


@given(parts, levels)
def test_cvar_is_subadditive_and_its_components_sum(x, level):
    whole = risk.cvar(x.sum(axis=1), level).value
    assert whole <= risk.cvar(x, level).value.sum() + 1e-6
    assert risk.component_cvar(x, level).value.sum() == pytest.approx(whole, rel=1e-9, abs=1e-6)
    assert (risk.component_cvar(x, level).value <= risk.cvar(x, level).value + 1e-6).all()


@given(parts, levels, st.randoms(use_true_random=False))
def test_the_order_of_paths_and_offers_does_not_matter(x, level, shuffle):
    mixed, columns = shuffled(x, shuffle)
    for measure in (risk.var, risk.cvar):
        np.testing.assert_allclose(
            measure(mixed, level), np.array(measure(x, level))[:, columns], rtol=1e-9, atol=1e-6
        )
    # float sums in another order can break ties, so the components of whole numbers are compared
    x, mixed = np.round(x), np.round(mixed)
    np.testing.assert_allclose(
        risk.component_cvar(mixed, level).value,
        risk.component_cvar(x, level).value[columns],
        rtol=1e-9,
        atol=1e-6,
    )


@pytest.mark.parametrize("measure", [risk.var, risk.cvar])
def test_the_standard_error_is_the_spread_of_the_estimate_and_falls_as_root_n(measure):
    rng = np.random.default_rng(2)
    spread = {}
    for n in (500, 2000, 8000):
        estimate = measure(rng.standard_normal((n, 400)), 0.95)
        spread[n] = estimate.value.std()
        assert estimate.standard_error.mean() == pytest.approx(spread[n], rel=0.15)
    assert spread[500] / spread[8000] == pytest.approx(4.0, rel=0.2)


def test_the_component_error_is_the_spread_of_the_component():
    rng = np.random.default_rng(3)
    runs = [risk.component_cvar(rng.standard_normal((2000, 2)) * [1, 3]) for _ in range(200)]
    value, error = np.array([r.value for r in runs]), np.array([r.standard_error for r in runs])
    np.testing.assert_allclose(error.mean(axis=0), value.std(axis=0), rtol=0.25)


def test_probability_over_budget():
    share, error = risk.probability_over(np.arange(100.0), 89.5)
    assert share == 0.1
    assert 0.02 < error < 0.04
    assert risk.probability_over(np.zeros(100), 1.0).standard_error > 0


def test_a_tail_without_samples_has_no_error_and_an_atom_an_error_of_zero():
    assert np.isnan(risk.var(np.arange(9.0), 0.95).standard_error)
    assert np.isnan(risk.cvar(np.arange(9.0), 0.95).standard_error)
    assert risk.var(np.zeros(1000), 0.95) == (0.0, 0.0)
    assert risk.cvar(np.array([7.0]), 0.5).value == 7.0


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 95, float("nan")])
def test_a_level_outside_its_range_is_refused(level):
    with pytest.raises(ParameterError, match="level"):
        risk.var(np.arange(9.0), level)


@pytest.mark.parametrize("x", [[], [1.0, np.nan], [1.0, np.inf], np.zeros((2, 2, 2))])
@pytest.mark.parametrize("measure", [risk.var, risk.cvar, lambda x: risk.probability_over(x, 1.0)])
def test_samples_that_are_none_missing_or_infinite_are_refused(measure, x):
    with pytest.raises(DataError, match="samples"):
        measure(x)
