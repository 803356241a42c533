"""Commit or wait, for each machine that a plan rents on demand."""

from __future__ import annotations

import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.advice import commit
from cloudarb_lib.base.units import HOURS_PER_WEEK

_MACHINE = ["provider", "region", "instance_type"]
_Row = dict[str, object]


def commitments_for(plan: pd.DataFrame, offers: pd.DataFrame, *, weeks: float) -> pd.DataFrame:
    """Return the commitments on record for what a plan rents on demand, at today's prices.

    Parameters
    ----------
    plan
        Table ``plan``.
    offers
        Table ``offers``, commitments included.
    weeks
        That the need is known to last.

    Returns
    -------
    pd.DataFrame
        A row per machine on demand and term that is sold for it; one row with an empty term where
        none is on record. Columns offer_id, instances, term, on_demand_usd_per_hour and
        committed_usd_per_hour (of one machine), break_even_weeks (for how long it must be needed to
        pay; NaN: never), saving_usd_per_week (of all of them, while needed), and pays: whether it
        does within ``weeks``.
    """
    first = allocate.first_rows(plan)
    held = first.groupby("offer_id")["instances"].sum()
    rented = offers[offers["offer_id"].isin(held.index)]
    rows = []
    for offer in rented[rented["purchase_option"] == "on_demand"].itertuples():
        alike = (offers[_MACHINE] == [getattr(offer, part) for part in _MACHINE]).all(axis=1)
        of_machine = offers[alike & offers["purchase_option"].isin(["on_demand", "reserved"])]
        own = {"offer_id": str(offer.offer_id), "instances": held[str(offer.offer_id)]}
        own["on_demand_usd_per_hour"] = offer.price_usd_per_hour
        rows += [{**own, **term} for term in _terms(of_machine, weeks, own["instances"])]
    columns = ["offer_id", "instances", "term", "on_demand_usd_per_hour", "committed_usd_per_hour"]
    columns += ["break_even_weeks", "saving_usd_per_week", "pays"]
    return pd.DataFrame(rows, columns=columns)


def _terms(of_machine: pd.DataFrame, weeks: float, instances: float) -> list[_Row]:
    """Return the commitments to one machine; one without a term where none is on record."""
    if not of_machine["term"].isin(list(commit.TERM_WEEKS)).any():
        return [{"term": "", "pays": False}]
    need = commit.Need(weeks, is_certain=True)
    table = commit.break_even_table(commit.machine_prices(of_machine, None), need)
    by_the_hour = of_machine.loc[of_machine["term"] == "", "price_usd_per_hour"]
    hourly_usd = float(by_the_hour.min())
    saved = hourly_usd * (1 - table["utilisation"]) * HOURS_PER_WEEK * instances
    return [
        {
            "term": term,
            "committed_usd_per_hour": hourly_usd * table["utilisation"][term],
            "break_even_weeks": table["weeks"][term],
            "saving_usd_per_week": saved[term],
            "pays": bool(table["weeks"][term] <= weeks),
        }
        for term in table.index
    ]
