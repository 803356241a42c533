"""What a member of the ensemble is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cloudarb_lib.forecast.task import Task


def no_change(task: Task) -> np.ndarray:
    """Return the forecast that every price stays."""
    return np.zeros((len(task.origins), task.log_price.shape[1], task.horizon))


@dataclass(frozen=True)
class Member:
    """One way to forecast; ``testing.check_member`` says what it must hold to.

    Attributes
    ----------
    name : as it stands in tables ``weights`` and ``scores``.
    forecast : the median log change of a task's prices from each origin, (origins, series, steps
        ahead), always finite; at each origin it uses only cells up to it.
    slow : needs seconds, so it is left out where a forecast is made anew for every week of a
        look-back.
    other_process : works in another process, and is begun before the others.
    model_file : name of the file in which its last fit is kept, '' where it fits nothing.
    packages : distributions whose versions decide what it forecasts; a model that was kept under
        another version of one is refused.
    """

    name: str
    forecast: Callable[[Task], np.ndarray]
    slow: bool = False
    other_process: bool = False
    model_file: str = ""
    packages: tuple[str, ...] = ()
