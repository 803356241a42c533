"""The lineage of runs: events as OpenLineage has them, a chain, and broken links that are found."""

import json
import shutil

import pandas as pd
import pytest

from cloudarb_lib.store import Batch, ingest_files
from cloudarb_lib.tables.run_tables import save_table
from cloudarb_lib.testing.live import csv_prices
from pipelines import cli
from pipelines.observe.lineage import LINEAGE_FILE, read_lineage, write_lineage
from pipelines.run.files import write_json, write_text
from pipelines.testing import past_run, project, quick_runs

pytestmark = pytest.mark.slow

AT = "2026-05-01T10:00:00+00:00"
OFFER = "lambdalabs/us-east-1//p5.48xlarge/on_demand/"
NOT_RENTED = "lambdalabs/us-east-1//g5.xlarge/on_demand/"


def entry(tables, after=()):
    told = {"status": "succeeded", "tables": list(tables), "after": list(after)}
    return {**told, "started_at": AT, "finished_at": AT}


NOTEBOOKS = {
    "01_explore_prices": entry(["offers"]),
    "02_train_ensemble": entry(["forecast"]),
    "03_allocate": entry(["plan"], ["01_explore_prices"]),
}


@pytest.fixture
def run_dir(tmp_path):
    """A run whose plan rents an offer of a small store, filled from a file beside it."""
    prices = tmp_path / "files" / "mine.csv"
    prices.parent.mkdir()
    prices.write_bytes(csv_prices("us-east-1", {"p5.48xlarge": 55.0, "g5.xlarge": 1.0}))
    store = tmp_path / "store"
    ingest_files([Batch(prices, pd.Timestamp(AT))], store_dir=store, now=pd.Timestamp(AT))
    tables = {
        "offers": pd.DataFrame({"offer_id": [OFFER], "price_usd_per_hour": [55.0]}),
        "plan": pd.DataFrame({"offer_id": [OFFER], "instances": [2.0], "workload": ["w"]}),
        "forecast": pd.DataFrame({"offer_id": [OFFER]}),
    }
    reports = tmp_path / "reports"
    folder = past_run(reports, "toy-1", AT, tables, name="toy", notebooks=NOTEBOOKS)
    shutil.copytree(store, folder / "snapshot")
    write_text(folder / "inputs" / "demand.yaml", "demand: []\n")
    write_lineage(folder, json.loads((folder / "manifest.json").read_text()))
    return folder


def walked(run_dir, capsys, *options):
    reports = ["--reports", str(run_dir.parent), "--files", str(run_dir.parents[1] / "files")]
    store = ["--store", str(run_dir.parents[1] / "store")]
    code = cli.main(["report", "lineage", run_dir.name, *reports, *store, *options])
    return code, capsys.readouterr()


def test_the_chain_goes_from_the_plan_to_the_bytes_of_its_price(run_dir, capsys):
    code, said = walked(run_dir, capsys)
    lines = said.out.splitlines()
    assert code == 0, said.out
    assert lines[0] == "holds   tables/plan.parquet by toy.03_allocate"
    assert "holds   tables/offers.parquet by toy.01_explore_prices" in lines
    assert "holds   inputs/demand.yaml" in lines
    assert any("snapshots/" in line and line.endswith(" by ingest") for line in lines)
    assert f"{OFFER} at 55 USD/h" in lines[-2]
    assert "mine.csv (SHA-256 " in lines[-2]
    assert lines[-1] == "unbroken"
    assert not [line for line in lines if "forecast" in line], "the plan did not read it"


def another_price(run_dir):
    path = run_dir / "tables" / "offers.parquet"
    offers = pd.read_parquet(path).assign(price_usd_per_hour=54.0)
    save_table(offers, "offers", run_dir)


def other_bytes(run_dir):
    file = run_dir.parents[1] / "files" / "mine.csv"
    file.write_bytes(file.read_bytes().replace(b"55.0", b"56.0"))


def another_snapshot(run_dir):
    (snapshot,) = (run_dir / "snapshot" / "snapshots").glob("*.duckdb")
    snapshot.write_bytes(snapshot.read_bytes() + b"\0")


def no_event_of_offers(run_dir):
    kept = [
        event for event in read_lineage(run_dir) if event["job"]["name"] != "toy.01_explore_prices"
    ]
    write_text(run_dir / LINEAGE_FILE, "".join(f"{json.dumps(event)}\n" for event in kept))


def read_before_it_changed(run_dir):
    events = read_lineage(run_dir)
    for data_set in events[-2]["inputs"]:
        if data_set["name"] == "tables/offers.parquet":
            data_set["facets"]["version"]["datasetVersion"] = "0" * 64
    write_text(run_dir / LINEAGE_FILE, "".join(f"{json.dumps(event)}\n" for event in events))


