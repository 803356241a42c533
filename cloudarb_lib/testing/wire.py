"""A wire between two processes that loses packets and tears connections, on loopback."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from contextlib import AbstractContextManager

_CHUNK_BYTES = 4096
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: what is closed is reset."""


class LossyWire(AbstractContextManager["LossyWire"]):
    """Hands bytes on between whoever connects and a port, and does so badly.

    To the ends of a TCP connection a lost packet shows as bytes that come late, since it is sent
    again, and a broken path as a reset: the wire does these two, to each piece of up to 4 KiB by
    chance. No packet is lost for real.

    Parameters
    ----------
    port : int
        Of loopback, to which connections go.
    late_share : float
        Share of the pieces that come late.
    late_s : float
        By how much.
    reset_share : float
        Share of the pieces that are lost, with a reset of both ends.
    seed : int
        Of the chances.

    Attributes
    ----------
    port : int
        Where it listens, on loopback.
    late, resets : int
        How many pieces came late, and how many connections were reset, so far.
    """

    def __init__(
        self,
        port: int,
        *,
        late_share: float = 0.1,
        late_s: float = 0.05,
        reset_share: float = 0.05,
        seed: int = 0,
    ) -> None:
        self.port = 0
        self.late = 0
        self.resets = 0
        self._target = port
        self._late_share = late_share
        self._late_s = late_s
        self._reset_share = reset_share
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._connections: set[asyncio.Task[None]] = set()

    def heal(self) -> None:
        """Lose nothing from now on."""
        self._late_share = 0.0
        self._reset_share = 0.0

    def __enter__(self) -> LossyWire:
        self._thread.start()
        opening = asyncio.start_server(self._connect, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)
            return
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._hand_on(reader, back))
                ways.create_task(self._hand_on(there, writer))
        except* OSError:
            _reset(writer)
            _reset(back)
        except* asyncio.CancelledError:
            pass  # the wire is taken down
        finally:
            writer.close()
            back.close()

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand pieces on until one end closes; ConnectionResetError where one is lost."""
        while piece := await reader.read(_CHUNK_BYTES):
            if self._chance.random() < self._reset_share:
                self.resets += 1
                raise ConnectionResetError
            if self._chance.random() < self._late_share:
                self.late += 1
                await asyncio.sleep(self._late_s)
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with a reset instead of an end."""
    end = writer.get_extra_info("socket")
    if end is not None:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
