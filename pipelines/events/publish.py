"""Events to a broker, acknowledged before they count as published: NATS JetStream, or Kafka."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.live.messages import DeliveryError
from pipelines.events.deliver import Handled, Handler
from pipelines.events.ledger import Event, as_json

STREAM = "cloudarb"
"""The stream of NATS, and the first word of its subjects; the topic of Kafka."""
TIMEOUT_S = 10.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_WAY_OUT = (
    "Start the broker (NATS with JetStream: -js), or look at its log; nothing is lost, publish"
    " again."
)


class _Broker(Protocol):
    def send(self, told: Event) -> None:
        """Return when the broker has the event; DeliveryError, or DataError for the event."""


@contextmanager
def publisher(address: str, environment: Mapping[str, str]) -> Iterator[Handler]:
    """Yield the handler that publishes.

    An event that was published and not noted, since we or the broker were killed between, is
    published again. Each carries its id (header Nats-Msg-Id, key of Kafka), by which JetStream
    itself (for two minutes) and a consumer drop doubles.

    Parameters
    ----------
    address : str
        nats://HOST:PORT or kafka://HOST:PORT on this machine; tls:// and kafka+tls:// elsewhere.
    environment : mapping
        ``CLOUDARB_EVENTS_TOKEN``, if need be: the token for NATS.

    Raises
    ------
    ParameterError
        For an address that may not be used.
    DeliveryError
        Where the broker does not answer.
    """
    parts = _checked(address)
    server = f"{parts.hostname}:{parts.port}"
    if "kafka" in parts.scheme:
        broker: _Broker = _Kafka(server, is_tls="tls" in parts.scheme)
        yield _handler(broker)
        return
    with asyncio.Runner() as runner:
        url = f"{parts.scheme}://{server}"
        nats = _Nats(runner, url, environment.get("CLOUDARB_EVENTS_TOKEN"))
        try:
            yield _handler(nats)
        finally:
            nats.close()


def _handler(broker: _Broker) -> Handler:
    def handle(told: Event, _: Mapping[str, Any]) -> Handled:
        broker.send(told)
        return Handled()

    return handle


def _checked(address: str) -> SplitResult:
    parts = urlsplit(address)
    if parts.scheme not in ("nats", "tls", "kafka", "kafka+tls") or not parts.hostname:
        raise ParameterError(
            "--to is no address of a broker.", "Use nats://127.0.0.1:4222 or kafka://127.0.0.1:9092"
        )
    if not _port(parts):
        raise ParameterError("--to names no port.", "Write it as nats://127.0.0.1:4222.")
    if parts.username or parts.password:
        raise ParameterError(
            "--to holds a password.", "Put the token into CLOUDARB_EVENTS_TOKEN, not into commands."
        )
    if "tls" not in parts.scheme and parts.hostname not in _LOOPBACK:
        what = f"{parts.hostname} is not this machine, and {parts.scheme}:// hides nothing."
        raise ParameterError(what, "Use tls:// or kafka+tls://.")
    return parts


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:  # no number, or too large a one
        return None


class _Nats:
    """A connection to a NATS server, whose stream is made if need be."""

    def __init__(self, runner: asyncio.Runner, url: str, token: str | None) -> None:
        import nats
        from nats.errors import Error

        self._runner = runner
        options = {"allow_reconnect": False, "connect_timeout": TIMEOUT_S, "token": token}
        try:
            self._connection = runner.run(nats.connect(url, error_cb=_quiet, **options))
            self._stream = self._connection.jetstream(timeout=TIMEOUT_S)
            subjects = [f"{STREAM}.>"]
            runner.run(self._stream.add_stream(name=STREAM, subjects=subjects))
        except (Error, OSError) as cause:
            raise DeliveryError(f"NATS does not answer: {_named(cause)}.", _WAY_OUT) from None

    def send(self, told: Event) -> None:
        from nats.errors import Error, MaxPayloadError

        body = json.dumps(as_json(told)).encode()
        headers = {"Nats-Msg-Id": told.event_id}
        try:
            sent = self._stream.publish(f"{STREAM}.{told.kind}", body, headers=headers)
            self._runner.run(sent)
        except MaxPayloadError:
            raise _too_large(told) from None
        except (Error, OSError) as cause:
            raise DeliveryError(f"NATS took no event: {_named(cause)}.", _WAY_OUT) from None

    def close(self) -> None:
        self._runner.run(self._connection.close())


class _Kafka:
    """A producer whose messages count when every replica has them."""

    def __init__(self, server: str, *, is_tls: bool) -> None:
        from confluent_kafka import Producer

        self._producer = Producer(
            {
                "bootstrap.servers": server,
                "security.protocol": "ssl" if is_tls else "plaintext",
                "acks": "all",
                "enable.idempotence": True,
                "message.timeout.ms": int(TIMEOUT_S * 1000),
                "log_level": 0,
            }
        )

    def send(self, told: Event) -> None:
        from confluent_kafka import KafkaError, KafkaException

        faults: list[KafkaError | None] = []
        try:
            self._producer.produce(
                STREAM,
                json.dumps(as_json(told)).encode(),
                key=told.event_id,
                partition=0,  # one, for there order is kept
                on_delivery=lambda fault, _: faults.append(fault),
            )
        except KafkaException as refused:
            if refused.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise _too_large(told) from None
            raise DeliveryError(
                f"Kafka took no event: {refused.args[0].str()}.", _WAY_OUT
            ) from None
        self._producer.flush(TIMEOUT_S + 1)
        for fault in faults or [KafkaError(KafkaError._TIMED_OUT)]:
            if fault is not None:
                raise DeliveryError(f"Kafka took no event: {fault.str()}.", _WAY_OUT)


def _too_large(told: Event) -> DataError:
    what = f"event {told.event_id} is larger than the broker takes."
    return DataError(what, "Raise its limit, then cloudarb events replay.")


def _named(cause: BaseException) -> str:
    return f"{type(cause).__name__} {cause}".strip()


async def _quiet(_: Exception) -> None:
    """Leave faults of the connection to whoever waits for an answer."""
