"""A comparison of forecasters says in how many months one errs less."""

import numpy as np
import pandas as pd

from cloudarb_lib.research.forecasters import months_better

TIMES = pd.DatetimeIndex(["2015-07-01", "2015-07-31", "2015-08-01"], tz="UTC")


def test_a_month_is_won_by_the_sum_of_its_errors():
    theirs = np.full((3, 2), 5.0)
    assert months_better(theirs, theirs, TIMES) == "0 of 2"
    one_good_origin = theirs + np.array([[-3.0, -3.0], [1.0, 1.0], [0.5, 0.5]])
    assert months_better(one_good_origin, theirs, TIMES) == "1 of 2"
    assert months_better(theirs - 1.0, theirs, TIMES) == "2 of 2"


def test_what_is_not_known_decides_no_month():
    theirs = np.full((3, 2), 5.0)
    unknown = theirs - np.array([[0.0, 0.0], [1.0, np.nan], [np.nan, np.nan]])
    assert months_better(unknown, theirs, TIMES) == "1 of 2"
