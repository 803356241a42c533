"""A frame is one of our tables, or it is refused by table, column and row."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.types import OFFER_PARTS, Paths
from cloudarb_lib.tables.run_schema import RUN_TABLES
from cloudarb_lib.tables.stored_schema import STORED
from cloudarb_lib.tables.validation import PANDAS_KINDS, validate
from cloudarb_lib.testing import some_weights

TIMES = pd.date_range("2026-01-01", periods=3, freq="7D", tz="UTC")


def test_every_column_has_a_meaning_and_every_key_is_a_column():
    for table in {**STORED, **RUN_TABLES}.values():
        assert set(table.key) <= set(table.names)
        assert len(set(table.names)) == len(table.names)
        assert all(c.meaning and c.dtype in PANDAS_KINDS for c in table.columns)
        assert all(
            c.unit for c in table.columns if c.dtype == "DOUBLE" and c.name not in ("skill",)
        )
    assert STORED["price_events"].names[:6] == list(OFFER_PARTS)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.rename(columns={"weight": "wieght"}), "did you mean 'wieght'"),
        (lambda f: f.assign(weight=["x", "y"]), "is not DOUBLE"),
        (lambda f: f.assign(weight=[1.0, np.nan]), "row 1: empty value"),
        (lambda f: f.assign(weight=[1.0, np.inf]), "infinite"),
        (lambda f: f.assign(model="a"), "repeats"),
    ],
)
def test_a_bad_table_is_refused_by_name(change, says):
    with pytest.raises(DataError, match=says):
        validate(change(some_weights()), "weights")


def test_naive_times_are_refused():
    table = Paths(pd.Index(["a"]), TIMES, np.ones((1, 2, 3))).table()
    table["target_utc"] = table["target_utc"].dt.tz_localize(None)
    with pytest.raises(DataError, match="naive"):
        validate(table, "paths")
