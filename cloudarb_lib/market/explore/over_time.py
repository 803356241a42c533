"""How prices stood and how far they moved, on a panel."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import STATE_NOT_LOOKED, Panel
from cloudarb_lib.market.explore.words import QUANTILES, STEP_PCT, per_gpu, with_gpus


def price_history(
    panel: Panel, option: str, *, by: Literal["gpu_model", "site"] = "gpu_model"
) -> pd.DataFrame:
    """Return the median price on one option over time, USD per GPU-hour, times x GPU models.

    The median is over the offers on sale at each time, so new regions can shift it. ``by`` sites it
    is that of each place.
    """
    prices = per_gpu(with_gpus(panel)).T
    chosen = prices[prices.index.get_level_values("option") == option]
    return chosen.groupby(level=by).median().T.dropna(how="all")


def volatility(panel: Panel, *, horizon_steps: int, window: str = "364D") -> pd.DataFrame:
    """Return how far prices moved over the horizon, by GPU model and option.

    Prices are compared as they stood, ``horizon_steps`` cells apart; nothing is scaled by the
    square root of time, so between two repricing events of a list there is no volatility.

    Parameters
    ----------
    window
        Spans overlap and end in this much of the record, in a cell somebody looked at.

    Returns
    -------
    pd.DataFrame
        A row per gpu_model and option: spans; calm_step_pct, calm_pct (share of moves under 0.5 %
        over a step, over the horizon); rms_pct (root mean square of the log change); low_pct,
        median_pct, high_pct (5, 50, 95 % quantiles).

    Raises
    ------
    ParameterError
        Where the panel is shorter than the horizon.
    """
    if not 1 <= horizon_steps < max(len(panel.times), 2):
        what = f"horizon_steps {horizon_steps} does not fit a panel of {len(panel.times)} steps."
        raise ParameterError(what, "Take a longer panel or a shorter horizon.")
    gpus = with_gpus(panel)
    log_price = per_gpu(gpus).apply(np.log)
    before_window = gpus.times <= gpus.times[-1:].max() - pd.Timedelta(window)
    left_out = (gpus.state == STATE_NOT_LOOKED) | before_window[:, None]
    over_step = log_price.diff(1).mask(left_out).T.stack()
    over_horizon = log_price.diff(horizon_steps).mask(left_out).T.stack()
    keys = ["gpu_model", "option"]
    calm = np.log1p(STEP_PCT / 100)
    changes = over_horizon.groupby(level=keys)
    columns = {
        "spans": changes.size(),
        "calm_step_pct": 100 * (over_step.abs() < calm).groupby(level=keys).mean(),
        "calm_pct": 100 * (over_horizon.abs() < calm).groupby(level=keys).mean(),
        "rms_pct": 100 * np.sqrt((over_horizon**2).groupby(level=keys).mean()),
    }
    for name, share in QUANTILES.items():
        columns[name] = 100 * np.expm1(changes.quantile(share))
    return pd.DataFrame(columns).dropna(subset="spans").reset_index()
