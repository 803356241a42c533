"""A feed that asks a server of a test for its parts, and a collection around it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import ClassVar

import pandas as pd

from cloudarb_lib.live.client import Client
from cloudarb_lib.live.errors import FetchError
from cloudarb_lib.live.feed import Feed, Part, Pull
from cloudarb_lib.live.limits import Limits
from cloudarb_lib.sources.base import Scope
from cloudarb_lib.store import open_snapshot

QUICK = Limits(
    concurrent=4,
    per_second=1000.0,
    attempts=3,
    timeout_s=2.0,
    first_wait_s=0.001,
    longest_wait_s=0.05,
    failures_to_open=100,
    part_timeout_s=10.0,
)
"""Limits of tests: every fault is met within a moment."""
NOW = pd.Timestamp("2026-06-01T12:00Z")
PRICE = {"us": 2.0, "eu": 3.0}
"""By region, what each machine of a test costs at first."""
MACHINES = [f"gpu_{k}x_h100" for k in range(12)]
HEADER = "provider,region,instance_type,purchase_option,price_usd_per_hour,source"


class CsvFeed(Feed):
    """Asks ``/parts`` for the names of its parts (regions), and ``/prices/NAME`` for their CSV.

    Each part shows its region whole.
    """

    name: ClassVar[str] = "csv"
    provider: ClassVar[str] = "lambda"
    source: ClassVar[str] = "own-csv"
    gives: ClassVar[str] = "prices of a test"

    def missing(self, pull: Pull) -> str:
        return "" if pull.endpoint else "it needs an endpoint"

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        answer = await client.get_json(f"{pull.endpoint}/parts")
        return [
            Part(name, suffix=".csv", whole=(Scope(self.provider, name),)) for name in answer.json()
        ]

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[bytes | Path]:
        answer = await client.get(f"{pull.endpoint}/prices/{part.name}")
        yield answer.body

    async def probe(self, client: Client, pull: Pull) -> str:
        parts = await self.parts(client, pull)
        if not parts:
            raise FetchError("it names no part.", "Look at what it answers.")
        return f"{len(parts)} parts"


def csv_prices(region: str, prices: Mapping[str, float | str]) -> bytes:
    """Return the CSV of a region, without times: by machine its price on demand."""
    lines = [
        f"{CsvFeed.provider},{region},{machine},on_demand,{price},live-test"
        for machine, price in prices.items()
    ]
    return ("\n".join([HEADER, *lines]) + "\n").encode()


def part_names(*names: str) -> bytes:
    """Return what ``/parts`` answers."""
    return json.dumps(names).encode()


def stored_prices(store_dir: Path) -> pd.Series:
    """Return by region and machine the prices that were stored, in the order they were seen."""
    with open_snapshot(store_dir) as snapshot:
        events = snapshot.table("price_events").sort_values("observed_at")
    return events.groupby(["region", "instance_type"])["price_usd_per_hour"].agg(list)
