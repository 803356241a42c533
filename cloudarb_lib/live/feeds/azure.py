"""What Azure tells: retail prices to everybody, machines and their restrictions to an account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from cloudarb_lib.live.client import Answer, Client
from cloudarb_lib.live.commands import azure_access, is_installed
from cloudarb_lib.live.errors import FetchError
from cloudarb_lib.live.feed import Feed, Part, Pull
from cloudarb_lib.live.walk import Walk, is_due
from cloudarb_lib.sources.base import Scope
from cloudarb_lib.tables.schema import PURCHASE_OPTIONS

RETAIL_PRICES = "https://prices.azure.com"
RESOURCE_MANAGER = "https://management.azure.com"
_PATH = "/api/retail/prices"
_VERSION = "2023-01-01-preview"
_MACHINES = "serviceName eq 'Virtual Machines'"
_SOLD_EVERYWHERE = ("Standard_B2s", "Standard_D2s_v3", "Standard_D2s_v5")
"""Machines by which regions are found: each region sells one of them."""
_FULL_PAGES = (100, 1000)
"""How many items a page holds that has another behind it, by age of the interface."""
_EVERY_REGION = "all"
_HOURS = 6.0
_A_DAY_H = 20.0


class AzureRetailPrices(Feed):
    """Retail prices of virtual machines, region by region, every six hours."""

    name = "azure-retail-prices"
    provider = "azure"
    source = "azure-retail-prices"
    gives = "on-demand, spot and reserved prices of machines by region"

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        regions = _azure_regions(pull)
        if not pull.regions:
            regions = await self._regions(client, pull)
        return [
            Part(
                name=region,
                whole=tuple(Scope("azure", region, option) for option in PURCHASE_OPTIONS),
            )
            for region in regions
            if is_due(pull, region, _HOURS)
        ]

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[bytes]:
        wanted = f"{_MACHINES} and armRegionName eq '{part.name}'"
        async for answer in _pages(client, pull, wanted, f"prices of {part.name}"):
            yield answer.body + b"\n"

    async def probe(self, client: Client, pull: Pull) -> str:
        regions = await self._regions(client, pull)
        return f"prices of {len(regions)} regions"

    async def _regions(self, client: Client, pull: Pull) -> tuple[str, ...]:
        """Return the regions in which one of the common machines has a price."""
        machines = " or ".join(f"armSkuName eq '{name}'" for name in _SOLD_EVERYWHERE)
        wanted = f"{_MACHINES} and priceType eq 'Consumption' and ({machines})"
        found: set[str] = set()
        async for answer in _pages(client, pull, wanted, "regions"):
            found |= {str(item.get("armRegionName") or "") for item in answer.json()["Items"]}
        return tuple(sorted(found - {""}))


def _all_of(region: str) -> tuple[Scope, ...]:
    """Return what the prices of a region show whole."""
    return tuple(Scope("azure", region, option) for option in PURCHASE_OPTIONS)


def _azure_regions(pull: Pull) -> tuple[str, ...]:
    """Return those of Azure among the regions asked for: they have no hyphens."""
    return tuple(region for region in pull.regions if region.isalnum())


async def _pages(client: Client, pull: Pull, wanted: str, listing: str) -> AsyncIterator[Answer]:
    """Yield the pages of retail prices.

    The link to the next page is empty at times though more follows, so a full page is followed by
    its own count. What ends with an empty page is asked for that once more, since services give
    one for want of a better answer.

    Raises
    ------
    FetchError
        Where a page cannot be had, comes twice, or is empty though it links to a next one; where
        there is nothing at all.
    """
    base = f"{pull.endpoint or RETAIL_PRICES}{_PATH}"
    first = {"api-version": _VERSION, "currencyCode": "USD", "$filter": wanted}
    url = base
    params: dict[str, str] | None = first
    walk = Walk(listing)
    count = 0
    while True:
        walk.go_to(f"{url} {params}")
        answer = await _page_at(client, url, params)
        page = answer.json()
        items = page["Items"]
        link = page.get("NextPageLink") or ""
        walk.saw(items)
        count += len(items)
        if not count or (link and not items):
            raise FetchError(f"the list of {listing} has an empty page.", "Collect again later.")
        yield answer
        if not items or (not link and len(items) not in _FULL_PAGES):
            return
        if link:
            url = _of_same_host(link, url)
            params = None
        else:
            url = base
            params = {**first, "$skip": str(count)}


async def _page_at(client: Client, url: str, params: dict[str, str] | None) -> Answer:
    """Return a page; an empty one is asked for twice."""
    for _ in range(2):
        answer = await client.get_json(url, params=params)
        page = answer.json()
        if not isinstance(page, dict) or not isinstance(page.get("Items"), list):
            raise FetchError(f"{answer.url} has no 'Items'.", "Look at what it answers.")
        if page["Items"]:
            break
    return answer


def _of_same_host(link: str, url: str) -> str:
    """Return a link to the next page.

    Raises
    ------
    FetchError
        Where it leads to another host.
    """
    if urlsplit(link).hostname != urlsplit(url).hostname:
        raise FetchError(
            f"{urlsplit(url).hostname} links to another host.", "Look at what it says."
        )
    return link


class AzureSkus(Feed):
    """Machines of each region with what keeps the account from them, once a day."""

    name = "azure-skus"
    provider = "azure"
    source = "azure-skus"
    gives = "evidence of sale: where each machine is sold to this account; vCPUs and memory"

    def missing(self, pull: Pull) -> str:
        return "" if is_installed("az") else "the command line az, logged in (az login)"

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        names = _azure_regions(pull) if pull.regions else (_EVERY_REGION,)
        return [
            Part(name, whole=(Scope("azure", "" if name == _EVERY_REGION else name),))
            for name in names
            if is_due(pull, name, _A_DAY_H)
        ]

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[bytes]:
        subscription, token = await azure_access(client)
        path = f"/subscriptions/{subscription}/providers/Microsoft.Compute/skus"
        url = f"{pull.endpoint or RESOURCE_MANAGER}{path}"
        params: dict[str, str] | None = {"api-version": "2021-07-01"}
        if part.name != _EVERY_REGION:
            params = {"api-version": "2021-07-01", "$filter": f"location eq '{part.name}'"}
        walk = Walk(f"SKUs of {part.name}")
        while True:
            walk.go_to(url)
            headers = {"authorization": f"Bearer {token}"}
            answer = await client.get_json(url, params=params, headers=headers)
            page: Any = answer.json()
            if not isinstance(page, dict) or not isinstance(page.get("value"), list):
                raise FetchError(f"{answer.url} has no 'value'.", "Look at what it answers.")
            walk.saw(page["value"])
            yield answer.body + b"\n"
            link = page.get("nextLink") or ""
            if not link:
                return
            url = _of_same_host(link, url)
            params = None

    async def probe(self, client: Client, pull: Pull) -> str:
        region = (*_azure_regions(pull), "eastus")[0]
        async for page in self.fetch(client, Part(name=region), pull):
            if b'"virtualMachines"' in page:
                return f"machines are listed in {region}"
        raise FetchError(f"Azure lists no machine in {region}.")
