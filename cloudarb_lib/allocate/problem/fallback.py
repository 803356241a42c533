"""What hours are expected to cost that are taken away from a plan, and bought elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.problem.eligible import EligibleOffers
from cloudarb_lib.allocate.problem.model import Consumption
from cloudarb_lib.market.disruptions import FALLBACKS, SHARED_SHARE, find_fallbacks, pools_of
from cloudarb_lib.market.replacement import (
    DOWN,
    UP,
    WITHOUT_END,
    Room,
    chances_of_states,
    replace_lost,
)
from cloudarb_lib.tables.assumptions import Assumptions

_HOW_TAKEN = ("taken_pool", "down_share", "shared_share", "fallback_share")
"""Which machines go together; the share of hours in which a machine is gone, the share of these in
which all of its pool are, and the share of those in which a fallback has room."""
COLUMNS = (
    "is_taken",
    *FALLBACKS,
    *(f"{name}_usd_per_hour" for name in FALLBACKS),
    *_HOW_TAKEN,
    "replaced_share",
    "fallback_usd",
)
"""Columns of assignments about hours that are taken away."""
MOST_POOLS = 6
"""Of so many pools all combinations of states are weighed, 4,096; of more each pool by itself."""


def fallbacks_of(
    details: pd.DataFrame, offers: EligibleOffers, assumptions: Assumptions, room: Room
) -> pd.DataFrame:
    """Return what replaces a unit of each assignment, and costs beyond the rent that it saves.

    As ``risk.plan_cost`` has it in expectation: a machine is down in a share of the hours that it
    is paid for; where all machines of its pool are, each of two on-demand offers that the workload
    accepts has room by chance; rent is saved in the hours that are replaced. How many GPUs these
    offers have beside what a plan holds is no part of it, since a sum of counts does not know it:
    hours that find no room are counted as bought, which stands for their worth, and
    ``not_replaced`` tells of them.

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
        ``COLUMNS``: whether machines are taken away at all; the offers that replace them and what
        an hour costs there, USD; how they are taken; the share of hours that these replace, 0
        where it would cost no more than the rent; USD by the probability of the case, 0 or more.
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
        taken_pool=_pools(offers)[found["offer"]],
        down_share=down,
        shared_share=shared,
        fallback_share=hazards["fallback_share"].to_numpy(float),
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
    worst = (0.0, 0.0)
    for gone, room in _taken_in_each_case(plan):
        lost = gone["machines"].to_numpy(float)[None]
        unmet = replace_lost(gone, lost, np.full_like(lost, DOWN), room).unmet
        each = gone["units"].to_numpy(float)
        worst = max(worst, (float((unmet @ each)[0]), float(lost[0] @ each)))
    return worst


def _pools(offers: EligibleOffers) -> np.ndarray:
    """Return the code of the pool that each offer is taken away with."""
    table = offers.table.assign(zone=offers.table.get("zone", ""))
    return pools_of(table.join(offers.hazards))


class NotReplaced(NamedTuple):
    """What a plan is expected not to serve of the hours in which its machines are taken away.

    GPU-hours taken away, and of these those that nothing replaces; USD that the plan's cost counts
    for hours bought elsewhere that find no room there. All by the probability of their case.
    """

    taken_gpu_hours: float
    gpu_hours: float
    counted_usd: float


def not_replaced(plan: Consumption) -> NotReplaced:
    """Return what a plan is expected not to serve, as the risk pages draw it.

    Pools are gone independently of each other. Of more than ``MOST_POOLS`` each is weighed
    as if the others stood.

    Parameters
    ----------
    plan
        Of a problem of ``build_problem``.
    """
    total = np.zeros(len(NotReplaced._fields))
    for gone, room in _taken_in_each_case(plan):
        total += _not_replaced_in_case(gone, room)
    return NotReplaced(*map(float, total))


def _taken_in_each_case(plan: Consumption) -> Iterator[tuple[pd.DataFrame, Room]]:
    """Yield what of a plan may be taken away, and the room beside the plan, in each of its cases.

    A row per assignment, by offer_id, with ``machines``, the ``units`` (GPUs) and ``hours_each`` of
    one, and ``COLUMNS``.
    """
    problem = plan.problem
    details = problem.assignment_details.assign(
        machines=plan.counts * problem.assignments["instances"],
        hours_each=problem.assignments["hours"] / problem.assignments["instances"],
    )
    for _, held in details[details["machines"] > 0].groupby("case"):
        gpus = held["machines"] * held["gpus"]
        room = problem.room.beside(gpus.groupby(held["offer_id"].to_numpy()).sum())
        gone = held[held["is_taken"]].set_index("offer_id").rename(columns={"gpus": "units"})
        if len(gone):
            yield gone, room


def _not_replaced_in_case(gone: pd.DataFrame, room: Room) -> np.ndarray:
    """Return the fields of ``NotReplaced`` in a case of machines that may be taken away, (3,)."""
    lost, state, weight = _what_goes(gone)
    hours = gone["hours_each"].to_numpy(float) * gone["chance"].to_numpy(float) * weight
    gpu_hours = hours * gone["units"].to_numpy(float)
    within, without_end = (replace_lost(gone, lost, state, each) for each in (room, WITHOUT_END))
    is_counted = gone["replaced_share"].to_numpy(float) > 0
    counted_usd = hours * (without_end.cost_usd - within.cost_usd) * is_counted
    return np.array(
        [(gpu_hours * within.lost).sum(), (gpu_hours * within.unmet).sum(), counted_usd.sum()]
    )


def _what_goes(gone: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return machines lost, states of their pools and how often, each (combinations, offers).

    A combination is of states of all pools, or a machine that goes alone; how often it comes is a
    share of hours, times the machines that go alone.
    """
    machines = gone["machines"].to_numpy(float)
    shared = gone["shared_share"].to_numpy(float)
    room_share = gone["fallback_share"].to_numpy(float)
    chances = gone["down_share"].to_numpy(float) * chances_of_states(shared, room_share)
    _, first, pool = np.unique(gone["taken_pool"], return_index=True, return_inverse=True)
    state_of_pool, chance = _combinations(chances[1:, first])
    state = state_of_pool[:, pool]
    weight = np.repeat(chance[:, None], len(gone), axis=1)
    alone = np.diag(np.minimum(machines, 1.0))
    return (
        np.vstack([np.where(state == UP, 0.0, machines), alone]),
        np.vstack([state, np.full_like(alone, UP)]),
        np.vstack([weight, np.diag(chances[0] * np.maximum(machines, 1.0))]),
    )


def _combinations(chances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return combinations of states of pools, (combinations, pools), and how likely each is.

    ``chances`` (3, pools) are those of ``DOWN`` and the two states above it.
    """
    pools = chances.shape[1]
    of_each = np.vstack([1.0 - chances.sum(axis=0), chances])
    if pools <= MOST_POOLS:
        states = np.array(list(product(range(len(of_each)), repeat=pools)))
        return states, of_each[states, np.arange(pools)].prod(axis=1)
    states = np.vstack([down * np.eye(pools, dtype=int) for down in range(DOWN, len(of_each))])
    return states, chances.ravel()
