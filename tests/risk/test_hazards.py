"""One set of names for how often spot machines are taken away, in allocation and in risk."""

from typing import get_args

import pytest

from cloudarb_lib import allocate, risk
from cloudarb_lib.allocate.problem.assign import rework_factor
from cloudarb_lib.market import disruptions
from cloudarb_lib.tables.assumptions import HAZARD_PRESETS, HazardPreset, load_assumptions
from cloudarb_lib.testing import OFFERS, figures, plan_for, work


@pytest.mark.parametrize("preset", HAZARD_PRESETS)
def test_both_rooms_take_every_name_to_the_same_row_of_the_assumptions(preset):
    wanted = load_assumptions().get(f"interruption_per_hour/spot/{HAZARD_PRESETS[preset]}")
    spot = OFFERS[OFFERS["purchase_option"] == "spot"]
    assert set(risk.hazards(spot, load_assumptions(), preset)["interruption_per_hour"]) == {wanted}
    rows = {f"interruption_per_hour/spot/{HAZARD_PRESETS[preset]}": wanted}
    limits = allocate.Limits(hazard=preset)
    paid = plan_for(work(restart_minutes=60), table=spot, limits=limits, **rows).table
    rework = rework_factor(wanted, checkpoint_h=work().checkpoint_minutes / 60, restart_h=1.0)
    assert paid["hours"].iloc[0] == pytest.approx(168.0 * rework)


def test_the_type_and_the_table_hold_the_same_names():
    assert get_args(HazardPreset) == tuple(HAZARD_PRESETS)
    for rows in HAZARD_PRESETS.values():
        for name in disruptions.HAZARD_COLUMNS:
            assert load_assumptions().get(f"{name}/spot/{rows}") > 0


def test_how_often_is_told_in_words_and_a_hazard_of_none_as_never():
    assert risk.every_in_words("calm", figures()) == "never"
    assert risk.every_in_words("typical", figures()) == "every 21 days"
    assert risk.every_in_words("stressed", figures()) == "every 2 days"
    often = figures(**{"interruption_per_hour/spot/stressed": 0.05})
    assert risk.every_in_words("stressed", often) == "every 20.0 hours"
