"""A trend that tires."""

from __future__ import annotations

import numpy as np

from cloudarb_lib.forecast.features import carry_forward
from cloudarb_lib.forecast.member import Member, MemberForecast
from cloudarb_lib.forecast.task import Task

LEVEL_SHARE = 0.99
TREND_SHARE = 0.12
DAMPING = 0.95
LEAST_CELLS = 3


def damped_trend(task: Task) -> MemberForecast:
    """Holt's linear method with a damped trend, by statsmodels.

    Smoothing constants are fixed: one pass over a series gives the trend that stood at every
    origin.

    References
    ----------
    Gardner and McKenzie, Management Science 31, 1985.
    """
    from statsmodels.tsa.holtwinters import Holt

    level = carry_forward(task.log_price)
    trend = np.zeros((len(task.origins), level.shape[1]))
    start = {"initialization_method": "known", "initial_level": 0.0, "initial_trend": 0.0}
    for series in range(level.shape[1]):
        first = len(level) - int(np.isfinite(level[:, series]).sum())
        y = level[first:, series]
        if len(y) < LEAST_CELLS or np.ptp(y) == 0:
            continue
        model = Holt(y - y[0], damped_trend=True, **start)
        fit = model.fit(LEVEL_SHARE, TREND_SHARE, damping_trend=DAMPING, optimized=False)
        inside = task.origins >= first
        trend[inside, series] = fit.trend[task.origins[inside] - first]
    return MemberForecast(trend[..., None] * np.cumsum(DAMPING ** np.arange(1, task.horizon + 1)))


MEMBERS = (Member("damped_trend", damped_trend, place=20, packages=("statsmodels",)),)
