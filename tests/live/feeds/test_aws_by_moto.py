"""EC2's feeds against moto's server: requests are signed and named as boto3's service has them."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from cloudarb_lib.live.breakers import Breakers
from cloudarb_lib.live.client import Client
from cloudarb_lib.live.errors import FetchError
from cloudarb_lib.live.feed import Feed, Pull
from cloudarb_lib.live.feeds.aws_ec2 import AwsInstanceTypes, AwsOfferings, AwsSpot
from cloudarb_lib.testing.feeds import COLLECTED_AT, QUICK

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server():
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")


def pages(feed: Feed, folder, server: str) -> list[dict]:
    """Return the pages of one region."""
    pull = Pull(COLLECTED_AT, regions=("eu-central-1",), endpoint=server)

    async def run():
        async with Client(
            "aws", QUICK, Breakers(), clock=lambda: COLLECTED_AT, folder=folder
        ) as client:
            (part,) = await feed.parts(client, pull)
            return [json.loads(body) async for body in feed.fetch(client, part, pull)]

    return asyncio.run(run())


def test_spot_prices_of_moto_are_of_the_region_asked(server, tmp_path):
    found = [
        entry for page in pages(AwsSpot(), tmp_path, server) for entry in page["SpotPriceHistory"]
    ]
    assert found
    assert {entry["AvailabilityZone"][:-1] for entry in found} == {"eu-central-1"}


def test_offerings_of_moto_are_told_by_zone_id(server, tmp_path):
    found = pages(AwsOfferings(), tmp_path, server)
    places = {entry["Location"] for page in found for entry in page["InstanceTypeOfferings"]}
    assert places
    assert all(place.startswith("euc1-az") for place in places)


def test_machines_of_moto_have_their_gpus(server, tmp_path):
    found = pages(AwsInstanceTypes(), tmp_path, server)
    machines = {entry["InstanceType"]: entry for page in found for entry in page["InstanceTypes"]}
    assert machines["g4dn.xlarge"]["GpuInfo"]["Gpus"][0]["Name"] == "T4"


def test_an_endpoint_that_is_none_is_a_fault(tmp_path):
    with pytest.raises(FetchError, match="eu-central-1 failed"):
        pages(AwsSpot(), tmp_path, "http://127.0.0.1:9")
