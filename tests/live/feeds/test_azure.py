"""Azure's feeds: each page once, whatever its links say; regions found by what they sell."""

from __future__ import annotations

import json
import os
from urllib.parse import quote

import pandas as pd
import pytest

from cloudarb_lib.live.feed import Pull
from cloudarb_lib.live.feeds.azure import AzureRetailPrices, AzureSkus
from cloudarb_lib.sources.base import Scope
from cloudarb_lib.testing.feeds import COLLECTED_AT, collect
from cloudarb_lib.testing.http import Reply
from cloudarb_lib.testing.services import JSON_TYPE, AzurePrices, GcpListing


def item(region, machine, number=0):
    return {
        "serviceName": "Virtual Machines",
        "armRegionName": region,
        "armSkuName": machine,
        "priceType": "Consumption",
        "meterId": f"{region}-{machine}-{number}",
        "retailPrice": 0.1,
    }


ITEMS = [
    item("eastus", "Standard_B2s"),
    item("westeurope", "Standard_D2s_v3"),
    *[item("eastus", "Standard_D4s_v5", number) for number in range(249)],
]


def meters(collected, region):
    pages = [json.loads(body) for body in collected.bodies[region]]
    return [item["meterId"] for page in pages for item in page["Items"]]


@pytest.mark.parametrize("has_links", [True, False])
def test_every_page_of_every_region_is_read_once(has_links, tmp_path):
    service = AzurePrices(ITEMS, page_items=100, has_links=has_links)
    collected = collect(AzureRetailPrices(), service, tmp_path)
    assert [part.name for part in collected.parts] == ["eastus", "westeurope"]
    assert len(meters(collected, "eastus")) == len(set(meters(collected, "eastus"))) == 250
    assert len(meters(collected, "westeurope")) == 1
    assert collected.faults == {}
    options = {scope.purchase_option for scope in collected.part("eastus").whole}
    assert options == {"on_demand", "spot", "reserved"}


def test_a_full_last_page_is_followed_by_an_empty_one(tmp_path):
    items = [item("eastus", "Standard_B2s", number) for number in range(100)]
    service = AzurePrices(items, page_items=100, has_links=False)
    collected = collect(
        AzureRetailPrices(), service, tmp_path, Pull(COLLECTED_AT, regions=("eastus",))
    )
    assert (len(collected.asked), collected.faults) == (3, {})  # the empty one is asked for twice


def replies(*pages):
    """Return what answers with one page after another, the last one for ever."""
    bodies = [json.dumps(page).encode() for page in pages]
    given = iter(bodies[:-1])
    return lambda _: Reply(next(given, bodies[-1]), headers=JSON_TYPE)


EASTUS = Pull(COLLECTED_AT, regions=("eastus",))


class Circle(AzurePrices):
    """Each page links to the second."""

    def __call__(self, asked):
        page = json.loads(super().__call__(asked).body)
        wanted = quote(asked.query["$filter"])
        page["NextPageLink"] = f"{self.address}/api/retail/prices?$filter={wanted}&$skip=100"
        return Reply(json.dumps(page).encode(), headers=JSON_TYPE)


def test_links_in_a_circle_end_the_walk_as_a_fault(tmp_path):
    collected = collect(AzureRetailPrices(), Circle(ITEMS, page_items=100), tmp_path, EASTUS)
    assert "leads back to a page" in collected.faults["eastus"]
    assert len(collected.bodies["eastus"]) == 2


def test_the_same_page_again_is_a_fault(tmp_path):
    page = {"Items": [item("eastus", "m", number) for number in range(100)], "NextPageLink": ""}
    collected = collect(AzureRetailPrices(), replies(page), tmp_path, EASTUS)
    assert "same page twice" in collected.faults["eastus"]
    assert len(collected.bodies["eastus"]) == 1


def test_a_link_to_another_host_is_not_followed(tmp_path):
    page = {"Items": [item("eastus", "m")], "NextPageLink": "http://prices.example.com/next"}
    collected = collect(AzureRetailPrices(), replies(page), tmp_path, EASTUS)
    assert "another host" in collected.faults["eastus"]


FULL = [item("eastus", "m", number) for number in range(100)]
EMPTY = {"Items": [], "NextPageLink": None}


