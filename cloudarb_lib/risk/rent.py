"""What an hour of each offer costs: over the steps of joint paths, and over the cells that came.

The one place that says how a price moves within a step: pages, back-tests and plans use it alike.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.types import Panel, Paths


def step_means(paths: Paths, now_usd_per_hour: pd.Series, *, seed: int) -> Paths:
    """Return paths of the mean price over each step, from paths of the price at its end.

    Within a step a price changes at a moment that is drawn, one for all offers of a path:
    repricing events are common.

    Parameters
    ----------
    paths : Paths
        Prices at the end of each step, as a forecast gives them.
    now_usd_per_hour : pd.Series
        Price by offer_id before the first step.
    seed : int
        Of the moments.

    Returns
    -------
    Paths
        Of the same offers and steps.

    Raises
    ------
    DataError
        Where an offer of the paths has no price now.
    """
    now = now_usd_per_hour.reindex(paths.offer_ids).to_numpy(float)
    if not np.isfinite(now).all():
        offer_id = paths.offer_ids[int(np.isfinite(now).argmin())]
        raise DataError(
            f"offer {offer_id} has paths but no price now.", "Forecast the offers on sale."
        )
    end = paths.values
    first = np.broadcast_to(now[:, None, None], (*end.shape[:2], 1))
    before = np.concatenate([first, end[:, :, :-1]], axis=2)
    share_before = np.random.default_rng(seed).random(end.shape[1:])
    return Paths(paths.offer_ids, paths.times, end + share_before * (before - end))


def with_steady(paths: Paths, usd_per_hour: pd.Series) -> Paths:
    """Return paths with offers beside that have none: their price stays.

    For list prices that are too old to be forecast, which may still replace what is lost.

    Parameters
    ----------
    paths : Paths
        Some offers'.
    usd_per_hour : pd.Series
        Price by offer_id.
    """
    steady = usd_per_hour[~usd_per_hour.index.isin(paths.offer_ids)]
    shape = (len(steady), *paths.values.shape[1:])
    values = np.broadcast_to(steady.to_numpy(float)[:, None, None], shape)
    offer_ids = paths.offer_ids.append(steady.index)
    return Paths(offer_ids, paths.times, np.concatenate([paths.values, values]))


def paid_per_hour(came: Panel) -> pd.DataFrame:
    """Return what an hour of each offer cost in each cell that came.

    An offer is rented until it is withdrawn, and then replaced by the cheapest on-demand offer with
    as many of its GPUs (of the same machine type where it has none).

    Parameters
    ----------
    came : Panel
        Time-weighted mean prices, with what may replace what is withdrawn.

    Returns
    -------
    pd.DataFrame
        USD per hour, times x offers; NaN where nothing replaces it.
    """
    offers = came.offers
    has_gpu = offers["gpu_model"].notna()
    units = offers["gpu_count"].where(has_gpu, 1.0).astype(float)
    kind = offers["gpu_model"].where(has_gpu, offers["instance_type"]).astype(object)
    price = came.frame()
    on_sale = came.frame("available").fillna(0.0).where(price.notna(), 0.0)
    on_demand = offers["purchase_option"].eq("on_demand").to_numpy()
    per_unit = price.loc[:, on_demand].div(units[on_demand])
    cheapest = per_unit.T.groupby(kind[on_demand]).min().T
    instead = cheapest.reindex(columns=kind).set_axis(price.columns, axis=1) * units
    return on_sale * price.fillna(0.0) + ((1.0 - on_sale) * instead).where(on_sale < 1, 0.0)
