"""Current offers: fresh, in force, not withdrawn."""

import pytest

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.market.offers import current_offers, fresh
from cloudarb_lib.tables.validation import validate
from cloudarb_lib.testing import minute, timed_events, timed_looks


def test_current_offers_are_fresh_and_not_withdrawn() -> None:
    day = 24 * 60
    events = timed_events(
        [
            (1, 0, 0, 2.0, "a"),
            (1, 60, 60, 3.0, "a"),  # in force
            (2, 0, 0, 2.0, "a"),
            (2, 90, 90, float("nan"), "a"),  # withdrawn
            (3, 0, 0, 5.0, "b"),  # its source was last looked at long ago
            (4, 8 * day, 8 * day, 7.0, "a"),  # later
        ]
    )
    looks = timed_looks(
        [("a", 6 * day, 6 * day), ("b", day, day), ("a", 9 * day, 9 * day), ("c", 5 * day, 5 * day)]
    )
    offers, sources = current_offers(events, looks, as_of=minute(7 * day), stale_after_days=3)
    validate(offers, "offers")
    validate(sources, "sources")
    assert offers["offer_id"].tolist() == ["gcp/r//m1/spot/"]
    row = offers.iloc[0]
    assert (row["price_usd_per_hour"], row["price_usd_per_gpu_hour"]) == (3.0, 1.5)
    assert (row["changed_at"], row["looked_at"]) == (minute(60), minute(6 * day))
    told = sources.set_index("source")
    assert told["offers"].to_dict() == {"a": 1, "b": 1, "c": 0}
    assert told["stale"].to_dict() == {"a": False, "b": True, "c": False}
    assert told.loc["b", "age_days"] == pytest.approx(6.0)
    empty, _ = current_offers(events, looks, as_of=minute(-10), stale_after_days=3)
    assert empty.empty


def test_a_record_for_models_is_never_an_offer():
    events = timed_events([(0, 1, 1, 2.0, "aws-spot-2015"), (1, 1, 1, 3.0, "a")])
    offers, sources = current_offers(events, timed_looks([]), as_of=minute(5), stale_after_days=14)
    assert offers["source"].tolist() == ["a"]
    assert sources.set_index("source")["stale"].to_dict() == {"a": False, "aws-spot-2015": True}
    assert fresh(events, sources)["source"].tolist() == ["a"]


def test_an_age_below_zero_is_refused() -> None:
    events = timed_events([(1, 0, 0, 2.0, "a")])
    with pytest.raises(ParameterError, match="stale_after_days"):
        current_offers(events, timed_looks([]), as_of=minute(10), stale_after_days=-1)
