"""Scores of sample paths by hand, by slow loops, and by what they must not depend on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cloudarb_lib.forecast.cheapest_places import CheapestPlaces, mean_of_cheapest
from cloudarb_lib.forecast.path_scores import crps, score_paths
from cloudarb_lib.forecast.targets import Targets
from cloudarb_lib.testing import a_panel, stepping


def scores_of(paths, now, came, **settings):
    rng = np.random.default_rng(0)
    return score_paths(np.array(paths, float), np.array(now), np.array(came), rng=rng, **settings)


def test_median_mean_and_distribution_by_hand():
    """Paths to 1, 1 and 4 times a price of 10; 20 came; the scale is 5."""
    paths = np.log([1.0, 1.0, 4.0])[None, :, None]
    got = scores_of(paths, [[10.0]], [[20.0]], scale=np.array([[5.0]]))
    assert got["absolute_error"][0, 0] == pytest.approx((20 - 10) / 5)
    assert got["error"][0, 0] == pytest.approx((20 - 20) / 5)
    # E|X - y| = (10 + 10 + 20) / 3, E|X - X'| = 30 * 4 / 9
    assert got["crps"][0, 0] == pytest.approx((40 / 3 - 120 / 18) / 5)
    assert got["p_change"][0, 0] == pytest.approx(1 / 3)
    assert got["changed"][0, 0] == 1
    assert got["brier"][0, 0] == pytest.approx(4 / 9)
    assert got["direction"][0, 0] == 1
    assert 0.5 < got["pit"][0, 0] < 0.75  # above two of three paths


def test_what_stands_still_is_no_miss_and_jitter_is_no_move():
    paths = np.zeros((1, 99, 1))
    paths[0, :10] = 0.003
    got = scores_of(paths, [[10.0]], [[10.04]])
    assert got["changed"][0, 0] == 0
    assert got["p_change"][0, 0] == 0
    assert np.isnan(got["direction"][0, 0])
    draws = [
        score_paths(paths, np.array([[10.0]]), np.array([[10.04]]), rng=np.random.default_rng(k))[
            "pit"
        ][0, 0]
        for k in range(200)
    ]
    assert 0.4 < np.mean(draws) < 0.6  # ties are broken evenly
    assert np.min(draws) < 0.05


def test_an_unknown_price_is_scored_nowhere():
    got = scores_of(np.zeros((2, 5, 1)), [[np.nan], [1.0]], [[1.0], [np.nan]])
    for values in got.values():
        assert np.isnan(values).all()


@given(st.floats(0.01, 1000.0), st.integers(0, 99))
def test_without_a_scale_the_unit_of_prices_does_not_matter(factor, seed):
    rng = np.random.default_rng(seed)
    paths = rng.normal(0, 0.1, (3, 20, 2))
    now = rng.uniform(1, 9, (3, 1))
    came = now * rng.uniform(0.8, 1.2, (3, 2))
    one, other = (scores_of(paths, unit * now, unit * came) for unit in (1.0, factor))
    for name in ("absolute_error", "error", "crps", "brier"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-9, atol=1e-12)


def test_pits_of_the_true_distribution_are_uniform():
    rng = np.random.default_rng(3)
    paths = rng.normal(0, 0.2, (4000, 199, 1))
    came = np.exp(rng.normal(0, 0.2, (4000, 1)))
    pit = scores_of(paths, np.ones((4000, 1)), came)["pit"]
    assert np.mean(np.abs(2 * pit - 1) <= 0.8) == pytest.approx(0.8, abs=0.02)


def test_the_cheapest_places_by_a_slow_loop():
    rng = np.random.default_rng(5)
    price = rng.uniform(1, 9, (12, 7, 3))
    place = rng.integers(0, 5, 12)
    is_known = rng.random((12, 3)) < 0.8
    got = mean_of_cheapest(price, place, is_known, counts=(1, 3, 9))
    assert np.isnan(got[2]).all()
    for path in range(7):
        for h in range(3):
            here = [
                min(price[(place == p) & is_known[:, h], path, h], default=np.inf)
                for p in np.unique(place)
            ]
            here = sorted(cost for cost in here if np.isfinite(cost))
            assert got[0, path, h] == pytest.approx(here[0])
            assert got[1, path, h] == pytest.approx(np.mean(here[:3]))


def test_the_cheapest_places_come_from_joint_paths_and_withdrawn_ones_do_not_count():
    price = np.ones((40, 3)) * [8.0, 16.0, 24.0]
    price[30:, 0] = np.nan  # withdrawn before the target
    targets = Targets.of(a_panel(price), {1: np.array([20]), 12: np.array([20])})
    cheapest = CheapestPlaces.of(targets)
    one = np.flatnonzero(cheapest.counts == 1)[0]
    assert cheapest.now[0, one].tolist() == [1.0, 2.0]  # USD per GPU-hour
    paths = np.zeros((3, 2, 2))
    paths[0, 1] = np.log(4)  # on the second path another place is the cheapest
    change = cheapest.changes(paths, 0)[one]
    np.testing.assert_allclose(np.exp(change), [[1.0, 1.0], [2.0, 1.0]])
    four = np.flatnonzero(cheapest.counts == 4)[0]
    assert np.isnan(cheapest.came[0, four]).all()  # there are but three places


def test_machines_without_a_gpu_have_no_cheapest_places():
    panel = a_panel(stepping(), models=None)
    panel.offers["gpu_count"] = 0.0
    targets = Targets.of(panel, {1: np.array([20])})
    cheapest = CheapestPlaces.of(targets)
    assert cheapest.changes(np.zeros((12, 5, 1)), 0).shape == (0, 5, 1)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=12), st.floats(-60, 60))
def test_crps_equals_the_integral_of_the_squared_distance_of_distributions(samples, truth):
    """Oracle: the definition, integral of (F(x) - 1[x >= y])^2 (Matheson and Winkler, 1976)."""
    samples = np.array(samples)
    edges = np.sort(np.append(samples, truth))
    middle = (edges[1:] + edges[:-1]) / 2
    below = (samples[:, None] <= middle).mean(axis=0)
    slow = float((np.diff(edges) * (below - (middle >= truth)) ** 2).sum())
    assert crps(samples, np.float64(truth)) == pytest.approx(slow, abs=1e-9)


def test_crps_of_a_normal_sample_nears_the_closed_form():
    """Closed form: sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)); Gneiting, 2005, eq. 5."""
    levels = (np.arange(20_000) + 0.5) / 20_000
    z = 0.7
    want = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)
    assert crps(stats.norm.ppf(levels), np.float64(z)) == pytest.approx(want, abs=1e-4)
