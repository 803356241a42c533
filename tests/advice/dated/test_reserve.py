"""A block of capacity is taken up to its break-even price, and where the others may be late."""

import dataclasses

import numpy as np
import pytest

from cloudarb_lib.advice.dated.reserve import RESERVE, Block, reserve_or_spot
from cloudarb_lib.advice.dated.run import BEST, SPOT_ALONE, DatedRun, assumed
from cloudarb_lib.base.errors import ParameterError

RUN = DatedRun(20.0, 30.0, 0.2, 3.0, 10.0)
VIEWS = {"calm": assumed(0.001, 0.5, RUN), "stressed": assumed(0.5, 3.0, RUN)}


def table(block, run=RUN, max_p_late=0.0):
    return reserve_or_spot(run, block, VIEWS, max_p_late=max_p_late, n_paths=500, seed=1)


@pytest.mark.slow
def test_a_block_is_paid_by_whole_units():
    assert Block(5.0).hours(RUN) == 24.0
    assert Block(5.0, 10.1).hours(RUN) == pytest.approx(20.2)
    assert table(Block(5.0))["reserve_usd"].tolist() == [120.0, 120.0]


@pytest.mark.slow
def test_the_block_is_taken_up_to_its_break_even_price():
    even = table(Block(5.0))["break_even_usd_per_hour"]
    assert even["calm"] < even["stressed"]
    for view, usd in even.items():
        assert table(Block(usd * 0.999)).loc[view, "choice"] == RESERVE
        assert table(Block(usd * 1.001)).loc[view, "choice"] == BEST


@pytest.mark.slow
def test_spot_alone_is_chosen_only_where_it_may_be_late_so_often():
    dear = Block(50.0)
    stressed = table(dear).loc["stressed"]
    assert 0 < stressed["alone_p_late"] < 1
    assert stressed["choice"] == BEST
    assert table(dear, max_p_late=1.0).loc["stressed", "choice"] == SPOT_ALONE


def test_without_on_demand_only_the_block_is_sure():
    found = table(Block(50.0), dataclasses.replace(RUN, on_demand_usd_per_hour=None))
    assert found.loc["stressed", "choice"] == RESERVE
    assert np.isnan(found.loc["stressed", "break_even_usd_per_hour"])
    assert found["on_demand_usd"].isna().all()


@pytest.mark.parametrize("terms", [(0.0,), (1.0, 0.0), (float("nan"),)])
def test_a_block_that_is_none_is_refused(terms):
    with pytest.raises(ParameterError, match="is none"):
        Block(*terms)


def test_a_chance_that_is_none_is_refused():
    with pytest.raises(ParameterError, match="outside 0 to 1"):
        table(Block(1.0), max_p_late=1.5)
