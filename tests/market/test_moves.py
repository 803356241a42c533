"""Changes of price: each on record, and those of the last days by kind."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib.market import explore
from cloudarb_lib.testing import DAY, T0, daily_events


def test_moves_tell_steps_from_jitter_and_skip_returns_at_the_old_price():
    events = daily_events(
        [
            ("a", "spot", 0, 10.0),
            ("a", "spot", 2, 10.04),
            ("a", "spot", 5, 9.0),
            ("a", "spot", 6, np.nan),
            ("a", "spot", 8, 9.0),
            ("a", "spot", 9, 8.1),
            ("b", "spot", 1, 7.0),
            ("b", "spot", 30, 3.0),
        ]
    )
    moved = explore.moves(events, as_of=T0 + 20 * DAY)
    assert moved["kind"].tolist() == ["jitter", "step", "step"]
    assert moved["before"].tolist() == [10.0, 10.04, 9.0]
    assert moved["change_pct"].round(3).tolist() == [0.4, -10.359, -10.0]
    assert moved["gap_days"].fillna(-1).tolist() == [-1, -1, 4]
    assert moved["same_sign"].fillna(-1).tolist() == [-1, -1, 1]


def test_moves_know_nothing_after_as_of():
    events = daily_events([("a", "spot", 0, 10.0), ("a", "spot", 2, 9.0)])
    events.loc[1, "observed_at"] = T0 + 5 * DAY
    assert explore.moves(events, as_of=T0 + 4 * DAY).empty
    assert len(explore.moves(events, as_of=T0 + 5 * DAY)) == 1


prices = st.lists(st.sampled_from([1.0, 1.003, 1.1, 0.9, 2.0, np.nan]), min_size=1, max_size=8)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(prices, min_size=1, max_size=3))
def test_moves_equal_a_slow_walk(series):
    events = daily_events(
        [
            (f"r{k}", "spot", day, price)
            for k, row in enumerate(series)
            for day, price in enumerate(row)
        ]
    )
    expected = []
    for row in series:
        last = None
        for price in row:
            if np.isnan(price):
                continue
            if last is not None and price != last:
                expected.append(
                    (last, price, "step" if abs(price / last - 1) >= 0.005 else "jitter")
                )
            last = price
    moved = explore.moves(events, as_of=T0 + 99 * DAY)
    assert list(moved[["before", "after", "kind"]].itertuples(index=False, name=None)) == expected


def test_step_table_counts_round_sizes_and_signs():
    events = daily_events(
        [
            ("a", "spot", 0, 100.0),
            ("a", "spot", 10, 95.0),
            ("a", "spot", 24, 85.5),
            ("a", "spot", 38, 92.34),
            ("b", "spot", 0, 5.0),
            ("b", "spot", 50, 5.001),
        ]
    )
    row = explore.step_table(explore.moves(events, as_of=T0 + 60 * DAY)).iloc[0]
    assert (row["offers"], row["steps"], row["gap_days"]) == (1, 3, 14.0)
    assert row["round_pct"] == pytest.approx(200 / 3)  # 5 % and 10 %, not 8 %
    assert row["same_sign_pct"] == 50.0
    assert row["down_pct"] == pytest.approx(200 / 3)


def test_changes_are_named_ranked_and_within_the_window():
    events = daily_events(
        [
            ("step", "spot", 0, 10.0),
            ("step", "spot", 25, 9.0),
            ("jitter", "spot", 0, 10.0),
            ("jitter", "spot", 25, 10.01),
            ("regime", "spot", 0, 10.0),
            ("regime", "spot", 25, 13.0),
            ("suspect", "spot", 0, 10.0),
            ("suspect", "spot", 28, 2.0),
            ("new", "spot", 26, 10.0),
            ("gone", "spot", 0, 10.0),
            ("gone", "spot", 26, np.nan),
            ("glitch", "spot", 0, 10.0),
            ("glitch", "spot", 25, 2.0, "glitch_reverted"),
            ("glitch", "spot", 26, 10.0),
            ("before", "spot", 0, 10.0),
            ("before", "spot", 20, 5.0),
            ("back", "spot", 0, 10.0),
            ("back", "spot", 25, 9.0),
            ("back", "spot", 26, 10.0),
        ],
        gpus=2.0,
    )
    found = explore.price_changes(events, as_of=T0 + 30 * DAY, window="7D")
    assert dict(zip(found["region"], found["kind"], strict=True)) == {
        k: "withdrawn" if k == "gone" else k
        for k in ("suspect", "regime", "step", "jitter", "glitch", "new", "gone")
    }
    assert found["region"].tolist()[:4] == ["suspect", "regime", "step", "jitter"]
    assert found["change_usd_per_gpu_hour"].tolist()[:3] == [-4.0, 1.5, -0.5]
    later = explore.price_changes(events, as_of=T0 + 34 * DAY, window="30D")
    assert later.set_index("region").loc["suspect", "kind"] == "regime"  # it stood for three days
    assert "before" in set(later["region"])


def test_a_price_held_back_is_told_as_in_doubt():
    events = daily_events([("a", "spot", 0, 10.0), ("a", "spot", 5, np.nan, "price_zero")])
    found = explore.price_changes(events, as_of=T0 + 6 * DAY, window="2D")
    assert found["kind"].tolist() == ["in_doubt"]


def test_market_jumps_are_never_suspect():
    events = daily_events([("a", "spot", 0, 1.0), ("a", "spot", 2, 9.0)], kind="market")
    assert explore.price_changes(events, as_of=T0 + 3 * DAY)["kind"].tolist() == ["new"]
    assert explore.price_changes(events, as_of=T0 + 3 * DAY, window="2D")["kind"].tolist() == [
        "regime"
    ]


@pytest.mark.slow
def test_changes_of_one_machine_s_sizes_are_put_together():
    one = daily_events([("a", "spot", 0, 10.0), ("a", "spot", 5, 9.0)])
    two = daily_events([("a", "spot", 0, 20.0), ("a", "spot", 5, 18.0)], gpus=2.0)
    two = two.assign(instance_type="a3-2", offer_id="gcp/a//a3-2/spot/")
    no_gpu = daily_events([("a", "spot", 0, 99.0), ("a", "spot", 5, 9.0)], gpus=0.0)
    no_gpu = no_gpu.assign(instance_type="n2", offer_id="gcp/a//n2/spot/")
    events = pd.concat([one, two, no_gpu]).astype({"offer_id": "category"})
    changed = explore.price_changes(events, as_of=T0 + 10 * DAY)
    row = explore.price_changes_by_site(changed)
    assert len(changed) == 3
    assert row[["offers", "before", "after", "change"]].to_numpy().tolist() == [
        [2, 10.0, 9.0, -1.0]
    ]
