"""EC2's feeds: every page of a region, from where the last fetch began; regions fail apart."""

from __future__ import annotations

import json
from itertools import pairwise

import pandas as pd
import pytest

from cloudarb_lib.live.feed import Pull
from cloudarb_lib.live.feeds.aws_ec2 import AwsInstanceTypes, AwsOfferings, AwsSpot
from cloudarb_lib.testing.ec2 import Ec2, SpotPrice
from cloudarb_lib.testing.feeds import COLLECTED_AT, collect
from cloudarb_lib.testing.http import Reply

HOUR = pd.Timedelta(hours=1)
MACHINE = (
    "<vCpuInfo><defaultVCpus>192</defaultVCpus></vCpuInfo>"
    "<memoryInfo><sizeInMiB>2097152</sizeInMiB></memoryInfo>"
    "<gpuInfo><gpus><item><name>H100</name><manufacturer>NVIDIA</manufacturer><count>8</count>"
    "<memoryInfo><sizeInMiB>81920</sizeInMiB></memoryInfo></item></gpus></gpuInfo>"
)


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def price(region, machine, hours_ago, usd, zone="a"):
    zone_id = f"{region[:2]}x{region[-1]}-az{ord(zone) - 96}"
    return SpotPrice(region, region + zone, zone_id, machine, usd, COLLECTED_AT - hours_ago * HOUR)


PRICES = [
    price("us-east-1", "p5.48xlarge", 30, "12.1"),
    price("us-east-1", "p5.48xlarge", 5, "12.5"),
    price("us-east-1", "m5.large", 50, "0.03"),
    price("us-east-1", "m5.large", 2, "0.04", zone="b"),
    price("eu-central-1", "m5.large", 3, "0.05"),
]


def entries(collected, region):
    pages = [json.loads(body) for body in collected.bodies[region]]
    return [entry for page in pages for entry in page["SpotPriceHistory"]]


@pytest.mark.slow
def test_a_first_pull_gives_the_price_in_force_of_each_series(tmp_path):
    collected = collect(AwsSpot(), Ec2(PRICES), tmp_path)
    assert [part.name for part in collected.parts] == ["eu-central-1", "us-east-1"]
    found = {(e["InstanceType"], e["SpotPrice"]) for e in entries(collected, "us-east-1")}
    assert found == {("p5.48xlarge", "12.5"), ("m5.large", "0.03"), ("m5.large", "0.04")}
    assert set(entries(collected, "eu-central-1")[0]) == {
        "AvailabilityZone",
        "AvailabilityZoneId",
        "InstanceType",
        "ProductDescription",
        "SpotPrice",
        "Timestamp",
    }
    assert collected.faults == {}


@pytest.mark.slow
def test_a_pull_goes_on_from_where_the_last_one_began(tmp_path):
    pull = Pull(COLLECTED_AT, last_done={"us-east-1": COLLECTED_AT - 6 * HOUR})
    collected = collect(AwsSpot(), Ec2(PRICES), tmp_path, pull)
    found = [(e["InstanceType"], e["SpotPrice"]) for e in entries(collected, "us-east-1")]
    # the change since then, what came into force before it, and the other series' last change
    assert sorted(found) == [
        ("m5.large", "0.03"),
        ("m5.large", "0.04"),
        ("p5.48xlarge", "12.1"),
        ("p5.48xlarge", "12.5"),
    ]


def test_back_fill_reaches_90_days_and_says_so(tmp_path):
    pull = Pull(COLLECTED_AT, since=COLLECTED_AT - pd.Timedelta(days=400))
    collected = collect(AwsSpot(), Ec2(PRICES), tmp_path, pull)
    begin = pd.Timestamp(collected.part("us-east-1").detail["begin"])
    assert COLLECTED_AT - begin == pd.Timedelta(days=90)
    assert len(entries(collected, "us-east-1")) == 4
    assert "90 days" in collected.notices[0]


