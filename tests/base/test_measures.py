"""VaR and CVaR of equally likely samples, against slow definitions in fractions and a library."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.base.measures import (
    conditional_value_at_risk,
    quantile_rank,
    tail_weights,
    value_at_risk,
)

LEVELS = ["0.05", "0.5", "0.9", "0.93", "0.95", "0.975", "0.99"]
samples = st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=60)


@given(samples, st.sampled_from(LEVELS))
def test_both_equal_their_definitions_in_exact_fractions(values, level):
    share, ordered = Fraction(level), sorted(values)
    x = np.array(values, dtype=float)
    at = next(v for v in ordered if Fraction(sum(o <= v for o in ordered), len(ordered)) >= share)
    assert value_at_risk(x, float(level)) == at
    # the tail, sample by sample from the worst, the last one in part
    left = total = (1 - share) * len(ordered)
    tail = Fraction(0)
    for worst in reversed(ordered):
        tail += min(left, 1) * worst
        left -= min(left, 1)
    assert conditional_value_at_risk(x, float(level)) == pytest.approx(float(tail / total))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.floats(0.05, 0.95))
def test_cvar_is_the_least_rockafellar_uryasev_bound(values, level):
    x = np.array(values)
    bounds = [t + np.maximum(x - t, 0).mean() / (1 - level) for t in x]
    assert conditional_value_at_risk(x, level) == pytest.approx(min(bounds), abs=1e-6)


@given(samples, st.sampled_from(LEVELS))
def test_a_column_has_the_same_bits_alone_and_beside_others(values, level):
    x = np.array(values) / 7.0
    beside = np.column_stack([x[::-1], 3.0 * x, x])
    for measure in (value_at_risk, conditional_value_at_risk):
        alone = measure(x, float(level))
        assert measure(beside, float(level))[[0, 2]].tolist() == [alone, alone]
    across = value_at_risk(beside.T, float(level), axis=1)
    assert across.tolist() == value_at_risk(beside, float(level)).tolist()


def test_a_share_that_is_a_whole_number_but_for_rounding_is_whole():
    assert 0.05 * 500 != (1 - 0.95) * 500  # 25 and 25.000000000000021
    assert len(tail_weights(500, 0.95)) == 25
    assert tail_weights(500, 0.95).sum() == pytest.approx(25)
    assert tail_weights(30, 0.95).tolist() == pytest.approx([1.0, 0.5])
    assert tail_weights(3, 0.99).tolist() == pytest.approx([0.03])
    assert [quantile_rank(100, level) for level in (0.07, 0.0701, 0.999999)] == [6, 7, 99]
    assert quantile_rank(1, 0.01) == 0


def test_a_missing_sample_is_seen_in_the_result():
    x = np.r_[np.arange(99.0), np.nan]
    assert np.isnan(conditional_value_at_risk(x, 0.95))
    assert value_at_risk(x, 0.5) == 49.0
