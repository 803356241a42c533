"""Load on servers over HTTP/1.1: as fast as they answer, or at a steady rate.

At a steady rate each request is due at a time of its own, however long others take, and its latency
is counted from then: a server that stands still for a moment makes all wait that were due
meanwhile. So that the load itself is not what is measured, it tells how much of a core it took, and
how late it was by its own fault.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass
class Load:
    """Requests to send, alike, and how long each took.

    Parameters
    ----------
    request : bytes
        A whole request.
    most : int
        So many are sent.
    rate_per_s : float
        At this rate, however long answers take; 0: the next when the last has come.

    Attributes
    ----------
    latencies_s : list of float
        From when a request was due to the end of its answer.
    own_delays_s : list of float
        How late a request went out for which a connection was free in time: our fault.
    core_s : float
        Seconds of a core that it took to put the load.
    sent, failed : int
        Requests sent, and answers other than 200.
    """

    request: bytes
    most: int
    rate_per_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    own_delays_s: list[float] = field(default_factory=list)
    core_s: float = 0.0
    sent: int = 0
    failed: int = 0

    @property
    def p99_ms(self) -> float:
        """Time within which 99 of 100 answers came, from when each was due."""
        return 1000 * _percentile(self.latencies_s, 0.99)

    @property
    def own_p99_ms(self) -> float:
        """Of the delays that are our own fault; 0 where no request was due at a time."""
        return 1000 * _percentile(self.own_delays_s, 0.99)


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * len(values))] if values else 0.0


class _Connection(asyncio.Protocol):
    """One connection, which waits for an answer before it sends the next request."""

    def __init__(self, load: Load, number: int, connections: int, began_s: float) -> None:
        self._load = load
        self._step_s = connections / load.rate_per_s if load.rate_per_s else 0.0
        self._due_s = began_s + (number / load.rate_per_s if load.rate_per_s else 0.0)
        self._length = 0
        self._answer = bytearray()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._wait_for_turn()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._length:
            self._length = _whole_length(self._answer)
        if not self._length or len(self._answer) < self._length:
            return
        now_s = time.perf_counter()
        self._load.latencies_s.append(now_s - self._due_s)
        self._load.failed += not self._answer.startswith(b"HTTP/1.1 200")
        self._answer.clear()
        self._length = 0
        self._due_s = self._due_s + self._step_s if self._step_s else now_s
        self._wait_for_turn()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _wait_for_turn(self) -> None:
        early_s = self._due_s - time.perf_counter()
        if self._load.sent >= self._load.most:
            self._transport.close()
        elif early_s > 0:
            asyncio.get_running_loop().call_later(early_s, self._send_when_due)
        else:
            self._send()

    def _send_when_due(self) -> None:
        self._load.own_delays_s.append(max(0.0, time.perf_counter() - self._due_s))
        self._send()

    def _send(self) -> None:
        self._load.sent += 1
        self._transport.write(self._load.request)


def _whole_length(answer: bytes | bytearray) -> int:
    """Return how long an answer is with its head, 0 where its head is not whole."""
    end = answer.find(_END_OF_HEAD)
    if end < 0:
        return 0
    found = _LENGTH.search(answer, 0, end + 2)
    return end + len(_END_OF_HEAD) + (int(found[1]) if found else 0)


async def put(load: Load, ports: Sequence[int], connections: int) -> float:
    """Put a load on servers of loopback, and return how many seconds it took.

    Parameters
    ----------
    load : Load
        Gets what came of it.
    ports : sequence of int
        Of the servers, which take turns.
    connections : int
        So many at a time.
    """
    loop = asyncio.get_running_loop()
    core_s = time.process_time()
    began_s = time.perf_counter()
    opened = [
        await loop.create_connection(
            lambda k=k: _Connection(load, k, connections, began_s),
            "127.0.0.1",
            ports[k % len(ports)],
        )
        for k in range(connections)
    ]
    await asyncio.gather(*(protocol.ended for _, protocol in opened))
    load.core_s = time.process_time() - core_s
    return time.perf_counter() - began_s
