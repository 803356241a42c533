"""How often the offers of marketplaces were on sale."""

from __future__ import annotations

import pandas as pd

from cloudarb_lib.base.units import parse_as_of
from cloudarb_lib.market.panel import to_panel


def availability(
    events: pd.DataFrame, looks: pd.DataFrame, *, as_of: object, freq: str = "6h"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return how often each marketplace offer was on sale, and the share of time in each cell.

    Marketplaces are the sources that tell how many offers were on sale. The record runs from
    the first to the last observation of them; what was not listed then was not on sale.

    Parameters
    ----------
    events, looks
        Price events and observations of all sources, as a snapshot of the store returns them.
    freq
        Width of a cell.

    Returns
    -------
    table
        A row per offer, the steadiest first: provider, offer (machine name), gpu_model,
        on_sale_pct, offers_on_sale (mean count while on sale).
    share
        Share of time on sale (0 to 1), times x offers in the order of the table. Both are empty
        where no marketplace is on record at ``as_of``.
    """
    end = parse_as_of(as_of)
    counted = events["offer_count"].notna() & (events["observed_at"] <= end)
    marketplaces = events.loc[counted, "source"].unique()
    observed = looks[looks["source"].isin(marketplaces) & (looks["looked_at"] <= end)]
    if observed.empty:
        return pd.DataFrame(columns=["provider", "offer", "on_sale_pct"]), pd.DataFrame()
    # The count of offers takes the place of the price, so that its mean is weighted by time.
    counts = events[events["source"].isin(marketplaces)]
    counts = counts.assign(price_usd_per_hour=counts["offer_count"].astype(float))
    first = observed["looked_at"].min()
    last = observed["looked_at"].max()
    cells = to_panel(counts, observed, freq=freq, as_of=last, start=first, how="mean")
    share = cells.frame("available").fillna(0.0)
    table = cells.offers[["provider", "instance_type", "gpu_model"]].rename(
        columns={"instance_type": "offer"}
    )
    table["on_sale_pct"] = 100 * share.sum() * (cells.step / (last - first))
    table["offers_on_sale"] = (cells.frame() * share).sum() / share.sum()
    table = table.sort_values("on_sale_pct", ascending=False, kind="stable")
    share = share[cells.times - cells.step >= first]  # the first cell may begin before the record
    return table.reset_index(drop=True), share[table.index]
