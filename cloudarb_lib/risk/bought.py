"""Commitments that a plan buys, where it is made anew: they are held by then, and part of quotas.

They are paid whatever comes. A new plan uses them first where all their hours can be had.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.allocate.problem.held import HELD, held_offer_id
from cloudarb_lib.allocate.problem.scope import is_named
from cloudarb_lib.risk.futures import scenarios_of


def is_bought(plan: pd.DataFrame) -> pd.Series:
    """Return which rows of a plan are commitments that it buys, unlike those held already."""
    offer_id = plan["offer_id"].astype(str)
    return offer_id.str.contains("/reserved/") & ~offer_id.str.endswith(HELD)


def commitments_bought(plan: pd.DataFrame, offers: pd.DataFrame) -> pd.DataFrame:
    """Return the offers of the commitments that a plan buys.

    Parameters
    ----------
    plan : pd.DataFrame
        Table ``plan``.
    offers : pd.DataFrame
        Table ``offers``.

    Returns
    -------
    pd.DataFrame
        Rows of ``offers``, indexed by offer_id, with ``machine``, as a demand names what is held,
        and ``instances``, as many in each period and future.
    """
    rows = plan[is_bought(plan)]
    case = [scenarios_of(rows), rows["period"], rows["offer_id"].astype(str)]
    in_each_case = rows.groupby(case)["instances"].sum()
    instances = in_each_case.groupby(level=-1).max()
    bought = offers.set_index("offer_id", drop=False).loc[instances.index]
    machine = bought["provider"] + "/" + bought["region"] + "/" + bought["instance_type"]
    return bought.assign(machine=machine, instances=instances)


def that_can_be_held(
    bought: pd.DataFrame, demand: allocate.Demand, available_share: pd.Series
) -> pd.DataFrame:
    """Return the commitments bought that a new plan can use as it uses what is held.

    Parameters
    ----------
    bought : pd.DataFrame
        As of ``commitments_bought``.
    demand : Demand
        What is held beside them. Two commitments of one machine have one name in a plan, so none of
        them is used.
    available_share : pd.Series
        By offer_id, the share of its hours that an offer has; one short of hours is not used.
    """
    machine = bought["machine"]
    is_alone = ~machine.duplicated(keep=False)
    is_alone &= ~machine.isin([commitment.machine for commitment in demand.commitments])
    return bought[is_alone & available_share[bought.index].eq(1.0)]


def with_bought(
    demand: allocate.Demand, bought: pd.DataFrame, used: pd.DataFrame
) -> allocate.Demand:
    """Return a demand that holds what was ``used``, and has what was ``bought`` out of its quotas.

    Parameters
    ----------
    demand : Demand
        As it was when the plan was made.
    bought, used : pd.DataFrame
        As of ``commitments_bought`` and ``that_can_be_held``.
    """
    gpus = bought["instances"] * bought["gpu_count"]
    quotas = tuple(
        replace(quota, gpus=max(quota.gpus - gpus[is_named(quota, bought)].sum(), 0.0))
        for quota in demand.quotas
    )
    held = tuple(
        allocate.Commitment(
            row["machine"],
            row["instances"],
            row["price_usd_per_hour"],
            gpus_each=row["gpu_count"],
            gpu_model=row["gpu_model"],
        )
        for row in used.to_dict("records")
    )
    return replace(demand, quotas=quotas, commitments=(*demand.commitments, *held))


def under_their_names(anew: pd.DataFrame, used: pd.DataFrame) -> pd.DataFrame:
    """Return a new plan in which commitments held have the name of the offer that was bought.

    Parameters
    ----------
    anew : pd.DataFrame
        Table ``plan`` of a demand of ``with_bought``.
    used : pd.DataFrame
        As of ``that_can_be_held``.
    """
    names = {held_offer_id(machine): str(name) for name, machine in used["machine"].items()}
    return anew.assign(offer_id=anew["offer_id"].astype(str).replace(names))
