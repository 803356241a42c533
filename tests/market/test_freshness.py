"""How old a price may be: ages by source, and what is refused."""

import pandas as pd
import pytest

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.market.freshness import Freshness, days_by_source
from cloudarb_lib.tables.assumptions import load_assumptions

SOURCES = pd.Series(["a", "b", "a"])


def test_one_age_holds_for_all_sources_and_expiry_is_an_assumption() -> None:
    ages = Freshness.of(14)
    assert ages.stale_days(SOURCES).tolist() == [14.0, 14.0, 14.0]
    fallback = load_assumptions().get("fallback_price_age_days")
    assert ages.expired_days(SOURCES).tolist() == [fallback] * 3


def test_a_named_source_has_its_own_age_and_none_expires_before_it_is_stale() -> None:
    ages = Freshness.of({"*": 14, "a": 100}, 30)
    assert ages.stale_days(SOURCES).tolist() == [100.0, 14.0, 100.0]
    assert ages.expired_days(SOURCES).tolist() == [100.0, 30.0, 100.0]
    assert ages.with_stale().stale_days(SOURCES).tolist() == [100.0, 30.0, 100.0]


@pytest.mark.parametrize(
    ("stale", "expired", "says"),
    [
        (-1, None, "stale_after_days: -1 is not a number"),
        (float("nan"), None, "nan is not a number"),
        ({"*": 14, "gcp": "soon"}, None, "stale_after_days of gcp: 'soon'"),
        ({"*": True}, None, "True is not a number"),
        (14, {"aws": -2}, "expired_after_days of aws: -2"),
        ({"gcp": 14}, None, "names gcp, but not '\\*'"),
        ({}, None, "names no source"),
    ],
)
def test_ages_that_are_none_are_refused(stale, expired, says) -> None:
    with pytest.raises(ParameterError, match=says):
        Freshness.of(stale, expired)


def test_ages_as_words_of_a_command_line() -> None:
    assert days_by_source(["14", "gcp=30", "0.5"]) == {"*": 0.5, "gcp": 30.0}
    assert days_by_source(["a=b=3"]) == {"a=b": 3.0}
    with pytest.raises(ParameterError, match="'gcp=soon' is neither days nor SOURCE=DAYS"):
        days_by_source(["gcp=soon"])
