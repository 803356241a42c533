"""Controls of the price notebook: what is chosen is what is drawn, in the one figure there is."""

from __future__ import annotations

import pandas as pd
import pytest

from cloudarb_lib.controls import form
from cloudarb_lib.controls.prices import ExploreControl
from cloudarb_lib.testing import RISK_OFFERS, price_record


@pytest.fixture
def offers() -> pd.DataFrame:
    table = RISK_OFFERS.reset_index()
    per_gpu = table["price_usd_per_hour"] / table["gpu_count"]
    return table.assign(price_usd_per_gpu_hour=per_gpu)


@pytest.fixture
def control(offers) -> ExploreControl:
    return ExploreControl(offers, price_record())


def lines(control):
    return [trace.name for trace in control.picture.widget.data]


def test_all_gpus_are_drawn_first_and_the_cheapest_offers_listed(control):
    assert lines(control) == ["H100", "TPU"]
    assert "$2.50" in control.cheapest.value


def test_one_gpu_is_drawn_by_place_in_the_same_widget(control):
    widget = control.picture.widget
    control.gpu_model.value = "H100"
    assert lines(control) == ["eu (AWS)", "us (GCP)"]
    assert control.picture.widget is widget


@pytest.mark.slow
def test_a_provider_has_its_own_regions_and_forgets_another_one(control):
    control.provider.value = "aws"
    assert [name for name, _ in control.region.options] == ["all", "eu"]
    control.region.value = "eu"
    control.provider.value = "gcp"
    assert control.region.value == "all"
    assert lines(control) == ["H100"]


def test_dates_cut_the_record(control):
    first, last = control.panel.times[2], control.panel.times[8]
    control.dates.value = (first, last)
    times = pd.DatetimeIndex(control.picture.widget.data[0].x)
    assert times.tz_localize("UTC").min() == first
    assert times.tz_localize("UTC").max() == last


@pytest.mark.slow
def test_what_nobody_sells_is_said_in_words(control):
    control.provider.value = "nebula"
    control.option.value = "on demand"
    assert control.picture.title.startswith("No price of such an offer")
    assert "Nothing of this can be rented now" in control.cheapest.value


def test_what_one_figure_had_and_the_next_has_not_is_dropped(control):
    """A browser keeps annotations that nobody tells it to drop."""
    assert control.picture.widget.layout.annotations
    control.provider.value = "nebula"
    control.option.value = "on demand"
    assert not control.picture.widget.layout.annotations


def test_amounts_hold_the_chosen_one_and_end_in_no_limit():
    options = form.amounts_usd(1_335_934.0, 1_400_000.0)
    amounts = [amount for _, amount in options]
    assert options[-1] == ("no limit", form.NO_LIMIT)
    assert 1_400_000.0 in amounts
    assert amounts[:-1] == sorted(amounts[:-1])
    assert min(amounts[:-1]) <= 700_000
    assert max(amounts) >= 2_600_000


def test_limits_lie_as_close_as_the_range_in_which_they_matter():
    options = form.limits_usd(1_225_000.0, 1_268_000.0, 1_230_123.0)
    amounts = [amount for _, amount in options]
    assert options[-1] == ("no limit", form.NO_LIMIT)
    assert 1_230_123.0 in amounts
    within = [amount for amount in amounts if 1_225_000 <= amount <= 1_268_000]
    assert len(within) >= 11
    assert max(amounts) >= 1_311_000
    assert {amount % 2_000 for amount in amounts} == {0.0, 1_230_123.0 % 2_000}
    none = [("no limit", form.NO_LIMIT)]
    assert form.limits_usd(float("nan"), float("nan"), None) == none
    assert form.limits_usd(5.0, 5.0, None) == none


def test_texts_are_escaped():
    assert form.paragraph("<script>") == "<p>&lt;script&gt;</p>"
    assert "&lt;script&gt;" in form.table(pd.DataFrame({"place": ["<script>"]}), figures=[])
