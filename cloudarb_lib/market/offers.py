"""What can be rented at a time: what became of every offer on record, and which are offered."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.base.units import parse_as_of
from cloudarb_lib.market.events import (
    GONE,
    IN_DOUBT,
    INSTANT_US,
    NEVER_US,
    ON_SALE,
    SOLD_OUT,
    SOURCE,
    WITHDRAWN,
    came_into_force,
    to_times,
)
from cloudarb_lib.market.evidence import with_evidence
from cloudarb_lib.market.freshness import Freshness
from cloudarb_lib.market.looks import MARKET_PART, LookScopes, newest_observation_us
from cloudarb_lib.tables.run_schema import RUN_TABLES

NEVER_OFFERED = ("aws-spot-2015",)
"""Records for models and tests only: the auction years of AWS spot."""
OFFERED = "offered"
STALE = "stale"
NOT_KNOWN_SOLD = "not_known_sold"
"""Listed at a fresh price, and nothing says that it is sold there."""
_DAY_US = 86_400_000_000
_MINUTE = "%Y-%m-%d %H:%M"
_COLUMNS = RUN_TABLES["offers"].names


class CurrentOffers(NamedTuple):
    """What is on offer at a time, how old each source is, and what became of every offer.

    Attributes
    ----------
    offers
        Table ``offers`` with column ``source``, by offer_id.
    sources
        Table ``sources``: every source of the events and looks, the stale ones too. Those of
        ``NEVER_OFFERED`` count as stale.
    states
        Table ``offer_states``, by offer_id.
    """

    offers: pd.DataFrame
    sources: pd.DataFrame
    states: pd.DataFrame


def current_offers(
    events: pd.DataFrame,
    looks: pd.DataFrame,
    evidence: pd.DataFrame,
    *,
    as_of: object,
    freshness: Freshness,
    listed_too: bool = False,
) -> CurrentOffers:
    """Return what is on offer at ``as_of``, and what became of every other offer.

    An offer is its price in force where it is on sale, was observed no longer ago than
    ``freshness`` allows of its source, and is known to be sold where it is priced.

    Parameters
    ----------
    events, looks, evidence
        Price events, looks, and evidence of sale up to ``as_of``, as a snapshot of the store
        returns them.
    listed_too
        Whether what is listed, and not known to be sold, is offered too.
    """
    end = parse_as_of(as_of)
    end_us = end.value // 1000
    in_force = came_into_force(events, end_us)
    scopes = LookScopes.of(events[MARKET_PART].iloc[in_force.index], looks, end_us)
    on_record = _last_events(events, in_force, newest_observation_us(in_force, scopes))
    on_record = with_evidence(on_record, evidence)
    on_record = _with_states(on_record, end_us, freshness, listed_too=listed_too)
    offered = on_record["state"] == OFFERED
    observed = events[[*SOURCE, "observed_at"]].iloc[in_force.index]
    sources = _ages(observed, looks, on_record, end)
    allowed = freshness.stale_days(sources["source"])
    sources["stale"] = sources["age_days"] > allowed
    sources["stale"] |= sources["source"].isin(NEVER_OFFERED)
    offers = on_record.loc[offered, [*_COLUMNS, "source"]]
    states = on_record[RUN_TABLES["offer_states"].names]
    return CurrentOffers(
        offers=offers.reset_index(drop=True),
        sources=sources[RUN_TABLES["sources"].names],
        states=states.reset_index(drop=True),
    )


def _last_events(
    events: pd.DataFrame, in_force: pd.DataFrame, observed_us: np.ndarray
) -> pd.DataFrame:
    """Return the last event of each offer with what the record says of it, by offer_id.

    ``price_usd_per_hour`` is the last good price, ``cause`` that of ``CAUSES``, ``began_us`` when
    that cause began (of an offer on sale, when its price did).
    """
    last = in_force["last"].to_numpy()
    plain = {"offer_id": object, "offer_count": float}
    now = events.iloc[in_force.index[last]].reset_index(drop=True).astype(plain)
    by_offer = in_force.groupby("code")
    cause = in_force["cause"]
    begins = cause.ne(by_offer["cause"].shift()) | (cause.eq(ON_SALE) & in_force["changed"])
    began_us = in_force["start"].where(begins).groupby(in_force["code"]).max()
    changed_us = in_force["start"].where(in_force["changed"]).groupby(in_force["code"]).max()
    now["price_usd_per_hour"] = by_offer["listed"].ffill().to_numpy()[last]
    gpus = now["gpu_count"].astype(float)
    now["price_usd_per_gpu_hour"] = now["price_usd_per_hour"] / gpus.where(gpus > 0)
    now["cause"] = cause.to_numpy()[last]
    now["began_us"] = began_us.to_numpy().astype(np.int64)
    now["changed_at"] = to_times(changed_us.to_numpy().astype(np.int64))
    now["observed_us"] = observed_us[last]
    now["observed_at"] = to_times(observed_us[last])
    return now.sort_values("offer_id", ignore_index=True)


def _with_states(
    on_record: pd.DataFrame, end_us: int, freshness: Freshness, *, listed_too: bool
) -> pd.DataFrame:
    """Return ``_last_events`` with the columns ``state``, ``since`` and ``reason``."""
    observed_us = on_record["observed_us"].to_numpy()
    stale_days = freshness.stale_days(on_record["source"]).to_numpy()
    expired_days = freshness.expired_days(on_record["source"]).to_numpy()
    age_days = (end_us - observed_us.astype(float)) / _DAY_US
    cause = on_record["cause"]
    never = observed_us == NEVER_US
    rules: dict[str, pd.Series] = {
        "models_only": on_record["source"].isin(NEVER_OFFERED),
        "in_doubt": cause == IN_DOUBT,
        "withdrawn": cause == WITHDRAWN,
        "gone": cause == GONE,
        "sold_out": cause == SOLD_OUT,
        "expired": pd.Series(age_days > expired_days),
        STALE: pd.Series(age_days > stale_days),
        NOT_KNOWN_SOLD: on_record["evidence"].isna() & (not listed_too),
    }
    state = pd.Series(OFFERED, on_record.index, dtype=object)
    for name, holds in reversed(rules.items()):  # the first that holds is the one that counts
        state[holds] = name
    since_us = on_record["began_us"].to_numpy() - INSTANT_US * (cause == GONE).to_numpy()
    for name, days in (("expired", expired_days), (STALE, stale_days)):
        aged = (state == name).to_numpy() & ~never
        since_us[aged] = observed_us[aged] + (days[aged] * _DAY_US).astype(np.int64)
    since = to_times(since_us)
    return on_record.assign(
        state=state,
        since=since,
        reason=_reasons(on_record.assign(state=state, since=since), stale_days, expired_days),
    )


def _reasons(
    on_record: pd.DataFrame, stale_days: np.ndarray, expired_days: np.ndarray
) -> pd.Series:
    """Return in words why each offer is not offered; '' where it is."""
    limits = {STALE: stale_days, "expired": expired_days}
    reasons = pd.Series("", on_record.index, dtype=object)
    for state in on_record["state"].unique():
        chosen = (on_record["state"] == state).to_numpy()
        days = limits.get(state, stale_days)[chosen]
        reasons[chosen] = _reason(state, on_record[chosen], days)
    return reasons


def _reason(state: str, offers: pd.DataFrame, days: np.ndarray) -> pd.Series | str:
    """Return in words why offers of one state are not offered; ``days`` are those allowed."""
    since = offers["since"].dt.strftime(_MINUTE)
    source = offers["source"].astype(object)
    words: pd.Series | str = ""
    match state:
        case "models_only":
            words = "a record for models and tests, never offered"
        case "withdrawn":
            words = "withdrawn on " + since + ": " + source + " no longer has it"
        case "gone":
            words = (
                "gone since " + since + ": " + source + " repeats its offers, and has not this one"
            )
        case "in_doubt":
            words = "in doubt since " + since + ": " + _details(offers)
        case "sold_out":
            words = "sold out since " + since + ": none on sale"
        case "not_known_sold":
            machine = offers["instance_type"].astype(str) + " in " + offers["region"].astype(str)
            words = "listed, not known to be sold: no evidence of sale names " + machine
        case "stale" | "expired":
            seen = offers["observed_at"].dt.strftime(_MINUTE)
            allowed = pd.Series(days, offers.index).map("{:g}".format)
            words = "last observed on " + seen + ": " + state + " after " + allowed + " days"
    return words


def _details(offers: pd.DataFrame) -> pd.Series:
    """Return what is wrong with the newest price of each offer, as far as the store says it."""
    plain = pd.Series("its newest price was held back", offers.index, dtype=object)
    if "detail" not in offers:
        return plain
    return offers["detail"].astype(object).where(offers["detail"].notna(), plain)


def _ages(
    observed: pd.DataFrame, looks: pd.DataFrame, on_record: pd.DataFrame, end: pd.Timestamp
) -> pd.DataFrame:
    """Return each source with its newest observation by ``end``, its age and counts of offers."""
    observed = observed.rename(columns={"observed_at": "looked_at"})
    observed = pd.concat([observed, looks[[*SOURCE, "looked_at"]]])
    newest = observed[observed["looked_at"] <= end].groupby(SOURCE)["looked_at"].max()

    def count(chosen: pd.Series) -> pd.Series:
        return on_record[chosen].groupby(SOURCE).size().reindex(newest.index, fill_value=0)

    sources: pd.DataFrame = (
        newest.dt.as_unit("us")
        .to_frame()
        .assign(
            offers=count(on_record["cause"] == ON_SALE),
            offered=count(on_record["state"] == OFFERED),
        )
        .reset_index()
    )
    sources["age_days"] = (end - sources["looked_at"]).dt.total_seconds() / 86400
    return sources


def fresh(events: pd.DataFrame, sources: pd.DataFrame) -> pd.DataFrame:
    """Return the events whose source (provider and record) is not stale in table ``sources``."""
    trusted = pd.MultiIndex.from_frame(sources.loc[~sources["stale"], SOURCE])
    of_events = pd.MultiIndex.from_arrays([events[name].astype(str) for name in SOURCE])
    return events[of_events.isin(trusted)]
