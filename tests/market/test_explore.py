"""Tests of explore: hand-worked cases, slow oracles, and the measured facts of the record."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from cloudarb_lib import store
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import Panel
from cloudarb_lib.market import explore
from cloudarb_lib.market.explore.spreads import COLUMNS
from cloudarb_lib.market.freshness import Freshness
from cloudarb_lib.market.offers import current_offers
from cloudarb_lib.market.panel import to_panel
from cloudarb_lib.plots import explore as plots
from cloudarb_lib.testing import DAY, T0, all_sold, daily_events, daily_looks


def panel_of(events, *, end_day, freq="1D"):
    return to_panel(events, daily_looks(range(end_day + 1)), freq=freq, as_of=T0 + end_day * DAY)


def offers_of(events, end_day=10):
    seen = daily_looks(range(end_day + 1))
    now = {"as_of": T0 + end_day * DAY, "freshness": Freshness.of(14)}
    return current_offers(events, seen, all_sold(events), **now).offers


def test_landscape_map_and_discounts_are_per_gpu_and_like_for_like():
    events = daily_events(
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
    assert table.loc["spot", "cheapest_site"] == "c (GCP)"
    assert table.loc["spot", "observed_at"] == T0 + 10 * DAY
    assert explore.by_site(offers, "spot")["H100"].to_dict() == {
        "a (GCP)": 2.5,
        "b (GCP)": 6.0,
        "c (GCP)": 2.0,
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
    panel = panel_of(daily_events([("a", "spot", 0, 10.0), ("b", "spot", 0, 5.0)]), end_day=30)
    row = explore.volatility(panel, horizon_steps=5).iloc[0]
    assert row[["rms_pct", "low_pct", "high_pct"]].tolist() == [0.0] * 3
    assert row["calm_pct"] == 100.0


def test_volatility_follows_prices_over_the_horizon_itself():
    events = daily_events([("a", "spot", day, 1.0 if day % 2 else 2.0) for day in range(21)])
    one, two = (
        explore.volatility(panel_of(events, end_day=20), horizon_steps=k)["rms_pct"].iloc[0]
        for k in (1, 2)
    )
    assert one == pytest.approx(100 * np.log(2))
    assert two == 0.0  # no square root of time: two steps on, the price is back


def test_volatility_leaves_out_what_nobody_looked_at_and_what_is_too_old():
    events = daily_events([("a", "spot", 0, 1.0), ("a", "spot", 3, 2.0)])
    panel = to_panel(events, daily_looks([0, 1, 2, 3]), freq="1D", as_of=T0 + 20 * DAY)
    seen = explore.volatility(panel, horizon_steps=1)["spans"].iloc[0]
    assert seen == 3
    whole = panel_of(events, end_day=20)
    assert explore.volatility(whole, horizon_steps=1, window="10D")["rms_pct"].iloc[0] == 0.0


@pytest.mark.parametrize("horizon", [0, 31, 99])
def test_a_horizon_that_does_not_fit_is_refused(horizon):
    panel = panel_of(daily_events([("a", "spot", 0, 1.0)]), end_day=30)
    with pytest.raises(ParameterError, match=f"horizon_steps {horizon}"):
        explore.volatility(panel, horizon_steps=horizon)


def test_spreads_name_the_cheapest_and_how_long_it_held():
    events = daily_events(
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
    assert (row["cheapest_site"], row["next_site"]) == ("a (GCP)", "b (GCP)")
    assert row["observed_at"] == T0 + 10 * DAY
    assert row[["cheapest", "next", "median"]].tolist() == [3.0, 4.0, 4.0]
    assert (row["saving_next_pct"], row["saving_median_pct"]) == (25.0, 25.0)
    assert row["held_days"] == 5.0
    assert list(table) == list(COLUMNS)
    alone = panel_of(events[events["region"] == "a"], end_day=10)
    none = explore.spreads(alone, horizon_steps=2)
    assert none.empty
    assert list(none) == list(COLUMNS)


def test_what_is_kept_of_a_saving_is_what_the_chosen_site_saves_later():
    assert explore.saving_kept_pct(np.array([[1.0, 3.0]] * 5), 2) == 100.0
    vanishing = np.array([[1.0, 3.0], [2.0, 2.0], [2.0, np.nan]])
    assert explore.saving_kept_pct(vanishing[:2], 1) == 0.0
    assert (
        explore.saving_kept_pct(np.array([[1.0, 3.0], [5.0, 3.0]]), 1) == -100.0
    )  # it turned dearer
    assert np.isnan(explore.saving_kept_pct(vanishing, 5))
    assert np.isnan(explore.saving_kept_pct(vanishing[:, ::-1] * [[np.nan, 1.0]], 1))


def test_availability_is_the_share_of_time_on_sale():
    events = daily_events(
        [
            ("a", "on_demand", 0, 2.0, "ok", 4),
            ("a", "on_demand", 5, np.nan, "ok", None),
            ("a", "on_demand", 7, 2.0, "ok", 8),
            ("b", "on_demand", 8, 3.0, "ok", 1),
            ("b", "on_demand", 9, np.nan, "ok", None),
        ],
        kind="market",
    )
    table, share = explore.availability(
        events, daily_looks(range(11)), as_of=T0 + 10 * DAY, freq="1D"
    )
    assert table["on_sale_pct"].tolist() == [80.0, 10.0]
    assert table["offers_on_sale"].tolist() == [5.5, 1.0]  # five days of 4, three of 8
    assert share.iloc[:, 0].tolist() == [1.0] * 5 + [0.0] * 2 + [1.0] * 3
    drawn = plots.availability(table, share)
    assert list(drawn.data[0].y) == [
        "gcp a3 (1)",
        "gcp a3 (6)",
    ]  # mean counts, the steadiest on top
    assert drawn.data[0].z.sum(axis=1).tolist() == [100.0, 800.0]
    early, none = explore.availability(events, daily_looks(range(11)), as_of=T0 - DAY)
    assert early.empty
    assert none.empty


@pytest.fixture(scope="module")
def gcp():
    with store.open_snapshot() as snapshot:
        events = snapshot.events(as_of="2026-04-29", providers=["gcp"], gpu_only=True)
        return events, snapshot.looks(as_of="2026-04-29")


@pytest.mark.slow
def test_the_record_moves_as_measured(gcp):
    """Own counts beside docs of the field: gaps of 14 days, half of the steps 5, 10 or 15 %."""
    events, seen = gcp
    table = explore.step_table(explore.moves(events, as_of="2026-04-29"))
    row = table[table["option"] == "spot"].set_index("year").loc[2026]
    assert row["gap_days"] == pytest.approx(14, abs=0.5)
    assert 40 < row["round_pct"] < 65
    assert 85 < row["same_sign_pct"] < 97
    panel = to_panel(events, seen, freq="7D", as_of="2026-04-29")
    spot = explore.volatility(panel, horizon_steps=13).query("option == 'spot'")
    assert spot["calm_step_pct"].between(82, 89).all()  # measured: 86 % a week later


def test_spreads_equal_a_slow_search(gcp):
    events, seen = gcp
    panel = to_panel(events, seen, freq="7D", as_of="2026-04-29")
    table = explore.spreads(panel, horizon_steps=13).set_index(["gpu_model", "option"])
    now = {}
    for k, offer in enumerate(panel.offers.itertuples()):
        price = panel.price[-1, k] / offer.gpu_count
        if offer.gpu_model == "H100" and offer.purchase_option == "spot" and price == price:
            site = f"{offer.region} (GCP)"
            now[site] = min(price, now.get(site, np.inf))
    ranked = sorted(now.values())
    row = table.loc[("H100", "spot")]
    assert row[["sites", "cheapest", "next"]].tolist() == [len(now), *ranked[:2]]
    assert row["median"] == pytest.approx(np.median(ranked))
    assert now[row["cheapest_site"]] == ranked[0]


ONE_GPU = pd.DataFrame(
    {
        "gpu_model": "H100",
        "option": ["on demand", "spot"],
        "cheapest": [2.0, 1.0],
        "median": [3.0, 1.5],
        "dearest": [4.0, 2.0],
    }
)


@pytest.mark.slow
def test_figures_state_findings_and_units_and_never_stand_empty(gcp):
    events, seen = gcp
    as_of = pd.Timestamp("2026-04-30", tz="UTC")
    now = {"as_of": as_of, "freshness": Freshness.of(14)}
    offers = current_offers(events, seen, all_sold(events), **now).offers
    panel = to_panel(events, seen, freq="7D", as_of=as_of)
    moved = explore.moves(events, as_of=as_of)
    spreads = explore.spreads(panel, horizon_steps=13)
    changed = explore.price_changes_by_site(explore.price_changes(events, as_of=as_of))
    figures = [
        plots.price_range(explore.landscape(offers)),
        plots.site_map(explore.by_site(offers, "spot"), "spot"),
        plots.price_history(explore.price_history(panel, "spot"), "spot"),
        plots.steps(moved, "spot"),
        plots.spreads(spreads, "spot"),
        plots.price_changes(changed, since=as_of - 7 * DAY),
    ]
    for fig in figures:
        assert isinstance(fig, go.Figure)
        assert any(c.isdigit() for c in fig.layout.title.text)
        assert fig.layout.xaxis.title.text
        assert fig.data
        fig.to_json()
    at = {rows.name: np.mean(rows.y) for rows in plots.price_range(ONE_GPU).data}
    assert at == {"spot": -0.09, "on demand": 0.09}, "around the place of their GPU model"
    for strip in (
        plots.site_map(explore.by_site(offers, "2 years"), "2 years"),
        plots.steps(moved, "2 years"),
        plots.spreads(spreads, "2 years"),
        plots.availability(*explore.availability(events, seen, as_of=as_of)),
        plots.price_changes(changed.iloc[:0], since=as_of),
    ):
        assert strip.layout.title.text.startswith(("No", "Nothing"))
        assert strip.layout.height < 100


def test_panels_are_not_changed(gcp):
    events, seen = gcp
    panel: Panel = to_panel(events, seen, freq="28D", as_of="2026-04-29")
    before = panel.price.copy()
    explore.spreads(panel, horizon_steps=2)
    explore.volatility(panel, horizon_steps=2)
    np.testing.assert_array_equal(panel.price, before)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("capacity of gcp/us-east4/spot/H100", "capacity of H100 spot in us-east4 (GCP)"),
        ("aws/a/on_demand/L4, gcp/b/spot/L4", "L4 on demand in a (AWS), L4 spot in b (GCP)"),
        ("take gcp/us/spot/H100: $731 more", "take H100 spot in us (GCP): $731 more"),
        ("gcp/spot/A100-40GB", "A100-40GB spot (GCP)"),
        ("none within the limits", "none within the limits"),
    ],
)
def test_pools_and_groups_are_written_as_people_say_them(text: str, expected: str) -> None:
    assert explore.pools_in_words(text) == expected
