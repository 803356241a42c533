"""Persistence of direction: chances of a group's own, and memories that compete."""

import numpy as np
import pytest

from cloudarb_lib.forecast.lists.persistence import draw_persistence, memory_gain


def drawn(again):
    rng = np.random.default_rng(0)
    return draw_persistence(again, memory_gain(again), n_paths=4000, rng=rng)


def test_a_group_that_always_goes_on_is_not_drawn_towards_one_that_does_not():
    again = np.column_stack([np.ones(12), np.tile([0.0, 1.0], 6), np.full(12, np.nan)])
    always, by_chance, unknown = drawn(again)
    assert always.mean() > 0.85
    assert by_chance.mean() == pytest.approx(0.5, abs=0.1)
    assert unknown.mean() == pytest.approx(0.5, abs=0.02)
    assert unknown.std() == pytest.approx(12**-0.5, abs=0.02)  # any chance is as likely
    np.testing.assert_allclose(drawn(again[:, :1])[0], always)  # whoever is beside it


def test_each_group_remembers_as_long_as_has_foretold_it():
    turned_for_good = np.repeat([1.0, 0.0], 10)
    now_and_then = np.tile([1.0, 1.0, 0.0, 1.0, 1.0], 4)
    lately, always = drawn(np.column_stack([turned_for_good, now_and_then]))
    assert lately.mean() < 0.3  # the whole record says a half
    assert always.mean() == pytest.approx(0.8, abs=0.1)


def test_a_review_that_says_nothing_judges_no_memory():
    again = np.array([[1.0], [np.nan], [0.0]])
    gain = memory_gain(again)
    assert not gain[1].any()
    # nothing before the first: a share of 1 where any chance is as likely has half the chance
    np.testing.assert_allclose(np.exp(gain[0]), 0.5)
    shorter, _, longer = gain[2, 0]
    assert shorter > longer  # what went on is nearly forgotten by the short memory
