"""Work beyond a plan: what is bought on demand for it, in the room beside the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cloudarb_lib.market.disruptions import FALLBACKS
from cloudarb_lib.market.replacement import UP, Room, bought_in_order
from cloudarb_lib.risk.inputs import RiskInputs


@dataclass(frozen=True)
class Beyond:
    """Machines bought on demand for work beyond the plan, all the time.

    Parameters
    ----------
    at_own_price : np.ndarray of shape (offers,)
        Machines bought at the offer itself.
    elsewhere_usd_per_hour : np.ndarray of shape (offers,)
        What those bought at its fallbacks cost.
    unmet : np.ndarray of shape (offers,)
        Machines that find no room.
    room : Room
        What is left beside the plan and all these.
    """

    at_own_price: np.ndarray
    elsewhere_usd_per_hour: np.ndarray
    unmet: np.ndarray
    room: Room


def beyond_plan(inputs: RiskInputs, table: pd.DataFrame, demand_factor: float) -> Beyond:
    """Return what work beyond the plan buys, within the room that there is beside the plan.

    An on-demand offer that can be had is asked first itself, then its first fallback; the others
    ask their fallbacks.

    Parameters
    ----------
    inputs : RiskInputs
        How long the plan is, and the room with nothing held.
    table : pd.DataFrame
        ``PlanCost.table`` with ``available_share``.
    demand_factor : float
        1 or more: so many times the machines of the plan are needed.
    """
    machines = table["instance_hours"].to_numpy(float) / inputs.horizon_h
    units = table["units"].to_numpy(float)
    room = inputs.room.beside(machines * table["units"])
    is_on_demand = (table["purchase_option"] == "on_demand").to_numpy()
    asks_itself = is_on_demand & (table["available_share"] == 1.0).to_numpy()
    asked = table.assign(
        fallback=np.where(asks_itself, table.index, table["fallback"]),
        next_fallback=np.where(asks_itself, table["fallback"], table["next_fallback"]),
    )
    wanted = (demand_factor - 1.0) * machines * units
    every_place = np.full((1, len(table)), UP)
    free = np.maximum(room.units, 0.0)[None]
    first, last = bought_in_order(asked, wanted[None], every_place, room, free=free)
    taken = sum(
        (bought @ room.of(pd.Index(asked[name])).T)[0]
        for name, bought in zip(FALLBACKS, (first, last), strict=True)
    )
    first_machines = first[0] / units
    last_machines = last[0] / units
    fallback_usd = np.nan_to_num(table["fallback_usd_per_hour"].to_numpy(float))
    next_usd = np.nan_to_num(table["next_fallback_usd_per_hour"].to_numpy(float))
    at_fallback = np.where(asks_itself, last_machines, first_machines)
    at_next = np.where(asks_itself, 0.0, last_machines)
    return Beyond(
        at_own_price=np.where(asks_itself, first_machines, 0.0),
        elsewhere_usd_per_hour=at_fallback * fallback_usd + at_next * next_usd,
        unmet=wanted / units - first_machines - last_machines,
        room=replace(room, units=room.units - taken),
    )
