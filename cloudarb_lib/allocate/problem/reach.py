"""Users in several places: how much of a workload must stand within reach of each set of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Workload
from cloudarb_lib.allocate.problem import place
from cloudarb_lib.tables.assumptions import Assumptions


class Reach(NamedTuple):
    """Users in one place or in any of several, and what can serve them."""

    name: str
    is_near: np.ndarray
    """Whether each assignment is within reach of any of them."""
    share: float
    """Of all users."""


def reaches(workload: Workload, mine: pd.DataFrame, assumptions: Assumptions) -> list[Reach]:
    """Return the sets of users each of which must find its share of a workload within reach.

    Work can be divided so that all users are served from near them if and only if any set of
    places finds within reach as much as its users need.

    Parameters
    ----------
    workload
        What they use.
    mine
        Its assignments with what their offers say.
    assumptions
        Where round trips come from.

    Returns
    -------
    list of Reach
        Nothing for a workload without shares of users. Of sets that the same machines can serve,
        the one with most users.

    References
    ----------
    Gale (1957), A theorem on flows in networks.
    """
    if not workload.latency or workload.latency[0].percent is None:
        return []
    near = place.within_reach(workload, mine, assumptions)
    largest: dict[bytes, Reach] = {}
    for places in _sets(len(near)):
        is_near = np.logical_or.reduce([near[number] for number in places])
        share = sum(workload.latency[number].percent or 0.0 for number in places) / 100
        key = is_near.tobytes()
        if key not in largest or largest[key].share < share:
            name = " or ".join(workload.latency[number].at for number in places)
            largest[key] = Reach(name, is_near, share)
    return list(largest.values())


def _sets(places: int) -> Iterator[tuple[int, ...]]:
    """Yield each set of some places, the small ones first."""
    for size in range(1, places + 1):
        yield from combinations(range(places), size)
