"""Members that learn: step process, boosting and Prophet."""

import numpy as np
import pytest

from cloudarb_lib.forecast.members import boosting, prophet, step_process
from cloudarb_lib.forecast.task import Task
from cloudarb_lib.testing import a_task, trending

pytestmark = pytest.mark.fit


def test_boosting_learns_a_rule_and_bows_out_without_rows():
    """Every series rises 5 % in the cell after a fall of 5 %: last value is wrong half the time."""
    price = np.where(np.arange(90)[:, None] % 2, 1.0, 0.95) * np.linspace(1, 3, 40)
    task = a_task(price, horizon=1, origins=np.arange(60, 89))
    error = np.abs(boosting.boosting(task).median - task.truth()).mean()
    assert error < 0.2 * np.abs(task.truth()).mean()
    short = a_task(price[:10], origins=np.arange(5, 10), horizon=2)
    assert (boosting.boosting(short).values == 0).all()


def test_prophet_goes_on_with_the_trend_of_each_group_and_repeats_itself():
    steps = np.where(np.arange(60) % 4 == 0, 0.03, 0.0)[:, None] * np.array([1, 1, -1, 0])
    price, groups = np.exp(np.cumsum(steps, axis=0)), np.array([0, 0, 1, 2])
    task = a_task(price, groups=groups, origins=np.arange(40, 56), horizon=8)
    out = prophet.prophet_of_groups(task).median
    assert (out[:, :2, 7] > 0.02).all()
    assert (out[:, 2, 7] < -0.02).all()
    assert (out[:, 3] == 0).all()  # a group that never moved
    np.testing.assert_array_equal(out, prophet.prophet_of_groups(task).median)


def test_prophet_knows_the_hours_of_a_day_and_nothing_of_the_future():
    cells = np.arange(24 * 20)
    price = np.exp(0.1 * np.sin(2 * np.pi * cells / 24))[:, None]
    origins = np.arange(24 * 17, 24 * 17 + 12)
    task = Task(np.log(price), np.zeros(1, int), origins, 12, 1, 24)
    out = prophet.prophet_of_groups(task).median[:, 0]
    came = task.truth()[:, 0]
    assert np.abs(out - came).mean() < 0.3 * np.abs(came).mean()
    other = np.log(price.copy())
    other[origins[0] + 1 :] = 3.0
    later = prophet.prophet_of_groups(Task(other, np.zeros(1, int), origins, 12, 1, 24))
    np.testing.assert_allclose(later.median[0], out[:1], atol=1e-9)


def test_the_step_process_learns_that_steps_go_on():
    price = trending(times=160, series=30)
    task = a_task(price, origins=np.arange(120, 150), horizon=6)
    out = step_process.step_process(task).median[..., 5]
    came = task.truth()[..., 5]
    assert (np.sign(out) == np.sign(came))[came != 0].mean() > 0.75
    assert np.abs(out - came).mean() < np.abs(came).mean()


def test_the_step_process_says_unchanged_where_nothing_ever_steps_and_where_steps_say_nothing():
    still = step_process.step_process(a_task(np.ones((80, 4))))
    assert (still.median == 0).all()
    rng = np.random.default_rng(1)
    coin = np.where((np.arange(120) % 3 == 0)[:, None], rng.choice([-0.05, 0.05], (120, 40)), 0.0)
    task = a_task(np.exp(np.cumsum(coin, axis=0)), origins=np.arange(90, 110), horizon=3)
    out = step_process.step_process(task).median
    assert np.abs(out[..., 2]).mean() < 0.3 * np.abs(task.truth()[..., 2]).mean()
