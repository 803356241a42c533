"""Tests of VaR and CVaR: published values, likelihoods written out, power."""

from itertools import pairwise

import numpy as np
import pytest

from cloudarb_lib.risk import coverage


def hits(n: int, x: int) -> np.ndarray:
    return (
        np.isin(np.arange(n), np.linspace(0, n - 1, x).astype(int))
        if x
        else np.zeros(n, dtype=bool)
    )


@pytest.mark.parametrize(("n", "low", "high"), [(255, 6, 21), (510, 16, 36), (1000, 37, 65)])
def test_kupiec_rejects_where_the_published_table_does(n, low, high):
    # Kupiec, Journal of Derivatives 3 (1995), kept at 5 % for p = 0.05: low < failures < high
    kept = [x for x in range(n // 4) if coverage.kupiec(hits(n, x), 0.95) >= 0.05]
    assert (min(kept), max(kept)) == (low + 1, high - 1)


def test_christoffersen_against_the_likelihoods_written_out():
    from scipy.stats import chi2

    row = np.random.default_rng(3).random(80) < 0.15
    pairs = list(pairwise(row))
    moved = [
        sum(b for a, b in pairs if a == was) / sum(a == was for a, b in pairs)
        for was in (False, True)
    ]
    rate = sum(b for _, b in pairs) / len(pairs)
    chain = sum(np.log(moved[int(a)] if b else 1 - moved[int(a)]) for a, b in pairs)
    flat = sum(np.log(rate if b else 1 - rate) for _, b in pairs)
    independence, conditional = coverage.christoffersen(row, 0.95)
    assert independence == pytest.approx(chi2.sf(2 * (chain - flat), 1))
    kupiec = 2 * sum(
        np.log((row.mean() if h else 1 - row.mean()) / (0.05 if h else 0.95)) for h in row
    )
    assert conditional == pytest.approx(chi2.sf(2 * (chain - flat) + kupiec, 2))


def test_clustered_hits_fail_independence_and_spread_ones_do_not():
    assert coverage.christoffersen(np.arange(200) < 10, 0.95)[0] < 1e-6
    assert coverage.christoffersen(hits(200, 10), 0.95)[0] > 0.05


def test_acerbi_szekely_is_near_zero_under_the_model_and_finds_a_thin_tail():
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((400, 2000))
    z, p = coverage.acerbi_szekely(rng.standard_normal(400), samples, 0.95)
    assert abs(z) < 0.5
    assert p > 0.05
    z, p = coverage.acerbi_szekely(2 * rng.standard_normal(400), samples, 0.95)
    assert z > 1
    assert p < 0.01
    assert np.isnan(coverage.acerbi_szekely(np.ones(3), -np.ones((3, 50)), 0.95)).all()


def test_power_grows_with_the_windows():
    few, many = coverage.power(30), coverage.power(250)
    assert all(few[test] < many[test] for test in few)
