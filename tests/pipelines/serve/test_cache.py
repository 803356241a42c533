"""What is remembered: for how long, once for all who wait, and never under another snapshot."""

import asyncio
import logging
import shutil
import signal
import socket
import subprocess
import time

import pytest

pytest.importorskip("fastapi", reason="extra serve is not installed: make platform")

import time_machine
from starlette.testclient import TestClient

from cloudarb_lib.testing.wire import LossyWire
from pipelines.serve import server, testing
from pipelines.serve.cache import Remembered

pytestmark = pytest.mark.slow

QUESTION = f"/offers?as_of={testing.AS_OF}&gpu_model=H100"


def remembered(**options):
    """Return a memory of numbered answers, each of which takes a moment to make."""
    numbers = iter(range(100))

    async def make(question):
        await asyncio.sleep(0.02)
        return f"text/plain\n{question} {next(numbers)}".encode()

    return Remembered(make, **{"at_hand_s": 0.0, **options})


def run(story):
    return asyncio.run(story())


def test_whoever_asks_for_what_is_being_made_waits_for_it():
    async def story():
        memory = remembered()
        answers = await asyncio.gather(*(memory.answer("k", "q") for _ in range(200)))
        return memory.made, memory.asked, set(answers)

    assert run(story) == (1, 200, {b"text/plain\nq 0"})


def test_what_is_stale_is_given_once_more_while_a_new_one_is_made():
    async def story():
        memory = remembered(fresh_s=0.05)
        first = await memory.answer("k", "q")
        await asyncio.sleep(0.08)
        began = time.perf_counter()
        stale = await memory.answer("k", "q")
        waited_s = time.perf_counter() - began
        await asyncio.sleep(0.06)
        return first, stale, waited_s < 0.02, await memory.answer("k", "q")

    first, stale, at_once, fresh = run(story)
    assert first == stale
    assert at_once
    assert fresh == b"text/plain\nq 1"


@pytest.mark.parametrize(("at_hand_s", "made"), [(10.0, 1), (0.0, 2)])
def test_what_was_just_given_is_at_hand(at_hand_s, made):
    async def story():
        memory = remembered(fresh_s=0.01, at_hand_s=at_hand_s)
        first = await memory.answer("k", "q")
        await asyncio.sleep(0.03)
        assert await memory.answer("k", "q") == first
        assert await memory.answer("other", "q") != first
        await asyncio.sleep(0.05)
        return memory.made - 1, memory.asked

    assert run(story) == (made, 3)


def test_what_is_at_hand_does_not_grow():
    async def story():
        memory = remembered(at_hand_s=60.0, most_answers=3)
        for key in "abcdefg":
            await memory.answer(key, key)
        return len(memory.at_hand)

    assert run(story) <= 3


def test_a_fault_is_not_remembered():
    async def story():
        memory = remembered()
        answers = iter([ValueError("no"), b"yes"])

        async def make(_):
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        memory.make = make
        with pytest.raises(ValueError, match="no"):
            await memory.answer("k", "q")
        return await memory.answer("k", "q")

    assert run(story) == b"yes"


def test_of_many_answers_those_asked_for_longest_ago_go():
    async def story():
        memory = remembered(most_answers=10)
        for number in range(30):
            await memory.answer(f"k{number}", "q")
        await memory.answer("k29", "q")
        held = memory.made
        await memory.answer("k0", "q")
        return held, memory.made

    assert run(story) == (30, 31)


