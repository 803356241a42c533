"""The offers of one machine."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cloudarb_lib.base.errors import ParameterError, did_you_mean
from cloudarb_lib.market import Market


def offers_of_machine(market: Market, machine: str, terms: Sequence[str]) -> pd.DataFrame:
    """Return the offers of one machine: by the hour, and for ``terms``.

    Parameters
    ----------
    machine
        provider/region/instance type.

    Raises
    ------
    ParameterError
        Where the machine is not known, or is not offered: it says why.
    """
    states = market.states
    name = _machine_names(states)
    if not (name == machine).any():
        raise ParameterError(
            f"no machine {machine!r} on record{did_you_mean(machine, sorted(name.unique()))}.",
            "Write it as provider/region/instance type, such as gcp/us-central1/a3-highgpu-8g.",
        )
    offers = market.offers
    offered = offers[(_machine_names(offers) == machine) & offers["term"].isin(["", *terms])]
    if offered.empty:
        found = states[name == machine].sort_values("observed_at").iloc[-1]
        raise ParameterError(
            f"{machine} is on record, but not offered on {market.as_of:%Y-%m-%d}: "
            f"{found['reason']}.",
            "Choose another machine or another as_of, bring evidence that it is sold, or take what "
            "is listed too (--listed-too).",
        )
    return offered


def _machine_names(offers: pd.DataFrame) -> pd.Series:
    """Return provider/region/instance type of each row."""
    parts = offers[["provider", "region", "instance_type"]].astype(str)
    return parts.agg("/".join, axis=1)
