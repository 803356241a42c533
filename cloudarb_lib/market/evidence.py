"""Which offers are known to be sold where they are priced, by what, and as of when.

A price in a list does not say that the machine is sold there: Google's list prices a machine in
every region for which its parts have a price.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

OWN_LISTING = "listing"
"""Kind of evidence of an offer on a market, or told with how many are on sale: it stood on sale
itself when it was observed."""
_PLACE = ["provider", "region", "instance_type"]


def with_evidence(offers: pd.DataFrame, evidence: pd.DataFrame) -> pd.DataFrame:
    """Return offers with the newest evidence that each is sold.

    Parameters
    ----------
    offers
        Offers on record at a time, with ``price_kind``, ``offer_count`` and ``observed_at``.
    evidence
        Table ``evidence`` as of that time: an ``instance_type`` may hold ``*`` for any letters.

    Returns
    -------
    pd.DataFrame
        ``offers`` in their order with ``evidence``, the kind, and ``evidence_at``, when it was
        seen; both null where nothing says that the offer is sold, or the newest word on each zone
        is that it is not.
    """
    newest = _newest_that_sells(offers, evidence)
    found = offers["offer_id"].astype(object).map(newest["kind"])
    seen_at = offers["offer_id"].astype(object).map(newest["seen_at"])
    counted = offers["offer_count"].astype(float) > 0
    is_listing = (offers["price_kind"] == "market") | counted
    return offers.assign(
        evidence=found.astype(object).mask(is_listing, OWN_LISTING),
        evidence_at=seen_at.mask(is_listing, offers["observed_at"]).astype("datetime64[us, UTC]"),
    )


def by_zone(offers: pd.DataFrame, evidence: pd.DataFrame) -> pd.DataFrame:
    """Return offers of a region once for each zone in which they are known to be sold.

    Parameters
    ----------
    offers
        Table ``offers``.
    evidence
        Table ``evidence`` as of the same time.

    Returns
    -------
    pd.DataFrame
        As ``offers``, ``zone`` filled in; those of a zone, or of a region where no zone is known,
        stay as they are.
    """
    said = _that_sells(offers, evidence)
    zones = said.loc[said["zone_seen"] != "", ["offer_id", "zone_seen"]].sort_values("zone_seen")
    laid_out = offers.astype({"offer_id": object}).merge(zones, on="offer_id", how="left")
    regional = (laid_out["zone"] == "") & laid_out["zone_seen"].notna()
    laid_out["zone"] = laid_out["zone"].mask(regional, laid_out["zone_seen"])
    return laid_out.drop(columns="zone_seen").reset_index(drop=True)


def _newest_that_sells(offers: pd.DataFrame, evidence: pd.DataFrame) -> pd.DataFrame:
    """Return the newest row that says of an offer that it is sold, by offer_id."""
    sells = _that_sells(offers, evidence)
    return sells.drop_duplicates("offer_id", keep="last").set_index("offer_id")


def _that_sells(offers: pd.DataFrame, evidence: pd.DataFrame) -> pd.DataFrame:
    """Return the last word on each offer and zone where it is that it is sold, the newest last."""
    named = _by_machine(evidence, offers)
    about = offers[["offer_id", *_PLACE, "zone", "purchase_option"]].astype(object)
    beside = about.merge(named, on=_PLACE, suffixes=("", "_seen"))
    in_zone = (beside["zone"] == "") | beside["zone_seen"].isin([""])
    in_zone |= beside["zone"] == beside["zone_seen"]
    by_option = beside["purchase_option_seen"].isin([""])
    by_option |= beside["purchase_option"] == beside["purchase_option_seen"]
    fitting = beside[in_zone & by_option].sort_values("seen_at", kind="stable")
    last_words = fitting.drop_duplicates(["offer_id", "zone_seen"], keep="last")
    return last_words[last_words["sold"].astype(bool)]


def _by_machine(evidence: pd.DataFrame, offers: pd.DataFrame) -> pd.DataFrame:
    """Return evidence with the machines on offer that each pattern of names stands for."""
    is_pattern = evidence["instance_type"].str.contains("*", regex=False).astype(bool)
    patterns = evidence.loc[is_pattern, ["provider", "instance_type"]].drop_duplicates()
    machines = offers[["provider", "instance_type"]].astype(object).drop_duplicates()
    pairs = patterns.merge(machines, on="provider", suffixes=("", "_offered"))
    fits = [
        fnmatchcase(offered, pattern)
        for pattern, offered in zip(
            pairs["instance_type"], pairs["instance_type_offered"], strict=True
        )
    ]
    fitting = pairs[np.array(fits, bool)]
    named = evidence[is_pattern].merge(fitting, on=["provider", "instance_type"])
    named = named.drop(columns="instance_type").rename(
        columns={"instance_type_offered": "instance_type"}
    )
    return pd.concat([evidence[~is_pattern], named])
