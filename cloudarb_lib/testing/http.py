"""A server on loopback that answers as a test wants, faults of the wire among it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request as it came.

    Parameters
    ----------
    method, path : str
        The path without its query.
    query : dict of str to str
        Its last value where a name comes twice.
    headers : dict of str to str
        By name, in lower case.
    body : bytes
        '' for none.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    """An answer, and how it goes wrong on the wire.

    Parameters
    ----------
    body : bytes
        What is sent.
    status : int
        Status of HTTP.
    headers : dict of str to str
        Besides content-length.
    cut_at : int, optional
        The connection is closed after so many bytes of the body (the length says otherwise).
    reset : bool
        Where it is cut, the connection is reset instead of closed.
    wait_s : float
        Pause before the answer.
    pause_s : float
        Pause between one byte of the body and the next.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    reset: bool = False
    wait_s: float = 0.0
    pause_s: float = 0.0


class FaultServer(AbstractAsyncContextManager["FaultServer"]):
    """Answers each request with what a function makes of it.

    Parameters
    ----------
    answer : callable
        Takes an ``Asked``, returns a ``Reply``.

    Attributes
    ----------
    url : str
        Where it listens, without a slash at the end.
    asked : list of Asked
        What came, in order.
    busiest : int
        The most requests that were under way at once.
    """

    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.busiest = 0
        self._under_way = 0
        self._answer = answer
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> FaultServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:  # it may pause yet
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            asked = await _read_request(reader)
            self.asked.append(asked)
            self._under_way += 1
            self.busiest = max(self.busiest, self._under_way)
            try:
                await _send(writer, self._answer(asked))
            finally:
                self._under_way -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()


class ServerThread(AbstractContextManager["ServerThread"]):
    """A ``FaultServer`` in a thread of its own, for what runs its own event loop.

    Parameters
    ----------
    answer : callable
        As for ``FaultServer``; runs in the thread.

    Attributes
    ----------
    url : str
        Where it listens, without a slash at the end.
    """

    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server = FaultServer(answer)

    def __enter__(self) -> ServerThread:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.__aenter__(), self._loop).result()
        self.url = self._server.url
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.__aexit__(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


async def _read_request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    address = urlsplit(target)
    return Asked(method, address.path, dict(parse_qsl(address.query)), headers, body)


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    await asyncio.sleep(reply.wait_s)
    headers = {"content-length": str(len(reply.body)), "connection": "close", **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} -", *[f"{name}: {value}" for name, value in headers.items()]]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    body = reply.body[: reply.cut_at]
    if reply.pause_s:
        for byte in body:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(reply.pause_s)
    else:
        writer.write(body)
    if reply.reset:
        await writer.drain()
        writer.transport.abort()
    else:
        await writer.drain()
