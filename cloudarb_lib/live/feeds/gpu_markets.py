"""Marketplaces of GPUs, asked through the gpuhunt library, each in a process with a deadline."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from cloudarb_lib.live.archives import archive_of
from cloudarb_lib.live.client import Client
from cloudarb_lib.live.errors import FetchError, TransientError
from cloudarb_lib.live.feed import Feed, Part, Pull
from cloudarb_lib.live.gpuhunt_process import ADDRESSES
from cloudarb_lib.sources.base import Scope

_WHOLE = ("lium", "vultr")
"""Those that list all they have; Vast.ai gives its best offers alone."""


class GpuMarkets(Feed):
    """What marketplaces offer at this moment.

    What Vast.ai lists as spot is the least bid that it takes: the source leaves it out.
    """

    name = "gpu-markets"
    provider = "gpu-markets"
    source = "gpuhunt-catalog"
    gives = "offers of Vast.ai, Lium and Vultr"

    async def parts(self, client: Client, pull: Pull) -> list[Part]:
        return [
            Part(name, ".zip", whole=(Scope(name),) if name in _WHOLE else ()) for name in ADDRESSES
        ]

    async def fetch(self, client: Client, part: Part, pull: Pull) -> AsyncIterator[bytes]:
        deadline_s = client.limits.timeout_s

        def fault(cause: Exception) -> FetchError:
            if isinstance(cause, subprocess.TimeoutExpired):
                what = f"{part.name} did not answer within {deadline_s:g} s."
                return TransientError(what, "Try again later.")
            return TransientError(f"gpuhunt could not read {part.name}.", "Try again later.")

        rows = await client.call(lambda: _listed(part.name, pull.endpoint, deadline_s), fault=fault)
        if rows.count(b"\n") < 2:
            raise FetchError(f"{part.name} lists no offer.", "Look at what it answers.")
        yield archive_of(f"{part.name}.csv", rows)

    async def probe(self, client: Client, pull: Pull) -> str:
        parts = await self.parts(client, pull)
        found = [part.name for part in parts async for _ in self.fetch(client, part, pull)]
        return f"{', '.join(found)} list offers"


def _listed(name: str, address: str, deadline_s: float) -> bytes:
    """Return the library's CSV of a marketplace; the process is ended at the deadline."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.csv"
        command = [sys.executable, "-m", "cloudarb_lib.live.gpuhunt_process", name, str(file)]
        subprocess.run(
            [*command, address] if address else command,
            check=True,
            capture_output=True,
            timeout=deadline_s * 0.9,
            stdin=subprocess.DEVNULL,
        )
        return file.read_bytes()
