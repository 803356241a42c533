"""Small fixed panels on which forecasters are compared: market prices by the hour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.types import Panel
from cloudarb_lib.base.units import parse_as_of, parse_freq
from cloudarb_lib.market.panel import cheapest, to_panel

AUCTIONS = "aws-spot-2015"
"""The record of the AWS spot auctions."""


def tick_panel(snapshot: Any, *, until: str, days: float) -> Panel:
    """Return hourly mean prices of the AWS spot auctions of 2015.

    Parameters
    ----------
    snapshot : Snapshot
        The price store.
    until : str
        Day at whose end (UTC) the panel ends.
    days : float
        How long it is.

    Raises
    ------
    DataError
        Where the store has none of these prices then.
    """
    events = snapshot.events(as_of=until)
    return _hourly(events[events["source"] == AUCTIONS], snapshot, until=until, days=days)


def market_panel(snapshot: Any, *, until: str, days: float) -> Panel:
    """Return hourly mean prices of GPU marketplaces: the lowest of each provider and GPU model.

    Parameters and errors are those of ``tick_panel``.
    """
    events = snapshot.events(as_of=until)
    of_markets = events["price_kind"].eq("market") & events["source"].ne(AUCTIONS)
    panel = _hourly(events[of_markets], snapshot, until=until, days=days)
    return cheapest(panel, ["provider", "gpu_model"])


def _hourly(events: pd.DataFrame, snapshot: Any, *, until: str, days: float) -> Panel:
    """Return the panel of some events; series without a price in its second half are left out."""
    if events.empty:
        raise DataError(
            f"the store has no such market prices by {until}.", "Use the bundled history."
        )
    end = parse_as_of(until).floor(parse_freq("1h"))
    looks = snapshot.looks(as_of=until)
    start = end - pd.Timedelta(days=days)
    panel = to_panel(events, looks, freq="1h", as_of=end, how="mean", start=start)
    is_priced = np.isfinite(panel.price[len(panel.times) // 2 :]).any(axis=0)
    return panel.select(is_priced)
