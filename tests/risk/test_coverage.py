"""The pooled test of exceedances: its size and power, and that overlap and plans alike count."""

import numpy as np
import pytest

from cloudarb_lib.risk import coverage


def right_model(seed: int, *, windows: int, plans: int, overlap: int, correlation: float):
    """Return hits at 95 % and scores of a right model, windows that share steps."""
    rng = np.random.default_rng(seed)
    steps = np.sqrt(correlation) * rng.standard_normal((windows + overlap, 1))
    steps = steps + np.sqrt(1 - correlation) * rng.standard_normal((windows + overlap, plans))
    total = steps.cumsum(axis=0)
    scores = (total[overlap:] - total[:-overlap]) / np.sqrt(overlap)
    return (scores > 1.644854).astype(float), scores


def pooled(hits, scores, *, overlap: int) -> coverage.PooledTest:
    return coverage.pooled_test(hits, scores, level=0.95, overlap=overlap)


@pytest.mark.slow
def test_a_right_model_is_refused_as_often_as_stated(monkeypatch):
    monkeypatch.setattr(coverage, "SIMULATIONS", 500)
    terms = {"windows": 60, "plans": 6, "overlap": 8, "correlation": 0.5}
    refused = [
        pooled(*right_model(seed, **terms), overlap=8).p_value < coverage.SIGNIFICANCE
        for seed in range(150)
    ]
    assert np.mean(refused) < 0.12


def test_a_binomial_without_overlap_or_correlation():
    from scipy.stats import binom

    hits, scores = right_model(0, windows=200, plans=5, overlap=1, correlation=0.0)
    told = pooled(hits, scores, overlap=1)
    assert told.rate == hits.mean()
    low, high = binom.ppf([0.025, 0.975], 1000, 0.05) / 1000
    assert (told.low, told.high) == pytest.approx((low, high), abs=0.004)
    count = int(hits.sum())
    wanted = 2 * min(binom.cdf(count, 1000, 0.05), binom.sf(count - 1, 1000, 0.05))
    assert told.p_value == pytest.approx(min(wanted, 1.0), abs=0.08)
    assert told.power_double > 0.95
    assert told.power_fifth > 0.95


def test_windows_that_overlap_and_plans_alike_say_less():
    apart = pooled(*right_model(0, windows=80, plans=6, overlap=1, correlation=0.0), overlap=1)
    joint = pooled(*right_model(0, windows=80, plans=6, overlap=13, correlation=0.9), overlap=13)
    assert joint.high - joint.low > 2 * (apart.high - apart.low)
    assert joint.power_double < apart.power_double


@pytest.mark.slow
def test_too_many_and_too_few_exceedances_are_found_out():
    _, scores = right_model(1, windows=300, plans=10, overlap=2, correlation=0.2)
    for beyond, far_off in ((1.0, True), (1.644854, False), (9.0, True)):
        hits = (scores > beyond).astype(float)
        assert (pooled(hits, scores, overlap=2).p_value < 0.05) == far_off


@pytest.mark.parametrize(
    ("exceeded", "windows", "reason"),
    [
        (0.0, 5, coverage.NO_RATE_TOO_LOW),  # five windows of a right model may well show none
        (0.0, 400, ""),
        (1.0, 400, ""),
    ],
)
def test_where_no_rate_would_be_refused_there_is_no_p_and_a_reason(exceeded, windows, reason):
    _, scores = right_model(3, windows=windows, plans=1, overlap=1, correlation=0.0)
    told = pooled(np.full(scores.shape, exceeded), scores, overlap=1)
    assert told.no_p_since == reason
    assert np.isnan(told.p_value) == bool(reason)
    assert (told.low == 0.0) == bool(reason)


def test_a_plan_that_overlapping_windows_exceeded_seldom_has_no_p():
    hits, scores = right_model(5, windows=72, plans=1, overlap=13, correlation=0.0)
    hits[:] = 0.0
    hits[:2] = 1.0  # 2.8 % where 5 % is stated: more often than a right model mostly shows
    told = pooled(hits, scores, overlap=13)
    assert told.low == 0.0
    assert told.power_fifth < coverage.SIGNIFICANCE
    assert (told.no_p_since, np.isnan(told.p_value)) == (coverage.NO_RATE_TOO_LOW, True)
    hits[:8] = 1.0
    assert pooled(hits, scores, overlap=13).p_value > coverage.SIGNIFICANCE


def test_two_windows_may_both_be_exceeded_at_a_low_level():
    scores = np.array([[1.0], [1.1]])
    told = coverage.pooled_test(np.ones((2, 1)), scores, level=0.5, overlap=2)
    assert told.no_p_since == coverage.NO_RATE_TOO_HIGH
    assert np.isnan(told.p_value)


def test_plans_not_held_do_not_count():
    hits, scores = right_model(2, windows=100, plans=4, overlap=4, correlation=0.3)
    hits[:50, 2:] = np.nan
    scores[:50, 2:] = np.nan
    told = pooled(hits, scores, overlap=4)
    assert told.rate == pytest.approx(np.nanmean(hits))
    assert coverage.joint_correlation(scores) == pytest.approx(0.3, abs=0.25)
    assert coverage.joint_correlation(scores[:, :1]) == 0.0
