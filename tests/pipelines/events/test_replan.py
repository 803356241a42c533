"""Prices that move a plan start a plan anew of what they touch, and of nothing else."""

import pandas as pd
import pytest

from cloudarb_lib.store import ingest_files
from cloudarb_lib.testing import PRICE_HEADER, write_text
from pipelines import cli
from pipelines.cli.plan_folder import last_plan, write_plan
from pipelines.events.ledger import Ledger, ledger_file

pytestmark = pytest.mark.slow

DEMAND = """demand:
  - workload: train
    needs: 16 H100
    hours_a_week: 168
    in: [us-*]
  - workload: serve
    needs: 8 H100
    hours_a_week: 168
    in: [eu-*]
"""
CAPPED = DEMAND.replace("16 H100", "16 H100\n    max_usd_per_gpu_hour: 2.1")
MACHINES = (
    "provider,instance_type,vcpus,memory_gib,gpu_model,gpu_count,gpu_memory_gib\n"
    "renter,h100x8,168,1814,H100,8,80\n"
)
HEADER = PRICE_HEADER.strip() + ",offer_count,source\n"
FIRST = {"us-1": 16.0, "us-2": 20.0, "eu-1": 18.0, "eu-2": 22.0}


def prices(day, by_region):
    rows = [
        f"renter,{region},h100x8,on_demand,2026-04-{day}T00:00:00Z,{price},8,rent-list\n"
        for region, price in by_region.items()
    ]
    return HEADER + "".join(rows)


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A store, a demand file, and the plan that was the best at the first prices."""
    (tmp_path / "demand.yaml").write_text(DEMAND)
    machines = write_text(tmp_path / "machines.csv", MACHINES)
    take_in(tmp_path, "20", FIRST, machines)
    rows = [("train", "us-1", 2.0), ("serve", "eu-1", 1.0)]
    plan = pd.DataFrame(
        [(f"renter/{region}//h100x8/on_demand/", work, n) for work, region, n in rows],
        columns=["offer_id", "workload", "instances"],
    )
    observed_at = pd.Timestamp("2026-04-20", tz="UTC")
    plan = plan.assign(period=0, hours=336.0, expected_cost_usd=1.0, fees_usd=0.0)
    write_plan(plan.assign(scenario="", observed_at=observed_at), tmp_path / "plan")
    return tmp_path


def take_in(room, day, by_region, *more):
    file = write_text(room / f"prices-{day}.csv", prices(day, by_region))
    now = pd.Timestamp(f"2026-04-{day}T01:00Z")
    ingest_files([file, *more], store_dir=room / "store", now=now)


def replan(room, over_usd="500"):
    words = ["events", "replan", str(room / "demand.yaml"), "--plan", str(room / "plan")]
    words += ["--over-usd", over_usd, "--weeks", "2", "--store", str(room / "store")]
    return cli.main([*words, "--reports", str(room)])


def planned(room):
    plan = last_plan(room / "plan")
    return {row.workload: row.offer_id.split("/")[1] for row in plan.itertuples()}


def test_a_price_event_plans_anew_what_it_touches(room, capsys):
    assert replan(room) == 0
    assert "today's prices are remembered" in capsys.readouterr().out
    take_in(room, "21", FIRST | {"us-1": 16.2})
    assert replan(room) == 0, "2 machines x 336 h x 0.20 USD is not over 500 USD"
    assert planned(room) == {"train": "us-1", "serve": "eu-1"}
    # 4 USD an hour more for train; eu-2 would be cheaper for serve, but by too little to tell
    take_in(room, "22", FIRST | {"us-1": 24.0})
    assert replan(room) == 9
    assert planned(room) == {"train": "us-2", "serve": "eu-1"}
    said = capsys.readouterr().out
    assert "train planned anew, train moves." in said
    with Ledger(ledger_file(room)) as ledger:
        cause, plan, alert = [told for _, told in ledger.newest(3)]
    assert (cause.kind, cause.subject) == ("prices", "prices-22.csv")
    assert (plan.kind, plan.body["workloads"]) == ("plan", ["train"])
    assert alert.kind == "alert"
    assert plan.body["cause"] == alert.body["cause"] == cause.event_id
    assert replan(room) == 0, "the same prices move nothing a second time"


def test_small_moves_add_up(room):
    replan(room)
    for day, price in [("21", 16.5), ("22", 17.0)]:
        take_in(room, day, FIRST | {"us-1": price})
        code = replan(room)
        assert code == (9 if day == "22" else 0)


def test_an_offer_that_gets_cheaper_moves_who_may_use_it(room):
    replan(room)
    take_in(room, "21", FIRST | {"eu-2": 13.0})
    assert replan(room) == 9
    assert planned(room) == {"train": "us-1", "serve": "eu-2"}


def test_a_file_that_is_gone_is_told_and_no_event_put_aside(room, capsys):
    replan(room)
    demand = (room / "demand.yaml").read_text()
    (room / "demand.yaml").unlink()
    assert replan(room) == 2, "though nothing has happened yet"
    assert "demand.yaml" in capsys.readouterr().err
    take_in(room, "21", FIRST | {"us-1": 24.0})
    assert replan(room) == 2
    (room / "demand.yaml").write_text(demand)
    assert replan(room) == 9, "the event is still to be handled"


def test_what_no_plan_serves_is_a_dead_letter(room, capsys):
    replan(room)
    (room / "demand.yaml").write_text(CAPPED)
    take_in(room, "21", FIRST | {"us-1": 30.0})
    assert replan(room) == 8
    words = ["events", "tail", "--dead", "--store", str(room / "store"), "--reports", str(room)]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert "prices prices-21.csv  tried 1" in shown
    assert planned(room) == {"train": "us-1", "serve": "eu-1"}
