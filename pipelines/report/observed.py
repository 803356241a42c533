"""One page that says how the workbench is doing: from its metrics, and the tables of all runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from prometheus_client.parser import text_string_to_metric_families

from cloudarb_lib.base.errors import ParameterError
from pipelines.alerts.rule import ended_runs
from pipelines.observe.described import LATENCY, METRICS, PREFIX
from pipelines.observe.metrics import Observed, configurations, figures_of, text
from pipelines.report import observed_figures as figures
from pipelines.report.notebook_html import figure_html
from pipelines.report.pages import render, render_part, write_plotly
from pipelines.run.files import write_text

_OLD_DAYS = 14.0
"""A source that was looked at longer ago is called old, as on the pages of runs."""
_MINUTE = "%Y-%m-%d %H:%M"
_SECONDS_PER_DAY = 86_400.0
_BREAKERS = {0.0: "closed", 1.0: "half-opened", 2.0: "opened"}


@dataclass(frozen=True)
class Card:
    """A figure that stands first."""

    meaning: str
    text: str


@dataclass(frozen=True)
class Section:
    """A part of the page: figures, then a table; ``nothing`` says why there is no table."""

    title: str
    figures: list[str] = field(default_factory=list)
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)
    nothing: str = ""


class Told:
    """Samples of metrics.

    Parameters
    ----------
    texts : iterable of str
        In the text format of Prometheus.
    """

    def __init__(self, *texts: str) -> None:
        families = (family for each in texts for family in text_string_to_metric_families(each))
        self._samples = [sample for family in families for sample in family.samples]

    def of(self, name: str) -> pd.DataFrame:
        """Return the samples of a metric: a column for each label, and ``value``."""
        labels = list(METRICS[name].labels)
        rows = [
            {**sample.labels, "value": sample.value}
            for sample in self._samples
            if sample.name == PREFIX + name
        ]
        return pd.DataFrame(rows, columns=[*labels, "value"])

    def unreadable(self) -> list[str]:
        """Return which of store, collection and events cannot be read."""
        parts = self.of("unreadable")
        return list(dict.fromkeys(parts[parts["value"] > 0]["part"]))

    def latency(self) -> dict[float, float]:
        """Return the upper end of each class of latency (s), and the answers up to it."""
        counts: dict[float, float] = {}
        for sample in self._samples:
            if sample.name == f"{PREFIX}{LATENCY}_bucket":
                end = float(sample.labels["le"])
                counts[end] = counts.get(end, 0.0) + sample.value
        return counts


def write_page(observed: Observed, target: Path, *, served: list[Path], now: pd.Timestamp) -> None:
    """Write the page, and plotly's script into ``assets`` beside it, where reports have theirs.

    Parameters
    ----------
    observed : Observed
        Store and runs.
    target : Path
        The page.
    served : list of Path
        What ``/metrics`` of servers said: of these alone latencies are known.
    now : Timestamp
        In UTC.

    Raises
    ------
    ParameterError
        Where a file of ``served`` is no text of Prometheus.
    """
    ours = text(observed)
    told = Told(ours, *map(_read, served))
    body = render_part(
        "observed.html",
        looked_at=now.strftime(_MINUTE),
        cards=list(_cards(told, now)),
        sections=list(_sections(told, observed.reports, now)),
    )
    write_plotly(target.parent / "assets")
    has_index = (target.parent / "index.html").exists()
    write_text(target, render(kind="observed", body=body, has_index=has_index))


def _read(path: Path) -> str:
    content = path.read_text(encoding="utf-8")
    try:
        list(text_string_to_metric_families(content))
    except ValueError as cause:
        what = f"{path} is no text of Prometheus: {cause}."
        raise ParameterError(what, "Give what /metrics of a server answers.") from cause
    return content


def _cards(told: Told, now: pd.Timestamp) -> Iterator[Card]:
    """Yield what is looked at first."""
    unreadable = told.unreadable()
    if unreadable:
        yield Card("cannot be read", ", ".join(unreadable))
    yield Card("alerts that fire", f"{len(told.of('alert'))}")
    looked = told.of("source_looked_timestamp_seconds")
    old = (now.timestamp() - looked["value"]) / _SECONDS_PER_DAY > _OLD_DAYS
    yield Card(f"sources older than {_OLD_DAYS:g} days", f"{int(old.sum())} of {len(looked)}")
    breakers = told.of("breaker_state")
    yield Card("breakers not closed", f"{int((breakers['value'] > 0).sum())} of {len(breakers)}")
    letters = [told.of(name)["value"].sum() for name in ("collection_dead_letters",)]
    letters += [told.of("event_dead_letters")["value"].sum()]
    yield Card("dead letters", f"{int(sum(letters))}")
    damaged = told.of("run_tables_damaged")["value"].sum()
    if damaged:
        yield Card("tables of runs that cannot be read", f"{int(damaged)}")
    for row in told.of("run_succeeded_timestamp_seconds").to_dict("records"):
        hours = (now.timestamp() - row["value"]) / 3600.0
        age = f"{hours:,.0f} h" if hours < 72.0 else f"{hours / 24.0:,.0f} days"
        yield Card(f"since {row['configuration']} succeeded", age)


def _sections(told: Told, reports: Path, now: pd.Timestamp) -> Iterator[Section]:
    alerts = told.of("alert")
    nothing = "Not known." if "events" in told.unreadable() else "None fires."
    yield Section(
        "Alerts",
        columns=("configuration", "rule", "for"),
        rows=[tuple(map(str, row[:3])) for row in alerts.to_numpy()],
        nothing="" if len(alerts) else nothing,
    )
    yield _prices(told, now)
    yield Section(
        "Forecast",
        [
            _html(figures.coverage(told.of("forecast_coverage_share"))),
            _html(figures.skill(told.of("forecast_crps_ratio"))),
        ],
    )
    yield _plans(told, reports)
    yield Section("Runs", [_html(figures.durations(_seconds(told)))])
    yield Section("Server", [_html(figures.latency(told.latency()))])


def _prices(told: Told, now: pd.Timestamp) -> Section:
    """Return freshness of sources, rows by table, and breakers."""
    held = told.of("store_rows_held_back").set_index("target")["value"]
    rows: list[tuple[str, ...]] = [
        (row["target"], f"{row['value']:,.0f}", f"{held.get(row['target'], 0.0):,.0f}")
        for row in told.of("store_rows").to_dict("records")
    ]
    rows += [
        (f"breaker of {row['provider']}", _BREAKERS[row["value"]], "")
        for row in told.of("breaker_state").to_dict("records")
    ]
    looked = told.of("source_looked_timestamp_seconds")
    is_known = "store" not in told.unreadable()
    return Section(
        "Prices",
        [_html(figures.freshness(looked, now))] if is_known else [],
        columns=("", "rows taken in", "rows held back"),
        rows=rows,
        nothing="" if is_known else "The store cannot be read: cloudarb doctor says why.",
    )


def _plans(told: Told, reports: Path) -> Section:
    """Return cost by run, and gap, chance over budget and breaches of VaR by configuration."""
    past = _past(reports)
    breaches = told.of("var_breaches")
    ended = told.of("var_plans_ended")
    rows: list[tuple[str, ...]] = []
    for row in ended.merge(breaches, on=["configuration", "level"]).to_dict("records"):
        level = float(row["level"])
        words = f"{row['value_y']:g} of {row['value_x']:g}; about {1 - level:.0%} are right"
        rows.append((row["configuration"], f"plans that breached VaR at {level:.0%}", words))
    solved = told.of("run_work_seconds").query("work == 'solve'")
    for meaning, found, shape in (
        ("gap", told.of("plan_gap_share"), "{:.2%}"),
        ("chance over budget", told.of("over_budget_share"), "{:.2%}"),
        ("solver, all in all", solved, "{:,.1f} s"),
    ):
        names = found["configuration"]
        texts = found["value"].map(shape.format)
        rows += [(name, meaning, text) for name, text in zip(names, texts, strict=True)]
    return Section(
        "Plan and risk",
        [_html(figures.costs(past))],
        columns=("configuration", "of the newest plan", "value"),
        rows=sorted(rows),
    )


def _past(reports: Path) -> pd.DataFrame:
    """Return cost and VaR (the highest level that a run states) of each run that succeeded."""
    names = ("plan_expected_cost_usd", "var_usd")
    rows: list[dict[str, Any]] = []
    for configuration in configurations(reports):
        for run in ended_runs(reports, configuration):
            if run.succeeded:
                found = {name: value for name, _, value in figures_of(run) if name in names}
                rows.append({"configuration": configuration, "ended_at": run.ended_at, **found})
    past = pd.DataFrame(rows, columns=["configuration", "ended_at", *names])
    return past.sort_values("ended_at")


def _seconds(told: Told) -> pd.DataFrame:
    """Return ``what`` took how many seconds in the newest runs: notebooks, and work in them."""
    parts: list[tuple[str, float]] = []
    for name, label in (("notebook_seconds", "notebook"), ("run_work_seconds", "work")):
        found = told.of(name)
        what = found["configuration"] + ": " + found[label].str.replace("_", " ")
        parts += list(zip(what, found["value"], strict=True))
    return pd.DataFrame(parts, columns=["what", "value"])


def _html(figure: go.Figure) -> str:
    return figure_html(json.loads(figure.to_json()))
