"""What collection came to, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cloudarb_lib.live.client import Client
from cloudarb_lib.live.journal import Journal
from cloudarb_lib.live.summary import CycleReport

BREAKER_STATES = {"closed": 0, "half-opened": 1, "opened": 2}
_PREFIX = "cloudarb_collect"
_TOTALS = {
    "requests": ("provider", "requests to a provider, tries again left out"),
    "retries": ("provider", "tries again of requests to a provider"),
    "request_failures": ("provider", "requests to a provider that failed for good"),
    "bytes": ("provider", "bytes that a provider answered"),
    "rows_changed": ("feed", "rows of a feed that were new, or corrected a stored one"),
    "rows_unchanged": ("feed", "rows of a feed that were stored alike"),
    "rows_held": ("feed", "rows of a feed that were held back"),
    "parts_failed": ("feed", "parts of a feed that did not come to their end"),
    "files_withheld": ("feed", "files of a feed that were refused or held whole"),
}


def add_totals(journal: Journal, report: CycleReport, clients: Mapping[str, Client]) -> None:
    """Add what a cycle came to, to the counts over all cycles."""
    with journal.at_once():
        for provider, client in clients.items():
            traffic = client.traffic
            journal.add_total("requests", provider, traffic.requests)
            journal.add_total("retries", provider, traffic.retries)
            journal.add_total("request_failures", provider, traffic.failures)
            journal.add_total("bytes", provider, traffic.bytes)
        for feed in report.feeds:
            journal.add_total("rows_changed", feed.feed, feed.changed)
            journal.add_total("rows_unchanged", feed.feed, feed.unchanged)
            journal.add_total("rows_held", feed.feed, feed.held)
            journal.add_total("parts_failed", feed.feed, feed.failed)
            journal.add_total("files_withheld", feed.feed, feed.withheld)


def write_metrics(path: Path, journal: Journal, report: CycleReport, now: pd.Timestamp) -> None:
    """Write the metrics after a cycle; a reader sees the old file or the new one.

    Parameters
    ----------
    path : Path
        The file, for the textfile collector of Prometheus' node exporter.
    journal : Journal
        Has the counts over all cycles.
    report : CycleReport
        What the cycle came to.
    now : Timestamp
        When it ended, in UTC.
    """
    registry = CollectorRegistry()
    registry.register(_Metrics(journal, report, now))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(path), registry)


class _Metrics(Collector):
    """Gives the metrics to the writer."""

    def __init__(self, journal: Journal, report: CycleReport, now: pd.Timestamp) -> None:
        self._journal = journal
        self._report = report
        self._now = now

    def collect(self) -> Iterator[Metric]:
        totals = self._journal.totals()
        for name, (label, meaning) in _TOTALS.items():
            counter = CounterMetricFamily(f"{_PREFIX}_{name}", meaning, labels=[label])
            for (key, value_of), value in sorted(totals.items()):
                if key == name:
                    counter.add_metric([value_of], value)
            yield counter
        states = {state.provider: BREAKER_STATES[state.state] for state in self._journal.breakers()}
        yield _gauge("breaker_state", "0 closed, 1 half-opened, 2 opened", "provider", states)
        stale = {feed.feed: feed.stale_parts for feed in self._report.feeds}
        yield _gauge("stale_parts", "parts that had no whole answer for two days", "feed", stale)
        done = {feed.feed: self._journal.last_done(feed.feed) for feed in self._report.feeds}
        last = {name: max(times.values()).timestamp() for name, times in done.items() if times}
        meaning = "begin of the last fetch that was stored whole"
        yield _gauge("last_stored_timestamp_seconds", meaning, "feed", last)
        letters = len(self._journal.dead_letters())
        yield GaugeMetricFamily(f"{_PREFIX}_dead_letters", "open dead letters", letters)
        seconds = self._report.seconds
        yield GaugeMetricFamily(f"{_PREFIX}_cycle_seconds", "length of the last cycle", seconds)
        ended = self._now.timestamp()
        name = f"{_PREFIX}_last_cycle_timestamp_seconds"
        yield GaugeMetricFamily(name, "end of the last cycle", ended)


def _gauge(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    gauge = GaugeMetricFamily(f"{_PREFIX}_{name}", meaning, labels=[label])
    for value_of, value in sorted(values.items()):
        gauge.add_metric([value_of], value)
    return gauge
