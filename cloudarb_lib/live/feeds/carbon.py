"""Carbon intensity of the grids that regions draw on, once a month."""

from __future__ import annotations

from collections.abc import AsyncIterator

from cloudarb_lib.live.client import Client
from cloudarb_lib.live.errors import FetchError
from cloudarb_lib.live.feed import Feed, Part, Pull
from cloudarb_lib.live.walk import is_due

FILES = "https://raw.githubusercontent.com"
_GOOGLE = "GoogleCloudPlatform/region-carbon-info/main/data/yearly/latest.csv"
_FACTORS = "cloud-carbon-footprint/ccf-coefficients/main/data/grid-emissions-factors-{}.csv"
_A_MONTH_H = 720.0


class GcpRegionCarbon(Feed):
    """Google's own figures of its regions."""

    name = "gcp-region-carbon"
    provider = "github"
    source = "gcp-region-carbon"
    gives = "carbon intensity and carbon-free share of Google's regions"

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        return [Part("latest", ".csv")] if is_due(pull, "latest", _A_MONTH_H) else []

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[bytes]:
        yield (await client.get(f"{pull.endpoint or FILES}/{_GOOGLE}")).body

    async def probe(self, client: Client, pull: Pull) -> str:
        return await _found(self, client, pull, b"Grid carbon intensity")


class CcfGridFactors(Feed):
    """Emission factors by Cloud Carbon Footprint."""

    name = "ccf-grid-factors"
    provider = "github"
    source = "ccf-grid-factors"
    gives = "carbon intensity of the grids of AWS's and Azure's regions"

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        clouds = ("aws", "azure")
        return [Part(cloud, ".csv") for cloud in clouds if is_due(pull, cloud, _A_MONTH_H)]

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[bytes]:
        url = f"{pull.endpoint or FILES}/{_FACTORS.format(part.name)}"
        yield (await client.get(url)).body

    async def probe(self, client: Client, pull: Pull) -> str:
        return await _found(self, client, pull, b"CO2e")


async def _found(feed: Feed, client: Client, pull: Pull, mark: bytes) -> str:
    """Return what the first file of a feed holds, whether it is due or not."""
    whenever = Pull(now=pull.now, endpoint=pull.endpoint)
    part = (await feed.parts(client, whenever))[0]
    async for body in feed.fetch(client, part, whenever):
        if isinstance(body, bytes) and mark in body:
            return f"{body.count(chr(10).encode()) - 1} regions of {part.name}"
    raise FetchError(f"{feed.name}: the file is not as it was.", "Look at what it holds.")
