"""Each live service asked something small: does it answer as documented?"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cloudarb_lib.live.breakers import Breakers
from cloudarb_lib.live.client import Client
from cloudarb_lib.live.errors import FetchError
from cloudarb_lib.live.feed import Feed, Pull
from cloudarb_lib.live.fetching import WHOLE_FEED, told
from cloudarb_lib.live.limits import limits_of


@dataclass(frozen=True)
class Probe:
    """What came of asking a service.

    Parameters
    ----------
    feed : str
        Name of the feed.
    found : str
        What it answered, '' where it did not answer as documented or was not asked.
    missing : str
        What the feed needs and does not find, '' where it was asked.
    error : FetchError, optional
        Why it did not answer as documented.
    """

    feed: str
    found: str = ""
    missing: str = ""
    error: FetchError | None = None


def probe(
    feeds: Sequence[Feed],
    *,
    clock: Callable[[], pd.Timestamp],
    endpoints: Mapping[str, str],
    environment: Mapping[str, str],
) -> list[Probe]:
    """Ask the service of each feed something small.

    Parameters
    ----------
    feeds : sequence of Feed
        Whom to ask.
    clock : callable
        Returns the time, in UTC.
    endpoints, environment : dict of str to str
        As in ``collect.Wanted``.
    """
    with tempfile.TemporaryDirectory() as folder:

        async def one(feed: Feed) -> Probe:
            endpoint = endpoints.get(feed.name, "")
            pull = Pull(now=clock(), endpoint=endpoint, environment=environment)
            if missing := feed.missing(pull):
                return Probe(feed.name, missing=missing)
            limits = limits_of(feed.provider)
            async with Client(
                feed.provider, limits, Breakers(), clock=clock, folder=Path(folder)
            ) as client:
                try:
                    return Probe(feed.name, found=await feed.probe(client, pull))
                except Exception as cause:
                    return Probe(feed.name, error=told(feed, WHOLE_FEED, cause))

        async def every() -> list[Probe]:
            return list(await asyncio.gather(*[one(feed) for feed in feeds]))

        return asyncio.run(every())
