"""How far equivalent offers lie apart, and how long who chose the cheapest keeps the saving."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.base.types import Panel
from cloudarb_lib.market.explore.words import STEP_PCT, per_gpu, with_gpus

COLUMNS = (
    "gpu_model",
    "option",
    "sites",
    "cheapest_site",
    "cheapest",
    "next_site",
    "next",
    "median",
    "saving_next_pct",
    "saving_median_pct",
    "held_days",
    "kept_pct",
    "observed_at",
)
"""Of ``spreads``."""


def spreads(panel: Panel, *, horizon_steps: int) -> pd.DataFrame:
    """Return the spread between equivalent offers at the end of the panel, and how it lasts.

    Equivalent are offers of one GPU model and option; a site (provider and region) stands for
    its cheapest.

    Returns
    -------
    pd.DataFrame
        A row per gpu_model and option that two or more sites sell: sites, cheapest_site and
        observed_at, when its price was last observed; next_site; cheapest, next and median over
        sites (USD per GPU-hour); saving_next_pct and saving_median_pct (the cheapest below each);
        held_days for which the cheapest site has been within a step (0.5 %) of the lowest price;
        kept_pct, how much of the saving against the median was left on average ``horizon_steps``
        later to who had gone to the cheapest (NaN: no record).
    """
    gpus = with_gpus(panel)
    prices = per_gpu(gpus)
    observed_at = pd.Series(gpus.offers["observed_at"].array, prices.columns)
    lowest = prices.T.groupby(level=["gpu_model", "option", "site"]).min()
    keys = ["gpu_model", "option", "site"]
    observed = observed_at.groupby(level=keys).min().rename("observed_at").reset_index()
    rows = []
    for (gpu_model, option), found in lowest.groupby(level=["gpu_model", "option"]):
        sites = found.droplevel(["gpu_model", "option"]).T
        spread = _spread(sites, horizon_steps, step=panel.step)
        if spread:
            rows.append({"gpu_model": gpu_model, "option": option, **spread})
    if not rows:
        return pd.DataFrame(columns=list(COLUMNS))
    of_cheapest = observed.rename(columns={"site": "cheapest_site"})
    return pd.DataFrame(rows).merge(of_cheapest, "left", ["gpu_model", "option", "cheapest_site"])


def _spread(sites: pd.DataFrame, horizon_steps: int, *, step: pd.Timedelta) -> dict[str, object]:
    """Return the spread over sites of equal offers, times x sites; empty below two sites."""
    now = sites.iloc[-1].dropna().sort_values(kind="stable")
    if len(now) < 2:
        return {}
    cheapest = now.iloc[0]
    second = now.iloc[1]
    median = float(now.median())
    leads = sites[now.index[0]] <= sites.min(axis=1) * (1 + STEP_PCT / 100)
    steps_led = float(np.cumprod(leads[::-1]).sum())
    return {
        "sites": len(now),
        "cheapest_site": now.index[0],
        "cheapest": cheapest,
        "next_site": now.index[1],
        "next": second,
        "median": median,
        "saving_next_pct": 100 * (1 - cheapest / second),
        "saving_median_pct": 100 * (1 - cheapest / median),
        "held_days": steps_led * (step / pd.Timedelta(days=1)),
        "kept_pct": saving_kept_pct(sites.to_numpy(), horizon_steps),
    }


def saving_kept_pct(prices: np.ndarray, horizon_steps: int) -> float:
    """Return the saving left after the horizon as a share (%) of the saving at the choice.

    Parameters
    ----------
    prices
        Times x sites, NaN where not on sale. Wherever two sites sell, the cheapest is chosen; its
        saving is against the median site, then and ``horizon_steps`` later.

    Returns
    -------
    float
        Below 0 where the chosen site turned dearer than the median; NaN where nothing was saved.
    """
    at = np.flatnonzero((~np.isnan(prices[:-horizon_steps])).sum(axis=1) >= 2)
    chosen = np.nanargmin(prices[at], axis=1)
    still_sold = ~np.isnan(prices[at + horizon_steps, chosen])
    at = at[still_sold]
    chosen = chosen[still_sold]
    later = at + horizon_steps
    saved = np.nanmedian(prices[at], axis=1) - prices[at, chosen]
    left = np.nanmedian(prices[later], axis=1) - prices[later, chosen]
    return float(100 * left.sum() / saved.sum()) if saved.sum() > 0 else np.nan
