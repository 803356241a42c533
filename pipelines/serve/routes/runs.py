"""Routes of the runs: forecast, plan and why, risk, alarms; the plan in the shapes of others."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

import pandas as pd
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from cloudarb_lib.base.errors import ParameterError
from pipelines.alerts.told import Alert
from pipelines.exports import dstack, focus, launches, skypilot
from pipelines.exports.text import plan_in_words
from pipelines.run.files import read_json
from pipelines.serve.answers import (
    JSON,
    PLAN_BINDING,
    PLAN_SUMMARY,
    RunHead,
    as_csv,
    as_json,
    as_text,
    described,
    page,
    row_model,
    rows_as_json,
    run_table,
)
from pipelines.serve.faults import NotThere
from pipelines.serve.records import ALERTS, Run
from pipelines.serve.routes import Page, RecordsServed

router = APIRouter(prefix="/runs")
_JSON = described(RunHead)
_CSV = described(RunHead, "text/csv")
_TEXT = described(RunHead, "text/plain")


class RunLine(RunHead):
    """A run in a line."""

    title: str


class Runs(BaseModel):
    """The runs that succeeded, the newest first."""

    runs: list[RunLine]


class ForecastAsked(Page):
    """A page of the forecast."""

    offer_id: str = Field("", description="only of this offer")
    quantile: float | None = Field(None, ge=0, le=1, description="only this one")


class Explanation(RunHead):
    """Why this plan."""

    facts: list[row_model(PLAN_SUMMARY)]  # type: ignore[valid-type]
    binding: list[row_model(PLAN_BINDING)]  # type: ignore[valid-type]


class Alerts(RunHead):
    """What fired when the rules were last looked at."""

    looked_at: datetime
    alerts: list[Alert]
    cleared: list[Alert] = Field(description="fired the time before, and no more")


class Tasks(RunHead):
    """Tasks for SkyPilot, each with the places where it may run."""

    tasks: list[dict[str, Any]]
    unknown_providers: list[str] = Field(description="of the plan, which SkyPilot does not know")


class Fleets(RunHead):
    """Fleets for dstack, of one kind of machine in one region each."""

    fleets: list[dict[str, Any]]
    unknown_providers: list[str] = Field(description="of the plan, which dstack does not know")


@router.get("", response_model=Runs)
def runs(records: RecordsServed) -> Response:
    """The runs that succeeded, the newest first; 'latest' stands for the first of them."""
    lines = [run.head | {"title": run.manifest["title"]} for run in records.runs()]
    return Response(json.dumps({"runs": lines}), media_type=JSON)


@router.get("/{run}/forecast", response_model=run_table("forecast"), responses=_JSON)
def forecast(
    run: str, asked: Annotated[ForecastAsked, Query()], records: RecordsServed
) -> Response:
    """Quantiles of the prices to come."""
    found = records.run(run)
    table = found.table("forecast")
    if asked.offer_id:
        table = table[table["offer_id"] == asked.offer_id]
        if table.empty:
            what = f"run {found.folder.name} forecasts no offer {asked.offer_id!r}."
            raise NotThere(what, "See its offers in /runs/RUN/offers.")
    if asked.quantile is not None:
        known = sorted(table["quantile"].unique())
        table = table[(table["quantile"] - asked.quantile).abs() < 1e-9]
        if table.empty:
            what = f"the run has no quantile {asked.quantile}."
            raise ParameterError(what, f"It has {', '.join(f'{q:g}' for q in known)}.")
    return page(found.head, table, limit=asked.limit, offset=asked.offset)


def _add_route(path: str, table: str, what: str) -> None:
    """Add the route of a table of a run."""

    def answer(run: str, asked: Annotated[Page, Query()], records: RecordsServed) -> Response:
        found = records.run(run)
        return page(found.head, found.table(table), limit=asked.limit, offset=asked.offset)

    answer.__doc__ = what
    add = router.get(
        f"/{{run}}/{path}", response_model=run_table(table), responses=_JSON, name=table
    )
    add(answer)


_add_route("offers", "offers", "What could be rented when the run was made.")
_add_route("plan", "plan", "What to rent for whom.")
_add_route("risk", "risk", "What the plan can cost, and where that comes from.")
_add_route("stress", "stress", "What shocks and episodes of the record would cost.")
_add_route("alarms", "alarms", "Where prices, or the losses of the forecast, drift.")
_add_route("lookback", "lookback", "What following the advice would have cost, by step.")


@router.get("/{run}/alerts", response_model=Alerts, responses=_JSON)
def alerts(run: str, records: RecordsServed) -> Response:
    """What fires on a run, as cloudarb alerts found it last."""
    found = records.run(run)
    looked = read_json(found.folder / ALERTS)
    if looked is None:
        what = f"nobody has looked for alerts on run {found.folder.name}."
        raise NotThere(what, "Run cloudarb alerts.")
    return as_json(found.head, looked)


@router.get("/{run}/plan/explanation", response_model=Explanation, responses=_JSON)
def explanation(run: str, records: RecordsServed) -> Response:
    """Why this plan: its facts, and what binds."""
    found = records.run(run)
    facts = json.loads(rows_as_json(found.table("plan_summary")))
    binding = json.loads(rows_as_json(found.table("plan_binding")))
    return as_json(found.head, {"facts": facts, "binding": binding})


@router.get("/{run}/exports/skypilot-tasks", response_model=Tasks, responses=_JSON)
def skypilot_tasks(run: str, records: RecordsServed) -> Response:
    """The plan's first period as tasks for SkyPilot (resources.any_of)."""
    found = records.run(run)
    tasks, unknown = skypilot.tasks(_launched(found))
    return as_json(found.head, {"tasks": tasks, "unknown_providers": unknown})


