"""What hours that cannot be had are bought at: the fallbacks, each with the room it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.allocate import HELD, Quota
from cloudarb_lib.allocate.problem.scope import is_named
from cloudarb_lib.market.disruptions import FALLBACKS
from cloudarb_lib.risk.outages import DOWN, UP
from cloudarb_lib.tables.assumptions import Assumptions


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


def room_of(
    fallbacks: pd.Index,
    offers: pd.DataFrame,
    held: pd.Series,
    assumptions: Assumptions,
    quotas: Sequence[Quota] = (),
) -> np.ndarray:
    """Return how many units each fallback has room for beside what the plan holds of it.

    Parameters
    ----------
    fallbacks : pd.Index
        Values of offer_id.
    offers : pd.DataFrame
        As in ``RiskInputs``, indexed by offer_id.
    held : pd.Series
        Units of each offer of the plan.
    assumptions : Assumptions
        ``capacity_gpus/on_demand``, of a GPU model in a region.
    quotas : sequence of Quota
        GPUs of all offers named together, in place of what is assumed of them. Each fallback may
        take what the plan leaves of the least of its quotas.

    Returns
    -------
    np.ndarray of shape (fallbacks,)
        GPUs; infinite without a GPU.
    """
    models = offers["gpu_model"].reindex(fallbacks)
    assumed = [
        np.inf
        if pd.isna(model)
        else assumptions.get(f"capacity_gpus/on_demand/{model}", "capacity_gpus/on_demand")
        for model in models
    ]
    room = np.array(assumed) - held.reindex(fallbacks).fillna(0.0).to_numpy()
    under_quota = np.full(len(fallbacks), np.inf)
    for quota in quotas:
        named = offers.index[is_named(quota, offers)]
        rented = named[~named.str.endswith(HELD)]
        left = quota.gpus - held.reindex(rented).fillna(0.0).sum()
        is_of_it = fallbacks.isin(named)
        under_quota[is_of_it] = np.minimum(under_quota[is_of_it], left)
    return np.maximum(np.where(np.isfinite(under_quota), under_quota, room), 0.0)


def replace_lost(
    table: pd.DataFrame, lost: np.ndarray, state: np.ndarray, room: pd.Series
) -> Replacement:
    """Return what instance-hours lost in an hour cost, by combination.

    Each offer asks its fallbacks in order; those that ask one at the same time share its room in
    proportion.

    Parameters
    ----------
    table : pd.DataFrame
        A row per offer, with the columns of ``find_fallbacks``.
    lost : np.ndarray of shape (combinations, offers)
        Instances.
    state : np.ndarray of shape (combinations, offers)
        Of the pool of each offer, ``UP`` where it has none.
    room : pd.Series
        Units by offer_id of the fallbacks.

    Returns
    -------
    Replacement
    """
    units = table["units"].to_numpy()
    left = lost * units
    cost = np.zeros_like(lost)
    free = np.tile([*room.to_numpy(float), 0.0], (len(lost), 1))  # last, none at all
    for order, name in enumerate(FALLBACKS):
        target = room.index.get_indexer(pd.Index(table[name]))
        has_room = (state == UP) | (state <= DOWN + order)
        asks = np.where(has_room & (target >= 0), left, 0.0)
        asked = asks @ np.eye(len(room) + 1)[target]
        share = np.minimum(free / np.maximum(asked, 1e-12), 1.0)
        served = asks * share[:, target]
        free = free - np.minimum(asked, free)
        price = np.nan_to_num(table[f"{name}_usd_per_hour"].to_numpy(float))
        cost += served * price / units
        left = left - served
    return Replacement(lost, cost, np.where(left > 1e-9, left, 0.0) / units)
