"""Routes of the price store: what is on offer at a time, how prices went, catalogues of others."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import pandas as pd
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from cloudarb_lib.base.errors import ParameterError, did_you_mean
from cloudarb_lib.base.types import STATES
from cloudarb_lib.base.units import parse_freq
from cloudarb_lib.market import Market
from cloudarb_lib.market.evidence import by_zone
from cloudarb_lib.tables.schema import PURCHASE_OPTIONS
from pipelines.exports import gpuhunt, skypilot
from pipelines.serve.answers import (
    OFFERS_SERVED,
    StoreHead,
    as_csv,
    as_json,
    described,
    page,
    page_model,
)
from pipelines.serve.routes import Asked, Page, RecordsServed

router = APIRouter()
MOST_CELLS = 500_000
_SHAPES = {"skypilot": skypilot.catalogue, "gpuhunt": gpuhunt.catalogue}
_OPTION = Literal[PURCHASE_OPTIONS]  # type: ignore[valid-type]


class At(Asked):
    """When, and how old a price may be."""

    as_of: str = Field("", description="a day, or an instant with its zone; now, if left out")
    stale_after_days: float = Field(14.0, ge=0, le=3660, description="older prices are left out")


class Which(At):
    """Which offers are asked for; each filter left out lets all through."""

    provider: str = Field("", description="such as gcp")
    region: str = Field("", description="the provider's region")
    gpu_model: str = Field("", description="such as H100")
    purchase_option: _OPTION | None = Field(None, description="how it is rented")


class OffersAsked(Which, Page):
    """A page of offers."""


class PanelAsked(Which):
    """Prices of a GPU model on a grid."""

    gpu_model: str = Field(description="such as H100")
    freq: str = Field("7D", description="step of the grid, such as 1h, 1D or 7D")
    cells: int = Field(52, ge=1, le=5000, description="newest cells of the grid")


class PanelSeries(BaseModel):
    """One offer on the grid."""

    offer_id: str
    price_usd_per_hour: list[float | None] = Field(description="whole instance (USD/h)")
    state: list[Literal[STATES]] = Field(  # type: ignore[valid-type]
        description="whether the price changed in the cell, was looked at, or is carried forward"
    )


class PanelAnswer(StoreHead):
    """Prices on a regular grid; a cell is named by its right end."""

    step_h: float = Field(description="length of a cell (h)")
    times: list[str]
    series: list[PanelSeries]


@router.get(
    "/offers", response_model=page_model(StoreHead, OFFERS_SERVED), responses=described(StoreHead)
)
def offers(asked: Annotated[OffersAsked, Query()], records: RecordsServed) -> Response:
    """What can be rented at a time, the cheapest GPU-hour first.

    Each price with when it was last observed, and by whom.
    """
    snapshot, market = records.market(asked.as_of, asked.stale_after_days)
    chosen = _chosen(market.offers, asked)[OFFERS_SERVED.names]
    found = chosen.sort_values(["price_usd_per_gpu_hour", "offer_id"])
    return page(_head(snapshot, market), found, limit=asked.limit, offset=asked.offset)


@router.get("/panels", response_model=PanelAnswer, responses=described(StoreHead))
def panels(asked: Annotated[PanelAsked, Query()], records: RecordsServed) -> Response:
    """Prices of a GPU model on a regular grid up to a time."""
    step = parse_freq(asked.freq)
    snapshot, market = records.market(asked.as_of, asked.stale_after_days)
    ids = _chosen(market.offers, asked)["offer_id"]
    if asked.cells * len(ids) > MOST_CELLS:
        what = f"{asked.cells} cells of {len(ids)} offers are more than {MOST_CELLS:,}."
        raise ParameterError(what, "Ask for fewer cells, or name provider, region or option.")
    panel = market.panel(step)
    at = panel.offers.index.get_indexer(pd.Index(ids))
    price = panel.price[-asked.cells :, at[at >= 0]]
    states = np.array(STATES)[panel.state[-asked.cells :, at[at >= 0]]]
    content = {
        "step_h": step / pd.Timedelta(hours=1),
        "times": [time.isoformat() for time in panel.times[-asked.cells :]],
        "series": [
            {
                "offer_id": offer_id,
                "price_usd_per_hour": [None if np.isnan(usd) else usd for usd in price[:, k]],
                "state": states[:, k].tolist(),
            }
            for k, offer_id in enumerate(panel.offers.index[at[at >= 0]])
        ],
    }
    return as_json(_head(snapshot, market), content)


@router.get(
    "/exports/{shape}/{provider}.csv",
    response_class=Response,
    responses=described(StoreHead, "text/csv"),
)
def catalogue(
    shape: Literal["skypilot", "gpuhunt"],
    provider: str,
    asked: Annotated[At, Query()],
    records: RecordsServed,
) -> Response:
    """The offers of a provider in the shape of SkyPilot's vms.csv, or of gpuhunt's catalogue."""
    snapshot, market = records.market(asked.as_of, asked.stale_after_days)
    rows = _SHAPES[shape](by_zone(market.offers, market.evidence), provider)
    return as_csv(_head(snapshot, market), rows)


def _head(snapshot: str, market: Market) -> dict[str, str]:
    """Return what an answer from the store rests on, as ``StoreHead`` has it."""
    return {"snapshot": snapshot, "as_of": market.as_of.isoformat()}


def _chosen(offers: pd.DataFrame, asked: Which) -> pd.DataFrame:
    """Return the offers that pass the filters; ParameterError for a value that none has."""
    filters = {
        "provider": asked.provider,
        "region": asked.region,
        "gpu_model": asked.gpu_model,
        "purchase_option": asked.purchase_option or "",
    }
    for column, value in filters.items():
        known = sorted(offers[column].dropna().astype(str).unique())
        if value and value not in known:
            what = f"no offer has {column} {value!r}{did_you_mean(value, known)}."
            raise ParameterError(what, f"There are {', '.join(known[:20])}.")
        if value:
            offers = offers[offers[column] == value]
    return offers
