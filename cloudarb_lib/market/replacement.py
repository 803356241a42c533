"""What replaces machines that are taken away: the room that fallbacks have, shared by all of them.

Plans and risk pages weigh lost hours by the one function here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.market.disruptions import FALLBACKS

UP = 0
"""State of a pool."""
DOWN = 1
"""Taken away, and both fallbacks have room; one more for each fallback, in order, that has not."""
_NOTHING = 1e-9
"""Units of machines: less than this is a rounding error."""


def chances_of_states(shared: float | np.ndarray, room: np.ndarray) -> np.ndarray:
    """Return how likely it is, where a machine is gone, that its pool is in each state.

    Parameters
    ----------
    shared : float or np.ndarray of shape (offers,)
        Share of interruptions that take all machines of a pool; in the others it stays ``UP``.
    room : np.ndarray of shape (offers,)
        Share of outages in which a fallback has room.

    Returns
    -------
    np.ndarray of shape (4, offers)
        Of ``UP``, and of ``DOWN`` and the two above it; they add up to 1.
    """
    full = 1.0 - room
    alone = np.broadcast_to(1.0 - shared, len(room))
    return np.array([alone, shared * room, shared * full * room, shared * full * full])


@dataclass(frozen=True)
class Room:
    """What offers share the room of: pools of GPUs, and quotas.

    Parameters
    ----------
    units : np.ndarray of shape (resources,)
        GPUs that may be rented of each.
    offer_ids : pd.Index
        Of the offers.
    is_of : np.ndarray of shape (resources, offers)
        Whether an offer takes its GPUs from a resource. One that takes from none has no end.
    """

    units: np.ndarray
    offer_ids: pd.Index
    is_of: np.ndarray

    def of(self, offer_ids: pd.Index) -> np.ndarray:
        """Return which resources each of some offers takes from, (resources, offers)."""
        at = self.offer_ids.get_indexer(offer_ids)
        takes = np.zeros((len(self.units), len(at)), bool)
        takes[:, at >= 0] = self.is_of[:, at[at >= 0]]
        return takes

    def beside(self, held: pd.Series) -> Room:
        """Return what is left beside what is ``held`` of each offer, in units by offer_id.

        Less than nothing is left of a quota that lost machines themselves fill: they free it.
        """
        taken = self.of(held.index) @ held.to_numpy(float)
        return replace(self, units=self.units - taken)

    def without_a_machine(self, units_each: pd.Series) -> frozenset[str]:
        """Return the offers of which not one machine may be rented.

        ``units_each``: units of a machine, by offer_id.
        """
        least = np.where(self.is_of, self.units[:, None], np.inf).min(axis=0, initial=np.inf)
        is_less = least < units_each.reindex(self.offer_ids).to_numpy(float)
        return frozenset(self.offer_ids[is_less])


WITHOUT_END = Room(np.zeros(0), pd.Index([], dtype=object), np.zeros((0, 0), bool))
"""Room for all."""


class Replacement(NamedTuple):
    """What hours cost that could not be had, by combination of pools that are down.

    Parameters
    ----------
    lost : np.ndarray of shape (combinations, offers)
        Instance-hours lost in an hour.
    cost_usd : np.ndarray of shape (combinations, offers)
        What their replacement costs.
    unmet : np.ndarray of shape (combinations, offers)
        Instance-hours that nothing replaces.
    """

    lost: np.ndarray
    cost_usd: np.ndarray
    unmet: np.ndarray


def replace_lost(
    table: pd.DataFrame, lost: np.ndarray, state: np.ndarray, room: Room
) -> Replacement:
    """Return what instance-hours lost in an hour cost, by combination.

    Each offer asks its fallbacks in order. What fallbacks take of one pool or quota they take of
    the same room; those that ask for more of it than there is share it in proportion. Machines
    that are lost leave what they held of a quota.

    Parameters
    ----------
    table : pd.DataFrame
        A row per offer, indexed by offer_id, with the columns of ``find_fallbacks``.
    lost : np.ndarray of shape (combinations, offers)
        Instances.
    state : np.ndarray of shape (combinations, offers)
        Of the pool of each offer, ``UP`` where it has none.
    room : Room
        Beside what is held, lost machines included.

    Returns
    -------
    Replacement
    """
    units = table["units"].to_numpy(float)
    wanted = lost * units
    free = room.units + wanted @ room.of(table.index).T
    served = bought_in_order(table, wanted, state, room, free=np.maximum(free, 0.0))
    cost = np.zeros_like(wanted)
    left = wanted
    for name, each in zip(FALLBACKS, served, strict=True):
        price = np.nan_to_num(table[f"{name}_usd_per_hour"].to_numpy(float))
        cost += each * price / units
        left = left - each
    return Replacement(lost, cost, np.where(left > _NOTHING, left, 0.0) / units)


def bought_in_order(
    table: pd.DataFrame, wanted: np.ndarray, state: np.ndarray, room: Room, *, free: np.ndarray
) -> list[np.ndarray]:
    """Return how many of the units that offers want each of their fallbacks has room for.

    Parameters
    ----------
    table : pd.DataFrame
        A row per offer with the columns of ``find_fallbacks``.
    wanted : np.ndarray of shape (combinations, offers)
        Units.
    state : np.ndarray of shape (combinations, offers)
        As for ``replace_lost``.
    room : Room
        Which resources offers take from.
    free : np.ndarray of shape (combinations, resources)
        Units that are left of each.

    Returns
    -------
    list of np.ndarray of shape (combinations, offers)
        Units bought, one for each of ``FALLBACKS``.
    """
    left = wanted
    served = []
    for order, name in enumerate(FALLBACKS):
        has_room = (state == UP) | (state <= DOWN + order)
        asks = np.where(has_room & table[name].notna().to_numpy(), left, 0.0)
        takes = room.of(pd.Index(table[name]))
        served.append(_shared_out(asks, takes, free))
        free = free - served[-1] @ takes.T
        left = left - served[-1]
    return served


def _shared_out(asks: np.ndarray, takes: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return what is served of units that offers ask for at the same time.

    All that ask are served alike until a resource of theirs is used up; the others go on.

    Parameters
    ----------
    asks : np.ndarray of shape (combinations, offers)
        Units.
    takes : np.ndarray of shape (resources, offers)
        Which resources each offer's fallback takes from.
    free : np.ndarray of shape (combinations, resources)
        Units.

    References
    ----------
    Bertsekas and Gallager (1992), Data Networks, section 6.5.2: progressive filling.
    """
    served = np.zeros_like(asks)
    for _ in range(len(takes) + 1):  # each round uses up a resource, or serves all
        left = free - served @ takes.T
        is_stopped = (left <= _NOTHING) @ takes
        wants = np.where(is_stopped, 0.0, asks - served)
        if not (wants > _NOTHING).any():
            break
        share = left / np.maximum(wants @ takes.T, _NOTHING)
        least = np.ones_like(asks)
        for resource, is_taken in enumerate(takes):
            least[:, is_taken] = np.minimum(least[:, is_taken], share[:, [resource]])
        served += wants * np.maximum(least, 0.0)
    return served
