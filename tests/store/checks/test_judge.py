"""All checks together: what is known at a time never changes with what comes later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib.store.checks.judge import judge
from cloudarb_lib.store.checks.prices import MICROSECONDS_PER_DAY
from cloudarb_lib.testing import quotes

pytestmark = pytest.mark.slow

SHOP = [
    ("gcp/us//x1/on_demand/", 1),
    ("gcp/us//x8/on_demand/", 8),
    ("gcp/eu//x1/on_demand/", 1),
    ("gcp/eu//x2/on_demand/", 2),
    ("gcp/us//x8/spot/", 8),
    ("gcp/us//x8/reserved/1y", 8),
    ("vast/us//h1/on_demand/", 1),
    ("small/us//h1/on_demand/", 1),
]
"""Offers with their GPUs."""
RECORDS = st.lists(
    st.tuples(
        st.integers(0, len(SHOP) - 1),
        st.integers(0, 12),
        st.sampled_from([0, 0, 0, 2]),
        st.sampled_from([0.01, 1.0, 4, 5, 9, 10, 20, 40_000]),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda r: r[:3],
)
"""Offer, half-days until it takes effect, half-days until it is seen after that, and price."""


def frames(records):
    rows = [
        (*SHOP[offer], half_day / 2, price, (half_day + lag) / 2)
        for offer, half_day, lag, price in records
    ]
    return quotes(*rows, markets=["vast"])


def known(found, now: int):
    """What a reader at ``now`` knows: row, kind, time and sentence."""
    seen = found[found["flagged"] <= now].drop(columns="corrected")
    return sorted(seen.itertuples(index=False, name=None))


@settings(max_examples=60, deadline=None)
@given(RECORDS, st.integers(0, 14))
def test_flags_never_change_with_what_comes_later(records, cut) -> None:
    now = cut * MICROSECONDS_PER_DAY // 2
    prices, offers = frames(records)
    early = prices[prices["observed"] <= now]
    then = judge(early.reset_index(drop=True), offers)
    then["row"] = early.index.to_numpy()[then["row"].to_numpy(int)]
    assert known(judge(prices, offers), now) == known(then, now)


@settings(max_examples=25, deadline=None)
@given(RECORDS, st.randoms())
def test_the_order_of_rows_does_not_matter(records, random) -> None:
    prices, offers = frames(records)
    order = list(range(len(prices)))
    random.shuffle(order)
    shuffled = judge(prices.iloc[order].reset_index(drop=True), offers)
    shuffled["row"] = np.array(order)[shuffled["row"].to_numpy(int)]
    now = 100 * MICROSECONDS_PER_DAY
    assert known(shuffled, now) == known(judge(prices, offers), now)


def test_a_price_has_one_flag_and_one_more_where_the_list_came_back() -> None:
    offer = "gcp/us//x8/on_demand/"
    rows = [(offer, 8, 0, 80), (offer, 8, 1, 8), (offer, 8, 2, 80)]
    found = judge(*quotes(*rows))
    assert found["quality"].tolist() == ["fell_by_half", "glitch_reverted"]
    assert found["row"].tolist() == [1, 1]


def test_no_price_is_no_error() -> None:
    prices, offers = quotes(("gcp/us//x8/on_demand/", 8, 0, 80))
    assert judge(prices.iloc[:0], offers.iloc[:0]).empty
