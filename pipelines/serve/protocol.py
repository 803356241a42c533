"""HTTP as a server speaks it: an answer leaves in one write, or not at all.

uvicorn writes the head of an answer and then its body. A server that is killed between the two
leaves a torn answer, which no gateway can ask for again: it has begun to pass it on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class _OneWrite:
    """A transport that writes at once what comes in one turn of the loop."""

    def __init__(
        self, transport: asyncio.Transport, call_soon: Callable[[Callable[[], None]], object]
    ) -> None:
        self._transport = transport
        self._call_soon = call_soon
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Keep bytes until this turn of the loop ends."""
        if not self._parts:
            self._call_soon(self._hand_over)
        self._parts.append(data)

    def close(self) -> None:
        """Close, behind what was kept."""
        self._hand_over()
        self._transport.close()

    def _hand_over(self) -> None:
        parts = self._parts
        self._parts = []
        if parts:
            self._transport.writelines(parts)


class WholeAnswers(HttpToolsProtocol):
    """uvicorn's protocol, which hands an answer over in one write.

    The system takes an answer that its buffer of a connection can hold whole.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See ``asyncio.Protocol``."""
        one_write = _OneWrite(transport, self.loop.call_soon)
        super().connection_made(cast(asyncio.Transport, one_write))
