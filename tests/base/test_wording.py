"""Figures as people write them."""

import pandas as pd
import pytest

from cloudarb_lib.base import wording


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (wording.dollars(1_225_126.48), "$1,225,100"),
        (wording.dollars(16_249), "$16,200"),
        (wording.dollars(731.4), "$731"),
        (wording.dollars(1.388), "$1.39"),
        (wording.dollars(-16_249), "-$16,200"),
        (wording.dollars(0.0), "$0"),
        (wording.dollars(-0.004), "$0"),
        (wording.percent(3.93), "3.9 %"),
        (wording.percent(12.4), "12 %"),
        (wording.percent(0.0), "0 %"),
        (wording.number(64.0), "64"),
        (wording.number(2321.5), "2,322"),
        (wording.number(0.0521), "0.0521"),
        (wording.number(0.0003), "0.0003"),
        (wording.in_unit(0.044, "share"), "4.4 %"),
        (wording.in_unit(20_000, "USD"), "$20,000"),
        (wording.in_unit(109, "GPU"), "109 GPUs"),
        (wording.in_unit(1.09, "1"), "1.09"),
    ],
)
def test_figures_read_as_people_write_them(told, expected):
    assert told == expected


def test_the_midnight_that_ends_a_day_is_that_day():
    midnight = pd.Timestamp("2026-04-03", tz="UTC")
    assert wording.last_day(midnight) == "2 Apr 2026"
    assert wording.last_day(midnight + pd.Timedelta(hours=1)) == "3 Apr 2026"
    assert wording.day(midnight) == "3 Apr 2026"
