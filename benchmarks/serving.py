"""What the server bears: ``python -m benchmarks.serving``.

Remembered answers, beside a bare FastAPI that returns the same bytes, both in two processes under
the same uvicorn, alternately in one run; what they take of a core tells more than requests a second
where the machine has other work. Then the rate of hits on a stated replay, and memory.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import uvloop

from benchmarks.command_line import names_of
from benchmarks.load import Load, put
from pipelines.serve import server, testing

PROCESSES = 2
CONNECTIONS = 16
ROUNDS = 3
REQUESTS_A_ROUND = 20_000
PACED_S = 5.0
GOAL_PER_S = 12_000
GOAL_SHARE = 0.8
GOAL_P99_MS = 25.0
HOUR_OF_REQUESTS = 360_000
"""100 a second, for an hour."""
QUESTION = f"/offers?as_of={testing.AS_OF}&gpu_model=H100"
REPLAYED_PER_S = (10, 1)
SNAPSHOTS_AN_HOUR = 4
ZIPF = 1.1
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True)
class Servers:
    """Processes that answer alike.

    Parameters
    ----------
    ports : tuple of int
        Where they listen.
    processes : tuple of Popen
        The processes.
    """

    ports: tuple[int, ...]
    processes: tuple[subprocess.Popen[bytes], ...]

    def cpu_s(self) -> float:
        """Return the seconds of a core that they have taken."""
        stats = [Path(f"/proc/{each.pid}/stat").read_text() for each in self.processes]
        ticks = [stat.rpartition(")")[2].split()[11:13] for stat in stats]
        return sum(int(user) + int(system) for user, system in ticks) / _TICKS_PER_S

    def memory_mib(self) -> float:
        """Return the memory that they hold, in MiB."""
        pages = [Path(f"/proc/{each.pid}/statm").read_text().split()[1] for each in self.processes]
        return sum(map(int, pages)) * _PAGE_MIB


@contextmanager
def started(words: Sequence[str], home: Path) -> Iterator[Servers]:
    """Start servers by a command line, the port last, and wait until they answer."""
    ports = tuple(_free_port() for _ in range(PROCESSES))
    environment = os.environ | {"CLOUDARB_HOME": str(home)}
    processes = tuple(
        subprocess.Popen(
            [sys.executable, *words, str(port)], env=environment, stderr=subprocess.DEVNULL
        )
        for port in ports
    )
    try:
        for port in ports:
            _wait_for(port)
        yield Servers(ports, processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _wait_for(port: int) -> None:
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        try:
            httpx2.get(f"http://127.0.0.1:{port}/alive")
            return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise SystemExit(f"the server on {port} does not answer")


def bare(content: bytes) -> Any:
    """Return a FastAPI that answers one question with given bytes."""
    from fastapi import FastAPI, Response

    app = FastAPI()

    @app.get("/offers")
    async def offers() -> Response:
        return Response(content, media_type="application/json")

    return app


def serve_bare(content: Path, port: int) -> None:
    """Answer with the content of a file, as the server is run."""
    import uvicorn

    app = bare(content.read_bytes())
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")


def measured(load: Load, servers: Servers) -> tuple[float, float]:
    """Put a load on servers; return requests a second, and microseconds of a core for each."""
    before_s = servers.cpu_s()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seconds = runner.run(put(load, servers.ports, CONNECTIONS))
    if load.failed:
        raise SystemExit(f"{load.failed} of {load.sent} requests failed")
    return load.sent / seconds, 1e6 * (servers.cpu_s() - before_s) / load.sent


def compare(request: bytes, kinds: dict[str, Servers]) -> None:
    """Print what each kind of server bears, the last beside the one before, in turns.

    First as fast as they answer, then all at half the rate of the last kind.
    """
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    core_us_of_load: list[float] = []
    for name in list(kinds) * ROUNDS:
        fastest = Load(request, REQUESTS_A_ROUND)
        rounds[name].append(measured(fastest, kinds[name]))
        core_us_of_load.append(1e6 * fastest.core_s / fastest.sent)
    most_sent_per_s = 1e6 / np.median(core_us_of_load)
    print(f"the load, which takes a core besides, could send {most_sent_per_s:,.0f}/s")
    fast = {name: np.median(found, axis=0) for name, found in rounds.items()}
    (bare_per_s, bare_us), (per_s, core_us) = fast.values()
    half_per_s = per_s / 2
    p99_ms: dict[str, list[float]] = {name: [] for name in kinds}
    own_ms: list[float] = []
    for name in list(kinds) * ROUNDS:
        paced = Load(request, int(half_per_s * PACED_S), rate_per_s=half_per_s)
        measured(paced, kinds[name])
        p99_ms[name].append(paced.p99_ms)
        own_ms.append(paced.own_p99_ms)
    print(f"| | requests/s | us of a core each | of two whole cores | P99 at {half_per_s:,.0f}/s |")
    for name, (rate, each_us) in fast.items():
        latency = f"{np.median(p99_ms[name]):.1f} ms ({min(p99_ms[name]):.1f} at best)"
        print(f"| {name} | {rate:,.0f} | {each_us:.0f} | {2e6 / each_us:,.0f}/s | {latency} |")
    share = per_s / bare_per_s
    print(f"{share:.0%} of the bare one, by CPU {bare_us / core_us:.0%}")
    print(f"of P99 the load's own delays are {np.median(own_ms):.1f} ms")
    name = list(kinds)[-1]
    print(f"goals: {GOAL_PER_S:,}/s or {GOAL_SHARE:.0%} of the bare one: ", end="")
    print(_kept(per_s >= GOAL_PER_S or share >= GOAL_SHARE), end="; ")
    print(f"P99 under {GOAL_P99_MS:g} ms: {_kept(float(np.median(p99_ms[name])) < GOAL_P99_MS)}")


def _kept(is_kept: bool) -> str:
    return "kept" if is_kept else "not kept"


def replay(per_s: int) -> str:
    """Return the rate of hits on an hour of questions, asked at once: nothing grows stale.

    What would have grown stale is answered without a wait too. A new snapshot comes every quarter
    of an hour; answers to questions on runs stay.
    """
    filters = ("", "&gpu_model=H100", "&gpu_model=L4", "&provider=gcp", "&provider=aws")
    options = ("", "&purchase_option=spot", "&purchase_option=on_demand")
    limits = ("", "&limit=100")
    market = [f"{f}{o}{n}" for f in filters for o in options for n in limits]
    questions = [f"/offers?as_of={testing.AS_OF}{words}" for words in market]
    questions += [f"/runs/latest/{table}" for table in server.WARM_TABLES if table != "lookback"]
    chosen = np.random.default_rng(7)
    weights = np.arange(1, len(questions) + 1) ** -ZIPF
    order = chosen.permutation(len(questions))
    asked = chosen.choice(order, 3600 * per_s, p=weights / weights.sum())
    with tempfile.TemporaryDirectory() as place:
        folders = testing.folders_in(Path(place))
        front = server.front(folders)
        token = testing.token_in(folders)
        asyncio.run(_ask(front, [questions[k] for k in asked], token, Path(place)))
    share = 1 - front.remembered.made / front.remembered.asked
    return f"{share:.2%} of {len(asked):,} ({per_s} a second) on {len(questions)} questions"


async def _ask(front: server.Front, questions: Sequence[str], token: str, place: Path) -> None:
    headers = [(b"authorization", f"Bearer {token}".encode())]

    async def take(part: Any) -> None:
        if part.get("status", 200) != 200:
            raise SystemExit(f"{part['status']} for a question of the replay")

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    between = len(questions) // SNAPSHOTS_AN_HOUR
    for number, question in enumerate(questions):
        if number and number % between == 0:
            testing.add_price(place, "us-east4", 20.0 + number / len(questions))
        path, _, query = question.partition("?")
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query.encode(),
            "headers": headers,
            "root_path": "",
        }
        await front(scope, nothing, take)


def _others() -> str:
    """Return how busy the machine is."""
    return f"{os.getloadavg()[0]:.0f} processes wanted {os.cpu_count()} cores in the last minute"


def bear_an_hour(request: bytes, served: Servers) -> None:
    """Print what memory the servers hold after the first tenth of an hour's requests, and all."""
    measured(Load(request, HOUR_OF_REQUESTS // 10), served)
    early_mib = served.memory_mib()
    measured(Load(request, HOUR_OF_REQUESTS * 9 // 10), served)
    grown_mib = served.memory_mib() - early_mib
    print(
        f"memory of {PROCESSES} servers after {HOUR_OF_REQUESTS // 10:,} requests"
        f" {early_mib:.0f} MiB, after {HOUR_OF_REQUESTS:,} {grown_mib:+.1f} MiB"
    )


def main() -> None:
    """Print all figures."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        folders = testing.folders_in(home)
        token = testing.token_in(folders)
        words = ["-m", "pipelines.cli", "serve", f"--store={folders.store}", "--port"]
        with started(words, home) as served:
            headers = {"authorization": f"Bearer {token}"}
            url = f"http://127.0.0.1:{served.ports[0]}{QUESTION}"
            content = httpx2.get(url, headers=headers).raise_for_status().content
            (home / "content").write_bytes(content)
            request = f"GET {QUESTION} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
            sizes = f"{PROCESSES} processes each, {CONNECTIONS} connections"
            print(f"{len(content):,} bytes an answer, {sizes}, {_others()}")
            with started(["-m", "benchmarks.serving", str(home / "content")], home) as plain:
                compare(request.encode(), {"bare FastAPI": plain, "remembered": served})
            bear_an_hour(request.encode(), served)
    for rate in REPLAYED_PER_S:
        print(f"remembered: {replay(rate)}, {SNAPSHOTS_AN_HOUR} snapshots")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        serve_bare(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        names_of(__doc__)
        main()