@pytest.mark.parametrize("most_rows", [1, 2, 3])
def test_every_page_is_read_once(tmp_path, most_rows):
    pull = Pull(COLLECTED_AT, since=COLLECTED_AT - pd.Timedelta(days=90))
    collected = collect(AwsSpot(), Ec2(PRICES, most_rows=most_rows), tmp_path, pull)
    assert len(entries(collected, "us-east-1")) == 4
    assert len(collected.bodies["us-east-1"]) == -(-4 // most_rows)
    assert not any(b"NextToken" in body for body in collected.bodies["us-east-1"])


def test_a_region_that_is_closed_fails_apart(tmp_path):
    service = Ec2(PRICES, refused={"af-south-1": "AuthFailure"})
    collected = collect(AwsSpot(), service, tmp_path)
    assert set(collected.faults) == {"af-south-1"}
    assert "account has this region enabled" in collected.faults["af-south-1"]
    assert len(entries(collected, "us-east-1")) == 3


def test_only_the_regions_that_are_wanted_are_asked(tmp_path):
    pull = Pull(COLLECTED_AT, regions=("eu-central-1", "westeurope", "us-central1"))
    collected = collect(AwsSpot(), Ec2(PRICES), tmp_path, pull)
    assert list(collected.bodies) == ["eu-central-1"]
    assert len(collected.asked) == 1  # not even which regions there are


def test_throttling_is_asked_again_and_refusals_are_not(tmp_path):
    service = Ec2(PRICES)
    busy = iter([True, False] * 20)

    def answer(asked):
        if next(busy):
            body = b"<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors>"
            return Reply(body + b"<RequestID>r</RequestID></Response>", 503)
        return service(asked)

    collected = collect(AwsSpot(), answer, tmp_path)
    assert collected.faults == {}
    assert len(entries(collected, "us-east-1")) == 3
    expired = Ec2(PRICES, refused={"us-east-1": "ExpiredToken"})
    collected = collect(AwsSpot(), expired, tmp_path, Pull(COLLECTED_AT, regions=("us-east-1",)))
    assert "credentials have expired" in collected.faults["us-east-1"]
    assert len(collected.asked) == 1


def test_a_cut_answer_is_asked_again(tmp_path):
    service = Ec2(PRICES)
    faults = iter([{"cut_at": 300}, {"cut_at": 0, "reset": True}])

    def answer(asked):
        reply = service(asked)
        return Reply(reply.body, **next(faults, {}))

    pull = Pull(COLLECTED_AT, regions=("us-east-1",))
    collected = collect(AwsSpot(), answer, tmp_path, pull)
    assert collected.faults == {}
    assert len(entries(collected, "us-east-1")) == 3


def test_a_listing_that_leads_in_a_circle_is_left(tmp_path):
    service = Ec2(PRICES, most_rows=1)

    def answer(asked):
        reply = service(asked)
        return Reply(reply.body.replace(b"from-2", b"from-1"), headers=reply.headers)

    pull = Pull(COLLECTED_AT, regions=("us-east-1",))
    collected = collect(AwsSpot(), answer, tmp_path, pull)
    assert "leads back to a page" in collected.faults["us-east-1"]
    assert len(collected.bodies["us-east-1"]) == 2


def test_no_secret_is_said(tmp_path):
    service = Ec2(PRICES, refused={"us-east-1": "SignatureDoesNotMatch"})
    collected = collect(AwsSpot(), service, tmp_path, Pull(COLLECTED_AT, regions=("us-east-1",)))
    said = str(collected.faults) + str(collected.parts) + str(collected.notices)
    assert "AKIAEXAMPLE" not in said
    assert "not-a-secret" not in said


@pytest.mark.slow
def test_offerings_and_machines_come_page_by_page_once_a_day(tmp_path):
    zones = [("p5.48xlarge", "use1-az6"), ("m5.large", "use1-az1"), ("m5.large", "use1-az2")]
    service = Ec2(
        offerings={"us-east-1": zones},
        machines={"p5.48xlarge": MACHINE, "p5.4xlarge": MACHINE, "p5.8xlarge": MACHINE},
        most_rows=2,
    )
    for feed, key in (
        (AwsOfferings(), "InstanceTypeOfferings"),
        (AwsInstanceTypes(), "InstanceTypes"),
    ):
        collected = collect(feed, service, tmp_path)
        pages = [json.loads(body) for body in collected.bodies["us-east-1"]]
        assert [len(page[key]) for page in pages] == [2, 1]
        young = Pull(COLLECTED_AT, last_done={"us-east-1": COLLECTED_AT - HOUR})
        assert collect(feed, service, tmp_path, young).parts == []


def test_without_a_key_each_says_what_it_needs(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for feed in (AwsSpot(), AwsOfferings(), AwsInstanceTypes()):
        assert "AWS CLI finds them" in feed.missing(Pull(COLLECTED_AT))


def test_with_a_key_nothing_is_missing():
    for feed in (AwsSpot(), AwsOfferings(), AwsInstanceTypes()):
        assert feed.missing(Pull(COLLECTED_AT)) == ""


@pytest.mark.slow
def test_probes_tell_what_they_found(tmp_path):
    service = Ec2(
        PRICES,
        offerings={"us-east-1": [("m5.large", "use1-az1")]},
        machines={"p5.48xlarge": MACHINE},
    )
    feeds = (AwsSpot(), AwsOfferings(), AwsInstanceTypes())
    found = [collect(feed, service, tmp_path, probe=True).found for feed in feeds]
    assert all("us-east-1" in text for text in found)
    assert len(set(found)) == 3
    empty = [collect(feed, Ec2(), tmp_path, probe=True).found for feed in feeds]
    assert not any(a == b for a, b in pairwise([*found, *empty]))
    assert all("EC2" in text for text in empty)
