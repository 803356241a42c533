"""What can be rented at a time: the prices in force of sources that are fresh."""

from __future__ import annotations

import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.units import parse_as_of
from cloudarb_lib.market.events import SOURCE, came_into_force
from cloudarb_lib.tables.run_schema import RUN_TABLES

NEVER_OFFERED = ("aws-spot-2015",)
"""Records for models and tests only: the auction years of AWS spot."""


def current_offers(
    events: pd.DataFrame, looks: pd.DataFrame, *, as_of: object, stale_after_days: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what is on offer at ``as_of``, and how old each source is.

    An offer is its price in force, unless withdrawn, and only where its source was looked at, or
    gave an event, no longer than ``stale_after_days`` before ``as_of``.

    Parameters
    ----------
    events, looks
        Price events and observations of their sources, as a snapshot of the store returns them.

    Returns
    -------
    offers
        Table ``offers`` with column ``source``, by offer_id.
    sources
        Table ``sources``: every source of ``events`` and ``looks``, the stale ones too. Those of
        ``NEVER_OFFERED`` count as stale.

    Raises
    ------
    ParameterError
        Where ``stale_after_days`` is negative or no number.
    """
    if not stale_after_days >= 0:
        raise ParameterError(
            f"stale_after_days {stale_after_days!r} is not a number from 0 up.", "Use 14."
        )
    end = parse_as_of(as_of)
    in_force = came_into_force(events, end.value // 1000)
    offers = _prices_in_force(events, in_force)
    observed = events.iloc[in_force.index][[*SOURCE, "observed_at"]]
    observed = observed.rename(columns={"observed_at": "looked_at"})
    observed = pd.concat([observed, looks[[*SOURCE, "looked_at"]]])
    sources = _ages(observed, offers, end)
    sources["stale"] = sources["age_days"] > stale_after_days
    sources["stale"] |= sources["source"].isin(NEVER_OFFERED)
    offers = offers.merge(sources.loc[~sources["stale"], [*SOURCE, "looked_at"]], on=SOURCE)
    offers = offers.sort_values("offer_id", ignore_index=True)
    return offers[[*RUN_TABLES["offers"].names, "source"]], sources[RUN_TABLES["sources"].names]


def _prices_in_force(events: pd.DataFrame, in_force: pd.DataFrame) -> pd.DataFrame:
    """Return the last event of each offer that is not withdrawn, with what follows from it."""
    plain = {"offer_id": object, "offer_count": float}
    now = events.iloc[in_force.index[in_force["last"]]].reset_index(drop=True).astype(plain)
    gpus = now["gpu_count"].astype(float)
    now["price_usd_per_gpu_hour"] = now["price_usd_per_hour"] / gpus.where(gpus > 0)
    changed_at = in_force[in_force["changed"]].groupby("code")["start"].max()
    now["changed_at"] = pd.to_datetime(changed_at.to_numpy(), unit="us", utc=True).as_unit("us")
    return now[now["price_usd_per_hour"].notna()]


def _ages(observed: pd.DataFrame, offers: pd.DataFrame, end: pd.Timestamp) -> pd.DataFrame:
    """Return each source with its newest observation by ``end``, its age and count of offers."""
    newest = observed[observed["looked_at"] <= end].groupby(SOURCE)["looked_at"].max()
    counts = offers.groupby(SOURCE).size().reindex(newest.index, fill_value=0)
    sources: pd.DataFrame = newest.dt.as_unit("us").to_frame().assign(offers=counts).reset_index()
    sources["age_days"] = (end - sources["looked_at"]).dt.total_seconds() / 86400
    return sources


def fresh(events: pd.DataFrame, sources: pd.DataFrame) -> pd.DataFrame:
    """Return the events whose source (provider and record) is not stale in table ``sources``."""
    trusted = pd.MultiIndex.from_frame(sources.loc[~sources["stale"], SOURCE])
    of_events = pd.MultiIndex.from_arrays([events[name].astype(str) for name in SOURCE])
    return events[of_events.isin(trusted)]
