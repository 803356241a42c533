"""What AWS publishes for everybody: current lists once a day, past versions of their own time."""

from __future__ import annotations

import pandas as pd
import pytest

from cloudarb_lib.live.feed import Pull
from cloudarb_lib.live.feeds.aws_files import AwsPriceList, AwsSavingsPlans, AwsSpotAdvisor
from cloudarb_lib.sources.base import Scope
from cloudarb_lib.testing.feeds import COLLECTED_AT, collect
from cloudarb_lib.testing.http import Reply
from cloudarb_lib.testing.services import Files

OFFERS = "/offers/v1.0/aws/AmazonEC2"
PLANS = "/savingsPlan/v1.0/aws/AWSComputeSavingsPlan"
VERSIONS = ("20260110120000", "20260310080000", "20260310200000", "20260511184447")
REGIONS = ("us-east-1", "eu-central-1", "us-west-2-lax-1")


def files(root, versions=VERSIONS):
    """Return every version of a list for each region, its text saying which it is."""
    return {
        f"{root}/{version}/{region}/index.csv": f"{region} {version}"
        for version in versions
        for region in REGIONS
    }


PRICE_LIST = Files(
    {
        f"{OFFERS}/current/region_index.json": {
            "regions": {
                region: {
                    "regionCode": region,
                    "currentVersionUrl": f"{OFFERS}/{VERSIONS[-1]}/{region}/index.json",
                }
                for region in REGIONS
            }
        },
        f"{OFFERS}/index.json": {
            "versions": {
                version: {"offerVersionUrl": f"{OFFERS}/{version}/index.json"}
                for version in VERSIONS
            }
        },
        **files(OFFERS),
    }
)
SAVINGS_PLANS = Files(
    {
        f"{PLANS}/current/region_index.json": {
            "regions": [
                {"regionCode": region, "versionUrl": f"{PLANS}/{VERSIONS[-1]}/{region}/index.json"}
                for region in REGIONS
            ]
        },
        f"{PLANS}/current/index.json": {
            "versions": [
                {"offerVersionUrl": f"{PLANS}/{version}/region_index.json"} for version in VERSIONS
            ]
        },
        **files(PLANS),
    }
)
BOTH = [
    pytest.param(AwsPriceList(), PRICE_LIST, ("on_demand", "reserved"), id="price list"),
    pytest.param(AwsSavingsPlans(), SAVINGS_PLANS, ("reserved",), id="savings plans"),
]


@pytest.mark.parametrize(("feed", "service", "options"), BOTH)
def test_the_current_list_of_each_region_shows_it_whole(feed, service, options, tmp_path):
    collected = collect(feed, service, tmp_path)
    assert collected.bodies == {
        "eu-central-1": [b"eu-central-1 20260511184447"],
        "us-east-1": [b"us-east-1 20260511184447"],
    }
    whole = tuple(Scope("aws", "us-east-1", option) for option in options)
    part = collected.part("us-east-1")
    assert (part.whole, part.seen_at, part.suffix) == (whole, None, ".csv")


@pytest.mark.parametrize(("feed", "service", "options"), BOTH)
def test_a_list_is_fetched_once_a_day(feed, service, options, tmp_path):
    last = {"us-east-1": COLLECTED_AT - pd.Timedelta(hours=2)}
    collected = collect(feed, service, tmp_path, Pull(COLLECTED_AT, last_done=last))
    assert list(collected.bodies) == ["eu-central-1"]


@pytest.mark.parametrize(("feed", "service", "options"), BOTH)
def test_back_fill_takes_the_last_version_of_each_day_from_the_one_then_in_force(
    feed, service, options, tmp_path
):
    since = pd.Timestamp("2026-02-01", tz="UTC")
    pull = Pull(COLLECTED_AT, since=since, regions=("us-east-1",))
    collected = collect(feed, service, tmp_path, pull)
    assert [(part.name, part.seen_at) for part in collected.parts] == [
        ("us-east-1@20260110120000", pd.Timestamp("2026-01-10T12:00Z")),
        ("us-east-1@20260310200000", pd.Timestamp("2026-03-10T20:00Z")),
        ("us-east-1@20260511184447", pd.Timestamp("2026-05-11T18:44:47Z")),
    ]
    assert collected.bodies["us-east-1@20260310200000"] == [b"us-east-1 20260310200000"]
    assert collected.faults == {}
    done = {part.name: COLLECTED_AT for part in collected.parts[:2]}
    pull = Pull(COLLECTED_AT, since=since, regions=("us-east-1",), last_done=done)
    again = collect(feed, service, tmp_path, pull)  # a version never changes
    assert [part.name for part in again.parts] == ["us-east-1@20260511184447"]


def test_a_version_that_is_named_before_it_is_there_fails_apart(tmp_path):
    contents = dict(PRICE_LIST.contents)
    del contents[f"{OFFERS}/{VERSIONS[-1]}/us-east-1/index.csv"]
    collected = collect(AwsPriceList(), Files(contents), tmp_path)
    assert set(collected.faults) == {"us-east-1"}
    assert collected.bodies["eu-central-1"]


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"regions": {}}'])
def test_an_index_of_another_form_is_refused(body, tmp_path):
    found = collect(AwsPriceList(), lambda _: Reply(body), tmp_path, probe=True).found
    assert "has no 'regions'" in found


def test_the_spot_advisor_comes_as_it_is(tmp_path):
    service = Files({"/spot-advisor-data.json": {"spot_advisor": {"us-east-1": {}}}})
    collected = collect(AwsSpotAdvisor(), service, tmp_path)
    assert collected.bodies == {"advisor": [b'{"spot_advisor": {"us-east-1": {}}}']}
    last = Pull(COLLECTED_AT, last_done={"advisor": COLLECTED_AT - pd.Timedelta(hours=1)})
    assert collect(AwsSpotAdvisor(), service, tmp_path, last).parts == []


def test_probes_count_what_is_there(tmp_path):
    assert (
        "3 regions, 4 versions" in collect(AwsPriceList(), PRICE_LIST, tmp_path, probe=True).found
    )
    assert "3 regions" in collect(AwsSavingsPlans(), SAVINGS_PLANS, tmp_path, probe=True).found
    service = Files({"/spot-advisor-data.json": {"spot_advisor": {"us-east-1": {}}}})
    assert collect(AwsSpotAdvisor(), service, tmp_path, probe=True).found == "bands of 1 regions"
