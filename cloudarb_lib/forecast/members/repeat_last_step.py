"""The last step of a list price comes again."""

from __future__ import annotations

import numpy as np

from cloudarb_lib.forecast.features import last_step
from cloudarb_lib.forecast.member import Member, MemberForecast
from cloudarb_lib.forecast.task import Task


def repeat_last_step(task: Task) -> MemberForecast:
    """The last step comes again at each repricing event, as far apart as the last two steps."""
    last = last_step(task.price_steps)
    size = last.size[task.origins]
    age = last.age[task.origins]
    gap = last.gap[task.origins]
    ahead = np.arange(1, task.horizon + 1)
    events = (age[..., None] + ahead) // gap[..., None] - (age // gap)[..., None]
    return MemberForecast(np.nan_to_num(size[..., None] * events))


MEMBERS = (Member("repeat_last_step", repeat_last_step, place=10),)
