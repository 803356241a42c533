"""The demand file, and the demand told in words."""

import pytest

from cloudarb_lib import allocate
from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.tables.schema import PURCHASE_OPTIONS
from cloudarb_lib.testing import GOOD, load, work


def test_bundled_demand_reads_like_a_sentence():
    train, serve, batch = allocate.load_demand(locations.data() / "demand.yaml").workloads
    assert (train.amount, train.throughput, train.together) == (64.0, {"H100": 1.0}, "region")
    assert (serve.amount, serve.interruptible, serve.regions) == (32.0, False, ("us-*",))
    assert (batch.batch, batch.amount) == (True, 4000)
    assert batch.throughput["H100"] == 2.0
    assert len(allocate.load_demand(locations.data() / "demand_marketplace.yaml").workloads) == 3


def test_every_key_reads(tmp_path):
    (w,) = load(
        tmp_path,
        GOOD + "    worth: 2.50 USD per GPU-hour\n    in: us-*\n    accepts: [H100, H200]\n",
    )
    assert (w.count, w.amount, w.throughput) == (3, 8.0, {"H100": 1.0, "H200": 1.0})
    assert (w.worth_usd_per_gpu_hour, w.regions) == (2.5, ("us-*",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "    intrruptible: yes\n", "line 4: .*did you mean 'interruptible'"),
        (GOOD + "    interruptible: maybe\n", "line 4: interruptible is 'maybe'. .*yes or no"),
        (GOOD + "    hours_a_week: 200\n", "line 4: hours_a_week is 200.*equal to 168"),
        (GOOD + "    hours_a_week: -1\n", "line 4: hours_a_week is -1.*greater than 0"),
        (GOOD + "    needs: 8 H100\n", "line 4: 'needs' stands in line 3 already"),
        (GOOD + "    options: [spott]\n", "line 4: options is 'spott' .did you mean 'spot'"),
        (GOOD + "    worth: lots\n", "line 4: worth: 'lots' does not read like"),
        (GOOD + "    restart_minutes: 2026-13-45\n", "line 4: month must be"),
        (GOOD + "    accepts: {H100: 0}\n", "line 4: accepts.H100 is 0"),
        (GOOD + "    worth: 0 USD per GPU-hour\n", "line 4: worth is 0"),
        (GOOD + GOOD[8:], "line 4: workload 'a' repeats"),
        ("demand:\n  - workload: a\n", "line 2: needs is missing"),
        ("demand:\n  - needs: 8 H100\n", "line 2: workload is missing"),
        ("demand:\n  - workload: a\n    needs: 0 H100\n", "line 3: needs is 0"),
        (
            "demand:\n  - workload: a\n    needs: -8 H100\n",
            "line 3: needs: '-8 H100' does not read",
        ),
        (
            "demand:\n  - workload: a\n    needs: 40 GPU-hours a week\n",
            "line 2: accepts is missing",
        ),
        ("demand: []\n", "the demand is empty"),
        ("demands: []\n", "line 1: .*did you mean 'demand'"),
        ("- 1\n", "no 'key: value' lines"),
        ("demand: [\n", "line 2: expected"),
        ("demand: 3\n", "line 1: demand is 3.*Write a list"),
        ("demand:\n  - 7\n", "line 2: demand is 7.*'key: value' lines"),
        (
            GOOD + "commitments:\n  - machine: gcp/a/b\n    instances: 1.5\n    usd_per_hour: 3\n",
            "line 6: instances is 1.5",
        ),
        (
            GOOD + "commitments:\n  - machine: gcp/a/b\n    instances: 1\n    usd_per_hour: -1\n",
            "line 7: usd_per_hour is -1",
        ),
        (
            GOOD + "commitments:\n  - machine: gcp/a/b\n    instances: 1\n",
            "line 5: usd_per_hour is missing",
        ),
        (GOOD + "    workload: ' '\n", "line 4: 'workload' stands"),
        (GOOD + "    hours_a_week: yes\n", "line 4: hours_a_week is True.*a number"),
        (GOOD + "    hours_a_week: .nan\n", "line 4: hours_a_week is nan.*finite"),
        (GOOD + "    in: []\n", "line 4: in is .*one at least"),
        (GOOD + "    in: [us-*, 3]\n", "line 4: in is 3.*a text"),
        (GOOD + "    data: 5 TB\n", "line 4: data: '5 TB' does not read like '500 GB"),
        (
            GOOD + "    latency:\n      - 9 ms to gcp/a\n      - 9 m to gcp/b\n",
            "line 6: latency: '9 m to gcp/b' does not read like '40 ms to",
        ),
        (
            GOOD
            + "scenarios: [{scenario: a, probability: 0.5}, {scenario: a, probability: 0.5}]\n",
            "line 4: scenario 'a' repeats",
        ),
        (GOOD.replace("3 x 8", "0 x 8"), "line 3: needs: '0 x 8 H100' is nothing to do"),
        (GOOD + "    min_on_demand_share: 50 %\n", r"line 4: min_on_demand_share .*Write 0\.5\."),
        (GOOD + "    worth: 0 USD per GPU-hour\n", r"line 4: worth is 0\."),
        (GOOD + "    latency: []\n", r"line 4: latency: \[\] does not read"),
        (GOOD + "    latency: [9 ms to a/b, 7 ms to a/b]\n", "line 4: latency: a/b stands twice"),
        (
            GOOD + "    latency: [9 ms to a/b for 50 %, 7 ms to a/c]\n",
            "line 4: latency: some places have a share of the users, others none",
        ),
        (
            GOOD + "    latency: 9 ms to a/b for 50 %\n",
            "line 4: latency: shares of the users add up to 50 %, not 100 %",
        ),
        (GOOD + "    latency: 9 ms to a/b for 0 %\n", "line 4: percent is 0"),
        (
            GOOD + f"    latency: [{', '.join(f'9 ms to a/b{i} for 12.5 %' for i in range(8))}]\n",
            "line 4: latency: 8 places with shares.*Name 6 at most",
        ),
        (
            GOOD + "    worth: 2 USD per GPU-hour\n    latency: 9 ms to a/b for 100 %\n",
            "line 5: latency asks for shares of work that worth lets be left undone",
        ),
        (GOOD + "commitments: [{machin: a}]\n", "line 4: key 'machin' .*did you mean 'machine'"),
        (GOOD + "commitments:\n", "line 4: commitments is None"),
        ("demand:\n  - workload: ' '\n", "line 2: workload is ' '"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, text, said):
    with pytest.raises(ParameterError, match=said):
        load(tmp_path, text)


def test_the_options_of_a_workload_are_those_of_the_store():
    assert work().options == PURCHASE_OPTIONS


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ParameterError, match=r"no file .*data/demand\.yaml"):
        allocate.load_demand(tmp_path / "none.yaml")


