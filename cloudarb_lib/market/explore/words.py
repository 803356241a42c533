"""How offers are named to a reader, and which changes of price count as a step."""

from __future__ import annotations

import re

import pandas as pd

from cloudarb_lib.base.types import OFFER_PARTS, Panel

STEP_PCT = 0.5
"""A change counts as a step from here up; below it is jitter of a component."""
QUANTILES = {"low_pct": 0.05, "median_pct": 0.5, "high_pct": 0.95}
_WORDS = {
    "on_demand": "on demand",
    "1y": "1 year",
    "3y": "3 years",
    "1y-plan": "1 year plan",
    "3y-plan": "3 years plan",
}
_POOL = re.compile(r"([^\s/,]+)/(?:([^/,]+)/)?(spot|on_demand|reserved)/([^\s/,:;]+)")
"""Provider, region (of a pool; a group of series has none), purchase option and GPU model."""
_PROVIDERS = {"aws": "AWS", "azure": "Azure", "gcp": "GCP"}


def option_in_words(frame: pd.DataFrame) -> pd.Series:
    """Return the purchase option and term of each row in words, as column ``option``."""
    term = frame["term"].astype(object)
    chosen = frame["purchase_option"].astype(object).where(term == "", term)
    return chosen.replace(_WORDS).rename("option")


def site_name(frame: pd.DataFrame) -> pd.Series:
    """Return the place of each row, such as ``us-central1 (GCP)``; the provider where none is told.

    Returns
    -------
    pd.Series
        Texts, named ``site``.
    """
    provider = frame["provider"].astype(object).map(provider_name)
    region = frame["region"].astype(object)
    place = region + " (" + provider + ")"
    return place.where(region != "unstated", provider).rename("site")


def with_gpus(panel: Panel) -> Panel:
    """Return the panel of the offers that have a GPU."""
    return panel.select((panel.offers["gpu_count"] > 0).to_numpy())


def per_gpu(panel: Panel) -> pd.DataFrame:
    """Return USD per GPU-hour, times x offers, these named by gpu_model, option and site."""
    offers = panel.offers
    about = [offers["gpu_model"].astype(object), option_in_words(offers), site_name(offers)]
    prices = panel.frame().div(offers["gpu_count"].astype(float))
    return prices.set_axis(pd.MultiIndex.from_arrays(about), axis=1)


def provider_name(provider: str) -> str:
    """Return a provider as it writes itself; one that we do not know as the record has it."""
    return _PROVIDERS.get(provider, provider)


def term_in_words(term: str) -> str:
    """Return the term of a commitment in words: 1 year."""
    return _WORDS.get(term, term)


def offer_in_words(offer_id: str) -> str:
    """Return an offer as people say it, such as ``a2-ultragpu-8g in us-central1 on demand (GCP)``.

    What is no offer_id is returned as it is.
    """
    parts = str(offer_id).split("/")
    if len(parts) != len(OFFER_PARTS):
        return str(offer_id)
    provider, region, zone, machine, option, term = parts
    place = zone or region
    where = f" in {place}" if place != "unstated" else ""
    words = _WORDS.get(term or option, term or option)
    return f"{machine}{where} {words} ({provider_name(provider)})"


def pools_in_words(text: str) -> str:
    """Return a text whose pools are written as people say them.

    ``capacity of gcp/us-east4/spot/H100`` becomes ``capacity of H100 spot in us-east4 (GCP)``, and
    a group of series, ``gcp/spot/H100``, becomes ``H100 spot (GCP)``.
    """

    def in_words(found: re.Match[str]) -> str:
        provider, region, option, gpu_model = found.groups()
        where = f" in {region}" if region else ""
        return f"{gpu_model} {_WORDS.get(option, option)}{where} ({provider_name(provider)})"

    return _POOL.sub(in_words, text)
