"""The meta-learner: it learns what ends a spike, knows nothing of the future, and leads only where it is better."""

import numpy as np
import pytest

from cloudarb_lib.forecast import members, meta
from cloudarb_lib.forecast import weights as judged
from cloudarb_lib.testing import a_task, spiking

HOURS, SERIES = 600, 16


def an_hourly_task(price, origins, horizon=24):
    task = a_task(price, origins=np.asarray(origins), horizon=horizon)
    return members.Task(task.log_price, task.groups, task.origins, horizon, 1, pace=24)


def test_it_learns_that_spikes_end_and_that_calm_stays():
    task = an_hourly_task(spiking(), np.arange(500, 570))
    said, high = meta.meta_learner(task), task.log_price[task.origins] > np.log(6)
    assert np.median(said[high][:, 23]) < -0.9 * np.log(10)
    assert (said[~high][:, 23] == 0).mean() > 0.9
    assert (said[:, :, : meta.AHEAD[0] - 1] == 0).all()
    came = task.truth()[:, :, 23]
    assert np.abs(said[:, :, 23] - came).mean() < 0.8 * np.abs(came).mean()


def test_nothing_that_it_says_uses_the_future():
    past = spiking()
    other = past.copy()
    other[521:] *= 3.0
    one, two = (meta.meta_learner(an_hourly_task(p, np.arange(500, 560))) for p in (past, other))
    np.testing.assert_array_equal(one[:21], two[:21])
    assert (one[21:] != two[21:]).any()


@pytest.mark.parametrize("what", ["days", "too short", "all missing", "late listing"])
def test_where_there_is_nothing_to_learn_the_price_stays(what):
    price = spiking(times=96 if what == "too short" else HOURS)
    if what == "all missing":
        price[:] = np.nan
    origins = np.arange(60, 90) if what == "too short" else np.arange(500, 520)
    task = an_hourly_task(price, origins)
    if what == "days":
        task = members.Task(task.log_price, task.groups, task.origins, 24, 1)
    if what == "late listing":
        task.log_price[:515, 3] = np.nan
        said = meta.meta_learner(task)
        assert (said[:15, 3] == 0).all()
        assert np.isfinite(said).all()
        assert (said[:, :3] != 0).any()
        return
    assert (meta.meta_learner(task) == 0).all()


def test_prices_in_units_of_their_week():
    price = np.ones((200, 1))
    price[100] = 169.0
    unit = meta.in_week_means(np.log(price), pace=24)
    assert unit[99, 0] == pytest.approx(1)
    assert unit[100, 0] == pytest.approx(169 / (269 / 101))


def test_sums_are_of_the_known_outcomes_discounted_by_age():
    rng, origins = np.random.default_rng(0), np.array([3, 4, 7, 12, 13, 20])
    values = rng.random((6, 2, 5))
    for half_life in (4.0, np.arange(1.0, 6.0), np.inf):
        found = judged.sums(judged.recent(origins, origins, 5, half_life), values)
        for at, group, h in np.ndindex(6, 2, 5):
            age = origins[at] - origins - (h + 1)
            life = np.broadcast_to(half_life, 5)[h]
            want = sum(
                0.5 ** (a / life) * v
                for a, v in zip(age, values[:, group, h], strict=True)
                if a >= 0
            )
            assert found[at, group, h] == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize(("says", "leads"), [("the truth", True), ("the opposite", False)])
def test_the_meta_learner_leads_only_where_it_beats_the_others_together(says, leads):
    task = an_hourly_task(spiking(), np.arange(300, 590, 3), horizon=4)
    truth = np.nan_to_num(task.truth())
    forecasts = {
        "last_value": members.last_value(task),
        "median_24": members.trailing_median(task, cells=24),
    }
    forecasts["meta_learner"] = truth if says == "the truth" else -truth
    weights, gates = judged.weigh(task, forecasts)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights[-1, 2] > 0.99).all() if leads else (weights[-1, 2] < 0.01).all()
    assert (gates[-1, 2] == ("" if leads else judged.NOT_LEADING)).all()
    assert (weights[0, 2] == 0).all()
    assert (gates[0, 2] == judged.NO_RECORD).all()
    forecasts["meta_learner"][:, :, :2] = 0.0
    weights, _ = judged.weigh(task, forecasts)
    assert (weights[:, 2, :, :2] == 0).all()
    assert (weights[-1, 2, :, 2:] > 0.99).all() == leads
