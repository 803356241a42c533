"""When a record was repriced, and since when prices have moved more than they used to."""

from __future__ import annotations

import numpy as np

from cloudarb_lib.forecast.drift import page_hinkley_alarms
from cloudarb_lib.forecast.features import price_steps, repricing_rate
from cloudarb_lib.forecast.task import Task

LONG_STEPS = 2
"""Steps ahead up to which a list's own outcomes come in time to judge forecasts and widths by."""


def repricings_so_far(task: Task) -> np.ndarray:
    """Return how many repricing events a list has had by each cell (times,)."""
    return np.cumsum(repricing_rate(task.price_steps, task.log_price)[0])


def repricings_since_alarm(task: Task) -> np.ndarray:
    """Return how many repricing events have come since ``last_alarm`` (times,); inf without one."""
    count = repricings_so_far(task)
    alarm = last_alarm(task)
    return np.where(alarm < 0, np.inf, count - count[alarm])


def last_alarm(task: Task) -> np.ndarray:
    """Return by each cell the last one at which the last value lost more than it used to.

    Over all series, and by the day where cells are shorter (Page-Hinkley, as in ``drift``).

    Returns
    -------
    (times,), positions; -1 without such an alarm.
    """
    observed = np.arange(task.cells_per_day - 1, len(task.log_price), task.cells_per_day)
    log_price = task.log_price[observed]
    copies = 1.0 if task.copies is None else task.copies
    offers = np.isfinite(log_price) * copies
    moved = (np.abs(price_steps(log_price)) * offers).sum(axis=1)
    is_alarm = page_hinkley_alarms(list(moved / np.maximum(offers.sum(axis=1), 1)))
    out = np.full(len(task.log_price), -1)
    out[observed[is_alarm]] = observed[is_alarm]
    return np.maximum.accumulate(out)
