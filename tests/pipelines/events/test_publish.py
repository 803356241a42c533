"""A broker that is killed in mid-stream loses no event; doubles are told by their ids."""

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress

import pytest

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.live.messages import DeliveryError
from cloudarb_lib.testing.wire import LossyWire
from pipelines.events import publish
from pipelines.events.deliver import deliver
from pipelines.events.ledger import Ledger, event, ledger_file
from pipelines.events.publish import STREAM, publisher

COUNT = 60


@pytest.fixture
def ledger(tmp_path):
    with Ledger(ledger_file(tmp_path)) as opened:
        with opened.at_once():
            opened.add(event("prices", f"f{k}", "2026-01-05", {"k": k}) for k in range(COUNT))
        yield opened


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A NATS server whose stream outlives it."""

    def __init__(self, program, folder):
        self.port = free_port()
        self._words = [program, "-js", "-sd", str(folder), "-a", "127.0.0.1", "-p", str(self.port)]
        self.start()

    def start(self):
        self._process = subprocess.Popen(self._words, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError("nats-server did not start")

    def stall(self):
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self._process.send_signal(signal.SIGCONT)

    def kill(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server(tmp_path):
    pytest.importorskip("nats", reason="nats-py is not installed")
    program = shutil.which("nats-server")
    if program is None:
        pytest.skip("nats-server is not installed")
    running = Server(program, tmp_path / "stream")
    yield running
    running.kill()


def messages_of(port):
    """Return what a consumer reads: the id and the event of each message of the stream."""
    import nats

    async def read():
        connection = await nats.connect(f"nats://127.0.0.1:{port}")
        stream = connection.jetstream()
        reader = await stream.pull_subscribe(f"{STREAM}.>", durable=None)
        state = (await stream.stream_info(STREAM)).state
        found = await reader.fetch(state.messages, timeout=5)
        await connection.close()
        return [(m.headers["Nats-Msg-Id"], json.loads(m.data)) for m in found]

    return asyncio.run(read())


@pytest.mark.chaos("Redis or broker killed", "events")
def test_nats_killed_in_mid_stream_loses_nothing(server, ledger, monkeypatch):
    monkeypatch.setattr(publish, "TIMEOUT_S", 2.0)
    address = f"nats://127.0.0.1:{server.port}"
    sent = []

    def publish_until(kill_at):
        with publisher(address, {}) as handle:

            def counting(told, memory):
                if len(sent) == kill_at:
                    server.kill()
                handled = handle(told, memory)
                sent.append(told.event_id)
                return handled

            return deliver(ledger, "publish", counting)

    with pytest.raises(DeliveryError, match="NATS took no event"):
        publish_until(20)
    server.start()
    assert publish_until(None).handled == COUNT - 20
    read = messages_of(server.port)
    assert [told["body"]["k"] for _, told in read] == list(range(COUNT))
    assert ledger.dead_letters() == []


def publish_all(ledger, address, *, tries):
    """Publish until all is taken, as a timer would that runs the verb again and again."""
    for _ in range(tries):
        with suppress(DeliveryError), publisher(address, {}) as handle:
            deliver(ledger, "publish", handle)
            return
    raise AssertionError("not all is published")


@pytest.mark.chaos("lossy wire", "events")
def test_over_a_bad_wire_each_event_arrives(server, ledger, monkeypatch):
    monkeypatch.setattr(publish, "TIMEOUT_S", 1.0)
    with LossyWire(server.port, late_s=0.01, reset_share=0.03, seed=5) as wire:
        publish_all(ledger, f"nats://127.0.0.1:{wire.port}", tries=60)
        assert wire.resets > 0
    read = messages_of(server.port)
    assert [told["body"]["k"] for _, told in read] == list(range(COUNT)), "each once, in order"
    assert ledger.dead_letters() == []


@pytest.mark.chaos("stall", "events")
def test_a_broker_that_stalls_loses_nothing(server, ledger, monkeypatch):
    monkeypatch.setattr(publish, "TIMEOUT_S", 0.5)
    address = f"nats://127.0.0.1:{server.port}"
    sent = []
    with publisher(address, {}) as handle:

        def stalling(told, memory):
            if len(sent) == 20:
                server.stall()
            sent.append(told.event_id)
            return handle(told, memory)

        with pytest.raises(DeliveryError):
            deliver(ledger, "publish", stalling)
    server.go_on()
    publish_all(ledger, address, tries=3)
    read = messages_of(server.port)
    assert [told["body"]["k"] for _, told in read] == list(range(COUNT))


def test_what_is_published_twice_is_told_by_its_id(server, ledger):
    address = f"nats://127.0.0.1:{server.port}"
    with publisher(address, {}) as handle:
        deliver(ledger, "publish", handle)
        ledger.replay("publish", after=0)
        assert deliver(ledger, "publish", handle).handled == COUNT
    read = messages_of(server.port)
    assert len({event_id for event_id, _ in read}) == COUNT
    assert len(read) == COUNT, "JetStream itself drops what it had within two minutes"


def test_an_event_too_large_is_put_aside_and_the_rest_goes_on(server, tmp_path):
    with Ledger(tmp_path / "large.sqlite") as ledger:
        with ledger.at_once():
            for k, size in enumerate([1, 2_000_000, 1]):
                ledger.add([event("prices", f"f{k}", "2026-01-05", {"text": "x" * size})])
        with publisher(f"nats://127.0.0.1:{server.port}", {}) as handle:
            done = deliver(ledger, "publish", handle)
        assert (done.handled, done.buried) == (2, 1)
        assert "larger than the broker takes" in ledger.dead_letters()[0].why


def test_kafka_gets_each_event_with_its_id(ledger):
    kafka = pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")
    mock = kafka.Producer({"bootstrap.servers": "", "test.mock.num.brokers": 1, "log_level": 0})
    brokers = mock.list_topics(timeout=10).brokers
    address = f"{brokers[1].host}:{brokers[1].port}"
    with publisher(f"kafka://{address}", {}) as handle:
        assert deliver(ledger, "publish", handle).handled == COUNT
        ledger.replay("publish", after=COUNT - 5)
        deliver(ledger, "publish", handle)
    reader = kafka.Consumer(
        {"bootstrap.servers": address, "group.id": "t", "auto.offset.reset": "earliest"}
    )
    reader.subscribe([STREAM])
    got = reader.consume(COUNT + 5, timeout=20)
    reader.close()
    assert len(got) == COUNT + 5, "at least once: five came twice"
    first_seen = {message.key(): json.loads(message.value()) for message in got}
    assert [told["body"]["k"] for told in first_seen.values()] == list(range(COUNT))


@pytest.mark.chaos("Redis or broker killed", "events")
def test_no_broker_is_no_loss(ledger, monkeypatch):
    pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")
    monkeypatch.setattr(publish, "TIMEOUT_S", 0.2)
    refused = pytest.raises(DeliveryError, match="nothing is lost")
    with publisher(f"kafka://127.0.0.1:{free_port()}", {}) as handle, refused:
        deliver(ledger, "publish", handle)
    assert ledger.position("publish")[0] == 0


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://127.0.0.1:1", "no address of a broker"),
        ("nats://127.0.0.1", "no port"),
        ("nats://127.0.0.1:none", "no port"),
        ("kafka://127.0.0.1:99999", "no port"),
        ("nats://user:secret@127.0.0.1:4222", "holds a password"),
        ("nats://broker.example.org:4222", "is not this machine"),
        ("kafka://broker.example.org:9092", "is not this machine"),
    ],
)
def test_addresses_that_may_not_be_used(address, told):
    with pytest.raises(ParameterError, match=told) as refused, publisher(address, {}):
        pass
    assert "secret" not in str(refused.value)
