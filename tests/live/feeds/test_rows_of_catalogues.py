"""Catalogues and marketplaces as feeds download them, through the file sources into a store."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib import store
from cloudarb_lib.live import registry
from cloudarb_lib.live.archives import archive_of
from cloudarb_lib.live.feed import Pull
from cloudarb_lib.live.feeds.azure import AzureRetailPrices
from cloudarb_lib.live.feeds.catalogues import GpuhuntCatalog, SkyPilotCatalog
from cloudarb_lib.sources import registry as sources
from cloudarb_lib.testing.feeds import COLLECTED_AT, collect, stored
from cloudarb_lib.testing.http import Reply
from cloudarb_lib.testing.services import AzurePrices, Files

pytestmark = pytest.mark.slow

LATE = pd.Timestamp("2100-01-01", tz="UTC")
FIXTURES = Path(__file__).parents[2] / "sources" / "fixtures"


def test_every_feed_names_a_source_that_reads_its_files():
    known = {source.name for source in sources.registered()}
    feeds = registry.registered()
    assert {feed.source for feed in feeds} <= known
    assert len({feed.name for feed in feeds}) == len(feeds)
    assert all(feed.gives and feed.provider for feed in feeds)


def item(machine, price, number=0, **others):
    return {
        "currencyCode": "USD",
        "retailPrice": price,
        "unitPrice": price,
        "armRegionName": "eastus",
        "location": "US East",
        "effectiveStartDate": "2026-01-01T00:00:00Z",
        "meterId": f"{machine}-{number}",
        "meterName": machine.removeprefix("Standard_"),
        "productName": "Virtual Machines Dsv5 Series",
        "skuId": f"DZH318Z0{number:04}",
        "skuName": machine.removeprefix("Standard_"),
        "serviceName": "Virtual Machines",
        "armSkuName": machine,
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "priceType": "Consumption",
        **others,
    }


ITEMS = [item(f"Standard_D{number}s_v5", number / 10, number) for number in range(2, 252)]
EASTUS = Pull(COLLECTED_AT, regions=("eastus",))


@pytest.mark.parametrize("has_links", [True, False])
def test_pages_of_azure_are_stored_each_row_once(has_links, tmp_path):
    service = AzurePrices(ITEMS, page_items=100, has_links=has_links)
    events = stored(
        tmp_path, collect(AzureRetailPrices(), service, tmp_path, EASTUS), "price_events"
    )
    found = dict(zip(events["instance_type"], events["price_usd_per_hour"], strict=True))
    assert found == {entry["armSkuName"]: entry["retailPrice"] for entry in ITEMS}
    assert set(events["observed_at"]) == {COLLECTED_AT}


def test_what_leaves_azures_list_is_withdrawn_and_a_broken_walk_withdraws_nothing(tmp_path):
    first = collect(AzureRetailPrices(), AzurePrices(ITEMS, page_items=100), tmp_path, EASTUS)
    stored(tmp_path, first, "price_events")
    later = COLLECTED_AT + pd.Timedelta(hours=8)
    pull = Pull(later, regions=("eastus",))

    def answer(asked):
        if "$skip" in asked.query:
            return Reply(b'{"Items": []}')  # the rest does not come, and no link says so
        page = {"Items": ITEMS[:100], "NextPageLink": "http://127.0.0.1/elsewhere"}
        return Reply(json.dumps(page).encode())

    broken = collect(AzureRetailPrices(), answer, tmp_path, pull)
    assert broken.faults
    assert not stored(tmp_path, broken, "price_events", later)["price_usd_per_hour"].isna().any()
    shorter = collect(AzureRetailPrices(), AzurePrices(ITEMS[:-1], page_items=100), tmp_path, pull)
    events = stored(tmp_path, shorter, "price_events", later)
    gone = events[events["price_usd_per_hour"].isna()]
    assert list(gone["instance_type"]) == [ITEMS[-1]["armSkuName"]]
    assert list(gone["effective_at"]) == [later]


@pytest.mark.parametrize(
    ("feed", "source", "fixture", "name"),
    [
        (GpuhuntCatalog(), "gpuhunt-catalog", "good_v2.csv", "gcp"),
        (SkyPilotCatalog(), "skypilot-catalog", "good_vast.csv", "vast"),
    ],
)
def test_a_catalogue_vouches_for_the_provider_that_its_rows_are_of(
    feed, source, fixture, name, tmp_path
):
    rows = archive_of(f"{name}.csv", (FIXTURES / source / fixture).read_bytes())
    (tmp_path / "rows.zip").write_bytes(rows)
    store.ingest_files([tmp_path / "rows.zip"], store_dir=tmp_path / "store", now=LATE)
    with store.open_snapshot(tmp_path / "store") as snapshot:
        providers = set(snapshot.table("price_events")["provider"])
    files = {
        f"/{name}/version": "20260530-1",
        "/repos/skypilot-org/skypilot-catalog/commits": [
            {"sha": "a", "commit": {"committer": {"date": "2026-05-31T06:00:00Z"}}}
        ],
    }
    part = collect(feed, Files(files), tmp_path).part(name)
    assert {scope.provider for scope in part.whole} == providers


def test_catalogues_are_stored_as_of_their_own_time(tmp_path):
    rows = (FIXTURES / "gpuhunt-catalog" / "good_v2.csv").read_bytes()
    files = {
        "/gcp/version": "20260530-1",
        "/gcp/20260530-1/catalog.zip": archive_of("gcp.csv", rows),
    }
    collected = collect(GpuhuntCatalog(), Files(files), tmp_path)
    collected.parts = [part for part in collected.parts if part.name == "gcp"]
    events = stored(tmp_path, collected, "price_events")
    assert set(events["provider"]) == {"gcp"}
    assert set(events["observed_at"]) == {pd.Timestamp("2026-05-30", tz="UTC")}


def test_a_catalogue_keeps_the_name_of_its_cloud(tmp_path):
    rows = (FIXTURES / "skypilot-catalog" / "good_runpod.csv").read_bytes()
    commit = [{"sha": "abc", "commit": {"committer": {"date": "2026-05-31T06:00:00Z"}}}]
    repository = "skypilot-org/skypilot-catalog"
    files = {
        f"/repos/{repository}/commits": commit,
        f"/{repository}/abc/catalogs/v8/runpod/vms.csv": rows,
    }
    collected = collect(SkyPilotCatalog(), Files(files), tmp_path)
    collected.parts = [part for part in collected.parts if part.name == "runpod"]
    events = stored(tmp_path, collected, "price_events")
    assert set(events["provider"]) == {"runpod"}
    assert set(events["observed_at"]) == {pd.Timestamp("2026-05-31T06:00Z")}
