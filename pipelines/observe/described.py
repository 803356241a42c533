"""Every metric that there is, described once: for Prometheus, for our own page and for Grafana."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PREFIX = "cloudarb_"
Unit = Literal["", "s", "USD", "share", "ratio", "time"]
"""Of a metric; ``time`` is seconds since 1970, of which people are shown the age."""
LATENCY = "http_request_seconds"
"""The one histogram: how long answers of a server took."""
WAITING = "http_requests_waiting"
LATENCY_SHARES = (0.5, 0.9, 0.99, 0.999)
"""Shares of answers whose latency is told."""


@dataclass(frozen=True)
class Described:
    """What a metric says.

    Parameters
    ----------
    name : str
        Without ``PREFIX``.
    meaning : str
        A phrase.
    unit : Unit
        Of its values.
    labels : tuple of str
        What its samples differ by.
    """

    name: str
    meaning: str
    unit: Unit = ""
    labels: tuple[str, ...] = ()

    @property
    def whole_name(self) -> str:
        """The name that Prometheus knows it by."""
        return PREFIX + self.name


_RUN = ("configuration",)
_SOURCE = ("provider", "source")
SECTIONS: dict[str, tuple[Described, ...]] = {
    "Prices": (
        Described("source_looked_timestamp_seconds", "newest look at a source", "time", _SOURCE),
        Described("store_rows", "rows taken in so far, by table", "", ("target",)),
        Described("store_rows_held_back", "rows held back so far, by table", "", ("target",)),
        Described(
            "unreadable", "1 where it cannot be read: store, collection or events", "", ("part",)
        ),
        Described("breaker_state", "0 closed, 1 half-opened, 2 opened", "", ("provider",)),
        Described("collection_dead_letters", "open dead letters of collection"),
    ),
    "Forecast": (
        Described(
            "forecast_crps_ratio",
            "CRPS of the forecast over that of the last value, newest half-year",
            "ratio",
            (*_RUN, "horizon_steps"),
        ),
        Described(
            "forecast_coverage_share",
            "outcomes inside the interval of that level, newest half-year",
            "share",
            (*_RUN, "horizon_steps", "level"),
        ),
        Described("alarms", "drift alarms of the newest run", "", _RUN),
    ),
    "Plan and risk": (
        Described("plan_expected_cost_usd", "expected cost of the newest plan", "USD", _RUN),
        Described("var_usd", "value-at-risk of the newest plan", "USD", (*_RUN, "level")),
        Described("over_budget_share", "price paths on which it exceeds the budget", "share", _RUN),
        Described(
            "var_plans_ended",
            "plans of earlier runs whose time is over and whose prices are all known",
            "",
            (*_RUN, "level"),
        ),
        Described(
            "var_breaches",
            "of these, plans whose rent rose by more than their value-at-risk",
            "",
            (*_RUN, "level"),
        ),
        Described("plan_gap_share", "what it may cost above the cheapest, at most", "share", _RUN),
    ),
    "Runs": (
        Described(
            "run_succeeded_timestamp_seconds", "end of the newest run that succeeded", "time", _RUN
        ),
        Described("run_seconds", "how long that run took", "s", _RUN),
        Described(
            "notebook_seconds", "how long each of its notebooks took", "s", (*_RUN, "notebook")
        ),
        Described(
            "run_work_seconds",
            "how long it solved, fitted, forecast and read in all, where it was traced",
            "s",
            (*_RUN, "work"),
        ),
        Described("run_tables_damaged", "tables of that run that cannot be read", "", _RUN),
        Described(
            "run_source_looked_timestamp_seconds",
            "newest look at a source, as of the run",
            "time",
            (*_RUN, *_SOURCE),
        ),
    ),
    "Events and alerts": (
        Described("alert", "1 while an alert fires", "", (*_RUN, "rule", "subject")),
        Described("events", "events so far, by kind", "", ("kind",)),
        Described("event_dead_letters", "events that no consumer could handle"),
    ),
    "Server": (
        Described(WAITING, "requests that wait for their answer: the queue of a server"),
        Described(LATENCY, "from a request to the end of its answer", "s", ("route", "status")),
    ),
}
"""The metrics by what they are about, in the order in which people are shown them."""
METRICS = {metric.name: metric for metrics in SECTIONS.values() for metric in metrics}
