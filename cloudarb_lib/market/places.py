"""Where offers lie: what is known of a provider's regions, and of the grid that feeds them."""

from __future__ import annotations

from functools import cache

import pandas as pd

from cloudarb_lib.base import locations

PLACE_COLUMNS = ["country", "union", "latitude", "longitude", "grid_gco2e_per_kwh"]
"""What ``with_places`` adds to offers."""
_KEY = ["provider", "region"]


@cache
def regions() -> pd.DataFrame:
    """Return data/regions.csv, read once: a plan asks for it with every workload.

    Returns
    -------
    pd.DataFrame
        ``provider``, ``region``, ``place``, ``country``, ``union``, ``latitude`` and ``longitude``
        (degrees). One object for all callers: copy it before a change.
    """
    return pd.read_csv(locations.data() / "regions.csv", keep_default_na=False)


@cache
def machines() -> pd.DataFrame:
    """Return data/instances.csv, read once: what providers say of their machines.

    Returns
    -------
    pd.DataFrame
        ``provider``, ``instance_type``, ``vcpus``, ``memory_gib``, ``gpu_model``, ``gpu_count``
        and ``gpu_memory_gib``. One object for all callers: copy it before a change.
    """
    return pd.read_csv(locations.data() / "instances.csv")


def with_places(offers: pd.DataFrame, grid_carbon: pd.DataFrame) -> pd.DataFrame:
    """Return offers with what is known of their region.

    Parameters
    ----------
    offers
        Rows with ``provider`` and ``region``.
    grid_carbon
        The stored table of that name.

    Returns
    -------
    pd.DataFrame
        ``offers`` in their order with ``PLACE_COLUMNS``; null where nothing is known.
    """
    known = regions().drop(columns="place")
    placed = offers.merge(known, how="left", on=_KEY)
    return placed.merge(grid_carbon[[*_KEY, "grid_gco2e_per_kwh"]], how="left", on=_KEY)
