"""What feeds download goes through the file sources into a store: the rows that were told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.live.feed import Pull
from cloudarb_lib.live.feeds.aws_ec2 import AwsInstanceTypes, AwsOfferings, AwsSpot
from cloudarb_lib.live.feeds.aws_files import AwsPriceList, AwsSavingsPlans, AwsSpotAdvisor
from cloudarb_lib.live.feeds.carbon import CcfGridFactors, GcpRegionCarbon
from cloudarb_lib.testing.ec2 import Ec2, SpotPrice
from cloudarb_lib.testing.feeds import COLLECTED_AT, collect, stored
from cloudarb_lib.testing.services import Files

pytestmark = pytest.mark.slow

FIXTURES = Path(__file__).parents[2] / "sources" / "fixtures"
HOUR = pd.Timedelta(hours=1)
OFFERS = "/offers/v1.0/aws/AmazonEC2"
PLANS = "/savingsPlan/v1.0/aws/AWSComputeSavingsPlan"
CCF = "/cloud-carbon-footprint/ccf-coefficients/main/data/grid-emissions-factors"


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def test_spot_prices_are_stored_as_ec2_told_them(tmp_path):
    prices = [
        SpotPrice("us-east-1", "us-east-1a", "use1-az6", machine, usd, COLLECTED_AT - ago * HOUR)
        for machine, usd, ago in (("p5.48xlarge", "12.1", 9), ("p5.48xlarge", "12.5", 5))
    ]
    pull = Pull(COLLECTED_AT, since=COLLECTED_AT - 24 * HOUR)
    collected = collect(AwsSpot(), Ec2(prices, most_rows=1), tmp_path, pull)
    events = stored(tmp_path, collected, "price_events").sort_values("effective_at")
    assert list(events["price_usd_per_hour"]) == [12.1, 12.5]
    assert list(events["effective_at"]) == [price.time for price in prices]
    assert set(events["zone"]) == {"use1-az6"}
    assert set(events["region"]) == {"us-east-1"}


def test_offerings_and_machines_are_stored(tmp_path):
    service = Ec2(
        offerings={"us-east-1": [("p5.48xlarge", "use1-az6"), ("m5.large", "use1-az1")]},
        machines={
            "p5.48xlarge": "<vCpuInfo><defaultVCpus>192</defaultVCpus></vCpuInfo>"
            "<memoryInfo><sizeInMiB>2097152</sizeInMiB></memoryInfo><gpuInfo><gpus><item>"
            "<name>H100</name><count>8</count><memoryInfo><sizeInMiB>81920</sizeInMiB></memoryInfo>"
            "</item></gpus></gpuInfo>"
        },
        most_rows=1,
    )
    evidence = stored(tmp_path, collect(AwsOfferings(), service, tmp_path), "evidence")
    assert set(evidence["zone"]) == {"use1-az6", "use1-az1"}
    assert set(evidence["seen_at"]) == {COLLECTED_AT}
    machines = stored(tmp_path, collect(AwsInstanceTypes(), service, tmp_path), "instances")
    (row,) = machines.to_dict("records")
    assert (row["vcpus"], row["memory_gib"]) == (192, 2048)
    assert (row["gpu_model"], row["gpu_count"], row["gpu_memory_gib"]) == ("H100", 8, 80)


def test_a_machine_that_a_region_does_not_list_any_more_is_denied(tmp_path):
    both = [("p5.48xlarge", "use1-az6"), ("m5.large", "use1-az1")]
    stored(
        tmp_path, collect(AwsOfferings(), Ec2(offerings={"us-east-1": both}), tmp_path), "evidence"
    )
    next_day = COLLECTED_AT + 24 * HOUR
    service = Ec2(offerings={"us-east-1": both[1:]})
    collected = collect(AwsOfferings(), service, tmp_path, Pull(next_day))
    evidence = stored(tmp_path, collected, "evidence", next_day)
    (denied,) = evidence[~evidence["sold"]].to_dict("records")
    assert (denied["instance_type"], denied["seen_at"]) == ("p5.48xlarge", next_day)


def price_list(*versions):
    """Return a price list of Frankfurt in these versions, the last one in force."""
    path = f"{OFFERS}/{versions[-1][0]}/eu-central-1/index.json"
    return Files(
        {
            f"{OFFERS}/current/region_index.json": {
                "regions": {"eu-central-1": {"currentVersionUrl": path}}
            },
            f"{OFFERS}/index.json": {
                "versions": {
                    version: {"offerVersionUrl": f"{OFFERS}/{version}/index.json"}
                    for version, _ in versions
                }
            },
            **{f"{OFFERS}/{name}/eu-central-1/index.csv": content for name, content in versions},
        }
    )


NOW_LIST = fixture("aws-price-list/good.csv")
OLD_LIST = NOW_LIST.replace(b'"0.1150000000"', b'"0.1300000000"')
SHORT_LIST = b"".join(line for line in NOW_LIST.splitlines(True) if b"p5.48xlarge" not in line)


def test_past_versions_of_a_price_list_are_observations_of_their_own_time(tmp_path):
    service = price_list(("20260310080000", OLD_LIST), ("20260511184447", NOW_LIST))
    pull = Pull(COLLECTED_AT, since=pd.Timestamp("2026-04-01", tz="UTC"))
    events = stored(tmp_path, collect(AwsPriceList(), service, tmp_path, pull), "price_events")
    of_m5 = events[(events.instance_type == "m5.large") & (events.purchase_option == "on_demand")]
    assert dict(zip(of_m5["observed_at"], of_m5["price_usd_per_hour"], strict=True)) == {
        pd.Timestamp("2026-03-10T08:00Z"): 0.13,
        pd.Timestamp("2026-05-11T18:44:47Z"): 0.115,
    }
    # what did not change is stored once; that it was seen again stands in the looks
    assert len(events) == 2 + 3


def test_a_machine_that_left_the_list_is_withdrawn(tmp_path):
    service = price_list(("20260310080000", NOW_LIST), ("20260511184447", SHORT_LIST))
    pull = Pull(COLLECTED_AT, since=pd.Timestamp("2026-04-01", tz="UTC"))
    events = stored(tmp_path, collect(AwsPriceList(), service, tmp_path, pull), "price_events")
    of_p5 = events[events.instance_type == "p5.48xlarge"].sort_values("effective_at")
    assert list(of_p5["price_usd_per_hour"].isna()) == [False, True]
    assert of_p5["effective_at"].iloc[-1] == pd.Timestamp("2026-05-11T18:44:47Z")


def test_the_same_list_again_is_a_look_and_no_news(tmp_path):
    service = price_list(("20260511184447", NOW_LIST))
    first = stored(tmp_path, collect(AwsPriceList(), service, tmp_path), "price_events")
    later = COLLECTED_AT + 24 * HOUR
    again = collect(AwsPriceList(), service, tmp_path, Pull(later))
    assert len(stored(tmp_path, again, "price_events", later)) == len(first) == 4
    looks = stored(tmp_path, again, "looks", later)
    assert {COLLECTED_AT, later} <= set(looks["looked_at"])


def test_savings_plans_bands_and_carbon_are_stored(tmp_path):
    path = f"{PLANS}/20260511184447/us-east-1/index.json"
    service = Files(
        {
            f"{PLANS}/current/region_index.json": {
                "regions": [{"regionCode": "us-east-1", "versionUrl": path}]
            },
            path.replace(".json", ".csv"): fixture("aws-savings-plans/good.csv"),
            "/spot-advisor-data.json": fixture("aws-spot-advisor/good.json"),
            "/GoogleCloudPlatform/region-carbon-info/main/data/yearly/latest.csv": fixture(
                "gcp-region-carbon/good.csv"
            ),
            f"{CCF}-azure.csv": fixture("ccf-grid-factors/good.csv"),
            f"{CCF}-aws.csv": fixture("ccf-grid-factors/good_aws.csv"),
        }
    )
    plans = stored(tmp_path, collect(AwsSavingsPlans(), service, tmp_path), "price_events")
    assert set(plans["price_usd_per_hour"]) == {36.41, 24.76, 0.06}
    bands = stored(tmp_path, collect(AwsSpotAdvisor(), service, tmp_path), "interruption_bands")
    assert set(bands["as_of"]) == {COLLECTED_AT}
    carbon = stored(tmp_path, collect(GcpRegionCarbon(), service, tmp_path), "grid_carbon")
    assert set(carbon["provider"]) == {"gcp"}
    carbon = stored(tmp_path, collect(CcfGridFactors(), service, tmp_path), "grid_carbon")
    assert set(carbon["provider"]) == {"gcp", "aws", "azure"}
