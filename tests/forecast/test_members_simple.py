"""Members that fit nothing, by hand and by a slow recursion; every member on bad input."""

import numpy as np
import pytest

from cloudarb_lib.forecast import ensemble, features
from cloudarb_lib.forecast import task as tasks
from cloudarb_lib.forecast.members import MEMBERS
from cloudarb_lib.forecast.members.trailing_median import trailing_median
from cloudarb_lib.forecast.patterns import find_patterns
from cloudarb_lib.forecast.task import Task
from cloudarb_lib.testing import a_panel, a_task, damaged, median_of, stepping

pytestmark = pytest.mark.fit

EVERY = dict(MEMBERS)  # the slow ones too
OF_MANY_SERIES = ("prophet", "step_process", "boosting", "lstm")
"""Members that speak of a group, or of all series, and so of one never seen."""


def test_seasonal_naive_by_hand():
    """Three cells a day: the cell one day (two beyond the first) before the target comes again."""
    level = np.arange(12.0)[:, None] ** 2
    task = Task(level, np.zeros(1, int), np.array([2, 7]), 4, 1, cells_per_day=3)
    out = median_of("seasonal_naive", task)[:, 0]
    np.testing.assert_allclose(out[0], [0 - 4, 1 - 4, 0, 0 - 4])
    np.testing.assert_allclose(out[1], [25 - 49, 36 - 49, 0, 25 - 49])
    year = Task(level, np.zeros(1, int), np.array([7]), 4, 1)
    assert (median_of("seasonal_naive", year) == 0).all()  # no year of cells yet


def test_repeat_last_step_by_hand():
    """Steps of +10 % at cells 4 and 9: 5 apart, the next due at 14 and 19."""
    price = np.ones((12, 1))
    price[4:] *= 1.1
    price[9:] *= 1.1
    out = median_of("repeat_last_step", a_task(price, origins=[2, 6, 11], horizon=8))
    up = np.log(1.1)
    assert (out[:2] == 0).all()  # no step yet; one step, so no gap known
    np.testing.assert_allclose(out[2, 0], [0, 0, up, up, up, up, up, 2 * up])


def test_momentum_and_median_by_hand():
    """Steps of +10 % at cells 4 and 9 of one series, at 4 of the second, a spike of the third."""
    price = np.ones((12, 3))
    price[4:, :2] *= 1.1
    price[9:, 0] *= 2.0  # beyond the cap: counts as the cap
    price[11, 2] = 50.0
    task = a_task(price, origins=np.array([2, 11]), horizon=2)
    up, cap = np.log(1.1), features.CAP_LOG
    out = median_of("momentum_8", task)
    assert (out[0] == 0).all()
    np.testing.assert_allclose(out[1, 0], (up + cap) / 8 * np.array([1, 2]))
    np.testing.assert_allclose(out[1, 1], up / 8 * np.array([1, 2]))
    back = trailing_median(task, cells=5).median
    np.testing.assert_allclose(back[1, 2], -np.log(50))


def test_damped_trend_equals_holts_recursion():
    price = stepping(series=3)
    task = a_task(price)
    alpha, beta, phi = 0.99, 0.12, 0.95
    out = median_of("damped_trend", task)
    for s in range(3):
        y = task.log_price[:, s] - task.log_price[0, s]
        level, trend, trends = 0.0, 0.0, []
        for value in y:
            before = level
            level = alpha * value + (1 - alpha) * (level + phi * trend)
            trend = beta * (level - before) + (1 - beta) * phi * trend
            trends.append(trend)
        want = np.array(trends)[task.origins, None] * np.cumsum(phi ** np.arange(1, 5))
        np.testing.assert_allclose(out[:, s], want, atol=1e-10)


@pytest.mark.parametrize("step", ["7D", "1h"])
@pytest.mark.parametrize("name", EVERY)
def test_every_member_answers_bad_input_with_finite_numbers(name, step):
    patterns = find_patterns(damaged(step=step))
    task = ensemble.task_of(patterns, np.arange(60, 110, 7), horizon=6, seed=1)
    answer = EVERY[name].forecast(task)
    assert np.isfinite(answer.values).all()
    assert answer.median.shape == (8, 20, 6)
    assert (answer.quantiles is not None) == (name in ("boosting", "lstm"))
    if answer.quantiles is not None:
        assert (np.diff(answer.quantiles, axis=-1) >= 0).all()
    unseen = np.flatnonzero(~np.isfinite(patterns.log_price).any(axis=0))
    if name not in OF_MANY_SERIES:
        assert not answer.median[:, unseen].any()
    nothing = ensemble.task_of(
        find_patterns(a_panel(np.full((30, 2), np.nan), step=step)),
        np.array([29]),
        horizon=3,
        seed=1,
    )
    assert not EVERY[name].forecast(nothing).values.any()


def test_features_that_are_all_missing_stop_no_member(monkeypatch):
    task = ensemble.task_of(find_patterns(damaged()), np.arange(90, 110), horizon=4, seed=1)
    none = {name: np.full(values.shape, np.nan) for name, values in task.features.items()}
    monkeypatch.setattr(tasks, "features", lambda *_, **__: none)
    blind = ensemble.task_of(find_patterns(damaged()), np.arange(90, 110), horizon=4, seed=1)
    answers, failed = ensemble.run_members(blind)
    assert not failed
    assert all(np.isfinite(answer.values).all() for answer in answers.values())
