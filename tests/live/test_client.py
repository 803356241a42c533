"""The client over real HTTP: what it asks again, what it does not, and what it tells."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pandas as pd
import pytest

from cloudarb_lib.live.breakers import Breakers
from cloudarb_lib.live.client import Client, retry_after_s
from cloudarb_lib.live.errors import FetchError, ProviderClosed, TransientError
from cloudarb_lib.live.limits import Limits
from cloudarb_lib.testing.http import FaultServer, Reply

NOW = pd.Timestamp("2026-06-01T12:00Z")
QUICK = Limits(first_wait_s=0.001, per_second=1000.0, timeout_s=0.5, longest_wait_s=0.05)


def client_of(folder, limits=QUICK, breakers=None):
    return Client("azure", limits, breakers or Breakers(), clock=lambda: NOW, folder=folder)


def asked(tmp_path, replies, limits=QUICK, path="/prices", ask="get_json"):
    """Return what one request gives (or raises), the client's traffic, and the server."""

    async def run():
        given = iter(replies)
        async with FaultServer(lambda _: next(given)) as server, client_of(tmp_path, limits) as c:
            try:
                result = await getattr(c, ask)(server.url + path)
            except FetchError as error:
                result = error
            return result, c.traffic, server

    return asyncio.run(run())


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Reply(b"", status=500), id="500"),
        pytest.param(Reply(b"busy", status=429, headers={"retry-after": "0"}), id="429"),
        pytest.param(Reply(b'{"Items": [1, 2', 200), id="truncated JSON"),
        pytest.param(Reply(b'{"Items": []}', cut_at=4), id="cut body"),
        pytest.param(Reply(b'{"Items": []}', cut_at=4, reset=True), id="reset in mid-body"),
        pytest.param(Reply(b"<html>", headers={"content-type": "text/html"}), id="wrong content"),
        pytest.param(Reply(b'{"Items": []}', pause_s=0.1), id="slow body"),
        pytest.param(Reply(b'{"Items": []}', wait_s=1.0), id="silent"),
    ],
)
def test_what_passes_is_asked_again(tmp_path, fault):
    answer, traffic, _ = asked(tmp_path, [fault, Reply(b'{"ok": 1}')])
    assert answer.json() == {"ok": 1}
    assert (traffic.requests, traffic.retries, traffic.failures) == (1, 1, 0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_does_not_pass_is_asked_once(tmp_path, status):
    error, traffic, server = asked(tmp_path, itertools.repeat(Reply(status=status)))
    assert not isinstance(error, TransientError)
    assert str(status) in error.what
    assert len(server.asked) == 1
    assert (traffic.retries, traffic.failures) == (0, 1)


def test_a_fault_that_stays_is_told_after_the_last_attempt(tmp_path):
    error, traffic, server = asked(tmp_path, itertools.repeat(Reply(status=503)))
    assert "503" in error.what
    assert len(server.asked) == QUICK.attempts
    assert (traffic.retries, traffic.failures) == (QUICK.attempts - 1, 1)


def test_a_provider_that_wants_a_long_wait_is_left_alone(tmp_path):
    error, _, server = asked(tmp_path, [Reply(status=429, headers={"retry-after": "3600"})])
    assert error.retry_after_s == 3600
    assert len(server.asked) == 1


def test_a_body_that_is_too_large_is_refused(tmp_path):
    limits = Limits(largest_body=10, first_wait_s=0.001)
    error, _, server = asked(tmp_path, itertools.repeat(Reply(b"[" + b"1," * 50 + b"1]")), limits)
    assert "more than 10 bytes" in error.what
    assert len(server.asked) == 1


@pytest.mark.chaos("lossy wire", "collect")
def test_a_download_that_is_reset_begins_again_and_leaves_one_file(tmp_path):
    body = bytes(range(256)) * 2000
    cut = Reply(body, cut_at=300_000, reset=True)
    path, traffic, _ = asked(tmp_path, [cut, Reply(body)], ask="download")
    assert path.read_bytes() == body
    assert list(tmp_path.iterdir()) == [path]
    assert traffic.retries == 1


def test_no_secret_is_told(tmp_path):
    path = "/v1/skus?key=AIza-secret&pageToken=next"
    error, _, server = asked(tmp_path, [Reply(status=403)], path=path)
    assert server.asked[0].query["key"] == "AIza-secret"
    assert "AIza-secret" not in str(error)
    assert "pageToken=next" in str(error)


def test_a_name_that_does_not_resolve_is_told(tmp_path):
    async def run():
        async with client_of(tmp_path) as client:
            await client.get("http://prices.invalid/")

    with pytest.raises(TransientError, match=r"http://prices\.invalid/ could not be read"):
        asyncio.run(run())


def test_the_other_clock_is_noted(tmp_path):
    date = {"date": "Mon, 01 Jun 2026 15:00:00 GMT"}
    _, traffic, _ = asked(tmp_path, [Reply(b"{}", headers=date)])
    assert traffic.clock_off_s == 3 * 3600


def test_no_more_requests_at_once_than_the_limit(tmp_path):
    async def run():
        limits = Limits(concurrent=3, per_second=1000.0)
        reply = Reply(b"{}", wait_s=0.02)
        async with FaultServer(lambda _: reply) as server, client_of(tmp_path, limits) as client:
            await asyncio.gather(*[client.get(server.url) for _ in range(12)])
            return server.busiest

    assert asyncio.run(run()) == 3


def test_a_provider_that_keeps_failing_is_not_asked_until_later(tmp_path):
    saved = []

    async def run(breakers, replies, tries):
        limits = Limits(attempts=1, failures_to_open=2, open_s=60.0, per_second=1000.0)
        given = iter(replies)
        errors = []
        async with (
            FaultServer(lambda _: next(given)) as server,
            client_of(tmp_path, limits, breakers) as client,
        ):
            for _ in range(tries):
                try:
                    await client.get(server.url)
                    errors.append(None)
                except FetchError as error:
                    errors.append(type(error))
            return errors, len(server.asked)

    broken = [Reply(status=500)] * 2
    errors, asked_times = asyncio.run(run(Breakers((), saved.append), broken, 3))
    assert errors == [TransientError, TransientError, ProviderClosed]
    assert asked_times == 2
    assert [state.state for state in saved] == ["closed", "closed", "opened"]
    # another process knows it, and lets a request through after the pause
    errors, _ = asyncio.run(run(Breakers([saved[-1]]), [], 1))
    assert errors == [ProviderClosed]
    long_ago = replace(saved[-1], opened_at=saved[-1].opened_at - 61.0)
    later = Breakers([long_ago], saved.append)
    errors, _ = asyncio.run(run(later, [Reply(b"{}")], 1))
    assert errors == [None]
    assert later.state_of("azure").state == "closed"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30.0),
        ("Mon, 01 Jun 2026 12:01:00 GMT", 60.0),
        ("Mon, 01 Jun 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_retry_after(value, seconds):
    assert retry_after_s(value, NOW) == seconds


def test_a_call_of_another_client_is_tried_again_too(tmp_path):
    calls = iter([OSError("reset"), "done"])

    def function():
        result = next(calls)
        if isinstance(result, Exception):
            raise result
        return result

    async def run():
        async with client_of(tmp_path) as client:
            result = await client.call(function, fault=lambda cause: TransientError(str(cause)))
            return result, client.traffic.retries

    assert asyncio.run(run()) == ("done", 1)
