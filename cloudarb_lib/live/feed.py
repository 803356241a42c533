"""What a feed is: which parts a service has, and how the answer to each is downloaded.

A feed only downloads. What comes is kept as a file, and read by a source of
``cloudarb_lib.sources`` like any file that a person brings. ``registry`` finds the feeds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pandas as pd

from cloudarb_lib.live.client import Client
from cloudarb_lib.sources.base import Scope


@dataclass(frozen=True)
class Part:
    """What is fetched, kept and taken in as one file, and fails by itself: a region, a month.

    Parameters
    ----------
    name : str
        Unique within its feed and the same in every cycle, such as ``eu-central-1``.
    suffix : str
        Ending of the file, with its dot; bodies of several pages stand one after another in it.
    whole : tuple of Scope
        What the file shows whole where it was fetched to its end; after a failure, nothing. No
        other part of the feed shows a share of it: a part stands for itself, whatever becomes of
        the others.
    seen_at : Timestamp, optional
        When what it says could be seen, for a version of the past; None: when it is fetched.
    detail : dict of str to str
        What ``Feed.fetch`` wants to know of it, such as an address; no secrets, since it is kept.
    """

    name: str
    suffix: str = ".json"
    whole: tuple[Scope, ...] = ()
    seen_at: pd.Timestamp | None = None
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pull:
    """What a cycle asks of a feed.

    Parameters
    ----------
    now : Timestamp
        When the cycle began, in UTC.
    since : Timestamp, optional
        From when on past versions are wanted (``--since``); None: what is new alone.
    regions : tuple of str
        Only these; empty: each.
    last_done : dict of str to Timestamp
        By name of a part, when the fetch began whose answer is the last one stored whole.
    endpoint : str
        Where to ask instead of the service's own address, '' for that.
    environment : dict of str to str
        Environment variables, for keys that have no client of their own to find them.
    """

    now: pd.Timestamp
    since: pd.Timestamp | None = None
    regions: tuple[str, ...] = ()
    last_done: Mapping[str, pd.Timestamp] = field(default_factory=dict)
    endpoint: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


class Feed(ABC):
    """A service that is asked for prices, machines or what is on sale.

    A subclass in a module of ``cloudarb_lib.live.feeds`` is found by the registry. It holds no
    state. All requests go through the client, which bounds them, tries them again where that helps,
    and counts them.
    """

    name: ClassVar[str]
    """Its name, such as ``aws-spot``."""
    provider: ClassVar[str]
    """Who is asked, such as ``aws``: rate, concurrency and circuit breaker are the provider's."""
    source: ClassVar[str]
    """Name of the source of ``cloudarb_lib.sources`` that reads its files."""
    gives: ClassVar[str]
    """What it brings, in a few words."""

    def missing(self, pull: Pull) -> str:
        """Return what it needs and does not find, as a sentence; '' where it can be asked.

        Credentials come from the places of each client alone, and are never said.
        """
        return ""

    @abstractmethod
    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        """Return what is to be fetched, asking the service for it where need be.

        Raises
        ------
        FetchError
            Where the service cannot tell; the feed then fails as a whole.
        """

    @abstractmethod
    def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[bytes | Path]:
        """Yield what a part holds, unchanged: bodies, or files that ``Client.download`` made.

        Raises
        ------
        FetchError
            Where it cannot be fetched to its end. What was yielded before is kept, and vouches for
            its own rows alone.
        """

    @abstractmethod
    async def probe(self, client: Client, pull: Pull) -> str:
        """Ask the live service something small and check its form; return what was found.

        Raises
        ------
        FetchError
            Where it does not answer as documented.
        """
