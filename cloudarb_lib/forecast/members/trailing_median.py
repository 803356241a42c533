"""The price returns to where it has mostly been."""

from __future__ import annotations

from functools import partial

import numpy as np

from cloudarb_lib.forecast.features import WINDOWS_HOURLY, carry_forward
from cloudarb_lib.forecast.member import Member, MemberForecast
from cloudarb_lib.forecast.task import Task


def trailing_median(task: Task, *, cells: int) -> MemberForecast:
    """The price returns to its median of the last ``cells``: a spike ends, a new level stays."""
    level = carry_forward(task.log_price)
    medians = [np.median(level[max(at - cells + 1, 0) : at + 1], axis=0) for at in task.origins]
    change = np.nan_to_num(np.array(medians) - level[task.origins])
    return MemberForecast(np.repeat(change[..., None], task.horizon, axis=2))


MEMBERS = tuple(
    Member(f"median_{cells}", partial(trailing_median, cells=cells), place=50 + k)
    for k, cells in enumerate(WINDOWS_HOURLY)
)
