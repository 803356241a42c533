"""Every member on bad input."""

import numpy as np
import pytest

from cloudarb_lib.forecast import ensemble
from cloudarb_lib.forecast import task as tasks
from cloudarb_lib.forecast.members import MEMBERS
from cloudarb_lib.forecast.patterns import find_patterns
from cloudarb_lib.testing import a_panel, damaged

pytestmark = pytest.mark.fit

EVERY = dict(MEMBERS)  # the slow ones too
OF_MANY_SERIES = ("prophet", "boosting", "lstm")
"""Members that speak of a group, or of all series, and so of one never seen."""


@pytest.mark.parametrize("step", ["7D", "1h"])
@pytest.mark.parametrize("name", EVERY)
def test_every_member_answers_bad_input_with_finite_numbers(name, step):
    patterns = find_patterns(damaged(step=step))
    task = ensemble.task_of(patterns, np.arange(60, 110, 7), horizon=6, seed=1)
    answer = EVERY[name].forecast(task)
    assert np.isfinite(answer).all()
    assert answer.shape == (8, 20, 6)
    unseen = np.flatnonzero(~np.isfinite(patterns.log_price).any(axis=0))
    if name not in OF_MANY_SERIES:
        assert not answer[:, unseen].any()
    nothing = ensemble.task_of(
        find_patterns(a_panel(np.full((30, 2), np.nan), step=step)),
        np.array([29]),
        horizon=3,
        seed=1,
    )
    assert not EVERY[name].forecast(nothing).any()


def test_features_that_are_all_missing_stop_no_member(monkeypatch):
    task = ensemble.task_of(find_patterns(damaged()), np.arange(90, 110), horizon=4, seed=1)
    none = {name: np.full(values.shape, np.nan) for name, values in task.features.items()}
    monkeypatch.setattr(tasks, "features", lambda *_, **__: none)
    blind = ensemble.task_of(find_patterns(damaged()), np.arange(90, 110), horizon=4, seed=1)
    answers, failed = ensemble.run_members(blind)
    assert not failed
    assert all(np.isfinite(answer).all() for answer in answers.values())
