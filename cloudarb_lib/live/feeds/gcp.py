"""What Google Cloud tells: its billing catalogue, and which machines and GPUs each zone has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pandas as pd

from cloudarb_lib.live.client import Client
from cloudarb_lib.live.commands import google_access, is_installed
from cloudarb_lib.live.errors import FetchError
from cloudarb_lib.live.feed import Feed, Part, Pull
from cloudarb_lib.live.walk import Walk, is_due
from cloudarb_lib.sources.base import Scope
from cloudarb_lib.tables.schema import PURCHASE_OPTIONS

BILLING = "https://cloudbilling.googleapis.com"
COMPUTE = "https://compute.googleapis.com"
COMPUTE_ENGINE = "6F81-5844-456A"
"""The service whose SKUs machines are made of."""
API_KEY = "GOOGLE_API_KEY"
_MONTHS_OF = "America/Los_Angeles"
_CURRENT = "current"
_HOURS = 6.0
_A_DAY_H = 20.0
_WHOLE = tuple(Scope("gcp", "", option) for option in PURCHASE_OPTIONS)
_ZONE_LISTS = ("machineTypes", "acceleratorTypes")
_EVERY_ZONE = "zones"


class GcpSkus(Feed):
    """SKUs of Compute Engine every six hours; ``--since`` reads each calendar month once."""

    name = "gcp-skus"
    provider = "gcp"
    source = "gcp-skus"
    gives = "prices of cores, memory and GPUs by region and option; past months too"

    def missing(self, pull: Pull) -> str:
        if pull.environment.get(API_KEY):
            return ""
        return f"an API key that may read the Cloud Billing API, in the variable {API_KEY}"

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        current = [Part(_CURRENT, whole=_WHOLE)] if is_due(pull, _CURRENT, _HOURS) else []
        if pull.since is None:
            return current
        months = _past_months(pull.since, pull.now)
        return [*[month for month in months if month.name not in pull.last_done], *current]

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[bytes]:
        url = f"{pull.endpoint or BILLING}/v1/services/{COMPUTE_ENGINE}/skus"
        params = {"pageSize": "5000", "currencyCode": "USD", **part.detail}
        headers = {"x-goog-api-key": pull.environment[API_KEY]}
        async for page in _pages(client, url, params, headers, "skus"):
            yield page

    async def probe(self, client: Client, pull: Pull) -> str:
        url = f"{pull.endpoint or BILLING}/v1/services/{COMPUTE_ENGINE}/skus"
        headers = {"x-goog-api-key": pull.environment[API_KEY]}
        answer = await client.get_json(url, params={"pageSize": "1"}, headers=headers)
        page = answer.json()
        sku = page["skus"][0] if isinstance(page, dict) and page.get("skus") else {}
        if "pricingInfo" not in sku:
            raise FetchError(f"{answer.url} lists no SKU with a price.", "Look at what it answers.")
        return "the catalogue lists SKUs with prices"


def _past_months(since: pd.Timestamp, now: pd.Timestamp) -> list[Part]:
    """Return a part for each calendar month that has ended: the interface allows no longer span."""
    first = since.tz_convert(_MONTHS_OF).normalize().replace(day=1)
    starts = pd.date_range(first, now.tz_convert(_MONTHS_OF), freq="MS")
    parts = []
    for start in starts:
        end = start + pd.offsets.MonthBegin(1)
        if end <= now:
            detail = {
                "startTime": start.tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ"),
                "endTime": end.tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            parts.append(
                Part(start.strftime("%Y-%m"), seen_at=end.tz_convert("UTC"), detail=detail)
            )
    return parts


class GcpZoneLists(Feed):
    """Machine types and accelerator types of each zone, once a day: one list, whole or not."""

    name = "gcp-zone-lists"
    provider = "gcp"
    source = "gcp-zone-lists"
    gives = "evidence of sale: the zones of each machine and GPU; vCPUs and memory"

    def missing(self, pull: Pull) -> str:
        needs = "the command line gcloud, logged in, with a project (gcloud auth login)"
        return "" if is_installed("gcloud") else needs

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        part = Part(_EVERY_ZONE, whole=(Scope("gcp"),))
        return [part] if is_due(pull, part.name, _A_DAY_H) else []

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[bytes]:
        project, token = await google_access(client)
        base = f"{pull.endpoint or COMPUTE}/compute/v1/projects/{project}/aggregated"
        headers = {"authorization": f"Bearer {token}"}
        for listing in _ZONE_LISTS:
            url = f"{base}/{listing}"
            async for page in _pages(client, url, {"maxResults": "500"}, headers, "items"):
                yield page

    async def probe(self, client: Client, pull: Pull) -> str:
        async for page in self.fetch(client, Part(_EVERY_ZONE), pull):
            if b'"guestCpus"' in page:
                return "machine types are listed by zone"
        raise FetchError("Google lists no machine type.")


async def _pages(
    client: Client, url: str, params: Mapping[str, str], headers: Mapping[str, str], key: str
) -> AsyncIterator[bytes]:
    """Yield the pages of a listing of Google's; FetchError where it is empty from end to end."""
    listing = url.rpartition("/")[2]
    walk = Walk(listing)
    token = ""
    is_empty = True
    while True:
        walk.go_to(token)
        asked = {**params, "pageToken": token} if token else params
        answer = await client.get_json(url, params=asked, headers=headers)
        page = answer.json()
        if not isinstance(page, dict) or (key not in page and not page.get("nextPageToken")):
            raise FetchError(f"{answer.url} has no {key!r}.", "Look at what it answers.")
        walk.saw(page.get(key))
        yield answer.body + b"\n"
        token = page.get("nextPageToken") or ""
        is_empty = is_empty and not page.get(key)
        if not token:
            break
    if is_empty:
        raise FetchError(f"the list of {listing} is empty.", "Collect again later.")
