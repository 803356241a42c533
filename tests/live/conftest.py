"""A service of prices by region, a clock, and a collection around them."""

from __future__ import annotations

import pandas as pd
import pytest

from cloudarb_lib.live import collect, deadletters
from cloudarb_lib.live.journal import Journal
from cloudarb_lib.live.raw import RawFiles
from cloudarb_lib.testing.http import Reply, ServerThread
from cloudarb_lib.testing.live import MACHINES, NOW, PRICE, QUICK, CsvFeed, csv_prices, part_names


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        self.now += pd.Timedelta("1s")
        return self.now


class Service:
    """Answers with the prices of regions; ``replies`` go before them."""

    def __init__(self, clock):
        self.clock = clock
        self.prices = {name: dict.fromkeys(MACHINES, price) for name, price in PRICE.items()}
        self.replies = {}
        self.url = ""

    def answer(self, asked):
        waiting = self.replies.get(asked.path, [])
        if waiting:
            return waiting.pop(0)
        if asked.path == "/parts":
            return Reply(part_names(*self.prices))
        region = asked.path.removeprefix("/prices/")
        return Reply(csv_prices(region, self.prices[region]))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def service(clock):
    answering = Service(clock)
    with ServerThread(answering.answer) as server:
        answering.url = server.url
        yield answering


@pytest.fixture
def opened(tmp_path, clock):
    """A call opens the collector of the store."""
    return lambda: collect.opened(
        tmp_path / "store", [CsvFeed()], clock=clock, limits=lambda _: QUICK
    )


@pytest.fixture
def cycle(opened, clock, service):
    """A call is one cycle, ten minutes after the last."""

    def run():
        clock.now += pd.Timedelta("10min")
        with opened() as collector:
            return collector.cycle(collect.Wanted(endpoints={"csv": service.url}))

    return run


@pytest.fixture
def retry(opened, service):
    """A call takes up all dead letters."""

    def run(**options):
        wanted = collect.Wanted(endpoints={"csv": service.url})
        with opened() as collector:
            return deadletters.retry(collector, wanted, **options)

    return run


@pytest.fixture
def journal(tmp_path):
    """A call opens the journal."""
    return lambda: Journal(tmp_path / "store.live" / "journal.sqlite")


@pytest.fixture
def letters(journal):
    """A call gives the open dead letters."""

    def read():
        with journal() as open_journal:
            return open_journal.dead_letters()

    return read


@pytest.fixture
def raw(tmp_path):
    return RawFiles(tmp_path / "store.live" / "raw")
