"""Each change of price on record, and how its steps behave from year to year."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.base.units import parse_as_of
from cloudarb_lib.market.explore.words import STEP_PCT, option_in_words

ROUND_PCT = (5.0, 10.0, 15.0)
"""Sizes of steps that repricing events like."""
ROUND_TOLERANCE_PCT = 0.2
MOVE_COLUMNS = [
    "offer_id",
    "provider",
    "region",
    "gpu_model",
    "gpu_count",
    "option",
    "changed_at",
    "before",
    "after",
]


def events_known(events: pd.DataFrame, end: pd.Timestamp) -> pd.DataFrame:
    """Return the events in effect and observed by ``end``, sorted by offer and time.

    ``option`` says the purchase option in words, ``changed_at`` when the price began, ``after``
    the price in USD per hour of the instance.
    """
    known = events[(events["effective_at"] <= end) & (events["observed_at"] <= end)]
    known = known.iloc[np.lexsort((known["effective_at"], known["offer_id"].cat.codes))]
    names = {"effective_at": "changed_at", "price_usd_per_hour": "after"}
    return known.assign(option=option_in_words(known)).rename(columns=names)


def moves(events: pd.DataFrame, *, as_of: object) -> pd.DataFrame:
    """Return each change of price known at ``as_of``, by offer and time.

    A withdrawn offer that returns at its old price has not moved.

    Parameters
    ----------
    events
        Price events as ``Snapshot.events`` returns them.

    Returns
    -------
    pd.DataFrame
        A row per change: offer_id, provider, region, gpu_model, gpu_count, option, changed_at,
        before and after (USD per hour of the instance), change_pct, kind (step or jitter), and for
        steps gap_days since the offer's step before and same_sign as it (1.0 or 0.0); both NaN at
        its first.
    """
    known = events_known(events, parse_as_of(as_of)).dropna(subset="after")
    known["before"] = known.groupby("offer_id", observed=True)["after"].shift()
    changed = known["before"].notna() & (known["before"] != known["after"])
    moved = known.loc[changed, MOVE_COLUMNS]
    moved["change_pct"] = 100 * (moved["after"] / moved["before"] - 1)
    moved["offer_id"] = moved["offer_id"].cat.remove_unused_categories()
    steps = moved["change_pct"].abs() >= STEP_PCT
    moved["kind"] = np.where(steps, "step", "jitter")
    by_offer = moved[steps].groupby("offer_id", observed=True)
    moved["gap_days"] = by_offer["changed_at"].diff().dt.total_seconds() / 86400
    product = by_offer["change_pct"].shift() * moved["change_pct"]
    moved["same_sign"] = product.gt(0).astype(float).where(product.notna())
    return moved.reset_index(drop=True)


def step_table(moved: pd.DataFrame) -> pd.DataFrame:
    """Return how the steps of ``moves`` behave, one row per option and year.

    Returns
    -------
    pd.DataFrame
        Columns option, year, offers, steps, gap_days (median from an offer's step to its next),
        size_pct (median), round_pct (share of steps within 0.2 points of 5, 10 or 15 %), down_pct
        (share downwards), same_sign_pct (share that continue the step before).
    """
    steps = moved[moved["kind"] == "step"]
    size = steps["change_pct"].abs()
    off_round = np.abs(size.to_numpy()[:, None] - np.array(ROUND_PCT)).min(axis=1)
    steps = steps.assign(
        year=steps["changed_at"].dt.year,
        size=size,
        down=100.0 * (steps["change_pct"] < 0),
        round=100.0 * (off_round <= ROUND_TOLERANCE_PCT),
        same=100.0 * steps["same_sign"],
    )
    groups = steps.groupby(["option", "year"], sort=True)
    return groups.agg(
        offers=("offer_id", "nunique"),
        steps=("size", "size"),
        gap_days=("gap_days", "median"),
        size_pct=("size", "median"),
        round_pct=("round", "mean"),
        down_pct=("down", "mean"),
        same_sign_pct=("same", "mean"),
    ).reset_index()
