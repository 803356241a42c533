"""What the decisions of ``cloudarb advise`` are asked with: a market and its price paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.markets import market_on
from pipelines.cli.options import (
    AsOfOption,
    ListedTooOption,
    PathSeedOption,
    PathsOption,
    StaleAfterOption,
    StoreOption,
)

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.base.types import Paths
    from cloudarb_lib.market import Market
    from cloudarb_lib.tables.assumptions import Assumptions

WEEK = "7D"
"""Step of the price grid on which decisions are made."""


@dataclass(frozen=True, kw_only=True)
class MarketOptions:
    """Options of every decision: what was known, and how prices may go on."""

    as_of: AsOfOption
    prices: Annotated[
        str, typer.Option(metavar="WHICH", help="forecast, or today: prices stay as they are")
    ] = "forecast"
    n_paths: PathsOption = 500
    seed: PathSeedOption = 7
    stale_after_days: StaleAfterOption = None
    listed_too: ListedTooOption = False
    store: StoreOption = ""


def market_of(options: MarketOptions, providers: list[str] | None = None) -> Market:
    """Return the market that was known at the end of the day asked about."""
    from cloudarb_lib.base.errors import ParameterError

    if options.prices not in ("forecast", "today"):
        raise ParameterError(f"--prices {options.prices!r} is unknown.", "Use forecast or today.")
    return market_on(
        options.as_of,
        options.store,
        providers=providers,
        stale_after_days=options.stale_after_days,
        listed_too=options.listed_too,
    )


def paths_of(
    options: MarketOptions,
    market: Market,
    offers: pd.DataFrame,
    assumptions: Assumptions,
    *,
    weeks: int,
) -> Paths | None:
    """Return weekly sample paths of offers, as far ahead as forecasts go; None for today's prices.

    Parameters
    ----------
    weeks : int
        How far ahead, at most.
    """
    import pandas as pd

    from cloudarb_lib import advice, forecast

    if options.prices == "today":
        return None
    return advice.sample_paths(
        market,
        offers["offer_id"],
        assumptions,
        freq=WEEK,
        horizon_steps=min(weeks, forecast.MAX_AHEAD // pd.Timedelta(WEEK)),
        n_paths=options.n_paths,
        seed=options.seed,
    )
