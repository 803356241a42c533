"""What store, collection, runs and events come to, as metrics of Prometheus."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cloudarb_lib.base.errors import DataError, StoreError
from cloudarb_lib.live.collect import collection_folder
from cloudarb_lib.live.journal import Journal
from cloudarb_lib.live.metrics import BREAKER_STATES
from cloudarb_lib.store import Snapshot
from cloudarb_lib.store.snapshot import current
from pipelines.alerts.rule import PastRun, ended_runs
from pipelines.events.ledger import Ledger, ledger_file
from pipelines.observe.breaches import outcomes
from pipelines.observe.described import LATENCY, METRICS, WAITING
from pipelines.observe.spans import work_seconds
from pipelines.observe.tracing import SPANS_FILE

LATENCY_S = (
    *(0.0005, 0.001, 0.002, 0.004, 0.007, 0.01, 0.015, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Upper ends of the classes of latency: fine enough for a 99.9th percentile."""
Sample = tuple[dict[str, str], float]
"""Labels and value."""
Figure = tuple[str, dict[str, str], float]
"""Name of a metric of a run, labels beside the configuration, value."""


@dataclass(frozen=True)
class Observed:
    """What metrics are about.

    Parameters
    ----------
    store, reports : Path
        Folder of the store, and of the runs.
    """

    store: Path
    reports: Path


def registry(observed: Observed) -> CollectorRegistry:
    """Return a registry that looks at store and runs whenever it is asked."""
    made = CollectorRegistry()
    made.register(_Looks(observed))
    return made


def latency(made: CollectorRegistry) -> Histogram:
    """Return the histogram of a server's latency, by route and status, in a registry."""
    told = METRICS[LATENCY]
    return Histogram(told.whole_name, told.meaning, told.labels, registry=made, buckets=LATENCY_S)


def waiting(made: CollectorRegistry, count: Callable[[], float]) -> None:
    """Have a registry tell how many requests of a server wait for their answer.

    Parameters
    ----------
    made : CollectorRegistry
        The registry.
    count : callable
        Returns how many do.
    """
    told = METRICS[WAITING]
    Gauge(told.whole_name, told.meaning, registry=made).set_function(count)


def text(observed: Observed) -> str:
    """Return all metrics in the text format of Prometheus."""
    return generate_latest(registry(observed)).decode()


class _Looks(Collector):
    """Looks at store and runs."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def describe(self) -> list[Metric]:
        """Return nothing: what is there is found out when it is asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        unreadable = {part: 0.0 for part, _ in _PARTS}
        for part, of_part in _PARTS:
            try:
                yield from list(of_part(self._observed))
            except (StoreError, sqlite3.Error):
                unreadable[part] = 1.0
        yield from _of_runs(self._observed.reports)
        yield _gauge("unreadable", (({"part": p}, value) for p, value in unreadable.items()))


def _of_store(observed: Observed) -> Iterator[Metric]:
    path = current(observed.store)
    if path is None:
        return
    with Snapshot(path) as snapshot:
        log = snapshot.table("ingest_log")
        last = snapshot.newest_by_source()
    yield _gauge(
        "source_looked_timestamp_seconds",
        (({"provider": p, "source": s}, at.timestamp()) for p, s, at in last.to_numpy()),
    )
    by_target = log.groupby("target")[["rows_new", "rows_quarantined"]].sum()
    for column, name in (("rows_new", "store_rows"), ("rows_quarantined", "store_rows_held_back")):
        rows = (({"target": str(t)}, float(n)) for t, n in by_target[column].items())
        yield _gauge(name, rows)


def _of_outcomes(observed: Observed) -> Iterator[Metric]:
    """Yield how many plans have come to their end, and how many breached their VaR."""
    ended: list[Sample] = []
    breaches: list[Sample] = []
    for name in configurations(observed.reports):
        found = pd.DataFrame(outcomes(observed.store, observed.reports, name))
        if found.empty:
            continue
        for level, of_level in found.groupby("level"):
            labels = {"configuration": name, "level": f"{level:g}"}
            ended.append((labels, float(len(of_level))))
            breaches.append((labels, float((of_level["loss_usd"] > of_level["var_usd"]).sum())))
    if ended:
        yield _gauge("var_plans_ended", ended)
        yield _gauge("var_breaches", breaches)


def _of_collection(observed: Observed) -> Iterator[Metric]:
    path = collection_folder(observed.store) / "journal.sqlite"
    if not path.exists():
        return
    with Journal(path) as journal:
        states = journal.breakers()
        letters = len(journal.dead_letters())
    told = (({"provider": s.provider}, BREAKER_STATES[s.state]) for s in states)
    yield _gauge("breaker_state", told)
    yield _gauge("collection_dead_letters", [({}, letters)])


