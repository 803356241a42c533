"""What a GPU costs at a time: by way of buying, by place, against the price on demand."""

from __future__ import annotations

import pandas as pd

from cloudarb_lib.market.explore.words import QUANTILES, option_in_words, site_name


def landscape(offers: pd.DataFrame) -> pd.DataFrame:
    """Return what each GPU model costs on each option.

    Parameters
    ----------
    offers
        Table ``offers``; rows without a GPU do not count.

    Returns
    -------
    pd.DataFrame
        A row per ``gpu_model`` and ``option``: numbers of ``offers`` and ``sites``, the
        ``cheapest_site``, ``cheapest``, ``median`` and ``dearest`` in USD per GPU-hour, and
        ``observed_at`` of the cheapest.
    """
    gpus = offers[offers["price_usd_per_gpu_hour"].notna()]
    gpus = gpus.assign(
        option=option_in_words(gpus), site=site_name(gpus), price=gpus["price_usd_per_gpu_hour"]
    )
    groups = gpus.sort_values(["price", "offer_id"]).groupby(["gpu_model", "option"], sort=True)
    return groups.agg(
        offers=("price", "size"),
        sites=("site", "nunique"),
        cheapest_site=("site", "first"),
        cheapest=("price", "min"),
        median=("price", "median"),
        dearest=("price", "max"),
        observed_at=("observed_at", "first"),
    ).reset_index()


def by_site(offers: pd.DataFrame, option: str) -> pd.DataFrame:
    """Return the cheapest USD per GPU-hour on one option, sites x GPU models; NaN: not sold."""
    chosen = offers["price_usd_per_gpu_hour"].notna() & (option_in_words(offers) == option)
    gpus = offers[chosen]
    keys = [site_name(gpus), gpus["gpu_model"].astype(object)]
    return gpus["price_usd_per_gpu_hour"].groupby(keys).min().unstack()


def discounts(offers: pd.DataFrame) -> pd.DataFrame:
    """Return how far offers lie below the same machine on demand in the same place.

    Parameters
    ----------
    offers
        Table ``offers``; rows not also sold on demand are left out.

    Returns
    -------
    pd.DataFrame
        A row per ``gpu_model`` and ``option``: number of ``offers``, and ``low_pct``,
        ``median_pct``, ``high_pct`` (5, 50 and 95 % quantiles; negative where dearer).
    """
    machine = ["provider", "region", "zone", "instance_type"]
    on_demand = offers["purchase_option"] == "on_demand"
    listed = offers.loc[on_demand, [*machine, "price_usd_per_hour"]]
    pairs = offers[~on_demand].merge(listed, on=machine)
    below = 100 * (1 - pairs["price_usd_per_hour_x"] / pairs["price_usd_per_hour_y"])
    groups = below.groupby([pairs["gpu_model"].astype(object), option_in_words(pairs)])
    quantiles = {name: groups.quantile(share) for name, share in QUANTILES.items()}
    return pd.DataFrame({"offers": groups.size(), **quantiles}).reset_index()
