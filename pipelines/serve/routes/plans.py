"""Routes of plans that are made on request."""

from __future__ import annotations

from typing import Any, Literal

import yaml
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from pipelines.serve.answers import CSV, TEXT, described
from pipelines.serve.plans import PlanAsked, PlanMade
from pipelines.serve.routes import PlansMade

router = APIRouter(prefix="/plans")
_TEXT = described(media_type="text/plain")
_CSV = described(media_type="text/csv")


class Launchers(BaseModel):
    """What a launcher reads, a mapping each."""

    launches: list[dict[str, Any]] = Field(description="tasks of SkyPilot, or fleets of dstack")


@router.post("", status_code=202, response_model=PlanMade)
def begin(asked: PlanAsked, plans: PlansMade) -> PlanMade:
    """Begin to make a plan for a demand file; ask for it by its id until it has ended."""
    return plans.find(plans.begin(asked))


@router.get("/{plan_id}", response_model=PlanMade)
def find(plan_id: str, plans: PlansMade) -> PlanMade:
    """How a plan stands, and the plan once it is solved."""
    return plans.find(plan_id)


@router.get("/{plan_id}/exports/plan.txt", response_class=Response, responses=_TEXT)
def text(plan_id: str, plans: PlansMade) -> Response:
    """A solved plan in words."""
    return Response(plans.exported(plan_id, "plan.txt").read_bytes(), media_type=TEXT)


@router.get("/{plan_id}/exports/{shape}.csv", response_class=Response, responses=_CSV)
def rows(plan_id: str, shape: Literal["plan", "launches"], plans: PlansMade) -> Response:
    """A solved plan as CSV, or what of it is launched now."""
    return Response(plans.exported(plan_id, f"{shape}.csv").read_bytes(), media_type=CSV)


@router.get("/{plan_id}/exports/{launcher}", response_model=Launchers)
def launchers(
    plan_id: str, launcher: Literal["skypilot-tasks", "dstack-fleets"], plans: PlansMade
) -> Launchers:
    """A solved plan's first period as SkyPilot or dstack reads it."""
    files = sorted(plans.exported(plan_id, launcher).glob("*.y*ml"))
    return Launchers(launches=[yaml.safe_load(file.read_text(encoding="utf-8")) for file in files])


@router.delete("/{plan_id}", response_model=PlanMade)
def cancel(plan_id: str, plans: PlansMade) -> PlanMade:
    """Stop a plan that is being made; one that has ended stays as it is."""
    return plans.cancel(plan_id)