def another_demand(run_dir):
    write_text(run_dir / "inputs" / "demand.yaml", "demand: [1]\n")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (another_price, "tables/offers.parquet by toy.01_explore_prices"),
        (another_price, "the plan took 54 for it"),
        (other_bytes, "not as they were taken in, or gone: mine.csv"),
        (another_snapshot, "it is not what was written"),
        (no_event_of_offers, "no event of the run says what it came of"),
        (read_before_it_changed, "another one was read than is there"),
        (another_demand, "it is not what was read"),
    ],
)
def test_a_broken_link_is_found(run_dir, capsys, harm, told):
    harm(run_dir)
    code, said = walked(run_dir, capsys)
    assert code == 14
    broken = said.out.split("BROKEN", 1)[1]
    assert told in broken
    assert "unbroken" not in said.out


def test_what_cannot_be_walked_is_refused(run_dir, capsys):
    code, said = walked(run_dir, capsys, "--offer", NOT_RENTED)
    assert code == 2
    assert f"does not rent {NOT_RENTED}. Way out: It rents {OFFER}" in said.err
    (run_dir / LINEAGE_FILE).unlink()
    code, said = walked(run_dir, capsys)
    assert code == 2
    assert "toy-1 has no lineage that can be read" in said.err


def test_every_run_writes_its_events_whatever_became_of_it(tmp_path):
    with quick_runs(project(tmp_path)) as run:
        assert run() == 0
    (folder,) = (tmp_path / "reports").glob("toy-*")
    events = read_lineage(folder)
    by_job = {}
    for event in events:
        by_job.setdefault(event["job"]["name"], []).append(event)
    assert [event["eventType"] for event in by_job["toy"]] == ["START", "COMPLETE"]
    assert len(by_job["ingest"][0]["inputs"]) == 8, "the files of the bundled history"
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["status"] = "failed"
    manifest["notebooks"]["01_explore_prices"] |= entry([]) | {"status": "failed"}
    write_json(folder / "manifest.json", manifest)
    write_lineage(folder, manifest)
    ends = {event["job"]["name"]: event for event in read_lineage(folder)}
    assert ends["toy"]["eventType"] == "FAIL"
    assert ends["toy.01_explore_prices"]["eventType"] == "FAIL"
    assert ends["toy.01_explore_prices"]["outputs"] == []


def as_openlineage(told):
    """An event made of OpenLineage's own classes, as plain JSON again.

    They refuse keys that the specification lacks, run ids that are no UUID and times that are none.
    """
    from openlineage.client import event_v2, facet_v2, serde

    def data_set(kind, of):
        version = of["facets"]["version"]["datasetVersion"]
        facet = facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet(version)
        return kind(of["namespace"], of["name"], facets={"version": facet})

    facets = {}
    if "parent" in told["run"]["facets"]:
        parent = told["run"]["facets"]["parent"]
        run = facet_v2.parent_run.Run(parent["run"]["runId"])
        job = facet_v2.parent_run.Job(**parent["job"])
        facets["parent"] = facet_v2.parent_run.ParentRunFacet(run, job)
    event = event_v2.RunEvent(
        eventTime=told["eventTime"],
        eventType=event_v2.RunState(told["eventType"]),
        run=event_v2.Run(told["run"]["runId"], facets),
        job=event_v2.Job(**told["job"]),
        inputs=[data_set(event_v2.InputDataset, each) for each in told["inputs"]],
        outputs=[data_set(event_v2.OutputDataset, each) for each in told["outputs"]],
    )
    return serde.Serde.to_dict(event)


def without(value, *left_out):
    """A JSON value without some keys, and without what is empty there."""
    if isinstance(value, list):
        return [without(each, *left_out) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {key: without(each, *left_out) for key, each in value.items() if key not in left_out}
    return {key: each for key, each in kept.items() if each not in ({}, [])}


def test_events_are_what_openlineage_makes_of_them(run_dir):
    pytest.importorskip("openlineage.client", reason="extra research is not installed")
    events = read_lineage(run_dir)
    assert len(events) == 9
    for told in events:
        ours = without(told, "producer", "_producer")
        theirs = without(as_openlineage(told), "producer", "_producer", "inputFacets")
        assert ours == without(theirs, "outputFacets")
        assert told["producer"].startswith("urn:cloudarb:")


@pytest.mark.parametrize("harm", [{"eventTime": "today"}, {"run": {"runId": "1", "facets": {}}}])
def test_openlineage_refuses_what_is_no_event(run_dir, harm):
    pytest.importorskip("openlineage.client", reason="extra research is not installed")
    with pytest.raises(ValueError, match=r"badly formed|invalid literal"):
        as_openlineage(read_lineage(run_dir)[0] | harm)
