"""Routes of plans that are made on request."""

from __future__ import annotations

from fastapi import APIRouter

from pipelines.serve.plans import PlanAsked, PlanMade
from pipelines.serve.routes import PlansMade

router = APIRouter(prefix="/plans")


@router.post("", status_code=202, response_model=PlanMade)
def begin(asked: PlanAsked, plans: PlansMade) -> PlanMade:
    """Begin to make a plan for a demand file; ask for it by its id until it has ended."""
    return plans.find(plans.begin(asked))


@router.get("/{plan_id}", response_model=PlanMade)
def find(plan_id: str, plans: PlansMade) -> PlanMade:
    """How a plan stands, and the plan once it is solved."""
    return plans.find(plan_id)


@router.delete("/{plan_id}", response_model=PlanMade)
def cancel(plan_id: str, plans: PlansMade) -> PlanMade:
    """Stop a plan that is being made; one that has ended stays as it is."""
    return plans.cancel(plan_id)
