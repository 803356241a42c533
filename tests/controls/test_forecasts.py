"""Controls of the forecast: series and horizon at once, a longer horizon by training."""

from __future__ import annotations

import pandas as pd
import pytest

from cloudarb_lib.controls import training
from cloudarb_lib.controls.forecasts import ForecastControl
from cloudarb_lib.controls.training import Advance, Trainer
from cloudarb_lib.forecast import forecast_offers
from cloudarb_lib.testing import AWS_SPOT, GCP_SPOT, ODD_SPOT, price_record

pytestmark = pytest.mark.slow

WAIT_S = 120.0
PANEL = price_record()


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return forecast_offers(PANEL, horizon_steps=4, n_paths=50, seed=1).table


@pytest.fixture
def control(table):
    made = ForecastControl(PANEL, table, n_paths=50, seed=1)
    yield made
    made.background.worker.close()


def drawn_until(control):
    return max(pd.Timestamp(trace.x[-1]) for trace in control.picture.widget.data[2:3])


def test_the_cheapest_series_of_a_gpu_is_drawn_first(control):
    assert control.gpu_model.value == "H100"
    assert control.series.value == (AWS_SPOT,)
    assert control.picture.title.startswith("By 22 Jan 2026 eight prices in ten change by")


def test_series_and_a_shorter_horizon_are_shown_at_once(control, table):
    widget = control.picture.widget
    control.series.value = (GCP_SPOT, AWS_SPOT)
    assert len(widget.data) == 8
    control.horizon.value = 2
    assert drawn_until(control) == sorted(table["target_utc"].unique())[1]
    assert control.picture.widget is widget


def test_without_a_series_the_picture_stays(control):
    before = control.picture.title
    control.series.value = ()
    assert control.picture.title == before
    control.gpu_model.value = "TPU"
    assert control.series.value == (ODD_SPOT,)


def test_members_take_no_part_in_list_prices(control):
    assert control.members.disabled


def test_a_longer_horizon_is_trained_when_asked_for(control):
    control.horizon.value = 6
    assert "Trained for 4 steps: Train forecasts 6" in control.status.value
    control.train.click()
    assert control.background.wait(WAIT_S)
    assert "Trained for 6 steps" in control.status.value
    assert control.table["target_utc"].nunique() == 6
    assert control.stop.disabled


def test_progress_shows_and_what_a_stop_leaves_is_the_last_that_was_ready(control, table):
    control.background.listener.progress(Advance("members", 3, 9))
    assert (control.bar.value, control.bar.max) == (3, 9)
    assert "Training: members, 3 of 9" in control.status.value
    first = table[table["target_utc"] <= sorted(table["target_utc"].unique())[2]]
    control.background.listener.progress(first)
    control.background.listener.ended("Stopped.")
    assert control.table is first
    assert "Stopped. Shown is the last forecast that was ready." in control.status.value


def test_training_leaves_out_the_members_that_are_not_chosen(monkeypatch):
    asked = []

    def forecast_offers_asked(panel, **terms):
        asked.append(set(terms["leave_out"]))
        return type("Forecast", (), {"table": "table"})

    monkeypatch.setattr(training, "forecast_offers", forecast_offers_asked)
    monkeypatch.setattr(training, "MEMBERS", {"naive": 1, "lstm": 2, "arma": 3})
    monkeypatch.setattr(training, "SLOW", ("lstm",))
    trainer = Trainer(PANEL, PANEL.offers.index, 50, 1)
    assert trainer.train(4, ("naive", "lstm")) == "table"
    assert asked == [{"arma", "lstm"}, {"arma"}]  # the quick ones first
    asked.clear()
    trainer.train(4, ("naive",))
    assert asked == [{"lstm", "arma"}]
