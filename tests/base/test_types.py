"""Panels and sample paths refuse the impossible, and survive their tables."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.tables.validation import validate

TIMES = pd.date_range("2026-01-01", periods=3, freq="7D", tz="UTC")


def offers(*ids: str) -> pd.DataFrame:
    return pd.DataFrame({"provider": ["gcp"] * len(ids)}, index=pd.Index(ids, name="offer_id"))


def panel(**changes) -> Panel:
    cells = np.ones((3, 2))
    given_ = {"times": TIMES, "step": pd.Timedelta("7D"), "offers": offers("a", "b")}
    given_ |= {"price": cells, "available": cells, "state": np.array([[1, 2], [2, 3], [3, 0]])}
    return Panel(**{**given_, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"price": np.ones((2, 2))},
        {"times": TIMES.tz_localize(None)},
        {"times": TIMES[::-1]},
        {"offers": offers("a", "a")},
    ],
)
def test_a_panel_refuses_the_impossible(changes):
    with pytest.raises(DataError):
        panel(**changes)


def test_a_panel_says_what_it_is_and_can_be_cut():
    whole = panel()
    assert "2 offers x 3 steps" in repr(whole)
    assert "33% of cells filled" in repr(whole)
    assert "empty" in repr(whole.until(pd.Timestamp("2020-01-01", tz="UTC")))
    assert len(whole.until(TIMES[1]).times) == 2
    assert list(whole.select(["b"]).offers.index) == ["b"]
    assert list(whole.select(np.array([False, True])).offers.index) == ["b"]
    assert whole.frame("state").loc[TIMES[2], "b"] == 0
    with pytest.raises(DataError, match="not in the panel"):
        whole.select(["c"])


@pytest.mark.parametrize(
    "values",
    [
        np.ones((2, 4)),
        np.ones((3, 4, 3)),
        np.ones((2, 0, 3)),
        np.full((2, 4, 3), np.nan),
        -np.ones((2, 4, 3)),
    ],
)
def test_paths_refuse_the_impossible(values):
    with pytest.raises(DataError):
        Paths(pd.Index(["a", "b"]), TIMES, values)


@pytest.mark.slow
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_paths_survive_their_table(n_offers, n_paths, n_steps, seed):
    values = np.random.default_rng(seed).random((n_offers, n_paths, n_steps))
    ids = pd.Index([f"o{i}" for i in range(n_offers)])
    paths = Paths(ids, TIMES[:n_steps], values)
    table = validate(paths.table(), "paths").sample(frac=1, random_state=0)
    back = Paths.from_table(table).select(ids)
    np.testing.assert_array_equal(back.values, values)
    assert (back.times == paths.times).all()


def test_an_incomplete_table_of_paths_is_refused():
    table = Paths(pd.Index(["a"]), TIMES, np.ones((1, 2, 3))).table().iloc[1:]
    with pytest.raises(DataError, match="not complete"):
        Paths.from_table(table)
    with pytest.raises(DataError, match="no paths for offer z"):
        Paths(pd.Index(["a"]), TIMES, np.ones((1, 2, 3))).select(["z"])
