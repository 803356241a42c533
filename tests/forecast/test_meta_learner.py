"""The meta-learner: it learns what ends a spike, and knows nothing of the future."""

import numpy as np
import pytest

from cloudarb_lib.forecast import features
from cloudarb_lib.forecast.members import meta_learner
from cloudarb_lib.testing import SPIKING_HOURS, a_task, spiking


@pytest.mark.slow
def test_it_learns_that_spikes_end_and_that_calm_stays():
    task = a_task(spiking(), origins=np.arange(500, 570), horizon=24, cells_per_day=24)
    said = meta_learner.meta_learner(task)
    high = task.log_price[task.origins] > np.log(6)
    assert np.median(said[high][:, 23]) < -0.9 * np.log(10)
    assert (said[~high][:, 23] == 0).mean() > 0.9
    assert (said[:, :, : meta_learner.LEARNED_AHEAD[0] - 1] == 0).all()
    came = task.truth()[:, :, 23]
    assert np.abs(said[:, :, 23] - came).mean() < 0.8 * np.abs(came).mean()


@pytest.mark.slow
def test_nothing_that_it_says_uses_the_future():
    past = spiking()
    other = past.copy()
    other[521:] *= 3.0
    one, two = (
        meta_learner.meta_learner(
            a_task(price, origins=np.arange(500, 560), horizon=24, cells_per_day=24)
        )
        for price in (past, other)
    )
    np.testing.assert_array_equal(one[:21], two[:21])
    assert (one[21:] != two[21:]).any()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["too short", "all missing", "late listing"])
def test_where_there_is_nothing_to_learn_the_price_stays(what):
    price = spiking(times=96 if what == "too short" else SPIKING_HOURS)
    if what == "all missing":
        price[:] = np.nan
    origins = np.arange(60, 90) if what == "too short" else np.arange(500, 520)
    task = a_task(price, origins=origins, horizon=24, cells_per_day=24)
    if what == "late listing":
        task.log_price[:515, 3] = np.nan
        said = meta_learner.meta_learner(task)
        assert (said[:15, 3] == 0).all()
        assert np.isfinite(said).all()
        assert (said[:, :3] != 0).any()
        return
    assert (meta_learner.meta_learner(task) == 0).all()


def test_prices_in_units_of_their_week():
    price = np.ones((200, 1))
    price[100] = 169.0
    unit = features.in_week_means(np.log(price), cells_per_day=24)
    assert unit[99, 0] == pytest.approx(1)
    assert unit[100, 0] == pytest.approx(169 / (269 / 101))
