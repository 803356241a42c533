"""What AWS publishes for everybody: price lists, savings plans, the Spot Advisor."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from cloudarb_lib.live.aws import REGION
from cloudarb_lib.live.client import Answer, Client
from cloudarb_lib.live.errors import FetchError
from cloudarb_lib.live.feed import Feed, Part, Pull
from cloudarb_lib.live.walk import is_due
from cloudarb_lib.sources.base import Scope

PRICE_LIST = "https://pricing.us-east-1.amazonaws.com"
SPOT_ADVISOR = "https://spot-bid-advisor.s3.amazonaws.com"
_OFFERS = "/offers/v1.0/aws/AmazonEC2"
_SAVINGS_PLANS = "/savingsPlan/v1.0/aws/AWSComputeSavingsPlan"
_VERSION = re.compile(r"/(\d{14})/")
_A_DAY_H = 20.0


class AwsPriceList(Feed):
    """Price list of EC2 by region, once a day; ``--since`` reads the last version of each day."""

    name = "aws-price-list"
    provider = "aws"
    source = "aws-price-list"
    gives = "on-demand and reserved prices; past versions too"

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        base = pull.endpoint or PRICE_LIST
        index = await _json_at(client, f"{base}{_OFFERS}/current/region_index.json", "regions")
        addresses = {
            region: str(entry["currentVersionUrl"]) for region, entry in index["regions"].items()
        }
        if pull.since is None:
            return _current_parts(pull, base, addresses, ("on_demand", "reserved"))
        versions = await _json_at(client, f"{base}{_OFFERS}/index.json", "versions")
        urls = [str(version["offerVersionUrl"]) for version in versions["versions"].values()]
        return _past_parts(pull, base, addresses, urls, ("on_demand", "reserved"))

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[Path]:
        yield await client.download(part.detail["url"])

    async def probe(self, client: Client, pull: Pull) -> str:
        base = pull.endpoint or PRICE_LIST
        index = await _json_at(client, f"{base}{_OFFERS}/current/region_index.json", "regions")
        versions = await _json_at(client, f"{base}{_OFFERS}/index.json", "versions")
        regions = len(index["regions"])
        return f"price lists of {regions} regions, {len(versions['versions'])} versions"


class AwsSavingsPlans(Feed):
    """Compute Savings Plans by region, once a day; ``--since`` as for the price list."""

    name = "aws-savings-plans"
    provider = "aws"
    source = "aws-savings-plans"
    gives = "prices under one- and three-year savings plans; past versions too"

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        base = pull.endpoint or PRICE_LIST
        url = f"{base}{_SAVINGS_PLANS}/current/region_index.json"
        index = await _json_at(client, url, "regions")
        addresses = {
            str(entry["regionCode"]): str(entry["versionUrl"]) for entry in index["regions"]
        }
        if pull.since is None:
            return _current_parts(pull, base, addresses, ("reserved",))
        url = f"{base}{_SAVINGS_PLANS}/current/index.json"
        versions = await _json_at(client, url, "versions")
        urls = [str(version["offerVersionUrl"]) for version in versions["versions"]]
        return _past_parts(pull, base, addresses, urls, ("reserved",))

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[Path]:
        yield await client.download(part.detail["url"])

    async def probe(self, client: Client, pull: Pull) -> str:
        base = pull.endpoint or PRICE_LIST
        url = f"{base}{_SAVINGS_PLANS}/current/region_index.json"
        index = await _json_at(client, url, "regions")
        return f"savings plans of {len(index['regions'])} regions"


class AwsSpotAdvisor(Feed):
    """Bands of interruption of AWS spot, once a day."""

    name = "aws-spot-advisor"
    provider = "aws"
    source = "aws-spot-advisor"
    gives = "share of spot machines reclaimed in the trailing month, in bands"

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        return [Part(name="advisor")] if is_due(pull, "advisor", _A_DAY_H) else []

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[bytes]:
        url = f"{pull.endpoint or SPOT_ADVISOR}/spot-advisor-data.json"
        yield (await _answer_with(client, url, "spot_advisor")).body

    async def probe(self, client: Client, pull: Pull) -> str:
        url = f"{pull.endpoint or SPOT_ADVISOR}/spot-advisor-data.json"
        regions = (await _answer_with(client, url, "spot_advisor")).json()["spot_advisor"]
        return f"bands of {len(regions)} regions"


async def _answer_with(client: Client, url: str, key: str) -> Answer:
    """Return an answer that is an object with a key."""
    answer = await client.get_json(url)
    document = answer.json()
    if not isinstance(document, dict) or not document.get(key):
        raise FetchError(f"{answer.url} has no {key!r}.", "Look at what it answers.")
    return answer


async def _json_at(client: Client, url: str, key: str) -> Any:
    return (await _answer_with(client, url, key)).json()


def _wanted(pull: Pull, addresses: Iterable[str]) -> list[str]:
    """Return the regions to fetch; local zones have lists of their own, which are left out."""
    regions = sorted(region for region in addresses if REGION.fullmatch(region))
    return [region for region in regions if not pull.regions or region in pull.regions]


def _scopes(region: str, options: tuple[str, ...]) -> tuple[Scope, ...]:
    return tuple(Scope("aws", region, option) for option in options)


def _csv_form(url: str) -> str:
    return url.removesuffix(".json") + ".csv"


def _current_parts(
    pull: Pull, base: str, addresses: dict[str, str], options: tuple[str, ...]
) -> list[Part]:
    return [
        Part(
            name=region,
            suffix=".csv",
            whole=_scopes(region, options),
            detail={"url": base + _csv_form(addresses[region])},
        )
        for region in _wanted(pull, addresses)
        if is_due(pull, region, _A_DAY_H)
    ]


def _past_parts(
    pull: Pull, base: str, addresses: dict[str, str], urls: list[str], options: tuple[str, ...]
) -> list[Part]:
    """Return a part for each region and day with a version, from the one in force at ``since``.

    A version never changes, so none is fetched twice.
    """
    parts = []
    for version, published in _versions_of_days(urls, pull):
        for region in _wanted(pull, addresses):
            name = f"{region}@{version}"
            if name in pull.last_done:
                continue
            path = _VERSION.sub(f"/{version}/", addresses[region], count=1)
            parts.append(
                Part(
                    name=name,
                    suffix=".csv",
                    whole=_scopes(region, options),
                    seen_at=published,
                    detail={"url": base + _csv_form(path)},
                )
            )
    return parts


def _versions_of_days(urls: list[str], pull: Pull) -> list[tuple[str, pd.Timestamp]]:
    """Return the last version of each day since the one in force at ``since``, oldest first."""
    last_of_day = {}
    for version in sorted(match[1] for match in map(_VERSION.search, urls) if match):
        published = pd.to_datetime(version, format="%Y%m%d%H%M%S", utc=True)
        last_of_day[published.normalize()] = (version, published)
    versions = list(last_of_day.values())
    before = [item for item in versions if pull.since is not None and item[1] <= pull.since]
    return [*before[-1:], *versions[len(before) :]]
