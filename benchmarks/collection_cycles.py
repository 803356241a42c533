"""Cycles of collection with faults of the service and kills of the collector, for check_long.

A try is a handful of cycles on one store. Each cycle is a process of its own; the service changes
its prices before it, answers some requests wrongly, and some processes are killed. The last cycle
meets no fault. What was served is then held against what is stored.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd

from cloudarb_lib.live.collect import Wanted, opened
from cloudarb_lib.live.journal import STORED, WAITING, Journal
from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing.http import Asked, Reply, ServerThread
from cloudarb_lib.testing.live import MACHINES, NOW, QUICK, CsvFeed, csv_prices, part_names

CYCLES = 6
STEP = pd.Timedelta("10min")
REGIONS = ("us", "eu", "asia")
FAULT_SHARE = 0.25
KILL_SHARE = 0.4
Prices = dict[str, float]


@dataclass
class Service:
    """Prices by region that change from cycle to cycle.

    Parameters
    ----------
    rng : numpy.random.Generator
        What changes, and which requests go wrong.
    prices : dict
        By region and machine, what is on sale now.
    faults : bool
        Whether requests go wrong.
    """

    rng: np.random.Generator
    prices: dict[str, Prices] = field(default_factory=dict)
    faults: bool = True

    def change(self) -> None:
        """Move some prices, and take a machine off or on."""
        for region in REGIONS:
            prices = self.prices.setdefault(region, dict.fromkeys(MACHINES, 2.0))
            for machine in self.rng.choice(sorted(prices), 2, replace=False):
                prices[machine] = round(prices[machine] * self.rng.uniform(0.8, 1.25), 4)
            machine = str(self.rng.choice(MACHINES))
            if machine in prices and len(prices) > len(MACHINES) - 3:
                del prices[machine]
            else:
                prices.setdefault(machine, 2.0)

    def answer(self, asked: Asked) -> Reply:
        """Answer a request, wrongly at times."""
        if asked.path == "/parts":
            reply = Reply(part_names(*REGIONS))
        else:
            region = asked.path.removeprefix("/prices/")
            if region not in self.prices:  # it was told wrong names
                return Reply(status=404)
            reply = Reply(csv_prices(region, self.prices[region]))
        if not self.faults or self.rng.uniform() > FAULT_SHARE:
            return reply
        wrong = (
            Reply(status=500),
            Reply(status=403),
            Reply(status=429, headers={"retry-after": "0"}),
            Reply(reply.body, cut_at=int(self.rng.integers(len(reply.body)))),
            Reply(reply.body, cut_at=int(self.rng.integers(len(reply.body))), reset=True),
            Reply(b'{"SpotPriceHistory": []}'),
            Reply(b""),
        )
        return wrong[self.rng.integers(len(wrong))]


def one_cycle(store: Path, url: str, at: pd.Timestamp, told: Connection) -> None:
    """Carry out a cycle at a time, and tell the names of the parts that were stored whole."""
    began = time.monotonic()

    def clock() -> pd.Timestamp:
        return at + pd.Timedelta(microseconds=int(1e6 * (time.monotonic() - began)))

    with opened(store, [CsvFeed()], clock=clock, limits=lambda _: QUICK) as collector:
        collector.cycle(Wanted(endpoints={"csv": url}))
        done = collector.journal.last_done("csv")
    told.send([name for name, begun_at in done.items() if begun_at >= at])


def cycles(rng: np.random.Generator) -> str:
    """Run the cycles of a try; return what was lost, doubled or invented, '' where nothing was."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["benchmarks.collection_cycles"])
    service = Service(rng)
    served: list[Mapping[str, Prices]] = []
    cycle_s = 1.0
    with tempfile.TemporaryDirectory() as folder, ServerThread(service.answer) as server:
        store = Path(folder) / "store"
        for number in range(CYCLES):
            service.change()
            served.append({region: dict(prices) for region, prices in service.prices.items()})
            is_last = number == CYCLES - 1
            service.faults = not is_last
            ours, theirs = processes.Pipe()
            at = NOW + number * STEP
            child = processes.Process(target=one_cycle, args=(store, server.url, at, theirs))
            child.start()
            theirs.close()
            kill = not is_last and rng.uniform() < KILL_SHARE
            began = time.monotonic()
            child.join(rng.uniform(0.0, 1.1) * cycle_s if kill else None)
            child.kill()
            child.join()
            cycle_s = cycle_s if kill else time.monotonic() - began
            try:
                stored = ours.recv()
            except EOFError:  # it was killed before it could tell
                stored = None
            if stored is None and not kill:
                return f"cycle {number} broke"
            prices_now = in_force(store) if stored else {}
            for region in stored or ():
                if prices_now.get(region) != served[number][region]:
                    return f"cycle {number} acknowledged {region}, and its prices are not in force"
        if stored is not None and sorted(stored) != sorted(REGIONS):
            return f"the last cycle brought {stored} alone"
        return disagreement(store, served)


def in_force(store: Path) -> dict[str, Prices]:
    """Return by region and machine the price that is stored last, of those on sale."""
    with open_snapshot(store) as snapshot:
        events = snapshot.table("price_events").sort_values(["effective_at", "observed_at"])
    by_region: dict[str, Prices] = {}
    last = events.groupby(["region", "instance_type"])["price_usd_per_hour"].last(skipna=False)
    for (region, machine), price in last.dropna().items():
        by_region.setdefault(str(region), {})[str(machine)] = float(price)
    return by_region


def disagreement(store: Path, served: list[Mapping[str, Prices]]) -> str:
    """Return how what is stored differs from what was served, '' where it does not."""
    with open_snapshot(store) as snapshot:
        events = snapshot.table("price_events").sort_values(["effective_at", "observed_at"])
        looks = snapshot.table("looks")
    for row in events.itertuples():
        number = int((row.effective_at - NOW) / STEP)
        price = served[number][row.region].get(row.instance_type, np.nan)
        if not np.isclose(row.price_usd_per_hour, price, equal_nan=True):
            return f"invented: {row.region} {row.instance_type} at {row.price_usd_per_hour}"
    for offer, prices in events.groupby(["region", "instance_type"])["price_usd_per_hour"]:
        following = prices.shift()
        same = (prices == following) | (prices.isna() & following.isna())
        if same.iloc[1:].any():
            return f"doubled: {offer} has the same price twice in a row"
    with Journal(store.with_name("store.live") / "journal.sqlite") as journal:
        if journal.responses(WAITING):
            return "an answer still waits after a cycle without a fault"
        whole = [response for response in journal.responses(STORED) if response.complete]
    expected = sorted((one.part.name, one.seen_at) for one in whole)
    found = sorted((row.region, row.looked_at) for row in looks.itertuples())
    return "" if expected == found else f"answers {expected} became looks {found}"