def test_a_page_that_is_empty_for_once_is_read(tmp_path):
    pages = [{"Items": FULL}, EMPTY, {"Items": [item("eastus", "m", 100)]}]
    collected = collect(AzureRetailPrices(), replies(*pages), tmp_path, EASTUS)
    assert len(meters(collected, "eastus")) == 101
    assert collected.faults == {}


def test_an_empty_page_that_links_to_another_is_a_fault(tmp_path):
    pages = [{"Items": FULL}, {"Items": [], "NextPageLink": "http://127.0.0.1/next"}]
    collected = collect(AzureRetailPrices(), replies(*pages), tmp_path, EASTUS)
    assert "empty page" in collected.faults["eastus"]
    assert len(meters(collected, "eastus")) == 100


def test_a_region_without_a_price_is_a_fault_and_no_withdrawal(tmp_path):
    collected = collect(AzureRetailPrices(), replies(EMPTY), tmp_path, EASTUS)
    assert "empty page" in collected.faults["eastus"]


def test_regions_of_others_are_not_asked_for(tmp_path):
    pull = Pull(COLLECTED_AT, regions=("us-east-1", "westeurope"))
    assert list(collect(AzureRetailPrices(), AzurePrices(ITEMS), tmp_path, pull).bodies) == [
        "westeurope"
    ]
    of_aws = Pull(COLLECTED_AT, regions=("us-east-1",))
    for feed in (AzureRetailPrices(), AzureSkus()):
        assert collect(feed, AzurePrices(ITEMS), tmp_path, of_aws).parts == []


@pytest.mark.parametrize("body", [b"[]", b'{"Items": 3}', b'{"error": "busy"}'])
def test_an_answer_of_another_form_is_a_fault(body, tmp_path):
    collected = collect(AzureRetailPrices(), lambda _: Reply(body), tmp_path, EASTUS)
    assert "has no 'Items'" in collected.faults["eastus"]


def test_prices_are_fetched_every_six_hours(tmp_path):
    last = {"eastus": COLLECTED_AT - pd.Timedelta(hours=2)}
    pull = Pull(COLLECTED_AT, regions=("eastus", "westeurope"), last_done=last)
    collected = collect(AzureRetailPrices(), AzurePrices(ITEMS), tmp_path, pull)
    assert list(collected.bodies) == ["westeurope"]


@pytest.fixture
def az(tmp_path, monkeypatch):
    """Put a command az on the path that is logged in."""
    program = tmp_path / "bin" / "az"
    program.parent.mkdir()
    token = json.dumps({"subscription": "sub-1", "accessToken": "a-token"})
    program.write_text(f"#!/bin/sh\necho '{token}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


def skus(asked):
    assert asked.path == "/subscriptions/sub-1/providers/Microsoft.Compute/skus"
    page = GcpListing([{"resourceType": "virtualMachines"}], key="value", credential="a-token")
    return page(asked)


def test_skus_are_asked_with_the_token_of_az(az, tmp_path):
    assert AzureSkus().missing(Pull(COLLECTED_AT)) == ""
    collected = collect(AzureSkus(), skus, tmp_path)
    assert list(collected.bodies) == ["all"]
    assert collected.faults == {}
    assert "a-token" not in str(collected.parts)
    assert collected.part("all").whole == (Scope("azure"),)
    collected = collect(AzureSkus(), skus, tmp_path, EASTUS)
    assert collected.part("eastus").whole == (Scope("azure", "eastus"),)
    assert collected.asked[0].query["$filter"] == "location eq 'eastus'"
    assert "eastus" in collect(AzureSkus(), skus, tmp_path, probe=True).found


def test_az_that_is_not_logged_in_is_said_without_what_it_printed(az, tmp_path):
    az.write_text("#!/bin/sh\necho secret-token >&2; exit 1\n")
    collected = collect(AzureSkus(), skus, tmp_path)
    assert "az login" in collected.faults["all"]
    assert "secret-token" not in str(collected)
    az.write_text("#!/bin/sh\necho '{}'\n")
    assert "no access token" in collect(AzureSkus(), skus, tmp_path).faults["all"]


def test_without_az_the_feed_says_what_it_needs(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "az login" in AzureSkus().missing(Pull(COLLECTED_AT))


def test_probe_counts_regions(tmp_path):
    service = AzurePrices(ITEMS)
    assert (
        collect(AzureRetailPrices(), service, tmp_path, probe=True).found == "prices of 2 regions"
    )
    empty = collect(AzureRetailPrices(), AzurePrices([]), tmp_path, probe=True).found
    assert "empty page" in empty
