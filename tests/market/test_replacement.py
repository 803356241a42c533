"""What replaces lost machines: all that ask for room of a pool or a quota share it."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.market.replacement import DOWN, UP, Room, chances_of_states, replace_lost


def offers_with(fallbacks, *, next_fallbacks=None, units=1.0):
    n = len(fallbacks)
    return pd.DataFrame(
        {
            "units": np.broadcast_to(units, n).astype(float),
            "fallback": fallbacks,
            "fallback_usd_per_hour": 2.0,
            "next_fallback": next_fallbacks or [None] * n,
            "next_fallback_usd_per_hour": 3.0,
        },
        index=pd.Index([f"spot{k}" for k in range(n)]),
    )


def room(units, **takes_of):
    """Room of resources of so many ``units``: which of them each offer takes from."""
    is_of = [[k in takes for takes in takes_of.values()] for k in range(len(units))]
    return Room(np.array(units, float), pd.Index(list(takes_of)), np.array(is_of, bool))


def unmet(table, lost, space, *, state=DOWN):
    lost = np.array([lost], float)
    return replace_lost(table, lost, np.full(lost.shape, state), space).unmet[0]


def test_two_fallbacks_under_one_quota_share_what_is_left_of_it():
    under_one = room([8.0], a=(0,), b=(0,))
    table = offers_with(["a", "b"])
    assert unmet(table, [8.0, 8.0], under_one).tolist() == [4.0, 4.0]
    assert unmet(table, [8.0, 0.0], under_one).tolist() == [0.0, 0.0]
    held = under_one.beside(pd.Series({"b": 6.0, "elsewhere": 9.0}))
    assert unmet(table, [3.0, 1.0], held).tolist() == [1.5, 0.5]


def test_the_next_fallback_finds_what_the_first_left_of_their_quota():
    table = offers_with(["a"], next_fallbacks=["b"])
    assert unmet(table, [9.0], room([8.0], a=(0,), b=(0,))).tolist() == [1.0]
    assert unmet(table, [9.0], room([8.0, 8.0], a=(0,), b=(1,))).tolist() == [0.0]
    assert unmet(table, [9.0], room([8.0, 8.0], a=(0,), b=(1,)), state=DOWN + 1).tolist() == [1.0]


def test_what_one_quota_stops_leaves_more_of_another_to_others():
    # all share ten; the first has a quota of one beside
    table = offers_with(["a", "b"])
    assert unmet(table, [10.0, 10.0], room([1.0, 10.0], a=(0, 1), b=(1,))).tolist() == [9.0, 1.0]


def test_lost_machines_leave_what_they_held_of_a_quota():
    of_all = room([8.0], a=(0,), spot0=(0,))
    table = offers_with(["a"], units=4.0)
    full = of_all.beside(pd.Series({"spot0": 8.0}))
    assert unmet(table, [2.0], full).tolist() == [0.0]
    twice = of_all.beside(pd.Series({"spot0": 8.0, "a": 4.0}))
    assert unmet(table, [2.0], twice).tolist() == [1.0]


def test_an_offer_of_which_no_machine_fits_is_named():
    space = room([8.0, 4.0, 0.0], a=(0,), b=(0, 1), c=(2,), d=())
    assert space.without_a_machine(pd.Series(8.0, list("abcd"))) == {"b", "c"}


@pytest.mark.parametrize("seed", range(40))
def test_no_more_is_served_than_there_is_and_no_less(seed):
    rng = np.random.default_rng(seed)
    names = list("abcdef")
    resources = int(rng.integers(1, 5))
    is_of = rng.random((resources, len(names))) < 0.5
    space = Room(rng.integers(0, 9, resources).astype(float), pd.Index(names), is_of)
    table = offers_with([*names[:5], None])
    lost = rng.integers(0, 9, (3, len(table))).astype(float)
    state = rng.choice([UP, DOWN], lost.shape)
    instead = replace_lost(table, lost, state, space)
    served = lost - instead.unmet
    np.testing.assert_allclose(instead.cost_usd, 2.0 * served)
    takes = np.hstack([is_of[:, :5], np.zeros((resources, 1), bool)])
    used = served @ takes.T
    assert (used <= space.units + 1e-6).all()
    is_stopped = (used >= space.units - 1e-6) @ takes
    is_stopped[:, 5] = True
    assert (is_stopped | (instead.unmet < 1e-6)).all()


def test_the_states_of_a_pool_are_all_there_are():
    chances = chances_of_states(0.9, np.array([0.8, 0.0, 1.0]))
    np.testing.assert_allclose(chances.sum(axis=0), 1.0)
    np.testing.assert_allclose(chances[:, 0], [0.1, 0.72, 0.144, 0.036])