def _of_events(observed: Observed) -> Iterator[Metric]:
    path = ledger_file(observed.reports)
    if not path.exists():
        return
    with Ledger(path) as ledger:
        counts = ledger.counts()
        letters = len(ledger.dead_letters())
        firing = list(ledger.firing())
    yield _gauge("events", (({"kind": k}, n) for k, n in counts.items()))
    yield _gauge("event_dead_letters", [({}, letters)])
    alerts = (
        ({"configuration": watch, "rule": alert["rule"], "subject": alert["subject"]}, 1.0)
        for watch, alert in firing
    )
    yield _gauge("alert", alerts)


_PARTS: tuple[tuple[str, Callable[[Observed], Iterator[Metric]]], ...] = (
    ("store", _of_store),
    ("store", _of_outcomes),
    ("collection", _of_collection),
    ("events", _of_events),
)
"""Parts that may not be readable, and their metrics: such a part takes away these alone."""


def _of_runs(reports: Path) -> Iterator[Metric]:
    """Yield the metrics of the newest run of each configuration that succeeded."""
    found: dict[str, list[Sample]] = {}
    for name in configurations(reports):
        succeeded = [run for run in ended_runs(reports, name) if run.succeeded]
        if not succeeded:
            continue
        for metric, labels, value in figures_of(succeeded[-1]):
            found.setdefault(metric, []).append(({"configuration": name, **labels}, value))
    for metric, samples in found.items():
        yield _gauge(metric, samples)


def configurations(reports: Path) -> list[str]:
    """Return the names of the configurations of which there are runs: no name has a hyphen."""
    names = {path.parent.name.partition("-")[0] for path in reports.glob("*-*/manifest.json")}
    return sorted(names - {""})


def figures_of(run: PastRun) -> Iterator[Figure]:
    """Yield what the tables of a run that succeeded say: name of a metric, labels and value.

    A table that cannot be read is counted, and keeps none of the others from being told.
    """
    manifest = run.manifest
    yield "run_succeeded_timestamp_seconds", {}, run.ended_at.timestamp()
    if "seconds" in manifest:
        yield "run_seconds", {}, float(manifest["seconds"])
    for name, told in manifest.get("notebooks", {}).items():
        if told.get("seconds") is not None:
            yield "notebook_seconds", {"notebook": name}, float(told["seconds"])
    for work, seconds in work_seconds(run.folder / SPANS_FILE).items():
        yield "run_work_seconds", {"work": work}, seconds
    damaged = 0
    for of_table in (_of_risk, _of_summary, _of_sources, _of_forecast, _of_alarms):
        try:
            yield from of_table(run)
        except DataError:
            damaged += 1
    yield "run_tables_damaged", {}, float(damaged)


def _of_risk(run: PastRun) -> Iterator[Figure]:
    for row in _rows(run, "risk"):
        if row["scope"] != "total":
            continue
        if row["measure"] == "expected_cost":
            yield "plan_expected_cost_usd", {}, row["value_usd"]
        elif row["measure"] == "probability_over_budget":
            yield "over_budget_share", {}, row["value_usd"]
        elif row["measure"] == "var":
            yield "var_usd", {"level": f"{row['level']:g}"}, row["value_usd"]


def _of_summary(run: PastRun) -> Iterator[Figure]:
    for row in _rows(run, "plan_summary"):
        if row["fact"] == "gap":
            yield "plan_gap_share", {}, row["value"]


def _of_sources(run: PastRun) -> Iterator[Figure]:
    for row in _rows(run, "sources"):
        if row["offers"] > 0:
            labels = {"provider": row["provider"], "source": row["source"]}
            yield "run_source_looked_timestamp_seconds", labels, row["looked_at"].timestamp()


def _of_alarms(run: PastRun) -> Iterator[Figure]:
    yield "alarms", {}, float(len(run.table("alarms")))


def _of_forecast(run: PastRun) -> Iterator[Figure]:
    """Yield skill and coverage of the newest half-year, over all series."""
    scores = run.table("scores")
    if scores.empty:
        return
    ours = scores[(scores["model"] == "ensemble") & (scores["series_group"] == "all")]
    ours = ours[(ours["target"] == "offer") & (ours["span"] != "all")]
    newest = ours[ours["span"] == ours["span"].max()]
    for row in newest.to_dict("records"):
        labels = {"horizon_steps": str(row["horizon"])}
        yield "forecast_crps_ratio", labels, row["crps_ratio"]
        for level in ("0.8", "0.95"):
            covered = row[f"pit{level[2:].ljust(2, '0')}"]
            yield "forecast_coverage_share", {**labels, "level": level}, covered


def _rows(run: PastRun, table: str) -> list[dict[str, Any]]:
    return run.table(table).to_dict("records")  # type: ignore[return-value]


def _gauge(name: str, samples: Iterable[Sample]) -> Metric:
    """Return a gauge; what is not known has no sample."""
    told = METRICS[name]
    gauge = GaugeMetricFamily(told.whole_name, told.meaning, labels=told.labels)
    for labels, value in samples:
        if not pd.isna(value):
            gauge.add_metric([labels[label] for label in told.labels], float(value))
    return gauge
