"""What answers look like: models for OpenAPI made of the tables' schemas, and their bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any
from urllib.parse import quote

import pandas as pd
from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, create_model

from cloudarb_lib.tables.market_schema import OFFERS
from cloudarb_lib.tables.run_schema import RUN_TABLES
from cloudarb_lib.tables.schema import Column, Table

JSON = "application/json"
_DECIMALS = 10
CSV = "text/csv; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
FACT = "x-cloudarb-"
"""With what the name of a header begins that says what an answer rests on."""
_IN_HEADERS = " :+/@,()"
"""What may stand in a header besides letters, digits and -._~: all else is written as %XX."""
_PYTHON_TYPES: dict[str, type] = {
    "VARCHAR": str,
    "DOUBLE": float,
    "INTEGER": int,
    "BIGINT": int,
    "TIMESTAMPTZ": datetime,
    "BOOLEAN": bool,
}
_SOURCE = Column("source", "VARCHAR", "", "the record that the price is from")
OFFERS_SERVED = Table("offers_served", OFFERS.meaning, OFFERS.key, (*OFFERS.columns, _SOURCE))
"""Table ``offers`` with where each price is from."""
PLAN_SUMMARY = Table(
    name="plan_summary",
    meaning="The plan in facts.",
    key=("fact",),
    columns=(
        Column("fact", "VARCHAR", "", "what is told"),
        Column("value", "DOUBLE", "see unit", "the figure, where it is one", nullable=True),
        Column("unit", "VARCHAR", "", "of the value"),
        Column("text", "VARCHAR", "", "the fact in words, or what goes with the figure"),
    ),
)
PLAN_BINDING = Table(
    name="plan_binding",
    meaning="What binds, and what one unit more of it is worth.",
    key=("limit",),
    columns=(
        Column("limit", "VARCHAR", "", "name of the limit"),
        Column("used", "DOUBLE", "see unit", "by the plan"),
        Column("available", "DOUBLE", "see unit", "in all"),
        Column("worth_usd", "DOUBLE", "USD", "what one unit more would save"),
        Column("unit", "VARCHAR", "", "of used and available"),
    ),
)


class StoreHead(BaseModel):
    """What an answer from the store rests on."""

    snapshot: Annotated[str, Field(description="digest of the store's content")]
    as_of: Annotated[datetime, Field(description="nothing known later is in it")]


class RunHead(BaseModel):
    """What an answer from a run rests on."""

    run: Annotated[str, Field(description="name of the run")]
    snapshot: Annotated[str, Field(description="digest of the store's content")]
    as_of: Annotated[str, Field(description="nothing known later is in it")]
    made_at: Annotated[datetime, Field(description="when the run ended")]


Responses = dict[int | str, dict[str, Any]]
"""What OpenAPI says of answers, by their status."""


def described(head: type[BaseModel] | None = None, media_type: str = "") -> Responses:
    """Return what OpenAPI says of an answer besides its model.

    Parameters
    ----------
    head : type, optional
        What it rests on: its fields are told in headers.
    media_type : str
        Where it is no JSON.
    """
    found: dict[str, Any] = {}
    if head is not None:
        found["headers"] = {
            _header(name): {"description": field.description, "schema": {"type": "string"}}
            for name, field in head.model_fields.items()
        }
    if media_type:
        found["content"] = {media_type: {"schema": {"type": "string"}}}
    return {200: found}


def _header(field: str) -> str:
    return FACT + field.replace("_", "-")


def _facts(head: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that say what an answer rests on, in whatever format it comes."""
    return {_header(name): quote(value, safe=_IN_HEADERS) for name, value in head.items()}


@cache
def row_model(table: Table) -> type[BaseModel]:
    """Return the model of a row of a table; columns beyond those of its schema may follow.

    Parameters
    ----------
    table : Table
        Its columns become fields, their units and meanings descriptions.
    """
    fields: dict[str, Any] = {}
    for column in table.columns:
        kind: Any = _PYTHON_TYPES[column.dtype]
        unit = f" ({column.unit})" if column.unit else ""
        described = Field(description=f"{column.meaning}{unit}")
        fields[column.name] = (Annotated[kind | None if column.nullable else kind, described], ...)
    name = "".join(word.title() for word in table.name.split("_")) + "Row"
    more = ConfigDict(extra="allow")
    return create_model(name, __config__=more, __doc__=table.meaning, **fields)


@cache
def page_model(head: type[BaseModel], table: Table) -> type[BaseModel]:
    """Return the model of an answer with rows of a table."""
    name = "".join(word.title() for word in table.name.split("_"))
    total = Annotated[int, Field(description="rows there are, of which these are a page")]
    rows: Any = list[row_model(table)]  # type: ignore[misc]
    return create_model(name, __base__=head, total=(total, ...), rows=(rows, ...))


def run_table(name: str) -> type[BaseModel]:
    """Return the model of an answer with rows of a table of a run."""
    return page_model(RunHead, RUN_TABLES[name])


def rows_as_json(frame: pd.DataFrame) -> str:
    """Return rows as a JSON list of objects: times in ISO 8601, null for what is missing."""
    text = frame.to_json(orient="records", date_format="iso", double_precision=_DECIMALS)
    return str(text).replace("\\/", "/")  # pandas escapes slashes, of which ids of offers are full


def page(head: dict[str, str], frame: pd.DataFrame, *, limit: int = 0, offset: int = 0) -> Response:
    """Return an answer with a page of a table.

    Parameters
    ----------
    head : dict
        What it rests on.
    frame : DataFrame
        All rows.
    limit, offset : int
        Rows of the page (0: all), and how many come before it.
    """
    shown = frame.iloc[offset : offset + limit if limit else None]
    begin = json.dumps({**head, "total": len(frame)})
    content = f'{begin[:-1]}, "rows": {rows_as_json(shown)}}}'
    return Response(content, headers=_facts(head), media_type=JSON)


def as_json(head: dict[str, str], content: Mapping[str, Any]) -> Response:
    """Return an answer with a JSON object, of which the head is a part."""
    return Response(json.dumps({**head, **content}), headers=_facts(head), media_type=JSON)


def as_csv(head: dict[str, str], frame: pd.DataFrame) -> Response:
    """Return an answer with a table as CSV, and the head in headers alone."""
    return Response(frame.to_csv(index=False), headers=_facts(head), media_type=CSV)


def as_text(head: dict[str, str], text: str) -> Response:
    """Return an answer with a text for people, and the head in headers alone."""
    return Response(text, headers=_facts(head), media_type=TEXT)
