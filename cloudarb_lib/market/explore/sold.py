"""Whether what a plan rents is known to be sold where it is priced."""

from __future__ import annotations

import pandas as pd

from cloudarb_lib.base.wording import day
from cloudarb_lib.market.evidence import OWN_LISTING

_KIND_WORDS = {
    "zone_list": "a list of zones",
    "offering": "the provider's own answer",
    "catalogue": "a catalogue",
    "quota": "a quota of the account",
    OWN_LISTING: "its own listing",
}


def sold_in_words(plan: pd.DataFrame, offers: pd.DataFrame) -> str:
    """Return in a sentence or two what says that the offers of a plan are sold.

    Parameters
    ----------
    plan
        Table ``plan``.
    offers
        Table ``offers``, those of the plan among them.
    """
    rented = offers[offers["offer_id"].isin(plan["offer_id"])]
    unknown = rented.loc[rented["evidence"].isna(), "offer_id"].astype(str).sort_values()
    known = rented[rented["evidence"].notna()]
    sentence = f"Of {len(rented):,} offers rented {len(known):,} are known to be sold there"
    if len(known):
        kinds = ", ".join(
            _KIND_WORDS.get(kind, kind) for kind in sorted(known["evidence"].unique())
        )
        sentence += f" ({kinds}; the oldest word is of {day(known['evidence_at'].min())})"
    if unknown.empty:
        return f"{sentence}."
    return (
        f"{sentence}. Priced, but not known to be sold: {', '.join(unknown)}. Ask the provider, or "
        "ingest a list of zones, before you count on it."
    )