@pytest.fixture
def redis():
    """Debian's redis-server on loopback, its process and address."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed (Debian: redis-server)")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(["redis-server", *words], stdout=subprocess.PIPE)
    for line in process.stdout:
        if b"Ready to accept" in line:
            break
    yield process, f"redis://127.0.0.1:{port}"
    process.kill()
    process.wait()


def test_another_server_takes_the_answer_from_redis(redis):
    async def story():
        _, url = redis
        first = remembered(redis_url=url)
        second = remembered(redis_url=url)
        answers = [await memory.answer("k", "q") for memory in (first, second)]
        made = (first.made, second.made)
        await asyncio.gather(first.close(), second.close())
        return answers, made

    answers, made = run(story)
    assert answers == [b"text/plain\nq 0"] * 2
    assert made == (1, 0)


def test_redis_holds_plain_bytes_for_an_hour(redis):
    async def story():
        from redis.asyncio import Redis

        _, url = redis
        memory = remembered(redis_url=url)
        await memory.answer("k", "q")
        await memory.close()
        async with Redis.from_url(url) as plain:
            (key,) = await plain.keys("*")
            return key, await plain.get(key), await plain.ttl(key)

    key, held, seconds = run(story)
    assert key.endswith(b":k")
    assert held == b"bytes:text/plain\nq 0"
    assert 3590 <= seconds <= 3600


@pytest.mark.chaos("Redis or broker killed", "API")
def test_answers_are_made_where_redis_has_died(redis):
    async def story():
        process, url = redis
        memory = remembered(redis_url=url)
        await memory.answer("k", "q")
        process.kill()
        process.wait()
        answer = await memory.answer("other", "q")
        await memory.close()
        return answer, memory.made

    assert run(story) == (b"text/plain\nq 1", 2)


def test_a_redis_that_is_not_there_is_told_once_in_a_line(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("cashews.backends.redis.client"), "filters", [])

    async def story():
        memory = remembered(redis_url="redis://127.0.0.1:1")
        for number in range(5):
            await memory.answer(f"k{number}", "q")
        await memory.close()
        return memory.made

    assert run(story) == 5
    (told,) = [record for record in caplog.records if "edis" in record.getMessage()]
    assert "answers are made without Redis: Error 111" in told.getMessage()
    assert told.exc_info is None


@pytest.mark.chaos("stall", "API")
def test_answers_are_made_where_redis_has_stalled(redis):
    async def story():
        process, url = redis
        memory = remembered(redis_url=url)
        await memory.answer("k", "q")
        process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*(memory.answer(f"k{n}", "q") for n in range(5)))
        process.send_signal(signal.SIGCONT)
        await memory.close()
        return len(set(answers)), memory.made

    assert run(story) == (5, 6)


@pytest.mark.chaos("lossy wire", "API")
def test_answers_are_right_where_the_wire_to_redis_is_bad(redis):
    async def story(wire):
        memory = remembered(redis_url=f"redis://127.0.0.1:{wire.port}")
        answers = [await memory.answer(f"k{n}", f"q{n}") for n in range(40)]
        again = [await memory.answer(f"k{n}", f"q{n}") for n in range(40)]
        await memory.close()
        return answers, again

    _, url = redis
    with LossyWire(int(url.rpartition(":")[2]), late_s=0.01, reset_share=0.1) as wire:
        answers, again = asyncio.run(story(wire))
        assert wire.resets > 3
    assert [answer.split()[1].decode() for answer in answers] == [f"q{n}" for n in range(40)]
    assert again == answers


@pytest.mark.long
@pytest.mark.chaos("clock jump", "API")
@pytest.mark.parametrize("jump", ["2025-01-01", "2027-01-01"])
def test_answers_stay_true_when_the_clock_jumps(tmp_path, jump):
    folders = testing.folders_in(tmp_path)
    with time_machine.travel("2026-05-01T12:00Z") as clock:
        headers = {"authorization": f"Bearer {testing.token_in(folders)}"}
        with TestClient(server.front(folders), headers=headers) as client:
            before = client.get(QUESTION).json()
            clock.move_to(f"{jump}T12:00Z")
            assert client.get(QUESTION).json() == before
            clock.move_to("2026-05-01T12:01Z")
            digest = testing.add_price(tmp_path, "us-east4", 22.0)
            assert client.get(QUESTION).json()["snapshot"] == digest != before["snapshot"]


def test_a_new_snapshot_is_answered_from_at_once(tmp_path):
    folders = testing.folders_in(tmp_path)
    headers = {"authorization": f"Bearer {testing.token_in(folders)}"}
    front = server.front(folders)
    with TestClient(front, headers=headers) as client:
        client.portal.call(front.warm_up)  # what is asked at the start is not counted later
        before = client.get(QUESTION).json()
        made = front.remembered.made
        assert client.get(QUESTION).json() == before
        swapped = "gpu_model=H100&as_of=" + testing.AS_OF
        assert client.get(f"/offers?{swapped}").json() == before, "in another order"
        assert front.remembered.made == made, "remembered"
        digest = testing.add_price(tmp_path, "us-east4", 22.0)
        after = client.get(QUESTION).json()
    assert after["snapshot"] == digest != before["snapshot"]
    prices = {row["offer_id"]: row["price_usd_per_hour"] for row in after["rows"]}
    assert prices[testing.SPOT] == 22.0


def test_a_new_run_is_the_latest_within_a_second(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.serve.records.LOOK_AGAIN_S", 0.0)
    folders = testing.folders_in(tmp_path)
    headers = {"authorization": f"Bearer {testing.token_in(folders)}"}
    with TestClient(server.front(folders), headers=headers) as client:
        assert client.get("/runs/latest/plan").json()["run"] == testing.RUN
        testing.write_run(folders.reports, "newer", "2026-05-08T06:00:00+00:00")
        assert client.get("/runs/latest/plan").json()["run"] == "newer"
        assert [run["run"] for run in client.get("/runs").json()["runs"]] == ["newer", testing.RUN]


def test_alerts_found_later_are_told_within_a_second(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.serve.records.LOOK_AGAIN_S", 0.0)
    folders = testing.folders_in(tmp_path)
    headers = {"authorization": f"Bearer {testing.token_in(folders)}"}
    with TestClient(server.front(folders), headers=headers) as client:
        (before,) = client.get("/runs/latest/alerts").json()["alerts"]
        testing.write_alert(folders.reports / testing.RUN, "another")
        (after,) = client.get("/runs/latest/alerts").json()["alerts"]
        (folders.reports / testing.RUN / "alerts.json").unlink()
        assert client.get("/runs/latest/alerts").status_code == 404
    assert (before["text"], after["text"]) == ("price of H100 up by 12 %", "another")


def test_the_newest_run_is_asked_for_before_anybody_does(tmp_path):
    folders = testing.folders_in(tmp_path)
    front = server.front(folders)
    asyncio.run(front.warm_up())
    made = front.remembered.made
    assert made >= len(server.WARM_TABLES)

    async def ask():
        scope = {"path": "/runs/latest/plan", "query_string": b"", "method": "GET"}
        token = testing.token_in(folders)
        headers = [(b"authorization", f"Bearer {token}".encode())]
        parts = []

        async def send(part):
            parts.append(part)

        await front(scope | {"type": "http", "headers": headers}, None, send)
        return parts[0]["status"]

    assert asyncio.run(ask()) == 200
    assert front.remembered.made == made
