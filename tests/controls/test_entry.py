"""A person gets widgets; a batch run gets nothing, and loads none."""

from __future__ import annotations

import subprocess
import sys

import ipywidgets
import pytest

from cloudarb_lib import allocate, controls
from cloudarb_lib.controls import entry
from cloudarb_lib.forecast import forecast_offers
from cloudarb_lib.testing import (
    GCP_SPOT,
    OFFERS,
    RISK_OFFERS,
    figures,
    plan_for,
    planned,
    price_record,
    risk_inputs,
    work,
)


def per_gpu():
    table = RISK_OFFERS.reset_index()
    return table.assign(price_usd_per_gpu_hour=table["price_usd_per_hour"] / table["gpu_count"])


def asked_for_prices():
    return controls.explore(per_gpu(), price_record())


def asked_for_a_forecast():
    table = forecast_offers(price_record(), horizon_steps=2, n_paths=20, seed=1).table
    return controls.forecast(price_record(), table, n_paths=20, seed=1)


def asked_for_a_plan():
    terms = {"plan": plan_for(work()), "assumptions": figures(), "hours": [168.0]}
    return controls.allocation(allocate.Demand([work()]), OFFERS, None, **terms)


def asked_for_risk():
    return controls.risk(risk_inputs(n=100), planned({GCP_SPOT: 4.0}), budget_usd=1e5)


ASKED = [asked_for_prices, asked_for_a_forecast, asked_for_a_plan, asked_for_risk]


@pytest.mark.parametrize("asked", ASKED)
def test_a_batch_run_gets_nothing(asked):
    assert asked() is None


@pytest.mark.slow
@pytest.mark.parametrize("asked", ASKED)
def test_a_person_gets_a_widget(asked, monkeypatch):
    monkeypatch.setattr(entry, "is_person", lambda: True)
    assert isinstance(asked(), ipywidgets.Widget)


def test_nothing_to_choose_from_is_no_widget(monkeypatch):
    monkeypatch.setattr(entry, "is_person", lambda: True)
    assert controls.explore(per_gpu().assign(gpu_count=0.0), price_record()) is None


@pytest.mark.slow
def test_a_batch_run_loads_no_widgets():
    code = "import sys, cloudarb_lib.controls; sys.exit('ipywidgets' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
