"""The routes by what they are about; each reads its records from the application."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from pipelines.serve.plans import Plans
from pipelines.serve.records import Records


def _records(request: Request) -> Records:
    found: Records = request.app.state.records
    return found


def _plans(request: Request) -> Plans:
    found: Plans = request.app.state.plans
    return found


RecordsServed = Annotated[Records, Depends(_records)]
PlansMade = Annotated[Plans, Depends(_plans)]


class Asked(BaseModel):
    """Parameters of a query: one that is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class Page(Asked):
    """Which rows of a table are asked for."""

    limit: int = Field(1000, ge=1, le=10_000, description="most rows of an answer")
    offset: int = Field(0, ge=0, description="rows before them")
