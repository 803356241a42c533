"""Weights and gates: by what has paid, and after alarms."""

from dataclasses import replace

import numpy as np
import pytest

from cloudarb_lib.forecast import weights as judged
from cloudarb_lib.forecast.drift import last_alarm
from cloudarb_lib.forecast.member import no_change
from cloudarb_lib.testing import a_task, coming_back, going_on, spiking, stepping


def simple(task):
    """What three simple members say."""
    return {
        "last_value": no_change(task),
        "going_on": going_on(task),
        "coming_back": coming_back(task),
    }


def test_sums_are_of_the_known_outcomes_discounted_by_age():
    rng, origins = np.random.default_rng(0), np.array([3, 4, 7, 12, 13, 20])
    values = rng.random((6, 2, 5))
    for half_life in (4.0, np.arange(1.0, 6.0), np.inf):
        counts = judged.discount_by_age(origins, origins, 5, half_life)
        found = judged.discounted_sums(counts, values)
        for at, group, h in np.ndindex(6, 2, 5):
            age = origins[at] - origins - (h + 1)
            life = np.broadcast_to(half_life, 5)[h]
            want = sum(
                0.5 ** (a / life) * v
                for a, v in zip(age, values[:, group, h], strict=True)
                if a >= 0
            )
            assert found[at, group, h] == pytest.approx(want, abs=1e-12)


def test_weights_go_to_the_better_member_and_sum_to_one():
    noise = np.random.default_rng(0).normal(0, 0.01, (80, 30))
    price = np.exp(0.02 * np.arange(80)[:, None] + noise)
    task = a_task(price, groups=np.repeat([0, 1], 15))
    weights, gates = judged.weigh(task, simple(task))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights[-1, 0, :, 3] < 0.5).all()
    assert (weights[-1, 2, :, 3] == 0).all()
    assert (weights[0, 0] == 1).all()
    assert (gates[0, 1] == judged.NO_RECORD).all()


def test_a_member_worse_than_last_value_is_gated():
    task = a_task(np.exp(np.random.default_rng(0).normal(0, 0.1, (80, 30))))
    weights, gates = judged.weigh(task, simple(task))
    assert (gates[-1, 1] == judged.WORSE).all()
    assert (weights[-1, 1] == 0).all()


def test_many_copies_of_a_pattern_weigh_as_many():
    price = stepping(series=4)
    price[:, 0] = np.exp(0.01 * np.arange(80))
    task = a_task(price)
    many = replace(task, copies=np.array([1000, 1, 1, 1]))
    forecasts = simple(task)
    few, lots = (judged.weigh(t, forecasts)[0][-1, 0, 0, 3] for t in (task, many))
    assert lots < 0.1 < few


def test_outcomes_before_an_alarm_count_less():
    """50 days of prices that wander, then ten of spikes that end: the way back to the median pays
    from then on, and is believed sooner than without the alarm."""
    rng = np.random.default_rng(2)
    wander = np.cumsum(rng.choice([-0.006, 0.006], (240, 20)), axis=0)
    wander[200:] = wander[199] + np.where(rng.random((40, 20)) < 0.4, 0.3, 0.0)
    task = a_task(np.exp(wander), origins=np.arange(100, 239), horizon=1, cells_per_day=4)
    alarm = last_alarm(task.log_price, cells_per_day=4)
    assert (alarm[:200] == -1).all()
    assert 200 <= alarm[-1] < 220
    forecasts = {"last_value": no_change(task), "coming_back": coming_back(task)}
    weights, _ = judged.weigh(task, forecasts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judged, "FORGOTTEN_SHARE", 1.0)
        slow, _ = judged.weigh(task, forecasts)
    before = alarm[-1] - 100
    np.testing.assert_array_equal(slow[:before], weights[:before])
    sooner, later = (int(np.argmax(each[:, 1, 0, 0] > 0.5)) for each in (weights, slow))
    assert before < sooner < later


@pytest.mark.parametrize(("says", "leads"), [("the truth", True), ("the opposite", False)])
def test_the_meta_learner_leads_only_where_it_beats_the_others_together(says, leads):
    task = a_task(spiking(), origins=np.arange(300, 590, 3), horizon=4, cells_per_day=24)
    truth = np.nan_to_num(task.truth())
    forecasts = {"last_value": no_change(task), "coming_back": coming_back(task)}
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
