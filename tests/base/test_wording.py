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
        (wording.as_known(2143.0, "at most"), "at most $2,143"),
        (wording.as_known(16_249.0, "solved"), "$16,200"),
        (wording.as_known(16_249.0, "margin"), "about $16,200"),
        (wording.as_known(float("nan"), "no plan"), "no plan"),
        (wording.count(1, "week"), "1 week"),
        (wording.count(13, "week"), "13 weeks"),
        (wording.number(64.0), "64"),
        (wording.number(2321.5), "2,322"),
        (wording.number(0.0521), "0.0521"),
        (wording.number(0.0003), "0.0003"),
        (wording.in_unit(0.044, "share"), "4.4 %"),
        (wording.in_unit(20_000, "USD"), "$20,000"),
        (wording.in_unit(109, "GPU"), "109 GPUs"),
        (wording.in_unit(1.09, "1"), "1.09"),
        (wording.in_unit(1.0, "days"), "1 day"),
        (wording.in_unit(9.2, "days"), "9.2 days"),
        (wording.in_unit(0.737, "days"), "0.7 days"),
    ],
)
def test_figures_read_as_people_write_them(told, expected):
    assert told == expected


@pytest.mark.parametrize(
    ("column", "values", "texts"),
    [
        (wording.column_of_percent, [0.0, -0.0949, -0.91], ["0 %", "-0.1 %", "-0.9 %"]),
        (wording.column_of_percent, [0.00061, 9.6], ["0.0 %", "9.6 %"]),
        (wording.column_of_percent, [-0.0009, 4.4], ["0.0 %", "4.4 %"]),
        (wording.column_of_percent, [-9.99, 7.5], ["-10 %", "7.5 %"]),
        (wording.column_of_percent, [37.0, 100.0], ["37 %", "100 %"]),
        (wording.column_of_numbers, [0.143, 9.2, 3867.0], ["0.14", "9.20", "3,867"]),
        (wording.column_of_numbers, [0.8531, 0.9375], ["0.85", "0.94"]),
        (wording.column_of_numbers, [1.0, 0.8531], ["1.00", "0.85"]),
        (wording.column_of_numbers, [64.0, 2184.0], ["64", "2,184"]),
        (wording.column_of_numbers, [-0.00297, -0.0256], ["-0.0030", "-0.0256"]),
        (wording.column_of_numbers, [float("nan"), 1.0], ["nan", "1"]),
    ],
)
def test_the_decimals_of_a_column_are_those_of_its_largest_small_figure(column, values, texts):
    assert [column(values)(value) for value in values] == texts


def test_the_midnight_that_ends_a_day_is_that_day():
    midnight = pd.Timestamp("2026-04-03", tz="UTC")
    assert wording.last_day(midnight) == "2 Apr 2026"
    assert wording.last_day(midnight + pd.Timedelta(hours=1)) == "3 Apr 2026"
    assert wording.day(midnight) == "3 Apr 2026"
