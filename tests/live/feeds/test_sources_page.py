"""docs/sources.md says what is: feeds, what they need and how often, the policy, an example."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.live import feeds as package
from cloudarb_lib.live import registry
from cloudarb_lib.live.feed import Pull
from cloudarb_lib.live.feeds.aws_ec2 import AwsInstanceTypes, AwsOfferings, AwsSpot
from cloudarb_lib.sources import registry as sources
from cloudarb_lib.testing.ec2 import Ec2, SpotPrice
from cloudarb_lib.testing.feeds import COLLECTED_AT, collect, stored
from cloudarb_lib.testing.services import Files

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "sources.md").read_text()
FEEDS = {feed.name: feed for feed in registry.registered()}
CELLS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines()]
ROWS = {row[0]: row[1:] for row in CELLS if len(row) == 7 and row[0] not in ("feed", "---")}
NEEDS = {
    "nothing": "",
    "AWS credentials": "AWS credentials",
    "`az`, logged in": "az login",
    "`gcloud`, logged in": "gcloud auth login",
    "an API key": "GOOGLE_API_KEY",
}


def test_the_page_lists_every_feed_as_it_is():
    assert set(ROWS) == set(FEEDS)
    for name, (provider, gives, _, _, _, source) in ROWS.items():
        feed = FEEDS[name]
        assert (provider, gives, source) == (feed.provider, feed.gives, feed.source)


@pytest.mark.parametrize("name", FEEDS)
def test_a_feed_needs_what_the_page_says(name, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    needs = NEEDS[ROWS[name][2]]
    missing = FEEDS[name].missing(Pull(COLLECTED_AT))
    assert (missing == "") == (needs == "")
    assert needs in missing


EC2 = Ec2([SpotPrice("us-east-1", "us-east-1a", "use1-az1", "m5.large", "0.1", COLLECTED_AT)])


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row[3].endswith(" h")])
def test_a_feed_is_asked_again_after_the_hours_of_the_page(name, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    regions = ("us-east-1", "eastus")
    address = {
        "currentVersionUrl": "/20260101000000/",
        "versionUrl": "/",
        "regionCode": "us-east-1",
    }
    files = {
        "/offers/v1.0/aws/AmazonEC2/current/region_index.json": {"regions": {"us-east-1": address}},
        "/savingsPlan/v1.0/aws/AWSComputeSavingsPlan/current/region_index.json": {
            "regions": [address]
        },
    }
    answer = EC2 if name in ("aws-offerings", "aws-instance-types") else Files(files)
    hours = float(ROWS[name][3].removesuffix(" h"))

    def parts_after(age_h):
        first = collect(FEEDS[name], answer, tmp_path, Pull(COLLECTED_AT, regions=regions))
        done = {part.name: COLLECTED_AT - pd.Timedelta(hours=age_h) for part in first.parts}
        pull = Pull(COLLECTED_AT, regions=regions, last_done=done)
        return first.parts, collect(FEEDS[name], answer, tmp_path, pull).parts

    monkeypatch.setattr(type(FEEDS[name]), "fetch", _nothing)
    first, young = parts_after(hours - 0.1)
    assert first
    assert young == []
    assert len(parts_after(hours)[1]) == len(first)


async def _nothing(self, client, part, pull):
    for body in ():
        yield body


def test_the_policy_allows_what_the_feeds_ask_and_no_more(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    policy = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.S)[1])
    (statement,) = policy["Statement"]
    asked = set()
    for feed in (AwsSpot(), AwsOfferings(), AwsInstanceTypes()):
        requests = collect(feed, EC2, tmp_path).asked
        asked |= {re.search(rb"Action=(\w+)", request.body)[1].decode() for request in requests}
    assert {f"ec2:{action}" for action in asked} == set(statement["Action"])


def test_the_page_names_every_source_of_files():
    named = {name for row in CELLS if len(row) == 2 for name in row[0].split(", ")}
    assert named - {"source", "---"} == {source.name for source in sources.registered()}


def test_its_example_is_a_feed(monkeypatch, tmp_path):
    name, text = re.search(r"^`([\w/.]+)`:\n\n```python\n(.*?)^```$", PAGE, re.M | re.S).groups()
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(file.parent)])
    try:
        feed = {feed.name: feed for feed in registry.registered()}["hangar"]
    finally:
        sys.modules.pop("cloudarb_lib.live.feeds.hangar", None)
    sheet = (
        "provider,region,instance_type,purchase_option,effective_at,price_usd_per_hour\n"
        "hangar,us-ut-1,h100-8,on_demand,2026-05-30T00:00:00Z,15.2\n"
    )
    service = Files({"/sheet.csv": sheet})
    events = stored(tmp_path, collect(feed, service, tmp_path), "price_events")
    assert list(events["price_usd_per_hour"]) == [15.2]
    assert collect(feed, service, tmp_path, probe=True).found == "a sheet of 1 machines"
