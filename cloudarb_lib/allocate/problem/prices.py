"""What offers cost a buyer who has agreed prices."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Demand
from cloudarb_lib.allocate.problem.scope import named_by
from cloudarb_lib.base.types import Paths


def agreed_prices(
    demand: Demand, offers: pd.DataFrame, paths: Paths | None
) -> tuple[pd.DataFrame, Paths | None]:
    """Return offers and their price paths as agreed with providers.

    A discount is taken off today's price and every path; a fixed price stands in the place of
    both. An offer takes the first entry of ``demand.prices`` that names it.

    Parameters
    ----------
    offers
        Table ``offers``.
    paths
        Their sample paths, or None.

    Raises
    ------
    DemandError
        For an entry that names no offer.
    """
    if not demand.prices:
        return offers, paths
    factor = np.ones(len(offers))
    fixed = np.full(len(offers), np.nan)
    is_open = np.ones(len(offers), bool)
    gpus = offers["gpu_count"].to_numpy(float)
    for number, price in enumerate(demand.prices):
        named = named_by(price, offers, place=("prices", number))
        if price.usd_per_gpu_hour is None:
            factor[named & is_open] = 1 - (price.discount or 0.0)
        else:
            fixed[named & is_open] = (price.usd_per_gpu_hour * gpus)[named & is_open]
        is_open &= ~named
    is_fixed = np.isfinite(fixed)
    hourly = np.where(is_fixed, fixed, offers["price_usd_per_hour"] * factor)
    agreed = offers.assign(price_usd_per_hour=hourly)
    if paths is None:
        return agreed, None
    at = pd.Index(offers["offer_id"].astype(str)).get_indexer(paths.offer_ids.astype(str))
    known = at >= 0
    values = paths.values * np.where(known, factor[at], 1.0)[:, None, None]
    stays = known & is_fixed[at]
    values[stays] = fixed[at[stays], None, None]
    return agreed, Paths(paths.offer_ids, paths.times, values)


def in_words(demand: Demand) -> Iterable[str]:
    """Yield what a reader of a plan should know of prices agreed."""
    for price in demand.prices:
        if price.discount is not None:
            yield f"prices of {price.words}: {price.discount:.0%} off, as agreed"
        else:
            yield f"prices of {price.words}: {price.usd_per_gpu_hour:g} USD per GPU-hour, as agreed"
