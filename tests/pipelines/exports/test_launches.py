"""What a plan asks to be launched, for SkyPilot and dstack alike, and as a text for people."""

import jsonschema
import pandas as pd
import pytest
import yaml

from cloudarb_lib import allocate
from cloudarb_lib.testing import OFFERS, figures, plan_for, work
from pipelines.exports.dstack import fleets, write_fleets
from pipelines.exports.launches import LAUNCH_COLUMNS, launch_table, launches
from pipelines.exports.skypilot import tasks
from pipelines.exports.text import plan_in_words
from pipelines.testing import DSTACK_FLEET


def rows(*kinds) -> pd.DataFrame:
    """Rows of a plan of one workload: offer, machines and GPUs of each."""
    table = pd.DataFrame(kinds, columns=["offer_id", "instances", "each"])
    parts = table["offer_id"].str.split("/", expand=True)
    return table.assign(
        workload="Train",
        provider=parts[0],
        region=parts[1],
        gpu_model="A100-80GB",
        gpus=table["instances"] * table["each"],
    )


MIXED = rows(
    ("gcp/us-a//h8/on_demand/", 3.0, 8.0),
    ("gcp/us-a//h4/spot/", 2.0, 4.0),
    ("gcp/us-b//h8/spot/", 4.0, 8.0),
)


def test_work_that_may_be_split_is_a_launch_for_each_row():
    found = [(launch.nodes, launch.gpus, len(launch.kinds)) for launch in launches(MIXED)]
    assert found == [(3, 8.0, 2), (2, 4.0, 1), (4, 8.0, 2)]


def test_a_job_that_stays_together_is_one_launch_of_one_kind():
    here = MIXED[MIXED["region"] == "us-a"]
    (one,) = launches(here, {"Train": 1})
    assert (one.nodes, one.gpus, one.is_together) == (4, 8.0, True)
    assert [task["num_nodes"] for task in tasks(here, {"Train": 1})[0]] == [4]


def test_each_of_several_jobs_is_launched_where_it_stands():
    found = [(launch.nodes, launch.kinds[0]["region"]) for launch in launches(MIXED, {"Train": 2})]
    assert found == [(4, "us-a"), (4, "us-b")]


def test_fleets_are_as_dstack_reads_them(tmp_path):
    unknown = rows(("vultr/a//b/spot/", 1.0, 8.0), ("elsewhere/a//b/spot/", 1.0, 8.0))
    table = pd.concat([MIXED, unknown]).assign(workload="Train in 1 long name " + "x" * 60)
    assert write_fleets(table, tmp_path) == (4, ["elsewhere"])
    fleets = [yaml.safe_load(file.read_text()) for file in sorted(tmp_path.iterdir())]
    for fleet in fleets:
        jsonschema.validate(fleet, DSTACK_FLEET)
    assert fleets[0]["resources"] == {"gpu": "A100:80GB:8"}
    assert [fleet["spot_policy"] for fleet in fleets] == ["on-demand", "spot", "spot", "spot"]


@pytest.mark.parametrize("change", [{"name": "Train"}, {"nodes": 0}, {"backends": ["gcpp"]}])
def test_what_dstack_would_refuse_fails_the_schema(change):
    fleet = {"type": "fleet", "name": "a-1", "nodes": 1, "backends": ["gcp"], "resources": {}}
    jsonschema.validate(fleet, DSTACK_FLEET)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(fleet | change, DSTACK_FLEET)


def test_the_rows_of_launches_are_those_of_tasks_and_fleets():
    plan = plan_for(work(8.0, amounts=(8.0, 16.0), interruptible=False), hours=[168.0, 336.0])
    now = plan.table[plan.table["period"] == 0]
    rows = launch_table(now)
    assert tuple(rows.columns) == LAUNCH_COLUMNS
    found, _ = fleets(now)
    assert rows["machines"].tolist() == [fleet["nodes"] for fleet in found] == [8]
    assert rows[["name", "gpus_each", "together"]].to_numpy().tolist() == [["w-1", 1.0, False]]
    together = launch_table(now, {"w": 1})
    assert together["together"].tolist() == [True]


def test_a_plan_in_words_says_what_to_rent_where_and_when():
    plan = plan_for(work(8.0, amounts=(8.0, 16.0), interruptible=False), hours=[168.0, 336.0])
    said = plan_in_words(
        plan.table,
        gap=plan.gap,
        ends_h=[168.0, 504.0],
        left_undone=["demand of x: 1 of 2 left undone (priority 1)"],
    )
    assert said.splitlines() == [
        "Plan for 3 weeks: 60,480 USD expected, at most 0.00% above the best.",
        "",
        "From week 0 to week 1",
        "",
        "w: 8 GPUs, 12,096 USD",
        "  8 x h1 (1 H100) in aws us-a, on demand: 168 h each at 9.00 USD/h with fees, 12,096 USD",
        "",
        "From week 1 to week 3",
        "",
        "w: 16 GPUs, 48,384 USD",
        "  16 x h1 (1 H100) in aws us-a, on demand: 336 h each at 9.00 USD/h with fees, 48,384 USD",
        "",
        "Left undone",
        "  demand of x: 1 of 2 left undone (priority 1)",
    ]


def test_machines_held_are_told_as_such():
    held = allocate.Commitment("gcp/us-b/h8", 1, 30.0)
    demand = allocate.Demand([work(8)], (held,))
    problem = allocate.build_problem(demand, OFFERS, assumptions=figures())
    plan = allocate.solve(problem)
    said = plan_in_words(plan.table, gap=plan.gap, ends_h=[168.0], left_undone=[])
    assert "  1 x h8 (8 H100) in gcp us-b, held already: 168 h each at 30.00 USD/h" in said
