"""Weights and gates: by what has paid, by repricing events, and after alarms."""

from dataclasses import replace

import numpy as np
import pytest

from cloudarb_lib.forecast import ensemble, repricing
from cloudarb_lib.forecast import weights as judged
from cloudarb_lib.testing import a_task, median_of, medians, spiking, stepping

pytestmark = pytest.mark.fit


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
    answers, failed = ensemble.run_members(task)
    forecasts = medians(answers)
    assert not failed
    weights, gates = judged.weigh(task, forecasts)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    last, trend, back = (
        list(forecasts).index(n) for n in ("last_value", "momentum_26", "median_24")
    )
    assert (weights[-1, last, :, 3] < 0.5).all()
    assert (weights[-1, back, :, 3] == 0).all()
    assert (weights[0, last] == 1).all()
    assert (gates[0, trend] == judged.NO_RECORD).all()


def test_a_member_worse_than_last_value_is_gated():
    task = a_task(np.exp(np.random.default_rng(0).normal(0, 0.1, (80, 30))))
    forecasts = medians(ensemble.run_members(task)[0])
    weights, gates = judged.weigh(task, forecasts)
    k = list(forecasts).index("repeat_last_step")
    assert (gates[-1, k] == judged.WORSE).all()
    assert (weights[-1, k] == 0).all()


def test_many_copies_of_a_pattern_weigh_as_many():
    price = stepping(series=4)
    price[:, 0] = np.exp(0.01 * np.arange(80))
    task = a_task(price)
    many = replace(task, copies=np.array([1000, 1, 1, 1]))
    forecasts = medians(ensemble.run_members(task)[0])
    last = list(forecasts).index("last_value")
    few, lots = (judged.weigh(t, forecasts)[0][-1, last, 0, 3] for t in (task, many))
    assert lots < 0.1 < few


def test_repricing_judges_what_lies_far_ahead_before_its_outcome_is_known():
    """Prices that stood still fall 5 % each time of late: 30 steps ahead nothing has come."""
    price = np.ones((100, 20))
    for at in (60, 80, 84, 88, 92, 96):
        price[at:] *= 0.95
    task = a_task(price, origins=np.arange(40, 100), horizon=30)
    forecasts = medians(ensemble.run_members(task)[0])
    weights, _ = judged.weigh(task, forecasts)
    last = list(forecasts).index("last_value")
    assert (weights[60 - 40, last, :, 29] == 1).all()
    assert (weights[-1, last, :, 29] < 0.7).all()


def test_where_nothing_was_ever_repriced_that_speaks_for_no_member():
    """Each cell another of 30 series steps: prices move, but a tenth of them never do at once."""
    change = np.where(np.arange(100)[:, None] % 30 == np.arange(30), -0.1, 0.0)
    task = a_task(np.exp(np.cumsum(change, axis=0)), origins=np.arange(40, 99), horizon=8)
    forecasts = {name: median_of(name, task) for name in ("last_value", "momentum_8")}
    weights, _ = judged.weigh(task, forecasts)
    assert (weights[:, 0, :, repricing.LONG_STEPS :] == 1).all()


def test_an_alarm_halves_the_last_value_until_the_next_repricing_and_for_no_one_else(monkeypatch):
    """A year of steps of 1 % that say nothing, then all fall by a third: where the next repricing
    event is due, half of the weight follows the trend, until it has come."""
    rng = np.random.default_rng(1)
    change = np.where((np.arange(80) % 6 == 0)[:, None], rng.choice([-0.01, 0.01], (80, 30)), 0.0)
    change[60] = -0.4
    task = a_task(np.exp(np.cumsum(change, axis=0)), origins=np.arange(30, 72), horizon=13)
    since = repricing.repricings_since_alarm(task)
    assert np.isinf(since[:60]).all()
    assert since[60:73].tolist() == [0] * 6 + [1] * 6 + [2]
    forecasts = medians(ensemble.run_members(task)[0])
    weights, gates = judged.weigh(task, forecasts)
    last, trend = (list(forecasts).index(n) for n in ("last_value", judged.TREND))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    alarmed = slice(60 - 30, 66 - 30)
    assert (weights[alarmed, last, :, 6:] <= judged.TURN_SHARE).all()
    assert (weights[alarmed, trend, :, 6:] >= 0.4).all()
    assert (gates[alarmed, trend, :, 6:] == "").all()
    first = a_task(
        np.exp(np.cumsum(np.where(change == -0.4, change, 0.0), axis=0)),
        origins=np.arange(30, 72),
        horizon=13,
    )
    two = {name: median_of(name, first) for name in ("last_value", judged.TREND)}
    assert (judged.weigh(first, two)[0][:, 1] == 0).all()  # where no event ever was, none is due
    monkeypatch.setattr(judged, "LEAST_REPRICINGS", 0)
    assert (judged.weigh(first, two)[0][alarmed, 1, :, -1] == 0.5).all()
    monkeypatch.undo()
    monkeypatch.setattr(judged, "TURN_SHARE", 1.0)
    without, _ = judged.weigh(task, forecasts)
    np.testing.assert_array_equal(weights[..., :4], without[..., :4])  # no event is due so soon
    np.testing.assert_array_equal(
        np.delete(weights, range(30, 36), 0), np.delete(without, range(30, 36), 0)
    )
    monkeypatch.undo()
    cut = a_task(np.exp(np.cumsum(change[:64], axis=0)), origins=np.arange(30, 63), horizon=13)
    earlier, _ = judged.weigh(cut, {name: f[:33] for name, f in forecasts.items()})
    np.testing.assert_allclose(earlier, weights[:33])


def test_on_a_market_outcomes_before_an_alarm_count_less():
    """50 days of prices that wander, then ten of spikes that end: the way back to the median pays
    from then on, and is believed sooner than without the alarm."""
    rng = np.random.default_rng(2)
    wander = np.cumsum(rng.choice([-0.006, 0.006], (240, 20)), axis=0)
    wander[200:] = wander[199] + np.where(rng.random((40, 20)) < 0.4, 0.3, 0.0)
    task = a_task(np.exp(wander), origins=np.arange(100, 239), horizon=1, cells_per_day=4)
    alarm = repricing.last_alarm(task)
    assert (alarm[:200] == -1).all()
    assert 200 <= alarm[-1] < 220
    forecasts = {name: median_of(name, task) for name in ("last_value", "median_24")}
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
    forecasts = {name: median_of(name, task) for name in ("last_value", "median_24")}
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
