"""Sample paths: drawn from the past, all series together, and moved to the point forecast."""

import numpy as np
import pytest
from scipy import stats

from cloudarb_lib.forecast import features, repricing, sample_paths
from cloudarb_lib.testing import stepping


def test_paths_share_dates_and_keep_the_atom():
    step = np.zeros((50, 4))
    step[10::10] = [[0.1, 0.2, 0.3, 0.4]]
    drawn = sample_paths.draw_cells(49, n_paths=300, horizon=8, seed=5)
    assert drawn.cell.min() >= 1
    assert drawn.cell.max() <= 49
    paths = sample_paths.draw_paths(step, np.arange(4), np.arange(4), drawn)
    np.testing.assert_allclose(paths[1], 2 * paths[0])  # one series a group: always its own past
    assert 0.1 < (paths[0] == 0).mean() < 0.9
    some = sample_paths.draw_paths(step, np.array([0, 0, 1, 1]), np.array([1, 3]), drawn)
    every = sample_paths.draw_paths(step, np.array([0, 0, 1, 1]), np.arange(4), drawn)
    np.testing.assert_array_equal(some, every[[1, 3]])


def test_on_most_paths_of_a_list_a_series_goes_one_way_with_its_group_or_against_its_last_step():
    step = features.price_steps(np.log(stepping(times=50, series=6)))
    groups = np.array([0, 0, 0, 1, 1, 1])
    directions = sample_paths.draw_directions(step, groups, np.arange(6), n_paths=4000, seed=5)
    trending = (directions != 0).all(axis=0)
    assert trending.mean() == pytest.approx(sample_paths.TREND_SHARE, abs=0.03)
    assert (directions[:, ~trending] == 0).all()
    last = np.array([np.sign(column[column != 0][-1]) for column in step.T])[:, None]
    goes_on = (directions * last)[:, trending]
    assert (goes_on[:3] == goes_on[0]).all()
    assert (goes_on[3:] == goes_on[3]).all()
    np.testing.assert_allclose(
        [(goes_on[0] > 0).mean(), (goes_on[0] == goes_on[3]).mean()], 0.5, atol=0.04
    )
    some = sample_paths.draw_directions(step, groups, np.array([1, 4]), n_paths=4000, seed=5)
    np.testing.assert_array_equal(some, directions[[1, 4]])
    drawn = sample_paths.draw_cells(49, n_paths=4000, horizon=8, seed=5)
    free, bound = (
        sample_paths.draw_paths(step, groups, np.arange(6), drawn, each)
        for each in (None, directions)
    )
    np.testing.assert_array_equal(bound[:, ~trending], free[:, ~trending])
    change = np.diff(bound, axis=2, prepend=0.0)
    assert (change[:, trending] * directions[:, trending, None] > -1e-12).all()
    own = np.diff(free, axis=2, prepend=0.0)
    size = np.where(
        own * directions[..., None] < 0, np.minimum(np.abs(own), features.CAP_LOG), np.abs(own)
    )
    np.testing.assert_allclose(np.abs(change), size, atol=1e-12)


def test_past_cells_of_a_list_age_by_repricing_events():
    """Sixty cells without one and then one in every cell: the newest ten weigh nearly half."""
    count = np.concatenate([np.zeros(60), np.arange(1, 11)])
    clock = sample_paths.RepricingClock(count, since_alarm=np.full(70, np.inf))
    by_event, by_cell = (
        sample_paths.draw_cells(69, n_paths=3000, horizon=1, seed=1, clock=each).cell
        for each in (clock, None)
    )
    weight = 0.5 ** ((count[69] - count[1:]) / sample_paths.HALF_LIFE_REPRICINGS)
    assert (by_event >= 60).mean() == pytest.approx(weight[59:].sum() / weight.sum(), abs=0.03)
    assert (by_cell >= 60).mean() < 0.3 < 0.4 < (by_event >= 60).mean()


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
    moved = sample_paths.recentre(paths, point, lists=False)
    np.testing.assert_array_equal(moved == 0, paths == 0)
    np.testing.assert_allclose(np.median(moved, axis=1), point, atol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 0.7, 0.98])
def test_a_step_expected_moves_the_median_and_unchanged_stays_possible(share):
    """Also where most paths move, up and down: what stands still then holds the median at zero."""
    rng = np.random.default_rng(0)
    way = rng.choice([-0.3, 0.3], (2, 999, 1)) + rng.normal(0, 0.05, (2, 999, 1))
    paths = np.where(rng.random((2, 999, 1)) < 1 - share, 0.0, way)
    moved = sample_paths.recentre(paths, np.array([[-0.05], [0.001]]))
    assert np.median(moved[0]) == pytest.approx(-0.05, abs=1e-12)
    still = (paths[0] == 0).mean()
    assert still / 2 - 0.01 < (moved[0] == 0).mean() < 0.52
    np.testing.assert_array_equal(moved[1] == 0, paths[1] == 0)


def test_after_an_alarm_moves_far_ahead_have_the_tails_of_students_t():
    """One event since: two degrees of freedom; near steps, and lists without, stay as drawn."""
    since = np.full(50, np.inf)
    clock = sample_paths.RepricingClock(np.arange(50.0), since)
    drawn = {"n_paths": 20_000, "horizon": 4, "seed": 3}
    *cells, scale = sample_paths.draw_cells(49, clock=clock, **drawn)
    assert (scale == 1).all()
    since[40:] = 1
    *same, scale = sample_paths.draw_cells(49, clock=clock, **drawn)
    np.testing.assert_array_equal(same, cells)
    assert (scale[:, : repricing.LONG_STEPS] == 1).all()
    far = scale[:, repricing.LONG_STEPS]
    np.testing.assert_array_equal(scale[:, -1], far)
    normal = np.random.default_rng(0).normal(size=20_000)
    assert stats.kstest(normal * far, stats.t(2).cdf).pvalue > 0.01
    assert stats.kstest(normal, stats.t(2).cdf).pvalue < 1e-6
    step = np.ones((50, 1))
    paths = sample_paths.draw_paths(
        step, np.zeros(1, int), np.zeros(1, int), sample_paths.DrawnCells(*cells, scale)
    )
    np.testing.assert_allclose(paths[0, :, -1], repricing.LONG_STEPS + 2 * far)


def test_a_calm_market_moves_less_at_first_and_a_wild_one_as_ever():
    step = np.tile([0.2, -0.2], 100)[:, None] * np.ones(2)
    step[-24:, 0] = 0.0
    factor = sample_paths.calm_factor(step, cells_per_day=24, horizon=100)
    assert factor[0, 0] == sample_paths.CALMEST
    assert (np.diff(factor[0]) > 0).all()
    assert factor[0, -1] == pytest.approx(1.0, abs=0.02)
    np.testing.assert_allclose(factor[1], 1.0)


def test_a_step_that_is_turned_about_is_no_larger_than_the_cap_of_repricing():
    step = np.zeros((4, 1))
    step[2] = -1.1  # a price cut to a third
    drawn = sample_paths.DrawnCells(
        cell=np.full((2, 1), 2), neighbour=np.zeros((2, 1), int), scale=np.ones((2, 1))
    )
    directions = np.array([[1.0, -1.0]])
    found = sample_paths.draw_paths(step, np.zeros(1, int), np.zeros(1, int), drawn, directions)
    np.testing.assert_allclose(found[0, :, 0], [features.CAP_LOG, -1.1])
