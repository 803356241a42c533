"""Collection meets a bad wire, a full disk and a clock that jumps: what was served is stored."""

from __future__ import annotations

import pandas as pd
import pytest

from cloudarb_lib.base.errors import StoreError
from cloudarb_lib.live import collect
from cloudarb_lib.live.breakers import BreakerState
from cloudarb_lib.live.feed import Pull
from cloudarb_lib.live.fetching import Fetcher
from cloudarb_lib.live.walk import is_due
from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing.live import MACHINES, QUICK, CsvFeed, stored_prices
from cloudarb_lib.testing.wire import LossyWire


def newest(store):
    """Return by region and machine the newest price that was stored."""
    return stored_prices(store).map(lambda prices: prices[-1]).to_dict()


def served(service):
    return {
        (region, machine): price
        for region, prices in service.prices.items()
        for machine, price in prices.items()
    }


@pytest.mark.long
@pytest.mark.chaos("lossy wire", "collect")
def test_over_a_bad_wire_no_wrong_price_is_stored_and_none_is_lost_for_good(
    tmp_path, opened, clock, service
):
    store = tmp_path / "store"
    ever_served = {key: {price} for key, price in served(service).items()}
    port = int(service.url.rpartition(":")[2])
    with LossyWire(port, late_s=0.01, reset_share=0.3, seed=3) as wire:
        wanted = collect.Wanted(endpoints={"csv": f"http://127.0.0.1:{wire.port}"})
        for step in range(6):
            clock.now += pd.Timedelta("10min")
            service.prices["us"][MACHINES[step]] = 2.0 + 0.1 * step
            for key, price in served(service).items():
                ever_served[key].add(price)
            if step == 5:
                wire.heal()
            with opened() as collector:
                collector.cycle(wanted)
        assert wire.resets > 5
    assert newest(store) == served(service)
    for key, prices in stored_prices(store).items():
        assert set(prices) <= ever_served[key], "nothing that was not served, nothing withdrawn"


@pytest.mark.slow
@pytest.mark.chaos("full disk", "collect")
def test_a_disk_that_is_full_keeps_the_prices_and_the_next_cycle_takes_all_in(
    small_disk, fill, clock, service
):
    store = small_disk / "store"
    wanted = collect.Wanted(endpoints={"csv": service.url})

    def cycle():
        clock.now += pd.Timedelta("10min")
        with collect.opened(store, [CsvFeed()], clock=clock, limits=lambda _: QUICK) as collector:
            return collector.cycle(wanted)

    cycle()
    before = stored_prices(store)
    service.prices["us"][MACHINES[0]] = 2.2
    filler = fill()
    with pytest.raises(StoreError, match="No space left"):
        cycle()
    assert stored_prices(store).equals(before)
    filler.unlink()
    cycle()
    assert newest(store) == served(service)


@pytest.mark.long
@pytest.mark.chaos("clock jump", "collect")
@pytest.mark.parametrize("jump", ["365D", "-365D"])
def test_a_clock_that_jumps_and_comes_back_hides_no_price(tmp_path, cycle, clock, service, jump):
    cycle()
    right = clock.now
    clock.now += pd.Timedelta(jump)
    cycle()
    clock.now = right
    service.prices["us"][MACHINES[0]] = 2.2
    report = cycle()
    assert report.failures == []
    with open_snapshot(tmp_path / "store") as snapshot:
        events = snapshot.events(as_of=clock.now)
    known = events.sort_values("observed_at").groupby(["region", "instance_type"]).tail(1)
    found = known.set_index(["region", "instance_type"])["price_usd_per_hour"].to_dict()
    assert found == served(service)


@pytest.mark.slow
@pytest.mark.chaos("clock jump", "collect")
def test_what_was_fetched_by_a_clock_ahead_is_asked_for_again(cycle, clock, journal):
    cycle()
    right = clock.now
    clock.now += pd.Timedelta("365D")
    cycle()
    clock.now = right
    feed = CsvFeed()

    def due():
        with journal() as open_journal:
            done = open_journal.last_done(feed.name)
        pull = Pull(now=clock.now, last_done=done)
        return [is_due(pull, region, hours=6.0) for region in ("us", "eu")]

    assert due() == [True, True]
    cycle()
    assert due() == [False, False], "and then it is known when"


@pytest.mark.chaos("clock jump", "collect")
def test_a_breaker_that_a_clock_ahead_opened_closes_in_time(journal, clock):
    ahead_s = (clock.now + pd.Timedelta("365D")).timestamp()
    with journal() as open_journal:
        open_journal.save_breaker(BreakerState("lambda", "opened", 5, ahead_s))
        fetcher = Fetcher(None, open_journal, clock=clock)
    assert fetcher.breakers.state_of("lambda").opened_at == clock.now.timestamp()
