"""Panels against slow oracles."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import (
    STATE_ABSENT,
    STATE_CHANGED,
    STATE_NOT_LOOKED,
    STATE_UNCHANGED,
    Panel,
)
from cloudarb_lib.market.panel import cheapest, to_panel
from cloudarb_lib.testing import T0, minute, timed_events, timed_looks

pytestmark = pytest.mark.slow


def same(a: float, b: float) -> bool:
    return a == b or (np.isnan(a) and np.isnan(b))


events_of = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 60),
        st.sampled_from([0, 0, 0, 5, 20]),
        st.sampled_from([1.0, 2.0, 3.5, float("nan")]),
        st.sampled_from("ab"),
    ),
    min_size=1,
    max_size=14,
    unique_by=lambda row: (row[0], row[1], row[2]),
)
SCOPES = [("", ""), ("r", ""), ("", "spot"), ("r", "spot"), ("r2", ""), ("r", "on_demand")]
looks_of = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(0, 60),
        st.sampled_from([0, 0, 12]),
        st.sampled_from(SCOPES),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(
    events_of,
    looks_of,
    st.integers(20, 75),
    st.sampled_from([3, 7, 20]),
    st.sampled_from([None, 11]),
)
def test_panel_equals_a_minute_by_minute_oracle(rows, look_rows, end, width, start) -> None:
    rows = [(offer, e, e + lag, price, source) for offer, e, lag, price, source in rows]
    frame = timed_events(rows)
    look_frame = timed_looks([(source, u - lag, u, *scope) for source, u, lag, scope in look_rows])
    looks = [
        (source, u - lag, u)
        for source, u, lag, (region, option) in look_rows
        if region in ("", "r") and option in ("", "spot")
    ]
    options = {
        "freq": pd.Timedelta(minutes=width),
        "as_of": minute(end),
        "start": None if start is None else minute(start),
    }
    last = to_panel(frame, look_frame, how="last", **options)
    mean = to_panel(frame, look_frame, how="mean", **options)
    known = [(o, max(e, s), e, p, src) for o, e, s, p, src in rows if max(e, s) <= end]
    assert list(last.offers.index) == sorted({f"gcp/r//m{o}/spot/" for o, *_ in known})
    if not known:
        return
    assert last.times[-1] == minute(end)
    begin = min(s for _, s, *_ in known) if start is None else start
    first = (last.times[0] - T0) // pd.Timedelta(minutes=1)
    assert first - width < begin <= first if start is None else first - width <= begin < first
    for j, name in enumerate(last.offers.index):
        mine = [row[1:] for row in known if f"gcp/r//m{row[0]}/spot/" == name]

        def in_force(t, mine=mine):
            started = [(e, s, p, src) for s, e, p, src in mine if s <= t]
            return max(started, key=lambda known: known[:2])[2:] if started else (np.nan, None)

        for i in range(len(last.times)):
            right = first + i * width
            price, source = in_force(right)
            assert same(last.price[i, j], price)
            minutes = [in_force(t)[0] for t in range(right - width, right)]
            sold = [p for p in minutes if not np.isnan(p)]
            expected = np.nan if source is None else len(sold) / width
            np.testing.assert_allclose(last.available[i, j], expected)
            np.testing.assert_allclose(mean.price[i, j], np.mean(sold) if sold else price)
            inside = [
                t for t in range(right - width + 1, right + 1) if any(s == t for s, *_ in mine)
            ]
            moved = any(not same(in_force(t)[0], in_force(t - 1)[0]) for t in inside)
            begun = any(in_force(t)[1] and not in_force(t - 1)[1] for t in inside)
            arrived = any(
                s == t and e >= max(f for u, f, *_ in mine if u <= s)
                for t in inside
                for s, e, *_ in mine
            )
            looked = any(
                src == source and u <= end and f <= right and u > right - width
                for src, f, u in looks
            )
            if np.isnan(price):
                assert last.state[i, j] == STATE_ABSENT
            elif moved or begun:
                assert last.state[i, j] == STATE_CHANGED
            elif len({s for s, *_ in mine}) == len(
                mine
            ):  # simultaneous rows may change and change back
                assert last.state[i, j] == (
                    STATE_UNCHANGED if looked or arrived else STATE_NOT_LOOKED
                )


def test_cells_told_apart() -> None:
    events = timed_events(
        [(1, 0, 0, 2.0, "a"), (1, 25, 25, float("nan"), "a"), (1, 45, 45, 4.0, "a")]
    )
    panel = to_panel(
        events,
        timed_looks([("a", 12, 12), ("b", 33, 33)]),
        freq="10min",
        as_of=minute(50),
        start=minute(0),
    )
    assert panel.state[:, 0].tolist() == [
        STATE_NOT_LOOKED,
        STATE_UNCHANGED,
        STATE_ABSENT,
        STATE_ABSENT,
        STATE_CHANGED,
    ]
    np.testing.assert_allclose(panel.available[:, 0], [1, 1, 0.5, 0, 0.5])
    np.testing.assert_allclose(panel.price[:, 0], [2, 2, np.nan, np.nan, 4])
    assert panel.offers.loc["gcp/r//m1/spot/", "gpu_model"] == "H100"


def test_a_cell_uses_nothing_seen_after_it() -> None:
    seen_late = timed_events([(1, 0, 0, 2.0, "a"), (1, 5, 35, 9.0, "a")])
    panel = to_panel(seen_late, timed_looks([]), freq="10min", as_of=minute(40), start=minute(0))
    assert panel.price[:, 0].tolist() == [2.0, 2.0, 2.0, 9.0]


@settings(max_examples=40, deadline=None)
@given(events_of, st.integers(10, 60))
def test_a_panel_cut_early_is_the_start_of_the_later_one(rows, cut) -> None:
    events = timed_events(
        [(offer, e, e + lag, price, source) for offer, e, lag, price, source in rows]
    )
    options = {"freq": pd.Timedelta(minutes=5), "start": minute(-5)}
    late = to_panel(events, timed_looks([]), as_of=minute(cut + 20), **options).frame()
    early = to_panel(events, timed_looks([]), as_of=minute(cut), **options).frame()
    late = late.loc[early.index, early.columns]
    pd.testing.assert_frame_equal(early, late, check_freq=False)


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, 600), min_size=1, max_size=12), st.integers(0, 800))
def test_an_offer_is_gone_where_its_source_falls_silent(records, end) -> None:
    """A record each of its minutes, and a source that is never silent for more than an hour."""
    allowed = 60
    rows = [(1, at, at, 1.0 + at, "a") for at in sorted(records)]
    events = timed_events(rows).assign(gone_after_hours=1.0)
    options = {"freq": pd.Timedelta(minutes=7), "as_of": minute(end)}
    panel = to_panel(events, timed_looks([]), **options)
    ends = [int((time - T0) / pd.Timedelta(minutes=1)) for time in panel.times]
    assert bool(ends) == (min(records) <= end)
    for right, price, state in zip(ends, panel.price[:, 0:1], panel.state[:, 0:1], strict=True):
        before = max((at for at in records if at <= right), default=None)
        on_sale = before is not None and right - before <= allowed
        assert same(price[0], 1.0 + before if on_sale else float("nan"))
        after = min((at for at in records if before is not None and before < at <= end), default=0)
        is_event = on_sale and right - before < 7
        if not on_sale:
            assert state[0] == STATE_ABSENT
        elif is_event:
            assert state[0] == STATE_CHANGED
        else:
            repeated = after and after - before <= allowed
            assert state[0] == (STATE_UNCHANGED if repeated else STATE_NOT_LOOKED)


def test_an_offer_that_is_sold_out_or_in_doubt_is_not_on_sale() -> None:
    rows = [(1, 0, 0, 2.0, "a"), (1, 25, 25, 3.0, "a"), (1, 45, 45, float("nan"), "a")]
    events = timed_events(rows).assign(
        offer_count=pd.array([5, 0, pd.NA], "Int32"), quality=["ok", "ok", "price_zero"]
    )
    panel = to_panel(
        events, timed_looks([]), freq="10min", as_of=minute(60), start=minute(0), how="mean"
    )
    np.testing.assert_allclose(panel.price[:, 0], [2, 2, 2, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(panel.available[:, 0], [1, 1, 0.5, 0, 0, 0])
    assert panel.state[3:, 0].tolist() == [STATE_ABSENT] * 3


def test_a_panel_says_when_each_offer_was_last_observed() -> None:
    events = timed_events([(1, 0, 0, 2.0, "a"), (2, 0, 0, 2.0, "b"), (2, 9, 9, 3.0, "b")])
    looks = timed_looks([("a", 12, 12, "r", ""), ("a", 13, 13, "r2", ""), ("a", 99, 99, "", "")])
    panel = to_panel(events, looks, freq="10min", as_of=minute(30))
    assert panel.offers["observed_at"].tolist() == [minute(12), minute(9)]


def test_nothing_known_gives_an_empty_panel() -> None:
    panel = to_panel(
        timed_events([(1, 30, 30, 2.0, "a")]), timed_looks([]), freq="1D", as_of=minute(10)
    )
    assert panel.price.shape == (0, 0)


def test_doors() -> None:
    events, looks = timed_events([(1, 0, 0, 2.0, "a")]), timed_looks([])
    with pytest.raises(ParameterError, match="how"):
        to_panel(events, looks, freq="1D", as_of=minute(10), how="median")
    naive = events.assign(effective_at=events["effective_at"].dt.tz_localize(None))
    with pytest.raises(DataError, match="naive"):
        to_panel(naive, looks, freq="1D", as_of=minute(10))


def test_the_cheapest_of_several_offers_is_one_series_per_gpu() -> None:
    times = pd.date_range("2025-01-01", periods=3, freq="1h", tz="UTC")
    offers = pd.DataFrame(
        {
            "provider": ["a", "a", "b"],
            "gpu_model": ["H100", "H100", "H100"],
            "gpu_count": [1, 8, 2],
        },
        index=pd.Index(["x", "y", "z"], name="offer_id"),
    )
    price = np.array([[3.0, 16.0, 5.0], [3.0, 32.0, np.nan], [np.nan, np.nan, 4.0]])
    state = np.array([[2, 1, 2], [2, 3, 0], [0, 0, 1]])
    available = np.where(np.isfinite(price), 1.0, np.nan)
    low = cheapest(
        Panel(times, times[1] - times[0], offers, price, available, state),
        ["provider", "gpu_model"],
    )
    assert list(low.offers.index) == ["a/H100", "b/H100"]
    np.testing.assert_array_equal(low.price, [[2.0, 2.5], [3.0, np.nan], [np.nan, 2.0]])
    np.testing.assert_array_equal(low.state, [[1, 2], [2, 0], [0, 1]])
