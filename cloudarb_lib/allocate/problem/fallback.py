"""What hours are expected to cost that are taken away from a plan, and bought elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.problem.eligible import EligibleOffers
from cloudarb_lib.allocate.problem.model import Consumption
from cloudarb_lib.market.disruptions import FALLBACKS, SHARED_SHARE, find_fallbacks
from cloudarb_lib.market.replacement import (
    DOWN,
    UP,
    WITHOUT_END,
    Room,
    chances_of_states,
    replace_lost,
)
from cloudarb_lib.tables.assumptions import Assumptions

COLUMNS = ("is_taken", *FALLBACKS, "replaced_share", "fallback_usd")
"""Columns of assignments about hours that are taken away."""


def fallbacks_of(
    details: pd.DataFrame, offers: EligibleOffers, assumptions: Assumptions, room: Room
) -> pd.DataFrame:
    """Return what replaces a unit of each assignment, and costs beyond the rent that it saves.

    As ``risk.plan_cost`` has it in expectation: a machine is down in a share of the hours that it
    is paid for; where all machines of its pool are, each of two on-demand offers that the workload
    accepts has room by chance; rent is saved in the hours that are replaced. How many GPUs these
    offers have beside what a plan holds, and what hours are worth that nothing replaces, is no part
    of it: a sum of counts knows neither.

    Parameters
    ----------
    details
        The assignments with ``workload``, ``offer``, ``hours``, ``price`` and ``chance``.
    offers
        With what each workload accepts, and what takes machines away.
    assumptions
        How many interruptions take all machines of a pool.
    room
        Offers of which it leaves not one machine replace nothing.

    Returns
    -------
    pd.DataFrame
        ``COLUMNS``: whether machines are taken away at all; the offers that replace them; the share
        of hours that these do, 0 where it would cost no more than the rent; USD by the probability
        of the case, 0 or more.
    """
    pairs = _by_workload_and_offer(offers, assumptions, room)
    of_pair = pd.MultiIndex.from_frame(details[["workload", "offer"]])
    found = pairs.reindex(of_pair).set_axis(details.index)
    found = found.fillna({"replaced_share": 0.0, "usd_per_hour": 0.0})
    instead_usd = found["usd_per_hour"] * details["chance"]
    extra_usd = instead_usd - details["price"] * found["replaced_share"]
    is_dearer = extra_usd > 0
    return found.assign(
        is_taken=found["is_taken"].eq(True),
        replaced_share=found["replaced_share"].where(is_dearer, 0.0),
        fallback_usd=extra_usd.where(is_dearer, 0.0) * details["hours"],
    )[list(COLUMNS)]


def _by_workload_and_offer(
    offers: EligibleOffers, assumptions: Assumptions, room: Room
) -> pd.DataFrame:
    """Return what replaces an hour of each offer that is taken away, by workload and offer.

    ``replaced_share`` and ``usd_per_hour`` are of all hours that are paid for.
    """
    is_taken = offers.hazard_per_h > 0
    full = room.without_a_machine(offers.table.set_index("offer_id")["gpu_count"])
    tables = []
    for workload, accepted in enumerate(offers.accepted):
        taken = accepted[is_taken[accepted]]
        table = offers.table.iloc[accepted]
        wanted = pd.Index(offers.table["offer_id"].iloc[taken])
        found = find_fallbacks(table, wanted, full=full)
        tables.append(found.assign(workload=workload, offer=taken))
    found = pd.concat(tables)
    hazards = offers.hazards.iloc[found["offer"]]
    often = hazards["interruption_per_hour"].to_numpy(float)
    down = np.minimum(often * hazards["outage_hours"].to_numpy(float), 1.0)
    shared = assumptions.get(SHARED_SHARE) if len(found) else 0.0
    chances = chances_of_states(shared, hazards["fallback_share"].to_numpy(float))
    states = np.array([UP, DOWN, DOWN + 1, DOWN + 2])[:, None]
    instead = replace_lost(found, np.ones(chances.shape), states, WITHOUT_END)
    return found.assign(
        is_taken=True,
        replaced_share=down * (chances * (1.0 - instead.unmet)).sum(axis=0),
        usd_per_hour=down * (chances * instead.cost_usd).sum(axis=0),
    ).set_index(["workload", "offer"])


def gpus_without_fallback(plan: Consumption) -> tuple[float, float]:
    """Return what becomes of a plan if all machines that may be taken away go at once.

    Parameters
    ----------
    plan
        Of a problem of ``build_problem``.

    Returns
    -------
    unmet, taken : float
        GPUs that find no room within capacity and quotas beside what the plan holds, and GPUs that
        go, in the period and future in which most find none.
    """
    problem = plan.problem
    details = problem.assignment_details.assign(
        machines=plan.counts * problem.assignments["instances"]
    )
    worst = (0.0, 0.0)
    for _, held in details[details["machines"] > 0].groupby("case"):
        gpus = held["machines"] * held["gpus"]
        room = problem.room.beside(gpus.groupby(held["offer_id"].to_numpy()).sum())
        gone = held[held["is_taken"]].set_index("offer_id").rename(columns={"gpus": "units"})
        table = gone.assign(**{f"{name}_usd_per_hour": 0.0 for name in FALLBACKS})
        lost = gone["machines"].to_numpy(float)[None]
        unmet = replace_lost(table, lost, np.full_like(lost, DOWN), room).unmet
        each = gone["units"].to_numpy(float)
        worst = max(worst, (float((unmet @ each)[0]), float(lost[0] @ each)))
    return worst
