"""The providers beside each other, for the GPU models that somebody needs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cloudarb_lib.market.explore.left_out import STATE_WORDS
from cloudarb_lib.market.explore.words import option_in_words, provider_name

_OPTIONS = {
    "on demand": "on_demand_usd_per_gpu_hour",
    "spot": "spot_usd_per_gpu_hour",
    "1 year": "one_year_usd_per_gpu_hour",
    "3 years": "three_years_usd_per_gpu_hour",
}
LISTED = "listed_usd_per_gpu_hour"


def by_provider(offers: pd.DataFrame, states: pd.DataFrame) -> pd.DataFrame:
    """Return the cheapest GPU-hour of each provider, by GPU model and way of buying.

    Parameters
    ----------
    offers
        Table ``offers`` of the GPU models in question.
    states
        Table ``offer_states`` of the same: what is listed without being known to be sold counts
        apart.

    Returns
    -------
    pd.DataFrame
        A row per gpu_model and provider, that which is cheapest on demand first: regions in which
        it is known to be sold; USD per GPU-hour on_demand, spot, one_year and three_years at the
        cheapest region (NaN: not sold so); the cheapest region on demand; observed_at, when the
        newest of these prices was observed; and listed, the cheapest price on demand of what is
        listed and not known to be sold (NaN: nothing).
    """
    keys = ["gpu_model", "provider"]
    sold = offers[offers["price_usd_per_gpu_hour"].notna()]
    sold = sold.astype(dict.fromkeys(keys, object)).assign(option=option_in_words(sold))
    cheapest = sold.pivot_table("price_usd_per_gpu_hour", keys, "option", "min")
    cheapest = cheapest.reindex(columns=list(_OPTIONS)).rename(columns=_OPTIONS)
    by_price = sold[sold["option"] == "on demand"].sort_values("price_usd_per_gpu_hour")
    about = sold.groupby(keys).agg(
        regions=("region", "nunique"), observed_at=("observed_at", "max")
    )
    listed = states[(states["state"] == "not_known_sold") & (states["gpu_count"] > 0)]
    listed = listed[listed["purchase_option"] == "on_demand"].astype(dict.fromkeys(keys, object))
    listed = listed.assign(usd=listed["price_usd_per_hour"] / listed["gpu_count"])
    table = cheapest.join(about).join(
        by_price.groupby(keys)["region"].first().rename("cheapest_in")
    )
    table = table.join(listed.groupby(keys)["usd"].min().rename(LISTED), how="outer")
    table = table.fillna({"regions": 0}).reset_index()
    table["provider"] = table["provider"].map(provider_name)
    return table.sort_values(["gpu_model", "on_demand_usd_per_gpu_hour"], ignore_index=True)


def compared_in_words(offers: pd.DataFrame, states: pd.DataFrame, providers: Sequence[str]) -> str:
    """Return in a sentence or two what of which provider is compared, and what is not.

    Parameters
    ----------
    offers, states
        As of ``by_provider``.
    providers
        Those that were asked for.
    """
    sold = offers.groupby(offers["provider"].astype(str))["region"].nunique()
    parts = []
    for name in providers:
        if name in sold:
            regions = "1 region" if sold[name] == 1 else f"{sold[name]} regions"
            parts.append(f"{provider_name(name)} in {regions}")
    text = f"Compared are {', '.join(parts)}."
    left = [name for name in providers if name not in sold]
    return " ".join([text, *(_why_not(name, states) for name in left)])


def _why_not(name: str, states: pd.DataFrame) -> str:
    """Return why nothing of a provider is compared."""
    own = states[states["provider"] == name]
    text = f"**Not compared: {provider_name(name)}.** It has "
    if own.empty:
        return f"{text}no price of these GPU models."
    most = STATE_WORDS.get(own["state"].value_counts().index[0], "for models alone")
    return (
        f"{text}{len(own):,} prices of these GPU models on record, and none counts as an offer "
        f"(most are {most})."
    )
