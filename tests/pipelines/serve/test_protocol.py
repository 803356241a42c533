"""An answer leaves a server in one write: killed at any moment, none is torn."""

import asyncio

import pytest

pytest.importorskip("fastapi", reason="extra serve is not installed: make platform")

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from pipelines.serve.protocol import WholeAnswers

REQUEST = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"
LAST_REQUEST = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"


class Wire(asyncio.Transport):
    """What a transport is told, in its order."""

    def __init__(self):
        super().__init__()
        self.told = []

    def write(self, data):
        self.told.append(bytes(data))

    def writelines(self, parts):
        self.told.append(b"".join(parts))

    def close(self):
        self.told.append("close")

    def is_closing(self):
        return "close" in self.told


def answering(pause_s=None):
    """An application that answers head, a part of the body and the rest, as frameworks do."""

    async def app(scope, receive, send):
        headers = [(b"content-length", b"8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        if pause_s:
            await asyncio.sleep(pause_s)
        await send({"type": "http.response.body", "body": b"half"})

    return app


def told(request, app, protocol=WholeAnswers):
    """Return what a transport is told when an application answers a request."""

    async def asking():
        wire = Wire()
        config = uvicorn.Config(app, lifespan="off")
        spoken = protocol(config, ServerState(), {})
        spoken.connection_made(wire)
        spoken.data_received(request)
        await asyncio.sleep(0.1)
        heard = list(wire.told)
        spoken.connection_lost(None)
        return heard

    return asyncio.run(asking())


def test_an_answer_is_one_write():
    (whole,) = told(REQUEST, answering())
    assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
    assert whole.endswith(b"\r\n\r\nhalfhalf")


def test_uvicorns_own_protocol_writes_several_times():
    assert len(told(REQUEST, answering(), HttpToolsProtocol)) == 3


def test_a_connection_closes_behind_its_answer():
    whole, last = told(LAST_REQUEST, answering())
    assert whole.endswith(b"halfhalf")
    assert last == "close"


def test_what_is_there_first_is_not_kept_for_what_comes_later():
    first, second = told(REQUEST, answering(pause_s=0.01))
    assert first.endswith(b"half")
    assert second == b"half"
