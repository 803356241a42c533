"""Feeds asked over real HTTP on loopback, as a cycle of a collection asks them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cloudarb_lib import store
from cloudarb_lib.live.breakers import Breakers
from cloudarb_lib.live.client import Client
from cloudarb_lib.live.errors import FetchError
from cloudarb_lib.live.feed import Feed, Part, Pull
from cloudarb_lib.live.limits import Limits
from cloudarb_lib.testing.http import Asked, FaultServer, Reply

COLLECTED_AT = pd.Timestamp("2026-06-01T12:00Z")
QUICK = Limits(
    per_second=10_000.0, timeout_s=20.0, first_wait_s=0.001, longest_wait_s=0.01, attempts=3
)


@dataclass
class Collected:
    """What a feed gave.

    Parameters
    ----------
    parts : list of Part
        Those it wanted to fetch.
    bodies : dict of str to list of bytes
        By name of a part.
    faults : dict of str to str
        By name of a part that could not be fetched to its end, why.
    notices : list of str
        What it tells.
    asked : list of Asked
        What the server was asked.
    found : str
        What its probe found, or why it found nothing.
    """

    parts: list[Part] = field(default_factory=list)
    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    found: str = ""

    def part(self, name: str) -> Part:
        """Return a part by its name."""
        return next(part for part in self.parts if part.name == name)


def collect(
    feed: Feed,
    answer: Callable[[Asked], Reply],
    folder: Path,
    pull: Pull | None = None,
    *,
    probe: bool = False,
) -> Collected:
    """Ask a feed for all its parts (or probe it), its service being a function of ours.

    Parameters
    ----------
    feed : Feed
        Which.
    answer : callable
        Takes a request, returns the reply; where it has an attribute ``address``, that is set.
    folder : Path
        For what is downloaded.
    pull : Pull, optional
        What is asked for; its endpoint is set here.
    """
    asked_for = pull or Pull(now=COLLECTED_AT)
    collected = Collected()

    async def run() -> None:
        async with FaultServer(answer) as server:
            if hasattr(answer, "address"):
                answer.address = server.url
            async with Client(
                feed.provider, QUICK, Breakers(), clock=lambda: asked_for.now, folder=folder
            ) as client:
                here = replace(asked_for, endpoint=server.url)
                if probe:
                    collected.found = await _probed(feed, client, here)
                else:
                    collected.parts = await feed.parts(client, here)
                    for part in collected.parts:
                        await _fetch(feed, client, part, here, collected)
                collected.notices = client.notices
                collected.asked = server.asked

    asyncio.run(run())
    return collected


@contextmanager
def served(answer: Callable[[Asked], Reply]) -> Iterator[str]:
    """Serve in a thread of its own, and yield the address.

    Parameters
    ----------
    answer : callable
        Takes a request, returns the reply; where it has an attribute ``address``, that is set.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = FaultServer(answer)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    if hasattr(answer, "address"):
        answer.address = server.url
    yield server.url
    asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def stored(
    folder: Path, collected: Collected, table: str, now: pd.Timestamp = COLLECTED_AT
) -> pd.DataFrame:
    """Take the parts of a collection into a store, as a cycle does; return one of its tables.

    Parameters
    ----------
    folder : Path
        The store is made in it, or gone on with.
    collected : Collected
        Of which no row is to be held back.
    table : str
        Name of a stored table.
    now : Timestamp
        When the cycle began.
    """
    batches = []
    for part in collected.parts:
        file = folder / f"{part.name}{part.suffix}"
        file.write_bytes(b"".join(collected.bodies[part.name]))
        whole = () if part.name in collected.faults else part.whole
        batches.append(store.Batch(file, seen_at=part.seen_at or now, whole=whole))
    store.ingest_files(batches, store_dir=folder / "store", now=now)
    with store.open_snapshot(folder / "store") as snapshot:
        assert snapshot.table("quarantine").empty
        return snapshot.table(table)


async def _probed(feed: Feed, client: Client, pull: Pull) -> str:
    try:
        return await feed.probe(client, pull)
    except FetchError as error:
        return str(error)


async def _fetch(feed: Feed, client: Client, part: Part, pull: Pull, collected: Collected) -> None:
    bodies: list[Any] = collected.bodies.setdefault(part.name, [])
    try:
        async for body in feed.fetch(client, part, pull):
            content = body.read_bytes() if isinstance(body, Path) else body
            bodies.append(content)  # one by one: what came before a fault stays
    except FetchError as error:
        collected.faults[part.name] = str(error)
