"""The load that the benchmark puts on servers counts what it says that it counts."""

import asyncio

import pytest

from benchmarks.load import Load, put

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: y\r\n\r\nhello"
STILL_S = 0.3


class Server(asyncio.Protocol):
    """Answers in two pieces; stands still for a moment at one of its requests."""

    def __init__(self, answer, still_at):
        self.answer = answer
        self.still_at = still_at
        self.asked = 0

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.asked += 1
        pause_s = STILL_S if self.asked == self.still_at else 0.0
        asyncio.get_running_loop().call_later(pause_s, self.tell)

    def tell(self):
        self.transport.write(self.answer[:30])
        asyncio.get_running_loop().call_soon(self.transport.write, self.answer[30:])


def loaded(load, *, answer=ANSWER, still_at=0):
    async def story():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Server(answer, still_at), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await put(load, [port], connections=1)

    return asyncio.run(story())


def test_every_answer_is_counted_once():
    load = Load(REQUEST, 50)
    seconds = loaded(load)
    assert (load.sent, len(load.latencies_s), load.failed) == (50, 50, 0)
    assert 0 < load.core_s <= seconds + 0.1
    assert load.own_delays_s == []


def test_answers_other_than_200_have_failed():
    load = Load(REQUEST, 5)
    loaded(load, answer=ANSWER.replace(b"200", b"503"))
    assert load.failed == 5


@pytest.mark.slow
def test_those_that_were_due_while_a_server_stood_still_have_waited():
    load = Load(REQUEST, 40, rate_per_s=100.0)
    loaded(load, still_at=5)
    late = [seconds for seconds in load.latencies_s if seconds > STILL_S / 3]
    assert len(late) >= 15, "of those due within 0.3 s at 100 a second, two thirds wait so long"
    assert len(load.own_delays_s) <= 25, "what a server kept waiting is not our fault"
