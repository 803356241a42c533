"""Current offers: in force, on sale, and observed lately enough."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib.market.freshness import Freshness
from cloudarb_lib.market.offers import current_offers, fresh
from cloudarb_lib.tables.validation import validate
from cloudarb_lib.testing import T0, all_sold, minute, timed_events, timed_looks

pytestmark = pytest.mark.slow

DAY = 24 * 60
NO_LOOKS = timed_looks([])
NAN = float("nan")


def states_at(events, looks, day, ages=3):
    """Table ``offer_states``, checked, by the number of the offer."""
    freshness = ages if isinstance(ages, Freshness) else Freshness.of(ages)
    found = current_offers(
        events, looks, all_sold(events), as_of=minute(day * DAY), freshness=freshness
    )
    validate(found.offers, "offers")
    validate(found.sources, "sources")
    states = validate(found.states, "offer_states")
    offered = states.loc[states["state"] == "offered", "offer_id"]
    assert found.offers["offer_id"].tolist() == offered.tolist()
    return states.set_index(states["instance_type"].str.removeprefix("m").astype(int))


def test_current_offers_are_fresh_and_not_withdrawn() -> None:
    events = timed_events(
        [
            (1, 0, 0, 2.0, "a"),
            (1, 60, 60, 3.0, "a"),  # in force
            (2, 0, 0, 2.0, "a"),
            (2, 90, 90, NAN, "a"),  # withdrawn
            (3, 0, 0, 5.0, "b"),  # its source was last looked at long ago
            (4, 8 * DAY, 8 * DAY, 7.0, "a"),  # later
        ]
    )
    looks = timed_looks(
        [("a", 6 * DAY, 6 * DAY), ("b", DAY, DAY), ("a", 9 * DAY, 9 * DAY), ("c", 5 * DAY, 5 * DAY)]
    )
    as_of = minute(7 * DAY)
    offers, sources, states = current_offers(
        events, looks, all_sold(events), as_of=as_of, freshness=Freshness.of(3, 5)
    )
    assert offers["offer_id"].tolist() == ["gcp/r//m1/spot/"]
    row = offers.iloc[0]
    assert (row["price_usd_per_hour"], row["price_usd_per_gpu_hour"]) == (3.0, 1.5)
    assert (row["changed_at"], row["observed_at"]) == (minute(60), minute(6 * DAY))
    by_source = sources.set_index("source")
    assert by_source["offers"].to_dict() == {"a": 1, "b": 1, "c": 0}
    assert by_source["offered"].to_dict() == {"a": 1, "b": 0, "c": 0}
    assert by_source["stale"].to_dict() == {"a": False, "b": True, "c": False}
    assert by_source.loc["b", "age_days"] == pytest.approx(6.0)
    assert states["state"].tolist() == ["offered", "withdrawn", "expired"]
    assert states["since"].tolist() == [minute(60), minute(90), minute(6 * DAY)]
    assert states["price_usd_per_hour"].tolist() == [3.0, 2.0, 5.0]
    assert states["reason"].tolist() == [
        "",
        "withdrawn on 2026-01-01 01:30: a no longer has it",
        "last observed on 2026-01-02 00:00: expired after 5 days",
    ]
    early = current_offers(
        events, looks, all_sold(events), as_of=minute(-10), freshness=Freshness.of(3)
    )
    assert early.offers.empty
    assert early.states.empty


def test_a_look_at_another_region_or_option_says_nothing_of_an_offer() -> None:
    events = timed_events([(1, 0, 0, 2.0, "a")])
    elsewhere = [
        ("a", 9 * DAY, 9 * DAY, "r2", ""),
        ("a", 9 * DAY, 9 * DAY, "r", "on_demand"),
        ("b", 9 * DAY, 9 * DAY, "", ""),
    ]
    stale = states_at(events, timed_looks(elsewhere), 10).loc[1]
    assert (stale["state"], stale["observed_at"]) == ("stale", minute(0))
    assert stale["since"] == minute(3 * DAY)
    assert stale["reason"] == "last observed on 2026-01-01 00:00: stale after 3 days"
    for scope in [("", ""), ("r", ""), ("", "spot"), ("r", "spot")]:
        looks = timed_looks([*elsewhere, ("a", 8 * DAY, 8 * DAY, *scope)])
        seen = states_at(events, looks, 10).loc[1]
        assert (seen["state"], seen["observed_at"]) == ("offered", minute(8 * DAY))


def test_an_event_is_a_look_at_its_own_offer_alone() -> None:
    events = timed_events([(1, 0, 0, 2.0, "a"), (2, 9 * DAY, 9 * DAY, 3.0, "a")])
    states = states_at(events, NO_LOOKS, 10)
    assert states["state"].to_dict() == {1: "stale", 2: "offered"}


def test_silence_of_a_source_that_repeats_its_offers_means_gone() -> None:
    rows = [(1, 0, 0, 2.0, "a"), (1, DAY, DAY, 2.0, "a"), (2, 0, 0, 3.0, "b")]
    events = timed_events(rows)
    events["gone_after_hours"] = np.where(events["source"] == "a", 48.0, np.nan)
    last = states_at(events, NO_LOOKS, 3).loc[1]
    assert (last["state"], last["observed_at"]) == ("offered", minute(DAY))
    later = states_at(events, NO_LOOKS, 3.5).loc[1]
    assert (later["state"], later["since"]) == ("gone", minute(3 * DAY))
    assert (later["observed_at"], later["price_usd_per_hour"]) == (minute(DAY), 2.0)
    assert later["reason"] == (
        "gone since 2026-01-04 00:00: a repeats its offers, and has not this one"
    )
    assert states_at(events, NO_LOOKS, 3).loc[2, "state"] == "offered"
    back = timed_events([*rows[:2], (1, 9 * DAY, 9 * DAY, 2.5, "a")]).assign(gone_after_hours=48.0)
    assert states_at(back, NO_LOOKS, 10).loc[1, "state"] == "offered"


def test_a_price_held_back_puts_the_offer_in_doubt_until_a_good_one_comes() -> None:
    rows = [(1, 0, 0, 8.0, "a"), (1, DAY, DAY, NAN, "a"), (1, 2 * DAY, 2 * DAY, NAN, "a")]
    events = timed_events(rows).assign(
        quality=["ok", "price_zero", "price_zero"], detail=[None, "price is 0.", "it is 0 again."]
    )
    looks = timed_looks([("a", 2 * DAY, 2 * DAY)])
    doubt = states_at(events, looks, 2).loc[1]
    assert (doubt["state"], doubt["since"]) == ("in_doubt", minute(DAY))
    assert (doubt["observed_at"], doubt["price_usd_per_hour"]) == (minute(0), 8.0)
    assert doubt["reason"] == "in doubt since 2026-01-02 00:00: it is 0 again."
    silent = states_at(events.drop(columns="detail"), looks, 2).loc[1]
    assert silent["reason"].endswith(": its newest price was held back")
    good = pd.concat([events, timed_events([(1, 2 * DAY, 2 * DAY + 5, 8.5, "a")])])
    good = good.assign(quality=good["quality"].fillna("ok"), offer_id=good["offer_id"].astype(str))
    assert states_at(good, looks, 3).loc[1, "price_usd_per_hour"] == 8.5


def test_an_offer_that_never_had_a_good_price_has_none_and_was_never_observed() -> None:
    events = timed_events([(1, 0, 0, NAN, "a")]).assign(quality="price_zero")
    row = states_at(events, timed_looks([("a", 0, 0)]), 1).loc[1]
    assert row["state"] == "in_doubt"
    assert pd.isna(row["observed_at"])
    assert pd.isna(row["price_usd_per_hour"])


@pytest.mark.parametrize("kind", ["administered", "market"])
def test_none_left_is_sold_out_whatever_the_price_kind(kind) -> None:
    events = timed_events([(1, 0, 0, 8.0, "a"), (1, 60, 60, 8.0, "a"), (2, 60, 60, 9.0, "a")])
    events = events.assign(offer_count=pd.array([3, 0, 12], "Int32"), price_kind=kind)
    states = states_at(events, NO_LOOKS, 1)
    assert states["state"].to_dict() == {1: "sold_out", 2: "offered"}
    assert states.loc[1, "since"] == minute(60)
    assert states.loc[1, "reason"] == "sold out since 2026-01-01 01:00: none on sale"


def test_each_source_has_its_own_ages() -> None:
    events = timed_events([(k, 0, 0, 2.0, source) for k, source in enumerate("abc")])
    ages = Freshness.of({"*": 3, "a": 20}, {"b": 5})
    states = states_at(events, NO_LOOKS, 10, ages)
    assert states["state"].to_dict() == {0: "offered", 1: "expired", 2: "stale"}
    assert states_at(events, NO_LOOKS, 10, ages.with_stale())["state"].to_dict() == {
        0: "offered",
        1: "expired",
        2: "offered",
    }


def test_a_record_for_models_is_never_an_offer():
    events = timed_events([(0, 1, 1, 2.0, "aws-spot-2015"), (1, 1, 1, 3.0, "a")])
    offers, sources, states = current_offers(
        events, NO_LOOKS, all_sold(events), as_of=minute(5), freshness=Freshness.of(14)
    )
    assert offers["source"].tolist() == ["a"]
    assert sources.set_index("source")["stale"].to_dict() == {"a": False, "aws-spot-2015": True}
    assert states["state"].tolist() == ["models_only", "offered"]
    assert fresh(events, sources)["source"].tolist() == ["a"]


record_of = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 60),
        st.sampled_from(["price", "withdrawn", "doubt", "none left"]),
        st.sampled_from("ab"),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row[:2],
)


@settings(max_examples=80, deadline=None)
@given(record_of, st.integers(0, 70), st.integers(0, 60))
def test_states_equal_an_oracle_and_do_not_see_later_events(record, end, later) -> None:
    rows = [(o, at, at, 1.0 if w in ("price", "none left") else NAN, s) for o, at, w, s in record]
    events = timed_events(rows).assign(
        quality=["doubt" if w == "doubt" else "ok" for _, _, w, _ in sorted(record)],
        offer_count=pd.array(
            [0 if w == "none left" else 1 for *_, w, _ in sorted(record)], "Int32"
        ),
        gone_after_hours=[0.25 if s == "a" else np.nan for *_, s in sorted(record)],
    )
    freshness = Freshness.of(20 / DAY, 40 / DAY)
    known = events[events["effective_at"] <= minute(end + later)]
    found = current_offers(
        known, NO_LOOKS, all_sold(known), as_of=minute(end), freshness=freshness
    ).states
    expected = {}
    for offer, at, what, source in sorted(record):
        if at <= end:
            aged = "expired" if end - at > 40 else "stale" if end - at > 20 else "offered"
            is_gone = source == "a" and end - at > 15
            listed = {"price": aged, "none left": "sold_out"}.get(what)
            state = "gone" if listed and is_gone else listed
            expected[f"m{offer}"] = state or {"doubt": "in_doubt"}.get(what, what)
    assert dict(zip(found["instance_type"], found["state"], strict=True)) == expected
    assert (found["since"] <= T0 + pd.Timedelta(minutes=end)).all()


def test_what_is_listed_and_not_known_to_be_sold_is_left_out_unless_asked_for() -> None:
    events = timed_events([(1, 0, 0, 2.0, "a"), (2, 0, 0, 1.0, "a"), (3, 0, 0, NAN, "a")])
    evidence = all_sold(events[events["instance_type"] == "m1"])
    now = {"as_of": minute(5), "freshness": Freshness.of(3)}
    offers, sources, states = current_offers(events, NO_LOOKS, evidence, **now)
    assert offers["instance_type"].tolist() == ["m1"]
    assert states["state"].tolist() == ["offered", "not_known_sold", "withdrawn"]
    assert "no evidence of sale names m2 in r" in states["reason"][1]
    assert sources["offered"].tolist() == [1]
    both = current_offers(events, NO_LOOKS, evidence, **now, listed_too=True)
    assert both.offers["instance_type"].tolist() == ["m1", "m2"]
    assert both.offers["evidence"].isna().tolist() == [False, True]
