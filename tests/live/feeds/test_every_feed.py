"""Every feed in one cycle of collection, all services on loopback: what reaches the store."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.live import collect, registry
from cloudarb_lib.live.archives import archive_of
from cloudarb_lib.live.feeds.gcp import API_KEY
from cloudarb_lib.sources.json_files import documents_in
from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing.ec2 import Ec2, SpotPrice
from cloudarb_lib.testing.feeds import served
from cloudarb_lib.testing.http import Reply
from cloudarb_lib.testing.live import QUICK
from cloudarb_lib.testing.services import AzurePrices, Files, GcpListing

NOW = pd.Timestamp("2026-06-01T12:00Z")
FIXTURES = Path(__file__).parents[2] / "sources" / "fixtures"
OFFERS = "/offers/v1.0/aws/AmazonEC2"
PLANS = "/savingsPlan/v1.0/aws/AWSComputeSavingsPlan"
CCF = "/cloud-carbon-footprint/ccf-coefficients/main/data/grid-emissions-factors"
SKYPILOT = "skypilot-org/skypilot-catalog"
PATIENT = replace(QUICK, timeout_s=20.0, part_timeout_s=60.0)


def fixture(name):
    return (FIXTURES / name).read_bytes()


def listed(name, key):
    """Return what the pages of a fixture list."""
    pages = documents_in(FIXTURES / name, name="listing", way_out="")
    return [entry for page in pages for entry in page[key]]


EC2 = Ec2(
    [SpotPrice("us-east-1", "us-east-1a", "use1-az6", "p5.48xlarge", "12.5", NOW)],
    offerings={"us-east-1": [("p5.48xlarge", "use1-az6")]},
    machines={
        "m5.large": "<vCpuInfo><defaultVCpus>2</defaultVCpus></vCpuInfo>"
        "<memoryInfo><sizeInMiB>8192</sizeInMiB></memoryInfo>"
    },
)
AZURE = AzurePrices(
    [
        {**item, "serviceName": "Virtual Machines", "priceType": item["type"]}
        for item in listed("azure-retail-prices/good.json", "Items")
    ]
)
FILES = Files(
    {
        f"{OFFERS}/current/region_index.json": {
            "regions": {"eu-central-1": {"currentVersionUrl": f"{OFFERS}/20260511184447/e.json"}}
        },
        f"{OFFERS}/20260511184447/e.csv": fixture("aws-price-list/good.csv"),
        f"{PLANS}/current/region_index.json": {
            "regions": [{"regionCode": "us-east-1", "versionUrl": f"{PLANS}/1/u.json"}]
        },
        f"{PLANS}/1/u.csv": fixture("aws-savings-plans/good.csv"),
        "/spot-advisor-data.json": fixture("aws-spot-advisor/good.json"),
        "/GoogleCloudPlatform/region-carbon-info/main/data/yearly/latest.csv": fixture(
            "gcp-region-carbon/good.csv"
        ),
        f"{CCF}-azure.csv": fixture("ccf-grid-factors/good.csv"),
        f"{CCF}-aws.csv": fixture("ccf-grid-factors/good_aws.csv"),
        "/gcp/version": "20260530-1",
        "/gcp/20260530-1/catalog.zip": archive_of(
            "gcp.csv", fixture("gpuhunt-catalog/good_v2.csv")
        ),
        f"/repos/{SKYPILOT}/commits": [
            {"sha": "abc", "commit": {"committer": {"date": "2026-05-31T06:00:00Z"}}}
        ],
        f"/{SKYPILOT}/abc/catalogs/v8/aws/vms.csv": fixture("skypilot-catalog/good_aws.csv"),
    }
)
GCP = GcpListing(listed("gcp-skus/good.json", "skus"))
SKUS = GcpListing(listed("azure-skus/good.json", "value"), key="value", credential="a-token")


def answer(asked):
    """Answer as the service does whose path was asked for."""
    if asked.path == "/":
        return EC2(asked)
    if asked.path.startswith("/api/retail"):
        return AZURE(asked)
    if asked.path.startswith("/v1/services"):
        return GCP(asked)
    if asked.path.startswith("/subscriptions"):
        return SKUS(asked)
    if asked.path.startswith("/compute"):
        pages = documents_in(FIXTURES / "gcp-zone-lists/good.json", name="listing", way_out="")
        return Reply(json.dumps(next(pages)).encode())
    return FILES(asked)


@pytest.fixture(autouse=True)
def _credentials(tmp_path, monkeypatch):
    """Let keys and command lines be in their places."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    programs = {
        "az": """echo '{"subscription": "s", "accessToken": "a-token"}'""",
        "gcloud": '[ "$1" = config ] && echo a-project || echo a-token',
    }
    for name, line in programs.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")


def cycle(tmp_path, now):
    """Carry out a cycle of every feed but the marketplaces, which have processes of their own."""
    feeds = [feed for feed in registry.registered() if feed.name != "gpu-markets"]
    with (
        served(answer) as url,
        collect.opened(
            tmp_path / "store", feeds, clock=lambda: now, limits=lambda _: PATIENT
        ) as collector,
    ):
        endpoints = {feed.name: url for feed in feeds}
        wanted = collect.Wanted(endpoints=endpoints, environment={API_KEY: "a-key"})
        return collector.cycle(wanted)


@pytest.mark.slow
def test_what_every_service_tells_reaches_the_store_in_one_cycle(tmp_path):
    report = cycle(tmp_path, NOW)
    told = {feed.feed: feed for feed in report.feeds}
    assert {name for name, feed in told.items() if feed.skipped} == set()
    # of the catalogues one cloud each is there, and the others fail apart
    assert {name for name, feed in told.items() if feed.failed} == {
        "gpuhunt-catalog",
        "skypilot-catalog",
    }
    assert {name for name, feed in told.items() if not feed.changed} == set(), str(report)
    assert {name for name, feed in told.items() if feed.held or feed.withheld} == set()
    with open_snapshot(tmp_path / "store") as snapshot:
        sources = set(snapshot.table("price_events")["source"])
        evidence = set(snapshot.table("evidence")["source"])
        assert not snapshot.table("interruption_bands").empty
        assert set(snapshot.table("grid_carbon")["provider"]) == {"aws", "azure", "gcp"}
    assert sources == {
        "aws-price-list",
        "aws-savings-plans",
        "azure-retail-prices",
        "ec2-spot-price-history",
        "gcp-skus",
        "gpuhunt-catalog",
        "skypilot-catalog",
    }
    assert {"aws-offerings", "azure-skus", "gcp-zone-lists"} <= evidence


@pytest.mark.slow
def test_a_second_cycle_asks_only_for_what_is_due_and_adds_no_price(tmp_path):
    cycle(tmp_path, NOW)
    with open_snapshot(tmp_path / "store") as snapshot:
        before = len(snapshot.table("price_events"))
    report = cycle(tmp_path, NOW + pd.Timedelta(minutes=10))
    asked = {feed.feed for feed in report.feeds if feed.parts > feed.failed}
    assert asked == {"aws-spot"}
    with open_snapshot(tmp_path / "store") as snapshot:
        assert len(snapshot.table("price_events")) == before
