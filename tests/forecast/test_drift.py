"""Drift alarms: where the record is known to have turned, silent where nothing happens, by hand."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import store
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.forecast.drift import ACTIONS, alarms
from cloudarb_lib.market.panel import to_panel
from cloudarb_lib.plots import forecast as figures
from cloudarb_lib.tables.validation import validate
from cloudarb_lib.testing import a_panel, stepping

pytestmark = pytest.mark.fit


@pytest.fixture(scope="module")
def recorded():
    as_of = pd.Timestamp("2026-04-29", tz="UTC")
    with store.open_snapshot("") as snapshot:
        events = snapshot.events(as_of=as_of, providers=["aws", "gcp"], gpu_only=True)
        looks = snapshot.looks(as_of=as_of)
    events = events[events["source"] != "aws-spot-2015"]
    return to_panel(events, looks, freq="7D", as_of=as_of)


def test_the_cut_of_june_2025_raises_an_alarm_at_its_first_look(recorded):
    found = alarms(recorded)
    validate(found, "alarms")
    cut = pd.Timestamp("2025-06-23", tz="UTC")
    first = recorded.times[recorded.times >= cut][0]
    for gpu in ("H100", "H200", "A100-40GB"):
        mine = found[found["series_group"] == f"aws/on_demand/{gpu}"]
        assert set(mine["time_utc"]) == {first}, gpu
        assert "page_hinkley" in set(
            mine["detector"]
        )  # too few offers for a distance of distributions


def test_the_turn_of_november_2025_raises_one_within_two_reviews(recorded):
    found = alarms(recorded)
    turn = pd.Timestamp("2025-11-06", tz="UTC")
    for gpu in ("H100", "A100-80GB", "A100-40GB"):
        mine = (recorded.offers["gpu_model"] == gpu) & (
            recorded.offers["purchase_option"] == "spot"
        )
        price = recorded.price[:, mine.to_numpy()]
        moved = (np.abs(np.diff(np.log(price), axis=0)) > 0.005).mean(axis=1) > 0.1
        reviews = recorded.times[1:][moved & (recorded.times[1:] > turn)]
        raised = found.loc[found["series_group"] == f"gcp/spot/{gpu}", "time_utc"]
        assert raised.between(turn, reviews[1]).any(), gpu


def test_a_quiet_group_raises_at_most_one_alarm_a_year(recorded):
    found = alarms(recorded)
    step = np.abs(np.diff(np.log(recorded.price), axis=0))
    groups = (
        recorded.offers[["provider", "purchase_option", "gpu_model"]]
        .astype(str)
        .agg("/".join, axis=1)
    )
    quiet = 0
    for group in groups.unique():
        if np.nanmean(step[:, (groups == group).to_numpy()] > 0.005) < 0.01:
            quiet += 1
            raised = found.loc[found["series_group"] == group, "time_utc"].drop_duplicates()
            assert raised.dt.year.value_counts().max() <= 1 or raised.empty, group
    assert quiet > 10


def test_prices_that_step_as_ever_raise_nothing_and_a_new_regime_does():
    calm = stepping(seed=2, times=160, series=10)
    found = alarms(a_panel(calm))
    assert (
        found.groupby(found["time_utc"].dt.year).size().max() <= 2
    )  # of moves alone: reviews differ
    assert set(found["detector"]) <= {"ks"}
    wild = calm.copy()
    wild[100:] *= np.exp(np.cumsum(np.where(np.arange(60) % 2 == 0, 0.3, -0.3)))[:, None]
    found = alarms(a_panel(wild))
    assert (found["time_utc"] == a_panel(wild).times[100]).any()
    assert set(found["detector"]) == set(ACTIONS)  # adwin too: the loss stays high
    assert (found["action"] == found["detector"].map(ACTIONS)).all()


def test_the_future_changes_no_alarm_of_the_past():
    price = stepping(seed=3, times=120, series=6)
    price[60:] *= 1.5
    other = price.copy()
    other[90:] *= 3
    cut = a_panel(price).times[90]
    one, two = (alarms(a_panel(p)) for p in (price, other))
    pd.testing.assert_frame_equal(one[one["time_utc"] < cut], two[two["time_utc"] < cut])
    assert not two[two["time_utc"] >= cut].empty


def test_hourly_prices_are_looked_at_once_a_day():
    price = np.ones((24 * 40, 3))
    price[24 * 30 + 5 :] = 2.0
    found = alarms(a_panel(price, step="1h"))
    assert len(found["time_utc"].unique()) == 1
    assert (found["time_utc"].iloc[0] - a_panel(price, step="1h").times[0]) == pd.Timedelta(
        hours=24 * 31 - 1
    )


def test_thresholds_can_be_set_and_must_be_possible():
    price = stepping(seed=2, times=120, series=10)
    price[80:] *= 1.12
    assert alarms(a_panel(price), page_hinkley=500.0, ks=0.99).empty
    assert not alarms(a_panel(price), page_hinkley=1.0).empty
    for wrong in ({"ks": 0.0}, {"ks": 1.0}, {"page_hinkley": 0.0}, {"page_hinkley": float("nan")}):
        with pytest.raises(ParameterError, match="thresholds"):
            alarms(a_panel(price), **wrong)


def test_prices_missing_constant_or_short_raise_nothing():
    nothing = np.full((80, 3), np.nan)
    one_point = nothing.copy()
    one_point[40] = 2.0
    for price in (nothing, one_point, np.ones((80, 3)), np.ones((2, 3))):
        assert alarms(a_panel(price)).empty


def test_figures_state_what_was_held_and_which_groups_alarmed():
    pits = pd.DataFrame(
        {"pit": np.tile([0.05, 0.5, 0.6, 0.95], 100), "horizon": np.repeat([1, 4], 200)}
    )
    drawn = figures.calibration(pits, unit="week")
    assert [line.name for line in drawn.data] == ["1 week ahead", "4 weeks ahead", "right"]
    assert drawn.data[0].y[16] == 50.0, "80 % intervals leave out a pit of 0.05 and of 0.95"
    assert len(drawn.data[0].y) == 21, "however many outcomes"
    nothing = figures.drift(
        alarms(a_panel(np.full((120, 2), 4.0))), a_panel(np.full((120, 2), 4.0))
    )
    assert "no alarm" in nothing.layout.title.text
    assert not nothing.data


def test_the_figure_of_drift_puts_each_alarm_on_its_line(recorded):
    found = alarms(recorded)
    drawn = figures.drift(found, recorded, most=2)
    newest = set(
        found.sort_values("time_utc", ascending=False, kind="stable")["series_group"].unique()[:2]
    )
    marks = [line for line in drawn.data if line.mode == "markers"]
    assert sum(len(line.x) for line in marks) == found["series_group"].isin(newest).sum()
    assert not any(np.isnan(np.asarray(line.y, float)).any() for line in marks)
    assert drawn.layout.yaxis.title.text == "median price, first = 100"
