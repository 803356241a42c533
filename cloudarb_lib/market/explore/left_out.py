"""What is on record and not offered, why, and what it would change."""

from __future__ import annotations

import pandas as pd

from cloudarb_lib.market.explore.words import option_in_words

STATE_WORDS = {
    "in_doubt": "in doubt",
    "sold_out": "sold out",
    "gone": "gone",
    "withdrawn": "withdrawn",
    "stale": "stale",
    "expired": "expired",
    "not_known_sold": "listed, not known to be sold",
}
"""The states of offers that are left out, in the order in which they are told. Records for models
alone are none: nobody could expect them."""
_SAME_GPU = ["gpu_model", "purchase_option", "term"]


def left_out(states: pd.DataFrame, cheaper: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return how many offers are left out, by state and source.

    Parameters
    ----------
    states
        Table ``offer_states``.
    cheaper
        As ``cheaper_left_out`` returns it, for column ``cheaper``; without it there is none.

    Returns
    -------
    pd.DataFrame
        A row per state (in words), provider and source: offers; gpu_offers; cheaper, how many would
        be cheaper than what the plan rents; observed_at, when a price of them was last observed;
        and the reason of the newest.
    """
    out = states[states["state"].isin(list(STATE_WORDS))]
    out = out.assign(
        gpu=out["gpu_count"].fillna(0.0) > 0,
        cheaper=out["offer_id"].isin([] if cheaper is None else cheaper["offer_id"]),
        order=out["state"].map(list(STATE_WORDS).index),
        state=out["state"].map(STATE_WORDS),
        reason=[_beside(*pair) for pair in zip(out["reason"], out["state"], strict=True)],
    )
    groups = out.sort_values(["since", "offer_id"]).groupby(
        ["order", "state", "provider", "source"], observed=True
    )
    table = groups.agg(
        offers=("offer_id", "size"),
        gpu_offers=("gpu", "sum"),
        cheaper=("cheaper", "sum"),
        observed_at=("observed_at", "max"),
        newest_reason=("reason", "last"),
    )
    table = table.reset_index().drop(columns="order")
    return table.drop(columns="cheaper") if cheaper is None else table


def _beside(reason: str, state: str) -> str:
    """Return a reason without the words of the state that it stands beside."""
    return reason.removeprefix(f"{STATE_WORDS[state]}: ")


def cheaper_left_out(
    states: pd.DataFrame, plan: pd.DataFrame, offers: pd.DataFrame
) -> pd.DataFrame:
    """Return the offers left out that would be cheaper than what a plan rents.

    An offer counts where a GPU-hour of it costs less, at its last good price, than the dearest that
    the plan rents of the same GPU model, purchase option and term; whether it lies where the
    workloads may run is not asked.

    Parameters
    ----------
    states
        Table ``offer_states``.
    plan
        Table ``plan``.
    offers
        Table ``offers``, those of the plan among them.

    Returns
    -------
    pd.DataFrame
        Rows of ``states``, the largest saving a GPU-hour first, with option, usd_per_gpu_hour and
        rented_usd_per_gpu_hour.
    """
    rented = offers[offers["offer_id"].isin(plan["offer_id"])]
    dearest = rented.groupby(_SAME_GPU, observed=True)["price_usd_per_gpu_hour"].max()
    out = states[states["state"].isin(list(STATE_WORDS)) & (states["gpu_count"] > 0)]
    out = out.assign(
        option=option_in_words(out), usd_per_gpu_hour=out["price_usd_per_hour"] / out["gpu_count"]
    )
    out = out.merge(dearest.rename("rented_usd_per_gpu_hour").reset_index(), on=_SAME_GPU)
    saving = out["rented_usd_per_gpu_hour"] - out["usd_per_gpu_hour"]
    out = out.assign(saving=saving)[saving > 0]
    return out.sort_values(["saving", "offer_id"], ascending=[False, True], ignore_index=True)


def left_out_in_words(states: pd.DataFrame, cheaper: pd.DataFrame | None = None) -> str:
    """Return in a sentence what is left out, and what that would change; parameters as above."""
    out = states[states["state"].isin(list(STATE_WORDS))]
    counts = out["state"].value_counts()
    found = [
        f"{counts[state]:,} {words}" for state, words in STATE_WORDS.items() if state in counts
    ]
    if not found:
        return "Every offer on record is on offer."
    sentence = f"{len(out):,} offers on record are left out: {', '.join(found)}."
    if cheaper is None:
        return sentence
    if cheaper.empty:
        return f"{sentence} None would be cheaper than what the plan rents."
    by_state = cheaper["state"].value_counts()
    kinds = [
        f"{by_state[state]:,} {words}" for state, words in STATE_WORDS.items() if state in by_state
    ]
    best = cheaper.iloc[0]
    prices = f"{best['usd_per_gpu_hour']:.2f} USD a GPU-hour against"
    return (
        f"{sentence} At their last good prices {len(cheaper):,} of them would be cheaper than what "
        f"the plan rents of the same GPU and option ({', '.join(kinds)}); the cheapest is "
        f"{best['offer_id']}, {prices} {best['rented_usd_per_gpu_hour']:.2f}: "
        f"{best['reason'].removesuffix('.')}."
    )
