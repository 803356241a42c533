"""The room that capacity and quotas leave to on-demand machines that replace others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Quota
from cloudarb_lib.allocate.problem.held import HELD
from cloudarb_lib.allocate.problem.scope import is_named
from cloudarb_lib.allocate.problem.slots import Pools
from cloudarb_lib.market.replacement import WITHOUT_END, Room
from cloudarb_lib.tables.assumptions import Assumptions


def room_of(offers: pd.DataFrame, assumptions: Assumptions, quotas: Sequence[Quota] = ()) -> Room:
    """Return what on-demand offers share the room of, with nothing held.

    Parameters
    ----------
    offers : pd.DataFrame
        Table ``offers``; nothing counts its machines where it has no ``offer_count``.
    assumptions : Assumptions
        Capacity of the pools.
    quotas : sequence of Quota
        GPUs of all offers named together, in place of what is assumed of them, beside machines
        held by contract.

    Returns
    -------
    Room
        Pools of GPUs that no quota names, then quotas. Machines without a GPU have no end.
    """
    offers = offers[offers["gpu_model"].notna()].reset_index(drop=True)
    offer_ids = pd.Index(offers["offer_id"])
    is_contract = offer_ids.astype(str).str.endswith(HELD)
    named = [is_named(quota, offers) & ~is_contract for quota in quotas]
    on_demand = offers[offers["purchase_option"] == "on_demand"]
    if on_demand.empty:
        return WITHOUT_END
    has_quota = np.logical_or.reduce([np.zeros(len(offers), bool), *named])
    pools = Pools.of(
        on_demand.assign(held=np.nan, offer_count=on_demand.get("offer_count", np.nan)),
        assumptions,
        has_quota[on_demand.index],
    )
    in_pool = np.zeros((len(pools.names), len(offers)), bool)
    in_pool[pools.of_offer, on_demand.index] = True
    has_end = np.isfinite(pools.capacity)
    return Room(
        units=np.array([*pools.capacity[has_end], *(quota.gpus for quota in quotas)], float),
        offer_ids=offer_ids,
        is_of=np.vstack([in_pool[has_end], *named]),
    )