def test_a_folder_is_no_demand_file(tmp_path):
    with pytest.raises(ParameterError, match="not readable"):
        allocate.load_demand(tmp_path)


def test_where_data_lies_and_how_near_reads(tmp_path):
    (w,) = load(
        tmp_path,
        GOOD
        + "    data: 1,500 GB a week in aws/us-east-1\n    latency: 40 ms to gcp/europe-west3\n"
        "    residency: [EU, CH]\n",
    )
    assert (w.data_gb, w.data_weekly, w.data_in) == (1500.0, True, "aws/us-east-1")
    assert w.latency == (allocate.Users(40.0, "gcp/europe-west3"),)
    assert w.residency == ("EU", "CH")
    (w,) = load(tmp_path, GOOD + "    latency: [40 ms to gcp/a for 70%, 80 ms to aws/b for 30 %]\n")
    assert w.latency == (allocate.Users(40.0, "gcp/a", 70.0), allocate.Users(80.0, "aws/b", 30.0))


def test_a_demand_is_told_with_its_futures_and_commitments():
    demand = allocate.Demand(
        [work(16.0, amounts=(8.0, 16.0), count=2)],
        (allocate.Commitment("gcp/us-a/h8", 3, 55.0),),
        (allocate.DemandScenario("base", 0.7), allocate.DemandScenario("surge", 0.3, {"w": 1.5})),
    )
    table = allocate.demand_table(demand)
    assert table["needs"].tolist() == [
        "2 x 8, then 16 GPUs, 168 h a week",
        "3 machines at 55 USD/h each",
    ]
    assert table[["base (70%)", "surge (30%)"]].to_numpy().tolist() == [["x 1", "x 1.5"], ["", ""]]
    assert table["on"].tolist() == ["H100", "gcp/us-a/h8"]
