"""Members that learn: boosting and Prophet."""

import numpy as np
import pytest

from cloudarb_lib.forecast.members import boosting, prophet
from cloudarb_lib.forecast.task import Task
from cloudarb_lib.testing import a_task

pytestmark = pytest.mark.fit


def test_boosting_learns_a_rule_and_bows_out_without_rows():
    """Every series rises 5 % in the cell after a fall of 5 %: last value is wrong half the time."""
    price = np.where(np.arange(90)[:, None] % 2, 1.0, 0.95) * np.linspace(1, 3, 40)
    task = a_task(price, horizon=1, origins=np.arange(60, 89))
    error = np.abs(boosting.boosting(task) - task.truth()).mean()
    assert error < 0.2 * np.abs(task.truth()).mean()
    short = a_task(price[:10], origins=np.arange(5, 10), horizon=2)
    assert (boosting.boosting(short) == 0).all()


def test_prophet_goes_on_with_the_trend_of_each_group_and_repeats_itself():
    steps = np.where(np.arange(60) % 4 == 0, 0.03, 0.0)[:, None] * np.array([1, 1, -1, 0])
    price, groups = np.exp(np.cumsum(steps, axis=0)), np.array([0, 0, 1, 2])
    task = a_task(price, groups=groups, origins=np.arange(40, 56), horizon=8)
    out = prophet.prophet_of_groups(task)
    assert (out[:, :2, 7] > 0.02).all()
    assert (out[:, 2, 7] < -0.02).all()
    assert (out[:, 3] == 0).all()  # a group that never moved
    np.testing.assert_array_equal(out, prophet.prophet_of_groups(task))


def test_prophet_knows_the_hours_of_a_day_and_nothing_of_the_future():
    cells = np.arange(24 * 20)
    price = np.exp(0.1 * np.sin(2 * np.pi * cells / 24))[:, None]
    origins = np.arange(24 * 17, 24 * 17 + 12)
    task = Task(np.log(price), np.zeros(1, int), origins, 12, 1, 24)
    out = prophet.prophet_of_groups(task)[:, 0]
    came = task.truth()[:, 0]
    assert np.abs(out - came).mean() < 0.3 * np.abs(came).mean()
    other = np.log(price.copy())
    other[origins[0] + 1 :] = 3.0
    later = prophet.prophet_of_groups(Task(other, np.zeros(1, int), origins, 12, 1, 24))
    np.testing.assert_allclose(later[0], out[:1], atol=1e-9)
