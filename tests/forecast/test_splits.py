"""Folds: nothing that comes after an origin may be known there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.forecast.splits import outcome_known, refit_blocks, spaced


@given(st.sets(st.integers(0, 300), min_size=1, max_size=60), st.integers(1, 40))
def test_every_origin_is_in_one_block_fitted_no_later_than_it(origins, refit_every):
    origins = np.array(sorted(origins))
    blocks = refit_blocks(origins, refit_every=refit_every)
    assert np.concatenate(blocks).tolist() == origins.tolist()
    assert all(block[-1] - block[0] < refit_every for block in blocks)


@given(st.integers(1, 20), st.integers(0, 60))
def test_an_outcome_is_known_only_when_it_has_come(horizon, at):
    origins = np.arange(50)
    assert outcome_known(origins, horizon, at=at).tolist() == [o + horizon <= at for o in range(50)]


def test_guards():
    assert [block.tolist() for block in refit_blocks(np.arange(5, 10), refit_every=2)] == [
        [5, 6],
        [7, 8],
        [9],
    ]
    with pytest.raises(ParameterError, match="go forward"):
        refit_blocks(np.array([3, 2]), refit_every=1)
    with pytest.raises(ParameterError, match="go forward"):
        refit_blocks(np.array([2, 3]), refit_every=0)
    assert refit_blocks(np.array([], int), refit_every=3) == []


def test_origins_are_spaced_evenly_and_each_outcome_lies_inside_the_record():
    found = spaced(100, first=40, horizons=[1, 20], origins=5)
    assert found[1].tolist() == [40, 54, 69, 84, 98]
    assert found[20].tolist() == [40, 50, 60, 69, 79]
    assert spaced(45, first=40, horizons=[2], origins=40)[2].tolist() == [40, 41, 42]


@pytest.mark.parametrize(
    "wrong", [{"horizons": []}, {"horizons": [0]}, {"horizons": [60]}, {"first": 0}]
)
def test_horizons_that_do_not_end_inside_are_refused(wrong):
    with pytest.raises(ParameterError, match="do not fit 100 cells"):
        spaced(100, **{"first": 40, "horizons": [1], "origins": 5, **wrong})
    with pytest.raises(ParameterError, match="origins is 0"):
        spaced(100, first=40, horizons=[1], origins=0)
