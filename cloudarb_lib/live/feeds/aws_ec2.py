"""What EC2 tells whoever has a key: spot prices, where machines are sold, what they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pandas as pd

from cloudarb_lib.live import aws
from cloudarb_lib.live.client import Client
from cloudarb_lib.live.errors import FetchError
from cloudarb_lib.live.feed import Feed, Part, Pull
from cloudarb_lib.live.walk import is_due
from cloudarb_lib.sources.base import Scope

SPOT_HISTORY_DAYS = 90
"""How far back EC2 remembers."""
_A_DAY_H = 20.0


class AwsSpot(Feed):
    """Spot prices of each region since the last fetch, with the price in force at that time."""

    name = "aws-spot"
    provider = "aws"
    source = "ec2-spot-price-history"
    gives = "spot prices by zone, every change of up to 90 days"

    def missing(self, pull: Pull) -> str:
        return aws.missing_credentials()

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        oldest = pull.now - pd.Timedelta(days=SPOT_HISTORY_DAYS)
        if pull.since is not None and pull.since < oldest:
            client.notice(f"EC2 tells spot prices of {SPOT_HISTORY_DAYS} days, not of more")
        parts = []
        for region in await aws.regions(client, pull):
            begin = pull.since or pull.last_done.get(region) or pull.now
            begin = min(max(begin, oldest), pull.now)
            parts.append(Part(name=region, detail={"begin": begin.isoformat()}))
        return parts

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[bytes]:
        arguments = {
            "StartTime": pd.Timestamp(part.detail["begin"]).to_pydatetime(),
            "EndTime": pull.now.to_pydatetime(),
            "ProductDescriptions": ["Linux/UNIX"],
            "MaxResults": 1000,
        }
        operation = "describe_spot_price_history"
        async for page in aws.pages(client, pull, part.name, operation, arguments):
            yield page

    async def probe(self, client: Client, pull: Pull) -> str:
        region = aws.region_to_probe(pull)
        arguments: dict[str, Any] = {
            "StartTime": pull.now.to_pydatetime(),
            "InstanceTypes": ["m5.large"],
            "ProductDescriptions": ["Linux/UNIX"],
        }
        operation = "describe_spot_price_history"
        async for page in aws.pages(client, pull, region, operation, arguments):
            if b'"SpotPrice"' in page and b'"AvailabilityZone' in page:
                return f"m5.large has spot prices in {region}"
        raise FetchError(f"EC2 tells no spot price of m5.large in {region}.")


class _DailyByRegion(Feed):
    """What EC2 says of each region, asked for once a day."""

    def missing(self, pull: Pull) -> str:
        return aws.missing_credentials()

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        parts = await aws.regional_parts(client, pull)
        return [part for part in parts if is_due(pull, part.name, _A_DAY_H)]


class AwsOfferings(_DailyByRegion):
    """Zones in which AWS sells each machine, once a day."""

    name = "aws-offerings"
    provider = "aws"
    source = "aws-offerings"
    gives = "evidence of sale: the zones (ids) in which each machine is offered"

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        parts = await super().parts(client, pull)
        return [replace(part, whole=(Scope(self.provider, part.name),)) for part in parts]

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[bytes]:
        arguments = {"LocationType": "availability-zone-id", "MaxResults": 1000}
        operation = "describe_instance_type_offerings"
        async for page in aws.pages(client, pull, part.name, operation, arguments):
            yield page

    async def probe(self, client: Client, pull: Pull) -> str:
        region = aws.region_to_probe(pull)
        async for page in self.fetch(client, Part(name=region), pull):
            if b'"InstanceType"' in page:
                return f"machines are offered in {region}"
        raise FetchError(f"EC2 offers no machine in {region}.")


class AwsInstanceTypes(_DailyByRegion):
    """What the machines of each region are, once a day."""

    name = "aws-instance-types"
    provider = "aws"
    source = "aws-instance-types"
    gives = "vCPUs, memory and GPUs of machines"

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[bytes]:
        operation = "describe_instance_types"
        async for page in aws.pages(client, pull, part.name, operation, {"MaxResults": 100}):
            yield page

    async def probe(self, client: Client, pull: Pull) -> str:
        region = aws.region_to_probe(pull)
        async for page in self.fetch(client, Part(name=region), pull):
            if b'"VCpuInfo"' in page:
                return f"EC2 describes its machines in {region}"
        raise FetchError(f"EC2 describes no machine in {region}.")