@router.get("/{run}/exports/dstack-fleets", response_model=Fleets, responses=_JSON)
def dstack_fleets(run: str, records: RecordsServed) -> Response:
    """The plan's first period as fleets for dstack."""
    found = records.run(run)
    fleets, unknown = dstack.fleets(_launched(found))
    return as_json(found.head, {"fleets": fleets, "unknown_providers": unknown})


@router.get("/{run}/exports/launches.csv", response_class=Response, responses=_CSV)
def launch_rows(run: str, records: RecordsServed) -> Response:
    """The plan's first period as rows, one for each launch."""
    found = records.run(run)
    return as_csv(found.head, launches.launch_table(_launched(found)))


@router.get("/{run}/exports/plan.txt", response_class=Response, responses=_TEXT)
def plan_text(run: str, records: RecordsServed) -> Response:
    """The plan in words, where it is of one period: runs do not keep when others end."""
    found = records.run(run)
    plan = found.table("plan")
    if plan["period"].nunique() > 1:
        what = f"the plan of run {found.folder.name} has {plan['period'].nunique()} periods."
        raise NotThere(what, "A text is there of one period: ask for /runs/RUN/plan.")
    facts = found.table("plan_summary").set_index("fact")["value"]
    horizon_h = float(found.table("risk").query("scope == 'total'")["horizon_h"].max())
    gap = float(facts.get("gap", float("nan")))
    text = plan_in_words(plan, gap=gap, ends_h=[horizon_h], left_undone=[])
    return as_text(found.head, text)


def _launched(run: Run) -> pd.DataFrame:
    """Return what of a run's plan is launched now: its first period."""
    plan = run.table("plan")
    return plan[plan["period"] == 0]


@router.get("/{run}/exports/focus-{what}.csv", response_class=Response, responses=_CSV)
def focus_export(run: str, what: Literal["plan", "forecast"], records: RecordsServed) -> Response:
    """The plan as FOCUS' Recommendation data set, or the forecast in FOCUS columns."""
    found = records.run(run)
    if what == "forecast":
        return as_csv(found.head, focus.forecasts(found.table("forecast")))
    head = found.head
    plan = found.table("plan")
    offers = found.table("offers")
    rows = focus.recommendations(plan, offers, run_id=head["run"], made_at=head["made_at"])
    return as_csv(head, rows)
