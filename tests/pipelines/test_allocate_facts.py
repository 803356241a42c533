"""``cloudarb allocate`` on what a demand states beside its needs, and what it hands on."""

from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml

from pipelines import cli
from pipelines.testing import DSTACK_FLEET, SKYPILOT_TASK

pytestmark = pytest.mark.solver

DEMAND = (
    "demand:\n  - workload: train\n    needs: 64 H100\n    interruptible: yes\n    in: [europe-*]\n"
)


def run(tmp_path, *more, demand):
    file = tmp_path / "demand.yaml"
    file.write_text(demand)
    given = ["allocate", str(file), "--as-of", "2026-04-29", "--out", str(tmp_path / "out")]
    return cli.main([*given, "--paths", "history", "--n-paths", "10", *more])


def test_a_plan_is_written_for_people_and_launchers(tmp_path, capsys):
    together = DEMAND + "    together: yes\n"
    assert run(tmp_path, demand=together) == 0
    assert "a job that stays together is launched on one kind of machine" in capsys.readouterr().out
    out = tmp_path / "out"
    (task,) = [yaml.safe_load(file.read_text()) for file in (out / "sky").iterdir()]
    jsonschema.validate(task, SKYPILOT_TASK)
    (fleet,) = [yaml.safe_load(file.read_text()) for file in (out / "dstack").iterdir()]
    jsonschema.validate(fleet, DSTACK_FLEET)
    assert task["num_nodes"] == fleet["nodes"] == 8
    assert fleet["placement"] == "cluster"
    assert (out / "plan.txt").read_text().startswith("Plan for 13 weeks: ")
    assert "train: 64 GPUs, " in (out / "plan.txt").read_text()


def test_a_plan_is_compared_with_the_last_one(tmp_path, capsys):
    assert run(tmp_path, demand=DEMAND) == 0
    (tmp_path / "out").rename(tmp_path / "last")
    last = ("--last-plan", str(tmp_path / "last"))
    assert run(tmp_path, *last, demand=DEMAND.replace("64 H100", "32 H100")) == 0
    said = capsys.readouterr().out
    assert "USD, moving included, " in said
    changed = pd.read_csv(tmp_path / "out" / "changes.csv")
    assert (changed["machines_before"] > changed["machines_now"]).all()
    assert (changed["usd_before"] > changed["usd_now"]).all()
    assert run(tmp_path, "--last-plan", str(tmp_path), demand=DEMAND) == 2
    assert "holds no plan. Way out: Name the folder given to --out" in capsys.readouterr().err


def test_periods_end_with_a_deadline_and_what_is_held_is_told_with_its_age(tmp_path, capsys):
    dated = DEMAND.replace("64 H100", "5000 GPU-hours in 4 weeks") + "    accepts: [H100]\n"
    held = "commitments: [{machine: aws/us-east-1/p5.48xlarge, instances: 1, usd_per_hour: 40}]\n"
    assert run(tmp_path, demand=dated + held) == 0
    assert "From week 0 to week 4" in (tmp_path / "out" / "plan.txt").read_text()
    said = capsys.readouterr().out
    assert "aws/us-east-1//p5.48xlarge/reserved/held" in said
    assert "p5.48xlarge (on_demand): last observed on 2026-03-24 19:05: stale after 14 days" in said


def test_what_runs_now_and_is_not_on_record_is_told_with_its_line(tmp_path, capsys):
    current = "current:\n  - workload: train\n    offer: gcp/x//a3/spot/\n    instances: 4\n"
    assert run(tmp_path, demand=DEMAND + current) == 2
    assert "demand.yaml, line 8: current: no offer 'gcp/x//a3/spot/'" in capsys.readouterr().err


def test_teams_go_by_priority_where_not_all_fits(tmp_path, capsys):
    teams = """
demand:
  - {workload: first, needs: 24 H100, team: a, interruptible: yes, in: [us-west4], options: [spot]}
  - {workload: last, needs: 24 H100, team: b, interruptible: yes, in: [us-west4], options: [spot]}
teams:
  - {team: a, priority: 1}
  - {team: b, priority: 2}
"""
    assert run(tmp_path, demand=teams) == 0
    said = "demand of last: 16 of 24 left undone (priority 2)"
    assert said in capsys.readouterr().out
    assert said in (tmp_path / "out" / "plan.txt").read_text()


def test_prices_of_a_providers_own_say_what_they_lack(tmp_path, capsys):
    file = Path(__file__).parents[1] / "allocate" / "cases" / "15-custom-provider.csv"
    assert cli.main(["ingest", str(file), "--store", str(tmp_path / "store")]) == 0
    said = capsys.readouterr().out
    assert "provider 'mycorp' is none that we know: 1 row of it" in said
    assert "mycorp dgx-h100): in no plan for GPUs until they have one" in said


def test_a_job_that_stays_with_a_provider_is_launched_region_by_region(tmp_path):
    assert run(tmp_path, demand=DEMAND + "    together: provider\n") == 0
    out = tmp_path / "out"
    plan = pd.read_csv(out / "plan.csv")
    assert plan["region"].nunique() > 1
    tasks = [yaml.safe_load(file.read_text()) for file in (out / "sky").iterdir()]
    assert sum(task["num_nodes"] for task in tasks) == plan["instances"].sum()
