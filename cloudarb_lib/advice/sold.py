"""Offers that advice may rest on: those known to be sold where they are priced."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cloudarb_lib.base.errors import ParameterError, did_you_mean
from cloudarb_lib.market import Market


def sold_offers(market: Market, terms: Sequence[str] = ()) -> pd.DataFrame:
    """Return the offers of a market that something says are sold.

    Parameters
    ----------
    terms
        Commitments that may be bought beside what is rented by the hour.

    Returns
    -------
    pd.DataFrame
        Table ``offers``, those with ``evidence``.

    Raises
    ------
    ParameterError
        Where nothing says of any offer that it is sold; it names the providers.
    """
    offers = market.offers
    known = offers["evidence"].notna() & offers["term"].isin(["", *terms])
    if not known.any():
        providers = ", ".join(sorted(market.sources["provider"].astype(str).unique()))
        raise ParameterError(
            f"nothing on record says that {providers} sells any machine where it is priced.",
            "Bring evidence (cloudarb ingest takes zone lists and offerings), "
            "or name a provider that has some.",
        )
    return offers[known]


def offers_of_machine(
    market: Market, machine: str, terms: Sequence[str] = ("1y", "3y")
) -> pd.DataFrame:
    """Return the offers of one machine: by the hour, and for ``terms``.

    Parameters
    ----------
    machine
        provider/region/instance type.

    Raises
    ------
    ParameterError
        Where the machine is not known, is priced but not known to be sold, or has no fresh price.
    """
    provider = machine.split("/")[0]
    states = market.states
    name = _machine_names(states)
    if not (name == machine).any():
        raise ParameterError(
            f"no machine {machine!r} on record{did_you_mean(machine, sorted(name.unique()))}.",
            "Write it as provider/region/instance type, such as gcp/us-central1/a3-highgpu-8g.",
        )
    offers = market.offers
    priced = offers[(_machine_names(offers) == machine) & offers["term"].isin(["", *terms])]
    if priced.empty:
        found = ", ".join(sorted(states.loc[name == machine, "state"].astype(str).unique()))
        raise ParameterError(
            f"{machine} is on record, but not offered on {market.as_of:%Y-%m-%d}: {found}.",
            "Choose another machine, or another as_of.",
        )
    sold = priced[priced["evidence"].notna()]
    if sold.empty:
        elsewhere = offers[offers["provider"].eq(provider) & offers["evidence"].notna()]
        what = f"nothing on record says that {machine} is sold"
        if elsewhere.empty:
            what = f"nothing on record says that {provider} sells any machine where it is priced"
        raise ParameterError(f"{what}.", "Choose a machine with evidence of sale, or bring some.")
    return sold


def _machine_names(offers: pd.DataFrame) -> pd.Series:
    """Return provider/region/instance type of each row."""
    parts = offers[["provider", "region", "instance_type"]].astype(str)
    return parts.agg("/".join, axis=1)
