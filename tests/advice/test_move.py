"""Move or stay: moving is paid for, what cannot go on moves, and what is unknown is refused."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.advice import move
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.market import read_market
from cloudarb_lib.tables.assumptions import load_assumptions
from cloudarb_lib.testing import Record

pytestmark = pytest.mark.solver

HERE = "gcp/us-a//a3-highgpu-8g/spot/"
THERE = "gcp/us-b//a3-highgpu-8g/spot/"
BOOK = load_assumptions()


def workload(**changes):
    return allocate.Workload(
        "train", 16.0, {"H100": 1.0}, interruptible=True, restart_minutes=30.0, **changes
    )


def advise(here_usd, there_usd, weeks=4.0, current=((HERE, 2.0),), **changes):
    record = Record({"us-a:spot": here_usd, "us-b:spot": [(0, there_usd)]})
    market = read_market(record, Record.END, providers=["gcp"], stale_after_days=14.0)
    placements = tuple(allocate.Placement("train", offer, n) for offer, n in current)
    demand = allocate.Demand([workload(**changes)], current=placements)
    return move.move_or_stay(demand, market, BOOK, weeks=weeks)


def test_a_small_difference_stays_and_a_large_one_moves():
    assert not advise([(0, 20.0)], 19.9).is_move
    advice = advise([(0, 20.0)], 15.0)
    assert advice.is_move
    overlap_h = BOOK.get("move_overlap_h") + 0.5
    assert advice.moving_usd == pytest.approx(2 * 15.0 * overlap_h)
    hours = advice.plan["hours"].iloc[0]
    assert advice.saving_usd == pytest.approx(2 * hours * 5.0 - advice.moving_usd)
    assert advice.payback_weeks == pytest.approx(advice.moving_usd / (2 * hours / 4 * 5.0))
    assert advice.changes["offer_id"].tolist() == [HERE, THERE]
    assert "**Move**: it saves" in move.in_words(advice, weeks=4)


def test_what_pays_back_too_late_stays():
    hours_to_pay_back = (BOOK.get("move_overlap_h") + 0.5) * 19.0
    assert hours_to_pay_back > 168 * 0.4
    assert not advise([(0, 19.4)], 19.0, weeks=1.0).is_move
    assert advise([(0, 19.4)], 19.0, weeks=4.0).is_move


def test_state_to_copy_is_paid_for_by_the_share_that_moves():
    plain = advise([(0, 20.0)], 10.0)
    heavy = advise([(0, 20.0)], 10.0, state_gb=1000.0)
    per_gb = BOOK.get("transfer_usd_per_gb/gcp", "transfer_usd_per_gb")
    assert heavy.moving_usd - plain.moving_usd == pytest.approx(1000 * per_gb)
    half = advise([(0, 20.0)], 10.0, current=((HERE, 1.0), (THERE, 1.0)), state_gb=1000.0)
    assert half.moving_usd == pytest.approx(heavy.moving_usd / 2)


def test_what_runs_at_the_cheapest_place_stays():
    advice = advise([(0, 20.0)], 25.0)
    assert not advice.is_move
    assert advice.moving_usd == 0
    assert np.isnan(advice.payback_weeks)
    assert "**Stay**" in move.in_words(advice, weeks=4)


def test_what_is_no_longer_sold_must_move_and_says_since_when():
    advice = advise([(0, 20.0), (25, np.nan)], 25.0)
    assert advice.is_move
    assert f"{HERE} is not offered: withdrawn" in advice.must[0]
    assert "what runs now cannot go on" in move.in_words(advice, weeks=4)


def test_too_few_machines_cannot_go_on():
    advice = advise([(0, 20.0)], 25.0, current=((HERE, 1.0),))
    assert advice.must == ("demand of train: 8 below 16",)


def test_what_is_unknown_is_refused():
    with pytest.raises(ParameterError, match="did you mean"):
        advise([(0, 20.0)], 25.0, current=((HERE.replace("8g", "8"), 2.0),))
    with pytest.raises(ParameterError, match="no 'current'"):
        advise([(0, 20.0)], 25.0, current=())
    with pytest.raises(ParameterError, match="no workload 'trian'"):
        allocate.Demand([workload()], current=(allocate.Placement("trian", HERE, 1.0),))


def test_the_last_plan_is_what_runs_now():
    plan = pd.DataFrame(
        {
            "workload": ["train", "train", "idle commitment"],
            "period": [0, 1, 0],
            "offer_id": [HERE, THERE, THERE],
            "instances": [2.0, 2.0, 1.0],
        }
    )
    demand = move.with_current(allocate.Demand([workload()]), plan)
    assert demand.current == (allocate.Placement("train", HERE, 2.0),)


def test_a_file_lists_what_runs_now(tmp_path):
    file = tmp_path / "demand.yaml"
    file.write_text(
        "demand:\n  - workload: a\n    needs: 8 H100\n"
        f"current:\n  - workload: a\n    offer: {HERE}\n    instances: 2\n"
    )
    assert allocate.load_demand(file).current == (allocate.Placement("a", HERE, 2.0),)


PLAN_OF_TWO_FUTURES = pd.DataFrame(
    {
        "workload": ["train in base", "train in surge", "idle commitment in base"],
        "scenario": ["base", "surge", "base"],
        "period": [0, 0, 0],
        "offer_id": [HERE, THERE, THERE],
        "instances": [2.0, 4.0, 1.0],
    }
)


@pytest.mark.parametrize(
    ("futures", "came", "running"),
    [
        ((), None, (HERE, 2.0)),
        ((("surge", 0.6), ("base", 0.4)), None, (THERE, 4.0)),
        ((("low", 0.6), ("base", 0.4)), None, (HERE, 2.0)),
        ((("low", 0.6), ("high", 0.4)), "surge", (THERE, 4.0)),
    ],
)
def test_of_a_plan_with_scenarios_the_likeliest_or_the_one_that_came_runs(futures, came, running):
    scenarios = tuple(allocate.DemandScenario(*future) for future in futures)
    demand = allocate.Demand([workload()], scenarios=scenarios)
    demand = move.with_current(demand, PLAN_OF_TWO_FUTURES, came)
    assert demand.current == (allocate.Placement("train", *running),)


def test_a_scenario_that_the_last_plan_lacks_is_refused():
    demand = allocate.Demand([workload()])
    with pytest.raises(ParameterError, match=r"no scenario 'bas' \(did you mean 'base'\?\)"):
        move.with_current(demand, PLAN_OF_TWO_FUTURES, "bas")
