"""What is left out, by why, and what it would change."""

import pandas as pd

from cloudarb_lib.market import explore
from cloudarb_lib.market.freshness import Freshness
from cloudarb_lib.market.offers import current_offers
from cloudarb_lib.testing import all_sold, minute, timed_events, timed_looks

DAY = 24 * 60
NAN = float("nan")
AS_OF = minute(20 * DAY)


def market():
    rows = [
        (1, 0, 19 * DAY, 10.0, "a"),  # on offer
        (2, 0, DAY, 6.0, "a"),  # stale, and cheaper
        (3, 0, 18 * DAY, 4.0, "a"),  # in doubt, and the cheapest
        (3, 19 * DAY, 19 * DAY, NAN, "a"),
        (4, 0, DAY, 30.0, "a"),  # stale, and dearer
        (5, 0, 19 * DAY, NAN, "b"),  # withdrawn before it had a price
    ]
    events = timed_events(rows)
    events["quality"] = ["ok", "ok", "ok", "price_zero", "ok", "ok"]
    events["detail"] = [None, None, None, "price_usd_per_hour '0' is zero.", None, None]
    return current_offers(
        events, timed_looks([]), all_sold(events), as_of=AS_OF, freshness=Freshness.of(14)
    )


def plan_of(*machines):
    ids = [f"gcp/r//m{machine}/spot/" for machine in machines]
    return pd.DataFrame({"offer_id": ids, "workload": "train"})


def test_offers_left_out_are_counted_by_state_and_source_those_in_doubt_first() -> None:
    found = market()
    cheaper = explore.cheaper_left_out(found.states, plan_of(1), found.offers)
    table = explore.left_out(found.states, cheaper)
    assert table["state"].tolist() == ["in doubt", "withdrawn", "stale"]
    assert table["offers"].tolist() == [1, 1, 2]
    assert table["gpu_offers"].tolist() == [1, 1, 2]
    assert table["cheaper"].tolist() == [1, 0, 1]
    assert table["observed_at"].tolist() == [minute(18 * DAY), minute(19 * DAY), minute(DAY)]
    assert table["newest_reason"][0].endswith("price_usd_per_hour '0' is zero.")
    assert "cheaper" not in explore.left_out(found.states)


def test_cheaper_ones_are_held_against_the_dearest_that_the_plan_rents() -> None:
    found = market()
    cheaper = explore.cheaper_left_out(found.states, plan_of(1), found.offers)
    assert cheaper["instance_type"].tolist() == ["m3", "m2"]
    assert cheaper["usd_per_gpu_hour"].tolist() == [2.0, 3.0]
    assert cheaper["rented_usd_per_gpu_hour"].tolist() == [5.0, 5.0]
    other_option = found.states.assign(purchase_option="on_demand")
    assert explore.cheaper_left_out(other_option, plan_of(1), found.offers).empty
    assert explore.cheaper_left_out(found.states, plan_of(), found.offers).empty


def test_the_sentence_gives_the_answer_and_the_reason() -> None:
    found = market()
    cheaper = explore.cheaper_left_out(found.states, plan_of(1), found.offers)
    sentence = explore.left_out_in_words(found.states, cheaper)
    assert sentence == (
        "4 offers on record are left out: 1 in doubt, 1 withdrawn, 2 stale. At their last good "
        "prices 2 of them would be cheaper than what the plan rents of the same GPU and option "
        "(1 in doubt, 1 stale); the cheapest is gcp/r//m3/spot/, 2.00 USD a GPU-hour against 5.00: "
        "in doubt since 2026-01-20 00:00: price_usd_per_hour '0' is zero."
    )
    none = explore.left_out_in_words(found.states, cheaper.iloc[:0])
    assert none.endswith("2 stale. None would be cheaper than what the plan rents.")
    assert explore.left_out_in_words(found.states).endswith("2 stale.")
    offered = found.states[found.states["state"] == "offered"]
    assert explore.left_out_in_words(offered) == "Every offer on record is on offer."
