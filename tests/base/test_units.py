"""Times and grid steps: what is no instant, and what no fixed step, is refused."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.base import units
from cloudarb_lib.base.errors import ParameterError


def test_a_date_means_the_end_of_its_day():
    assert units.parse_as_of("2026-04-29") == pd.Timestamp("2026-04-30T00:00Z")
    assert units.parse_as_of("2026-04-29T10:00:00+02:00") == pd.Timestamp("2026-04-29T08:00Z")


@pytest.mark.parametrize(
    "value", ["2026-04-29T10:00", "yesterday", "", None, "2026-13-01", "NaT", "9999-01-01"]
)
def test_as_of_refuses_what_is_no_instant(value):
    with pytest.raises(ParameterError):
        units.parse_as_of(value)


@given(st.datetimes(min_value=pd.Timestamp("1971-01-01"), max_value=pd.Timestamp("2200-01-01")))
def test_a_naive_time_is_always_refused(value):
    with pytest.raises(ParameterError, match="time zone"):
        units.ensure_utc(value)


@pytest.mark.parametrize("value", ["0h", "-1D", "month", ""])
def test_freq_refuses_what_is_no_fixed_step(value):
    with pytest.raises(ParameterError):
        units.parse_freq(value)


def test_freq_names():
    assert units.parse_freq("weekly") == units.parse_freq("7D") == pd.Timedelta(hours=168)
