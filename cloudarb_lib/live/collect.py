"""One cycle of collection: fetch, check, take in, tell.

What is fetched is a file and a line of the journal before anything else is done with it. A cycle
that is killed leaves what it fetched waiting, and the next one takes it in; what is in the store
already changes nothing there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import StoreError
from cloudarb_lib.base.files import full_disk_told, locked
from cloudarb_lib.base.tracing import span
from cloudarb_lib.live.entries import Fault
from cloudarb_lib.live.errors import ProviderClosed
from cloudarb_lib.live.feed import Feed, Part, Pull
from cloudarb_lib.live.fetching import WHOLE_FEED, Fetched, Fetcher, Task
from cloudarb_lib.live.journal import WAITING, Journal
from cloudarb_lib.live.limits import Limits, limits_of
from cloudarb_lib.live.metrics import add_totals, write_metrics
from cloudarb_lib.live.publishing import Publisher
from cloudarb_lib.live.raw import RawFiles
from cloudarb_lib.live.summary import CycleReport, FeedSummary
from cloudarb_lib.store.entry import store_folder

FETCH = "fetch"
"""Reason of a dead letter: no whole answer came."""
KEPT_DAYS = 90
"""How long raw answers are kept, unless something needs them."""
STALE_AFTER_HOURS = 48.0
"""A part without a whole answer for longer is stale: none is asked for less often than daily."""
LARGEST_CLOCK_OFF_S = 120.0
"""Beyond it the summary tells that a provider's clock and ours differ."""


@dataclass(frozen=True)
class Wanted:
    """What is to be collected.

    Parameters
    ----------
    since : Timestamp, optional
        From when on past versions are wanted.
    regions : tuple of str
        Only these; empty: each.
    endpoints : dict of str to str
        By name of a feed, where to ask instead of the service's own address.
    environment : dict of str to str
        Environment variables, for keys.
    kept_days : int
        How long raw answers are kept.
    """

    since: pd.Timestamp | None = None
    regions: tuple[str, ...] = ()
    endpoints: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    kept_days: int = KEPT_DAYS


def collection_folder(store_dir: str | Path) -> Path:
    """Return the folder beside a store that holds raw answers, journal and metrics."""
    store = store_folder(store_dir)
    return store.with_name(f"{store.name}.live")


@contextmanager
def opened(
    store_dir: str | Path,
    feeds: Sequence[Feed],
    *,
    clock: Callable[[], pd.Timestamp],
    limits: Callable[[str], Limits] = limits_of,
) -> Iterator[Collector]:
    """Yield the one collector of a store.

    Parameters
    ----------
    store_dir : str or Path
        Folder of the store; '' means data/store.
    feeds : sequence of Feed
        Whom to ask.
    clock : callable
        Returns the time, in UTC.
    limits : callable
        Returns the limits of a provider.

    Raises
    ------
    StoreError
        Where another process collects for that store, or the disk is full.
    """
    folder = collection_folder(store_dir)
    with (
        full_disk_told(f"collection {folder}"),
        locked(folder / "lock", StoreError, f"collection {folder}"),
        Journal(folder / "journal.sqlite") as journal,
    ):
        yield Collector(store_dir, feeds, journal, clock=clock, limits=limits)


