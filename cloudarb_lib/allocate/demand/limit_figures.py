"""The limits of a plan that are a figure each: a demand file and the command line state them."""

from __future__ import annotations

from typing import Annotated, Literal

from cloudarb_lib.base.records import NotNegative, Number, Share, key, record
from cloudarb_lib.tables.assumptions import HazardPreset


@record
class LimitFigures:
    """What a plan must respect, each optional, and how it is costed; each field says what it is."""

    budget_usd: Annotated[
        NotNegative | None,
        key(
            "most that the plan may be expected to cost over the horizon",
            example="250000",
            unit="USD",
        ),
    ] = None
    cvar_usd: Annotated[
        NotNegative | None,
        key(
            "most that rent and hours bought elsewhere may cost in the worst price paths, their "
            "mean; fees beside it are certain",
            example="300000",
            unit="USD",
        ),
    ] = None
    cvar_level: Annotated[
        Share,
        key(
            "share of price paths that are not among the worst", example="0.95", unit="share", lt=1
        ),
    ] = 0.95
    effective_providers: Annotated[
        Number | None,
        key(
            "least, by the inverse of the sum of squared spend shares (Herfindahl)",
            example="2",
            unit="provider",
            ge=1,
        ),
    ] = None
    diversify: Annotated[
        Literal["provider", "region"], key("what effective_providers counts", example="region")
    ] = "provider"
    max_provider_share: Annotated[
        Share | None,
        key("most of the expected spend with one provider", example="0.6", unit="share"),
    ] = None
    max_region_share: Annotated[
        Share | None, key("most of the expected spend in one region", example="0.5", unit="share")
    ] = None
    min_on_demand_share: Annotated[
        Number | None,
        key("least share of instance-hours on demand", example="0.2", unit="share", ge=0, le=1),
    ] = None
    min_commitment_use: Annotated[
        Share | None,
        key(
            "least share of committed hours, held or bought, that work uses",
            example="0.9",
            unit="share",
        ),
    ] = None
    carbon_kg: Annotated[
        NotNegative | None,
        key(
            "most CO2e of the electricity over the horizon, at the grid's average intensity",
            example="40000",
            unit="kgCO2e",
        ),
    ] = None
    carbon_usd_per_tonne: Annotated[
        NotNegative | None,
        key("price of CO2e, part of the cost", example="80", unit="USD per tonne"),
    ] = None
    hazard: Annotated[HazardPreset, key("how often spot is taken away", example="stressed")] = (
        "typical"
    )
    terms: Annotated[
        tuple[Literal["1y", "3y", "1y-plan", "3y-plan"], ...],
        key("commitments that may be bought anew; -plan: by a savings plan", example="[1y]"),
    ] = ()
