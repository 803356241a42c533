"""The first half of a cycle: every part of every feed is fetched, kept and noted."""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cloudarb_lib.live.breakers import Breakers
from cloudarb_lib.live.client import Client
from cloudarb_lib.live.entries import Response
from cloudarb_lib.live.errors import FetchError
from cloudarb_lib.live.feed import Feed, Part, Pull
from cloudarb_lib.live.journal import Journal
from cloudarb_lib.live.limits import Limits, limits_of
from cloudarb_lib.live.raw import RawFiles

WHOLE_FEED = Part("")
"""Stands for a feed that could not tell its parts."""


@dataclass(frozen=True)
class Fetched:
    """How the fetch of a part ended.

    Parameters
    ----------
    feed : Feed
        Whose part it is.
    part : Part
        The part; ``WHOLE_FEED`` where the feed could not tell its parts.
    response : Response, optional
        What came; None where nothing did.
    error : FetchError, optional
        Why it did not come to its end; None where it did.
    """

    feed: Feed
    part: Part
    response: Response | None = None
    error: FetchError | None = None


Task = tuple[Feed, Sequence[Part] | None]
"""A feed, and which of its parts to fetch; None: each."""


class Fetcher:
    """Fetches parts into the raw files, one client a provider.

    Parameters
    ----------
    raw : RawFiles
        Where bodies are kept.
    journal : Journal
        Where they are noted.
    clock : callable
        Returns the time, in UTC.
    limits : callable
        Returns the limits of a provider.

    Attributes
    ----------
    clients : dict of str to Client
        By provider, with what their requests cost.
    breakers : Breakers
        Of all providers, as the journal has them.
    """

    def __init__(
        self,
        raw: RawFiles,
        journal: Journal,
        *,
        clock: Callable[[], pd.Timestamp],
        limits: Callable[[str], Limits] = limits_of,
    ) -> None:
        self.clients: dict[str, Client] = {}
        known = [state.no_later_than(clock().timestamp()) for state in journal.breakers()]
        self.breakers = Breakers(known, journal.save_breaker)
        self._raw = raw
        self._journal = journal
        self._clock = clock
        self._limits = limits

    def run(
        self,
        tasks: Sequence[Task],
        pulls: Mapping[str, Pull],
        *,
        on_part: Callable[[Fetched], None] = lambda _: None,
    ) -> list[Fetched]:
        """Fetch parts, those of all feeds at once.

        Parameters
        ----------
        tasks : sequence of Task
            What to fetch.
        pulls : dict of str to Pull
            What is asked of each feed, by its name.
        on_part : callable
            Is told of each part when it ends.

        Returns
        -------
        list of Fetched
            How each part ended, feed by feed; no feed and no part stops another.
        """
        return asyncio.run(self._run(tasks, pulls, on_part))

    async def _run(
        self, tasks: Sequence[Task], pulls: Mapping[str, Pull], on_part: Callable[[Fetched], None]
    ) -> list[Fetched]:
        async with AsyncExitStack() as stack:
            for provider in {feed.provider for feed, _ in tasks}:
                client = Client(
                    provider,
                    self._limits(provider),
                    self.breakers,
                    clock=self._clock,
                    folder=self._raw.incoming,
                )
                self.clients[provider] = await stack.enter_async_context(client)
            room = {name: asyncio.Semaphore(c.limits.parts) for name, c in self.clients.items()}
            ended = await asyncio.gather(
                *[
                    self._feed(feed, parts, pulls[feed.name], room[feed.provider], on_part)
                    for feed, parts in tasks
                ]
            )
        return [fetched for of_feed in ended for fetched in of_feed]

    async def _feed(
        self,
        feed: Feed,
        parts: Sequence[Part] | None,
        pull: Pull,
        room: asyncio.Semaphore,
        on_part: Callable[[Fetched], None],
    ) -> list[Fetched]:
        """Fetch the parts of a feed, as many at once as there is room for."""
        client = self.clients[feed.provider]
        if parts is None:
            try:
                parts = _each_for_itself(await feed.parts(client, pull))
            except Exception as cause:
                fetched = Fetched(feed, WHOLE_FEED, error=told(feed, WHOLE_FEED, cause))
                on_part(fetched)
                return [fetched]

        async def one(part: Part) -> Fetched:
            async with room:
                fetched = await self._part(feed, client, part, pull)
            on_part(fetched)
            return fetched

        return list(await asyncio.gather(*[one(part) for part in parts]))

    async def _part(self, feed: Feed, client: Client, part: Part, pull: Pull) -> Fetched:
        """Fetch a part; what came before a fault is kept too."""
        begun_at = self._clock()
        error: FetchError | None = None
        response: Response | None = None
        with self._raw.writer(part.suffix) as (writer, unfinished):
            try:
                async with asyncio.timeout(client.limits.part_timeout_s):
                    async for body in feed.fetch(client, part, pull):
                        await writer.add(body)
            except TimeoutError as cause:
                what = f"{feed.name} {part.name} took more than {client.limits.part_timeout_s:g} s."
                error = FetchError(what, "Try again later, or name fewer regions.")
                error.__cause__ = cause
            except Exception as cause:
                error = told(feed, part, cause)
            await asyncio.to_thread(writer.finish)
            if writer.bodies:
                response = self._journal.note(
                    feed.name,
                    part,
                    self._raw.keep(unfinished, part.suffix),
                    begun_at=begun_at,
                    cycle_at=pull.now,
                    complete=error is None,
                )
        return Fetched(feed, part, response, error)


def _each_for_itself(parts: Sequence[Part]) -> Sequence[Part]:
    """Return parts.

    Raises
    ------
    FetchError
        Where two show a share of one scope at one time: if one fails, the other would withdraw
        what it lacks.
    """
    shown = Counter((scope, part.seen_at) for part in parts for scope in part.whole)
    for (scope, _), times in shown.items():
        if times > 1:
            raise FetchError(f"{times} parts show {scope}.", "Fetch it as one part.")
    return parts


def told(feed: Feed, part: Part, cause: Exception) -> FetchError:
    """Return what broke a part as an error for people; its own words may hold secrets."""
    if isinstance(cause, FetchError):
        return cause
    frame = traceback.extract_tb(cause.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    what = f"{feed.name} {part.name} broke: {type(cause).__name__} at {where}."
    return FetchError(what, "Report it; the raw answers are kept.")
