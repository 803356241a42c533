"""Tests of explore: hand-worked cases, slow oracles, and the measured facts of the record."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib import store
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import OFFER_PARTS, Panel
from cloudarb_lib.market import explore, history
from cloudarb_lib.plots import explore as plots

T0 = pd.Timestamp("2026-01-01", tz="UTC")
DAY = pd.Timedelta(days=1)


def build(rows, *, gpus=1.0, kind="administered"):
    """Return events from (region, option, day, price[, quality[, count]])."""
    frame = pd.DataFrame(
        [(*row, *("ok", None)[len(row) - 4 :])[:6] for row in rows],
        columns=[
            "region",
            "purchase_option",
            "day",
            "price_usd_per_hour",
            "quality",
            "offer_count",
        ],
    )
    frame = frame.assign(
        provider="gcp",
        zone="",
        instance_type="a3",
        term="",
        currency="USD",
        price_kind=kind,
        source="gcp",
        gpu_model="H100" if gpus else None,
        gpu_count=gpus,
        gpu_memory_gib=80.0,
        vcpus=8.0,
        memory_gib=64.0,
        effective_at=T0 + frame["day"] * DAY,
        flagged_at=pd.NaT,
    )
    frame["observed_at"] = frame["effective_at"]
    frame["price_usd_per_hour"] = frame["price_usd_per_hour"].astype(float)
    frame["offer_count"] = frame["offer_count"].astype("Int32")
    frame["offer_id"] = frame[list(OFFER_PARTS)].agg("/".join, axis=1).astype("category")
    return frame.sort_values(["offer_id", "effective_at"], ignore_index=True)


def looks(days, source="gcp"):
    at = [T0 + day * DAY for day in days]
    return pd.DataFrame({"provider": "gcp", "source": source, "looked_at": at, "covers_from": at})


def panel_of(events, *, end_day, freq="1D"):
    return history.to_panel(events, looks(range(end_day + 1)), freq=freq, as_of=T0 + end_day * DAY)


def test_moves_tell_steps_from_jitter_and_skip_returns_at_the_old_price():
    events = build(
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
    events = build([("a", "spot", 0, 10.0), ("a", "spot", 2, 9.0)])
    events.loc[1, "observed_at"] = T0 + 5 * DAY
    assert explore.moves(events, as_of=T0 + 4 * DAY).empty
    assert len(explore.moves(events, as_of=T0 + 5 * DAY)) == 1


prices = st.lists(st.sampled_from([1.0, 1.003, 1.1, 0.9, 2.0, np.nan]), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(st.lists(prices, min_size=1, max_size=3))
def test_moves_equal_a_slow_walk(series):
    events = build(
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
    events = build(
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


def offers_of(events, end_day=10):
    seen = looks(range(end_day + 1))
    return history.current_offers(events, seen, as_of=T0 + end_day * DAY, stale_after_days=14)[0]


def test_landscape_map_and_discounts_are_per_gpu_and_like_for_like():
    events = build(
        [
            ("a", "on_demand", 0, 40.0),
            ("a", "spot", 0, 10.0),
            ("b", "on_demand", 0, 48.0),
            ("b", "spot", 0, 24.0),
            ("c", "spot", 0, 8.0),
        ],
        gpus=4.0,
    )
    offers = offers_of(events)
    table = explore.landscape(offers).set_index("option")
    assert table.loc["spot", ["offers", "sites"]].tolist() == [3, 3]
    assert table.loc["spot", ["cheapest", "median", "dearest"]].tolist() == [2.0, 2.5, 6.0]
    assert table.loc["spot", "cheapest_site"] == "gcp c"
    assert explore.by_site(offers, "spot")["H100"].to_dict() == {
        "gcp a": 2.5,
        "gcp b": 6.0,
        "gcp c": 2.0,
    }
    found = explore.discounts(offers).iloc[0]
    assert found[["offers", "low_pct", "median_pct", "high_pct"]].tolist() == [
        2,
        51.25,
        62.5,
        73.75,
    ]
    assert explore.discounts(offers[offers["purchase_option"] == "spot"]).empty


def test_an_administered_price_between_reviews_has_no_volatility():
    panel = panel_of(build([("a", "spot", 0, 10.0), ("b", "spot", 0, 5.0)]), end_day=30)
    row = explore.volatility(panel, horizon_steps=5).iloc[0]
    assert row[["rms_pct", "low_pct", "high_pct"]].tolist() == [0.0] * 3
    assert row["calm_pct"] == 100.0


def test_volatility_follows_prices_over_the_horizon_itself():
    events = build([("a", "spot", day, 1.0 if day % 2 else 2.0) for day in range(21)])
    one, two = (
        explore.volatility(panel_of(events, end_day=20), horizon_steps=k)["rms_pct"].iloc[0]
        for k in (1, 2)
    )
    assert one == pytest.approx(100 * np.log(2))
    assert two == 0.0  # no square root of time: two steps on, the price is back


def test_volatility_leaves_out_what_nobody_looked_at_and_what_is_too_old():
    events = build([("a", "spot", 0, 1.0), ("a", "spot", 3, 2.0)])
    panel = history.to_panel(events, looks([0, 1, 2, 3]), freq="1D", as_of=T0 + 20 * DAY)
    seen = explore.volatility(panel, horizon_steps=1)["spans"].iloc[0]
    assert seen == 3
    whole = panel_of(events, end_day=20)
    assert explore.volatility(whole, horizon_steps=1, window="10D")["rms_pct"].iloc[0] == 0.0


@pytest.mark.parametrize("horizon", [0, 31, 99])
def test_a_horizon_that_does_not_fit_is_refused(horizon):
    panel = panel_of(build([("a", "spot", 0, 1.0)]), end_day=30)
    with pytest.raises(ParameterError, match=f"horizon_steps {horizon}"):
        explore.volatility(panel, horizon_steps=horizon)


def test_spreads_name_the_cheapest_and_how_long_it_held():
    events = build(
        [
            ("a", "spot", 0, 10.0),
            ("b", "spot", 0, 8.0),
            ("c", "spot", 0, 12.0),
            ("a", "spot", 6, 6.0),
            ("b", "on_demand", 0, 30.0),
        ],
        gpus=2.0,
    )
    table = explore.spreads(panel_of(events, end_day=10), horizon_steps=2)
    assert table["option"].tolist() == ["spot"]  # one site alone is no spread
    row = table.iloc[0]
    assert (row["cheapest_site"], row["next_site"]) == ("gcp a", "gcp b")
    assert row[["cheapest", "next", "median"]].tolist() == [3.0, 4.0, 4.0]
    assert (row["saving_next_pct"], row["saving_median_pct"]) == (25.0, 25.0)
    assert row["held_days"] == 5.0


def test_what_is_kept_of_a_saving_is_what_the_chosen_site_saves_later():
    assert explore._kept(np.array([[1.0, 3.0]] * 5), 2) == 100.0
    vanishing = np.array([[1.0, 3.0], [2.0, 2.0], [2.0, np.nan]])
    assert explore._kept(vanishing[:2], 1) == 0.0
    assert explore._kept(np.array([[1.0, 3.0], [5.0, 3.0]]), 1) == -100.0  # it turned dearer
    assert np.isnan(explore._kept(vanishing, 5))
    assert np.isnan(explore._kept(vanishing[:, ::-1] * [[np.nan, 1.0]], 1))


def test_availability_is_the_share_of_time_on_sale():
    events = build(
        [
            ("a", "on_demand", 0, 2.0, "ok", 4),
            ("a", "on_demand", 5, np.nan, "ok", None),
            ("a", "on_demand", 7, 2.0, "ok", 8),
            ("b", "on_demand", 8, 3.0, "ok", 1),
            ("b", "on_demand", 9, np.nan, "ok", None),
        ],
        kind="market",
    )
    table, share = explore.availability(events, looks(range(11)), as_of=T0 + 10 * DAY, freq="1D")
    assert table["on_sale_pct"].tolist() == [80.0, 10.0]
    assert table["offers_on_sale"].tolist() == [5.5, 1.0]  # five days of 4, three of 8
    assert share.iloc[:, 0].tolist() == [1.0] * 5 + [0.0] * 2 + [1.0] * 3
    drawn = plots.availability(table, share)
    assert list(drawn.data[0].y) == [
        "gcp a3 (1)",
        "gcp a3 (6)",
    ]  # mean counts, the steadiest on top
    assert drawn.data[0].z.sum(axis=1).tolist() == [100.0, 800.0]
    early, none = explore.availability(events, looks(range(11)), as_of=T0 - DAY)
    assert early.empty
    assert none.empty


def test_changes_are_named_ranked_and_within_the_window():
    events = build(
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
    found = explore.changes(events, as_of=T0 + 30 * DAY, window="7D")
    assert dict(zip(found["region"], found["kind"], strict=True)) == {
        k: "withdrawn" if k == "gone" else k
        for k in ("suspect", "regime", "step", "jitter", "glitch", "new", "gone")
    }
    assert found["region"].tolist()[:4] == ["suspect", "regime", "step", "jitter"]
    assert found["change_usd_per_gpu_hour"].tolist()[:3] == [-4.0, 1.5, -0.5]
    later = explore.changes(events, as_of=T0 + 34 * DAY, window="30D")
    assert later.set_index("region").loc["suspect", "kind"] == "regime"  # it stood for three days
    assert "before" in set(later["region"])


def test_market_jumps_are_never_suspect():
    events = build([("a", "spot", 0, 1.0), ("a", "spot", 2, 9.0)], kind="market")
    assert explore.changes(events, as_of=T0 + 3 * DAY)["kind"].tolist() == ["new"]
    assert explore.changes(events, as_of=T0 + 3 * DAY, window="2D")["kind"].tolist() == ["regime"]


def test_changes_of_one_machine_s_sizes_are_put_together():
    one = build([("a", "spot", 0, 10.0), ("a", "spot", 5, 9.0)])
    two = build([("a", "spot", 0, 20.0), ("a", "spot", 5, 18.0)], gpus=2.0)
    two = two.assign(instance_type="a3-2", offer_id="gcp/a//a3-2/spot/")
    no_gpu = build([("a", "spot", 0, 99.0), ("a", "spot", 5, 9.0)], gpus=0.0)
    no_gpu = no_gpu.assign(instance_type="n2", offer_id="gcp/a//n2/spot/")
    events = pd.concat([one, two, no_gpu]).astype({"offer_id": "category"})
    changed = explore.changes(events, as_of=T0 + 10 * DAY)
    row = explore.changes_by_site(changed)
    assert len(changed) == 3
    assert row[["offers", "before", "after", "change"]].to_numpy().tolist() == [
        [2, 10.0, 9.0, -1.0]
    ]


@pytest.fixture(scope="module")
def gcp():
    with store.open_snapshot() as snapshot:
        events = snapshot.events(as_of="2026-04-29", providers=["gcp"], gpu_only=True)
        return events, snapshot.looks(as_of="2026-04-29")


def test_the_record_moves_as_measured(gcp):
    """Own counts beside docs of the field: gaps of 14 days, half of the steps 5, 10 or 15 %."""
    events, seen = gcp
    table = explore.step_table(explore.moves(events, as_of="2026-04-29"))
    row = table[table["option"] == "spot"].set_index("year").loc[2026]
    assert row["gap_days"] == pytest.approx(14, abs=0.5)
    assert 40 < row["round_pct"] < 65
    assert 85 < row["same_sign_pct"] < 97
    panel = history.to_panel(events, seen, freq="7D", as_of="2026-04-29")
    spot = explore.volatility(panel, horizon_steps=13).query("option == 'spot'")
    assert spot["calm_step_pct"].between(82, 89).all()  # measured: 86 % a week later


def test_spreads_equal_a_slow_search(gcp):
    events, seen = gcp
    panel = history.to_panel(events, seen, freq="7D", as_of="2026-04-29")
    table = explore.spreads(panel, horizon_steps=13).set_index(["gpu_model", "option"])
    now = {}
    for k, offer in enumerate(panel.offers.itertuples()):
        price = panel.price[-1, k] / offer.gpu_count
        if offer.gpu_model == "H100" and offer.purchase_option == "spot" and price == price:
            site = f"{offer.provider} {offer.region}"
            now[site] = min(price, now.get(site, np.inf))
    ranked = sorted(now.values())
    row = table.loc[("H100", "spot")]
    assert row[["sites", "cheapest", "next"]].tolist() == [len(now), *ranked[:2]]
    assert row["median"] == pytest.approx(np.median(ranked))
    assert now[row["cheapest_site"]] == ranked[0]


def test_figures_state_findings_and_units_and_never_stand_empty(gcp):
    events, seen = gcp
    as_of = pd.Timestamp("2026-04-30", tz="UTC")
    offers, _ = history.current_offers(events, seen, as_of=as_of, stale_after_days=14)
    panel = history.to_panel(events, seen, freq="7D", as_of=as_of)
    moved = explore.moves(events, as_of=as_of)
    spreads = explore.spreads(panel, horizon_steps=13)
    changed = explore.changes_by_site(explore.changes(events, as_of=as_of))
    figures = [
        plots.price_range(explore.landscape(offers)),
        plots.site_map(explore.by_site(offers, "spot"), "spot"),
        plots.price_history(explore.price_history(panel, "spot"), "spot"),
        plots.steps(moved, "spot"),
        plots.spreads(spreads, "spot"),
        plots.changes(changed, since=as_of - 7 * DAY),
    ]
    for fig in figures:
        assert isinstance(fig, go.Figure)
        assert any(c.isdigit() for c in fig.layout.title.text)
        assert fig.layout.xaxis.title.text
        assert fig.data
        fig.to_json()
    for strip in (
        plots.site_map(explore.by_site(offers, "2 years"), "2 years"),
        plots.steps(moved, "2 years"),
        plots.spreads(spreads, "2 years"),
        plots.availability(*explore.availability(events, seen, as_of=as_of)),
        plots.changes(changed.iloc[:0], since=as_of),
    ):
        assert strip.layout.title.text.startswith(("No", "Nothing"))
        assert strip.layout.height < 100


def test_panels_are_not_changed(gcp):
    events, seen = gcp
    panel: Panel = history.to_panel(events, seen, freq="28D", as_of="2026-04-29")
    before = panel.price.copy()
    explore.spreads(panel, horizon_steps=2)
    explore.volatility(panel, horizon_steps=2)
    np.testing.assert_array_equal(panel.price, before)
