"""What hours are expected to cost that are taken away from a plan, and bought elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.problem.eligible import EligibleOffers
from cloudarb_lib.market.disruptions import FALLBACKS, SHARED_SHARE, find_fallbacks
from cloudarb_lib.tables.assumptions import Assumptions


def fallback_usd(
    details: pd.DataFrame, offers: EligibleOffers, assumptions: Assumptions
) -> np.ndarray:
    """Return what a unit of each assignment costs in hours bought elsewhere, beyond its own rent.

    As ``risk.plan_cost`` has it in expectation: a machine is down in a share of the hours that it
    is paid for; where all machines of its pool are, each of two on-demand offers that the workload
    accepts has room by chance; rent is saved in the hours that are replaced. How many GPUs these
    offers have, and what hours are worth that nothing replaces, is no part of it.

    Parameters
    ----------
    details
        The assignments with ``workload``, ``offer``, ``hours``, ``price`` and ``chance``.
    offers
        With what each workload accepts, and what takes machines away.
    assumptions
        How many interruptions take all machines of a pool.

    Returns
    -------
    np.ndarray
        USD by the probability of the case, 0 or more, shape (assignments,).
    """
    hazards = offers.hazards
    often = hazards["interruption_per_hour"].to_numpy()
    if not often.any():
        return np.zeros(len(details))
    down = np.minimum(often * hazards["outage_hours"].to_numpy(), 1.0)
    shared = assumptions.get(SHARED_SHARE)
    room = hazards["fallback_share"].to_numpy()
    # a machine that goes alone leaves room where it was
    first_share = down * (1.0 - shared + shared * room)
    next_share = down * shared * (1.0 - room) * room
    offer = details["offer"].to_numpy()
    rent_usd = details["price"].to_numpy(float)
    chance = details["chance"].to_numpy(float)
    extra_usd = np.zeros(len(details))
    instead_usd = _instead_usd(details, offers)
    for share, usd in zip((first_share, next_share), instead_usd, strict=True):
        extra_usd += share[offer] * np.nan_to_num(usd * chance - rent_usd)
    return np.maximum(extra_usd, 0.0) * details["hours"].to_numpy(float)


def _instead_usd(details: pd.DataFrame, offers: EligibleOffers) -> np.ndarray:
    """Return what an hour costs at each fallback, NaN where there is none: (2, assignments)."""
    often = offers.hazards["interruption_per_hour"].to_numpy()
    by_number = np.full((len(FALLBACKS), len(offers.accepted), len(offers)), np.nan)
    for number, accepted in enumerate(offers.accepted):
        taken = accepted[often[accepted] > 0]
        table = offers.table.iloc[accepted]
        found = find_fallbacks(table, pd.Index(offers.table["offer_id"].iloc[taken]))
        for place, name in enumerate(FALLBACKS):
            by_number[place, number, taken] = found[f"{name}_usd_per_hour"].to_numpy(float)
    workload = details["workload"].to_numpy()  # of idle commitments -1: never taken away
    return by_number[:, workload, details["offer"].to_numpy()]
