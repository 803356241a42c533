"""The steps of late go on."""

from __future__ import annotations

from functools import partial

import numpy as np

from cloudarb_lib.forecast.features import CAP_LOG
from cloudarb_lib.forecast.member import Member, MemberForecast
from cloudarb_lib.forecast.task import Task

CELLS = (8, 13, 26)


def momentum(task: Task, *, cells: int) -> MemberForecast:
    """The capped steps of the last ``cells`` go on at their mean rate.

    Repricing moves a price to its target in capped steps, so most have the sign of the one before.
    """
    level = np.cumsum(np.clip(task.price_steps, -CAP_LOG, CAP_LOG), axis=0)
    start = task.origins - cells
    before = np.where(start >= 0, level[np.maximum(start, 0)].T, 0.0).T
    rate = (level[task.origins] - before) / cells
    return MemberForecast(rate[..., None] * np.arange(1, task.horizon + 1))


MEMBERS = tuple(
    Member(f"momentum_{cells}", partial(momentum, cells=cells), place=30 + k)
    for k, cells in enumerate(CELLS)
)
