"""Price paths of what a market offers."""

from __future__ import annotations

import pandas as pd

from cloudarb_lib import forecast, risk
from cloudarb_lib.base.types import Paths
from cloudarb_lib.market import Market
from cloudarb_lib.tables.assumptions import Assumptions


def sample_paths(
    market: Market,
    offer_ids: pd.Series | pd.Index,
    assumptions: Assumptions | None = None,
    *,
    freq: str | pd.Timedelta,
    horizon_steps: int,
    n_paths: int,
    seed: int,
) -> Paths | None:
    """Return paths of the mean price over each step of offers of a market, from what was known.

    Parameters
    ----------
    assumptions
        Forecast under these; without them the paths are drawn from the past.
    freq
        Step of the grid.

    Returns
    -------
    Paths or None
        None where there is no offer.
    """
    if not len(offer_ids):
        return None
    panel = market.panel(freq)
    now_usd_per_hour = pd.Series(panel.price[-1], panel.offers.index)
    if assumptions is not None:
        ahead = forecast.forecast_offers(
            panel,
            horizon_steps=horizon_steps,
            n_paths=n_paths,
            seed=seed,
            paths_for=pd.Index(offer_ids),
        )
        return risk.step_means(ahead.paths, now_usd_per_hour, seed=seed)
    paths, _ = risk.simulate_paths(
        panel.select(panel.offers.index.isin(offer_ids)),
        horizon_steps=horizon_steps,
        n_paths=n_paths,
        seed=seed,
        model="historical",
    )
    return risk.step_means(paths, now_usd_per_hour, seed=seed)
