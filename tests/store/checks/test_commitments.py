"""A commitment dearer than on demand is the price of its whole term, or wrong."""

from __future__ import annotations

import pytest

from cloudarb_lib.store.checks.commitments import OVER_ON_DEMAND
from cloudarb_lib.store.checks.judge import judge
from cloudarb_lib.store.checks.own_history import FELL
from cloudarb_lib.testing import found_wrong, quotes

LISTED = "azure/eu//m/on_demand/"


def committed(price: float, *, term="1y", on_demand=0.096, day=0.0, listed_day=0.0):
    return quotes(
        (f"azure/eu//m/reserved/{term}", 0, day, price),
        (LISTED, 0, listed_day, on_demand),
        gpu_model=None,
    )


@pytest.mark.parametrize(
    ("price", "term", "corrected"),
    [
        (500, "1y", 500 / 8760),
        (1000, "3y", 1000 / 26280),
        (0.2, "1y", None),  # no price of a term
        (70, "1y", None),  # a month's
        (5000, "1y", None),
    ],
)
def test_the_price_of_a_whole_term_is_brought_to_an_hour_where_that_fits(
    price, term, corrected
) -> None:
    found = judge(*committed(price, term=term))
    assert found["quality"].tolist() == [OVER_ON_DEMAND]
    assert found["corrected"].tolist() == pytest.approx([corrected or float("nan")], nan_ok=True)


def test_the_sentences() -> None:
    (brought,) = judge(*committed(500))["detail"]
    assert brought == (
        "500.00 USD/h reserved, where on demand asks 0.096: the price of the whole term; over"
        " 8,760 h it is 0.057 USD/h, 59% of that, and counts as such."
    )
    (held,) = judge(*committed(0.2))["detail"]
    assert held == (
        "0.20 USD/h reserved, where on demand asks 0.096: a commitment that costs more is none, and"
        " over 8,760 h it is 2.3e-05 USD/h, 0% of that: held."
    )


@pytest.mark.parametrize("price", [0.06, 0.096, float("nan")])
def test_a_commitment_up_to_on_demand_is_one(price) -> None:
    assert judge(*committed(price)).empty


def test_it_is_known_once_both_prices_are() -> None:
    assert list(found_wrong(*committed(500, day=1), OVER_ON_DEMAND).values()) == [1]
    assert list(found_wrong(*committed(500, listed_day=4), OVER_ON_DEMAND).values()) == [4]


def test_a_commitment_replaced_before_on_demand_was_seen_is_not_judged() -> None:
    offer = "azure/eu//m/reserved/1y"
    rows = [(offer, 0, 0, 500), (offer, 0, 1, 0.05), (LISTED, 0, 2, 0.096)]
    assert not found_wrong(*quotes(*rows, gpu_model=None), OVER_ON_DEMAND)


def test_what_follows_the_price_of_a_term_is_no_fall() -> None:
    offer = "azure/eu//m/reserved/1y"
    rows = [(LISTED, 0, 0, 0.096), (offer, 0, 0, 500), (offer, 0, 1, 0.05), (offer, 0, 2, 0.02)]
    found = judge(*quotes(*rows, gpu_model=None))
    assert found["quality"].tolist() == [OVER_ON_DEMAND, FELL]
    assert found["row"].tolist() == [1, 3]


def test_an_on_demand_price_that_is_wrong_itself_judges_nothing() -> None:
    rows = [(LISTED, 0, 0, 0.096), (LISTED, 0, 1, 0.001), ("azure/eu//m/reserved/1y", 0, 2, 0.05)]
    found = judge(*quotes(*rows, gpu_model=None))
    assert found["quality"].tolist() == [FELL]


def test_zones_stand_beside_their_region() -> None:
    rows = [(LISTED, 0, 0, 0.096), ("azure/eu/eu-1/m/reserved/1y", 0, 0, 500)]
    assert len(judge(*quotes(*rows, gpu_model=None))) == 1
    other = [("azure/us//m/on_demand/", 0, 0, 0.096), ("azure/eu//m/reserved/1y", 0, 0, 500)]
    assert judge(*quotes(*other, gpu_model=None)).empty
