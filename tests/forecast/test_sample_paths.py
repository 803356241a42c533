"""Sample paths: drawn from the past, all series together, and moved to the point forecast."""

import numpy as np
import pytest

from cloudarb_lib.forecast import features, sample_paths
from cloudarb_lib.testing import stepping


def test_paths_share_dates_and_keep_the_atom():
    step = np.zeros((50, 4))
    step[10::10] = [[0.1, 0.2, 0.3, 0.4]]
    drawn = sample_paths.draw_cells(49, n_paths=300, horizon=8, seed=5)
    assert drawn.min() >= 1
    assert drawn.max() <= 49
    every = sample_paths.draw_paths(step, np.arange(4), drawn, np.arange(8))
    np.testing.assert_allclose(every[1], 2 * every[0])
    assert 0.1 < (every[0] == 0).mean() < 0.9
    some = sample_paths.draw_paths(step, np.array([1, 3]), drawn, np.arange(8))
    np.testing.assert_array_equal(some, every[[1, 3]])


def test_steps_not_known_come_from_a_neighbour():
    log_price = np.log(stepping(series=3))
    late = log_price.copy()
    late[:40, 1] = np.nan
    step = sample_paths.fill_unknown_steps(features.price_steps(late), late, np.zeros(3, int))
    assert (step[1:40, 1] != 0).any()
    assert set(step[8, 1:2]) <= set(step[8, [0, 2]])


def test_recentring_a_market_moves_the_median_and_leaves_unchanged_alone():
    rng = np.random.default_rng(0)
    paths = np.where(rng.random((3, 999, 2)) < 0.2, 0.0, rng.normal(0.3, 0.05, (3, 999, 2)))
    point = np.full((3, 2), 0.1)
    moved = sample_paths.recentre(paths, point)
    np.testing.assert_array_equal(moved == 0, paths == 0)
    np.testing.assert_allclose(np.median(moved, axis=1), point, atol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4])
def test_a_step_expected_moves_the_median_and_unchanged_stays_possible(share):
    """Most paths stand still, and hold the median at zero; the others move up and down."""
    rng = np.random.default_rng(0)
    way = rng.choice([-0.3, 0.3], (2, 999, 1)) + rng.normal(0, 0.05, (2, 999, 1))
    paths = np.where(rng.random((2, 999, 1)) < 1 - share, 0.0, way)
    moved = sample_paths.recentre(paths, np.array([[-0.05], [0.001]]))
    assert np.median(moved[0]) == pytest.approx(-0.05, abs=1e-12)
    still = (paths[0] == 0).mean()
    assert still / 2 - 0.01 < (moved[0] == 0).mean() < 0.52
    np.testing.assert_array_equal(moved[1] == 0, paths[1] == 0)


def test_a_calm_market_moves_less_at_first_and_a_wild_one_as_ever():
    step = np.tile([0.2, -0.2], 100)[:, None] * np.ones(2)
    step[-24:, 0] = 0.0
    factor = sample_paths.calm_factor(step, cells_per_day=24, horizon=100)
    assert factor[0, 0] == sample_paths.CALMEST
    assert (np.diff(factor[0]) > 0).all()
    assert factor[0, -1] == pytest.approx(1.0, abs=0.02)
    np.testing.assert_allclose(factor[1], 1.0)
