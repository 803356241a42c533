"""A pull of AWS's size, from HTTP to snapshot: ``python -m benchmarks.collection``.

A server of a process of its own, on loopback, answers DescribeSpotPriceHistory as EC2 documents it:
17 regions, 200,000 rows in pages of 1,000, each after a wait as over a network. The collector runs
in a fresh process for each number of requests at once; its time ends when the snapshot is
published, its memory is the most that was resident.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pandas as pd

from benchmarks.command_line import names_of
from cloudarb_lib.live.collect import Wanted, opened
from cloudarb_lib.live.feeds.aws_ec2 import AwsSpot
from cloudarb_lib.live.limits import limits_of
from cloudarb_lib.testing.ec2 import Ec2, SpotPrice
from cloudarb_lib.testing.http import Asked, FaultServer, Reply

NOW = pd.Timestamp("2026-06-01T12:00Z")
SINCE = NOW - pd.Timedelta(days=3)
ROWS = 200_000
REGIONS = {
    "us-east-1": "use1", "us-east-2": "use2", "us-west-1": "usw1", "us-west-2": "usw2",
    "ca-central-1": "cac1", "sa-east-1": "sae1", "eu-central-1": "euc1", "eu-west-1": "euw1",
    "eu-west-2": "euw2", "eu-west-3": "euw3", "eu-north-1": "eun1", "ap-south-1": "aps1",
    "ap-southeast-1": "apse1", "ap-southeast-2": "apse2", "ap-northeast-1": "apne1",
    "ap-northeast-2": "apne2", "ap-northeast-3": "apne3",
}  # fmt: skip
"""By name, how its zone ids begin."""
ZONES = 3
PAGE_WAIT_S = 0.1
"""A guess at what a page takes over a network."""
CONCURRENCIES = (1, 2, 4, 8, 17)


def changes() -> Iterator[SpotPrice]:
    """Yield price changes, as many in each region."""
    series = itertools.product(range(ZONES), range(400))
    per_region = -(-ROWS // len(REGIONS))
    places = list(series)
    for region, short in REGIONS.items():
        for number in range(per_region):
            zone, machine = places[number % len(places)]
            minutes = 4000 * number // per_region + zone
            yield SpotPrice(
                region,
                f"{region}{'abc'[zone]}",
                f"{short}-az{zone + 1}",
                f"m{machine // 20}.{machine % 20 + 1}xlarge",
                f"{0.1 + machine / 100 + number % 7 / 1000:.4f}",
                NOW - pd.Timedelta(minutes=1 + minutes),
            )


def serve(told: Connection) -> None:
    """Serve until the process is ended; each page is made once, and then given from memory."""
    service = Ec2(list(changes()))
    pages: dict[tuple[str, bytes], Reply] = {}

    def answer(asked: Asked) -> Reply:
        scope = asked.headers["authorization"].partition("/")[2].partition(", ")[0]
        key = (scope, asked.body)
        if key not in pages:
            pages[key] = replace(service(asked), wait_s=PAGE_WAIT_S)
        return pages[key]

    async def forever() -> None:
        async with FaultServer(answer) as server:
            told.send(server.url)
            await asyncio.Event().wait()

    asyncio.run(forever())


def pull(url: str, at_once: int) -> None:
    """Collect into an empty store and print what it took."""
    limits = replace(limits_of("aws"), concurrent=at_once, parts=at_once, per_second=1000.0)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with opened(
            Path(folder) / "store", [AwsSpot()], clock=lambda: NOW, limits=lambda _: limits
        ) as collector:
            wanted = Wanted(since=SINCE, regions=tuple(REGIONS), endpoints={"aws-spot": url})
            report = collector.cycle(wanted)
        seconds = time.perf_counter() - began
    (feed,) = report.feeds
    used = resource.getrusage(resource.RUSAGE_SELF)
    took = {
        "rows": feed.changed,
        "seconds": seconds,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
    }
    print(json.dumps(took))


def measured(url: str, at_once: int) -> dict[str, float]:
    """Return what a pull in a fresh process took."""
    keys = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
    command = [sys.executable, "-m", "benchmarks.collection", url, str(at_once)]
    done = subprocess.run(
        command, env={**os.environ, **keys}, stdout=subprocess.PIPE, check=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    if len(sys.argv) == 3:
        pull(sys.argv[1], int(sys.argv[2]))
        return 0
    names_of(__doc__)
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    server = processes.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = ours.recv()
    measured(url, len(REGIONS))  # the server makes its pages
    print(f"{ROWS:,} rows, {len(REGIONS)} regions, {PAGE_WAIT_S * 1000:.0f} ms a page")
    print("requests at once | seconds | CPU s | rows a second | peak MB")
    for at_once in CONCURRENCIES:
        took = measured(url, at_once)
        assert took["rows"] >= ROWS, took
        rate = took["rows"] / took["seconds"]
        print(
            f"{at_once:16} | {took['seconds']:7.1f} | {took['cpu_s']:5.1f} | {rate:13,.0f}"
            f" | {took['peak_mb']:7.0f}"
        )
    server.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
