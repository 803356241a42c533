"""What store, collection, runs and events come to, as metrics of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cloudarb_lib.live.collect import collection_folder
from cloudarb_lib.live.journal import Journal
from cloudarb_lib.live.metrics import BREAKER_STATES
from cloudarb_lib.store import Snapshot
from cloudarb_lib.store.snapshot import current
from pipelines.alerts.rule import PastRun, watched_runs
from pipelines.events.ledger import Ledger, ledger_file

LATENCY_S = (
    *(0.0005, 0.001, 0.002, 0.004, 0.007, 0.01, 0.015, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Upper ends of the classes of latency: fine enough for a 99.9th percentile."""
Sample = tuple[dict[str, str], float]


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
    meaning = "from a request to the end of its answer"
    names = ["route", "status"]
    return Histogram(
        "cloudarb_http_request_seconds", meaning, names, registry=made, buckets=LATENCY_S
    )


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
        yield from _of_store(self._observed.store)
        yield from _of_collection(self._observed.store)
        yield from _of_events(self._observed.reports)
        yield from _of_runs(self._observed.reports)


def _of_store(folder: Path) -> Iterator[Metric]:
    path = current(folder)
    if path is None:
        return
    with Snapshot(path) as snapshot:
        log = snapshot.table("ingest_log")
        looks = snapshot.table("looks")
    last = looks.groupby(["provider", "source"], as_index=False)["looked_at"].max()
    meaning = "newest look at a source"
    yield _gauge(
        "source_looked_timestamp_seconds",
        meaning,
        (({"provider": p, "source": s}, at.timestamp()) for p, s, at in last.to_numpy()),
    )
    by_target = log.groupby("target")[["rows_new", "rows_quarantined"]].sum()
    for column, name in (("rows_new", "store_rows"), ("rows_quarantined", "store_rows_held_back")):
        rows = (({"target": str(t)}, float(n)) for t, n in by_target[column].items())
        yield _gauge(name, "rows taken in so far, by the tables that they went to", rows)


def _of_collection(folder: Path) -> Iterator[Metric]:
    path = collection_folder(folder) / "journal.sqlite"
    if not path.exists():
        return
    with Journal(path) as journal:
        states = journal.breakers()
        letters = len(journal.dead_letters())
    told = (({"provider": s.provider}, BREAKER_STATES[s.state]) for s in states)
    yield _gauge("breaker_state", "0 closed, 1 half-opened, 2 opened", told)
    yield _gauge("collection_dead_letters", "open dead letters of collection", [({}, letters)])


def _of_events(reports: Path) -> Iterator[Metric]:
    path = ledger_file(reports)
    if not path.exists():
        return
    with Ledger(path) as ledger:
        counts = ledger.counts()
        letters = len(ledger.dead_letters())
        firing = list(ledger.firing())
    yield _gauge("events", "events so far", (({"kind": k}, n) for k, n in counts.items()))
    yield _gauge("event_dead_letters", "events that no consumer could handle", [({}, letters)])
    alerts = (
        ({"configuration": watch, "rule": alert["rule"], "subject": alert["subject"]}, 1.0)
        for watch, alert in firing
    )
    yield _gauge("alert", "1 while an alert fires", alerts)


def _of_runs(reports: Path) -> Iterator[Metric]:
    """Yield the metrics of the newest run of each configuration that succeeded."""
    found: dict[str, list[Sample]] = {}
    names = {path.parent.name.rpartition("-")[0] for path in reports.glob("*/manifest.json")}
    for name in sorted(filter(None, names)):
        watched = watched_runs(reports, name, pd.Timestamp(0, tz="UTC"))
        if watched is None or watched.newest is None:
            continue
        for metric, labels, value in _figures(watched.newest):
            found.setdefault(metric, []).append(({"configuration": name, **labels}, value))
    for metric, samples in found.items():
        yield _gauge(metric, RUN_METRICS[metric], samples)


RUN_METRICS = {
    "run_succeeded_timestamp_seconds": "end of the newest run that succeeded",
    "run_seconds": "how long that run took",
    "notebook_seconds": "how long each of its notebooks took",
    "plan_expected_cost_usd": "expected cost of its plan over the horizon",
    "plan_gap_share": "what the plan may cost more than the cheapest, at most",
    "over_budget_share": "share of price paths on which the plan exceeds the budget",
    "var_usd": "value-at-risk of the plan",
    "run_source_looked_timestamp_seconds": "newest look at a source, as of the run",
    "forecast_crps_ratio": "CRPS of the forecast over that of the last value, newest half-year",
    "forecast_coverage_share": "outcomes inside the interval of that level, newest half-year",
    "alarms": "drift alarms of the run",
}
"""What each metric of a run says."""


def _figures(run: PastRun) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, labels and value."""
    manifest = run.manifest
    yield "run_succeeded_timestamp_seconds", {}, run.ended_at.timestamp()
    if "seconds" in manifest:
        yield "run_seconds", {}, float(manifest["seconds"])
    for name, told in manifest.get("notebooks", {}).items():
        if told.get("seconds") is not None:
            yield "notebook_seconds", {"notebook": name}, float(told["seconds"])
    yield from _of_plan(run)
    for row in _rows(run, "sources"):
        if row["offers"] > 0:
            labels = {"provider": row["provider"], "source": row["source"]}
            yield "run_source_looked_timestamp_seconds", labels, row["looked_at"].timestamp()
    yield from _of_forecast(run.table("scores"))
    yield "alarms", {}, float(len(run.table("alarms")))


def _of_plan(run: PastRun) -> Iterator[tuple[str, dict[str, str], float]]:
    for row in _rows(run, "risk"):
        if row["scope"] != "total":
            continue
        if row["measure"] == "expected_cost":
            yield "plan_expected_cost_usd", {}, row["value_usd"]
        elif row["measure"] == "probability_over_budget":
            yield "over_budget_share", {}, row["value_usd"]
        elif row["measure"] == "var":
            yield "var_usd", {"level": f"{row['level']:g}"}, row["value_usd"]
    for row in _rows(run, "plan_summary"):
        if row["fact"] == "gap":
            yield "plan_gap_share", {}, row["value"]


def _of_forecast(scores: pd.DataFrame) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield skill and coverage of the newest half-year, over all series."""
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


def _gauge(name: str, meaning: str, samples: Any) -> Metric:
    """Return a gauge; what is not known has no sample."""
    told: list[tuple[Mapping[str, str], float]] = [
        (labels, float(value)) for labels, value in samples if not pd.isna(value)
    ]
    labels = list(told[0][0]) if told else []
    gauge = GaugeMetricFamily(f"cloudarb_{name}", meaning, labels=labels)
    for each, value in told:
        gauge.add_metric(list(each.values()), value)
    return gauge
