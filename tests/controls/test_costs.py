"""Controls of risk: the numbers are those of the library, for each hazard, horizon and mix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cloudarb_lib import risk
from cloudarb_lib.controls.costs import PARTS, RiskControl
from cloudarb_lib.risk.shocks import DemandShock, PriceShock
from cloudarb_lib.tables.assumptions import load_assumptions
from cloudarb_lib.testing import AWS_SPOT, GCP_SPOT, planned, risk_inputs

PLAN = planned({GCP_SPOT: 4.0, AWS_SPOT: 2.0}).assign(fees_usd=10.0)
DEARER = risk.StressScenario("dearer", (PriceShock(price=1.5),))
MORE = risk.StressScenario("more", (DemandShock(demand=2.0),))
BUDGET_USD = 100_000.0


@pytest.fixture(scope="module")
def inputs():
    return risk_inputs(n=200, assumptions=load_assumptions())


@pytest.fixture
def control(inputs):
    return RiskControl(inputs, PLAN, budget_usd=BUDGET_USD, scenarios=[DEARER, MORE])


def test_at_first_it_is_the_cost_of_the_page(control, inputs):
    total, _ = control.mixed()
    assert total.mean() == pytest.approx(risk.plan_cost(inputs, PLAN).total.mean())
    assert total.shape == (200 * PARTS,)


@pytest.mark.slow
def test_the_hazard_is_that_of_the_library(control, inputs):
    control.hazard.value = "stressed"
    stressed = risk.plan_cost(replace(inputs, hazard="stressed"), PLAN).total
    assert control.mixed()[0].mean() == pytest.approx(stressed.mean())
    assert stressed.mean() > 1.01 * risk.plan_cost(inputs, PLAN).total.mean()


@pytest.mark.slow
def test_the_horizon_is_that_of_the_library(control, inputs):
    control.horizon.value = 2
    rows = risk.by_horizon(inputs, PLAN, horizons_h=[336.0])
    expected = rows[(rows["measure"] == "expected_cost") & (rows["horizon_h"] == 336.0)]
    assert control.mixed()[0].mean() == pytest.approx(expected["value_usd"].iloc[0])
    assert "$50,000" in control.figures.value  # the budget's share of half the horizon


def test_a_mix_is_weighed_by_chances(control):
    base, _ = control.mixed()
    control.chances["dearer"].value = PARTS // 4
    mixed, _ = control.mixed()
    dearer = control.cost("dearer", control.hazard.value, control.horizon.value).total
    assert mixed.mean() == pytest.approx(0.75 * base.mean() + 0.25 * dearer.mean())


@pytest.mark.slow
def test_chances_beyond_all_are_told_and_count_in_proportion(control):
    control.chances["dearer"].value = PARTS
    assert "count in proportion" not in control.figures.value
    control.chances["more"].value = PARTS
    assert "count in proportion" in control.figures.value
    totals = [control.cost(name, "typical", 4).total.mean() for name in ("dearer", "more")]
    assert control.mixed()[0].mean() == pytest.approx(np.mean(totals))


def test_a_level_moves_the_numbers_and_the_picture_in_place(control):
    widget = control.picture.widget
    before = (control.picture.title, control.figures.value)
    control.level.value = 0.99
    assert control.picture.title.startswith("In 99 % of sample paths")
    assert (control.picture.title, control.figures.value) != before
    assert control.picture.widget is widget