class Collector:
    """Carries out cycles for one store; ``opened`` makes it, and holds the lock.

    Attributes
    ----------
    journal : Journal
        What was fetched and what became of it.
    raw : RawFiles
        What the services answered.
    """

    def __init__(
        self,
        store_dir: str | Path,
        feeds: Sequence[Feed],
        journal: Journal,
        *,
        clock: Callable[[], pd.Timestamp],
        limits: Callable[[str], Limits],
    ) -> None:
        self.journal = journal
        self.raw = RawFiles(collection_folder(store_dir) / "raw")
        self._feeds = sorted(feeds, key=lambda feed: feed.name)
        self._folder = collection_folder(store_dir)
        self._publisher = Publisher(
            journal, self.raw, store_dir, {feed.name: feed.source for feed in feeds}
        )
        self._clock = clock
        self._limits = limits

    def cycle(
        self,
        wanted: Wanted,
        *,
        parts: Mapping[str, Sequence[Part] | None] | None = None,
        on_part: Callable[[Fetched], None] = lambda _: None,
    ) -> CycleReport:
        """Carry out one cycle.

        Parameters
        ----------
        wanted : Wanted
            What to collect.
        parts : dict of str to sequence of Part, optional
            Only these parts (None: each) of these feeds; without it every part of every feed.
        on_part : callable
            Is told of each part when it was fetched.

        Returns
        -------
        CycleReport
            What it brought.

        Raises
        ------
        StoreError
            Where the store cannot be written; what was fetched waits for the next cycle.
        """
        began = self._clock()
        self.raw.clear_incoming()
        pulls = {feed.name: self._pull(feed, wanted, began) for feed in self._feeds}
        report = CycleReport([FeedSummary(feed.name, feed.provider) for feed in self._feeds])
        tasks: list[Task] = []
        for feed, summary in zip(self._feeds, report.feeds, strict=True):
            if parts is not None and feed.name not in parts:
                continue
            summary.skipped = feed.missing(pulls[feed.name])
            if not summary.skipped:
                tasks.append((feed, None if parts is None else parts[feed.name]))
        fetcher = Fetcher(self.raw, self.journal, clock=self._clock, limits=self._limits)
        with span("fetch"):
            fetched = fetcher.run(tasks, pulls, on_part=on_part)
        self._note_failures(fetched, report)
        self._publish(report)
        self._tell(fetched, fetcher, report)
        self._remove_outdated(began, wanted.kept_days)
        report.seconds = (self._clock() - began).total_seconds()
        add_totals(self.journal, report, fetcher.clients)
        write_metrics(self._folder / "metrics.prom", self.journal, report, self._clock())
        return report

    def _pull(self, feed: Feed, wanted: Wanted, now: pd.Timestamp) -> Pull:
        return Pull(
            now=now,
            since=wanted.since,
            regions=wanted.regions,
            last_done=self.journal.last_done(feed.name),
            endpoint=wanted.endpoints.get(feed.name, ""),
            environment=wanted.environment,
        )

    def _note_failures(self, fetched: Sequence[Fetched], report: CycleReport) -> None:
        """Write a dead letter for each part that did not come to its end.

        A provider whose breaker is open was not asked: that is told, and no dead letter.
        """
        now = self._clock()
        for one in fetched:
            if one.error is None:
                if one.response is None:  # there was nothing to bring
                    self.journal.mended(one.feed.name, one.part.name, now)
                continue
            sentence = f"{one.feed.name} {one.part.name}".rstrip() + f": {one.error.what}"
            if sentence not in report.failures:
                report.failures.append(sentence)
            if not isinstance(one.error, ProviderClosed):
                fault = Fault(FETCH, one.error.what, one.error.way_out)
                self.journal.bury(one.feed.name, one.part, fault, now)
        for name in {one.feed.name for one in fetched if one.part is not WHOLE_FEED}:
            self.journal.mended(name, WHOLE_FEED.name, now)

    def _publish(self, report: CycleReport) -> None:
        """Take in what waits, of cycles that were killed too, and count what came of it."""
        publication = self._publisher.publish(self.journal.responses(WAITING), self._clock())
        report.digest = publication.digest
        report.published = publication.published
        report.notices += publication.notices
        by_feed = {summary.feed: summary for summary in report.feeds}
        for outcome in publication.outcomes:
            response = outcome.response
            summary = by_feed.setdefault(response.feed, FeedSummary(response.feed, ""))
            summary.rows += outcome.rows
            summary.changed += outcome.changed
            summary.unchanged += outcome.unchanged
            summary.held += outcome.held
            if outcome.finding is not None:
                summary.withheld += 1
                where = f"{response.feed} {response.part.name}"
                report.failures.append(f"{where}: {outcome.finding.what}")
        report.feeds = [by_feed[name] for name in sorted(by_feed)]

    def _tell(self, fetched: Sequence[Fetched], fetcher: Fetcher, report: CycleReport) -> None:
        """Add what the parts and the requests came to."""
        for summary in report.feeds:
            ended = [one for one in fetched if one.feed.name == summary.feed]
            summary.parts = len(ended)
            summary.failed = sum(one.error is not None for one in ended)
            oldest = self._clock() - pd.Timedelta(hours=STALE_AFTER_HOURS)
            summary.stale_parts = self.journal.stale_parts(summary.feed, oldest)
            client = fetcher.clients.get(summary.provider)
            if client is not None:
                latencies = client.traffic.latencies_s
                summary.latency_ms = 1000 * float(np.median(latencies)) if latencies else np.nan
                summary.retries = client.traffic.retries
            summary.breaker = fetcher.breakers.state_of(summary.provider).state
        verified = self.journal.verified()
        unverified = sorted({one.feed.name for one in fetched} - set(verified))
        if unverified:
            report.notices.append(
                f"not yet verified against the live service: {', '.join(unverified)}"
                " (cloudarb doctor --live)"
            )
        for provider, client in sorted(fetcher.clients.items()):
            report.notices += [f"{provider}: {notice}" for notice in client.notices]
            off_s = client.traffic.clock_off_s
            if abs(off_s) > LARGEST_CLOCK_OFF_S:
                report.notices.append(
                    f"{provider}: its clock is {off_s:+,.0f} s beside ours; times of observation"
                    " are ours: set the clock of this machine where it is the wrong one."
                )

    def _remove_outdated(self, now: pd.Timestamp, kept_days: int) -> None:
        """Remove raw answers that are old and that nothing needs."""
        for sha256, suffix in self.journal.outdated(now - pd.Timedelta(days=kept_days)):
            self.journal.forget(sha256, now)
            self.raw.remove(sha256, suffix)
