"""What it costs to leave the machines on which a workload runs now."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Demand, Placement, Workload
from cloudarb_lib.allocate.problem.horizon import Horizon
from cloudarb_lib.allocate.problem.row import Row
from cloudarb_lib.tables.assumptions import Assumptions

MOVE = "move"
"""Kind of the rows that charge for moves."""


def moves(
    demand: Demand, details: pd.DataFrame, horizon: Horizon, assumptions: Assumptions
) -> list[Row]:
    """Return the rows that charge for each machine beyond those that a workload has at an offer.

    A new machine is paid for without work while both run (``move_overlap_h``) and while the
    workload starts there; its share of the state is copied out of the dearest place left. Only the
    first period moves; a workload that does not run yet moves nothing.

    Parameters
    ----------
    details
        The assignments with ``workload``, ``case``, ``offer_id``, ``provider``, ``price``,
        ``chance`` and ``share`` (of the workload that a unit does), numbered from 0.
    """
    rows = []
    overlap_h = assumptions.get("move_overlap_h") if demand.current else 0.0
    is_first = horizon.case_periods[details["case"].to_numpy()] == 0
    for number, workload in enumerate(demand.workloads):
        now = [placement for placement in demand.current if placement.workload == workload.name]
        mine = np.flatnonzero((details["workload"].to_numpy() == number) & is_first)
        if not now:
            continue
        has = pd.Series({p.offer: 0.0 for p in now})
        for placement in now:
            has[placement.offer] += placement.instances
        here = details.iloc[mine]
        idle_h = overlap_h + workload.restart_minutes / 60
        usd = here["price"] * idle_h + here["chance"] * _copying(workload, now, here, assumptions)
        held = here["offer_id"].astype(object).map(has).fillna(0.0)
        for at, kept, each in zip(mine, held, usd, strict=True):
            name = f"move of {workload.name} to {details['offer_id'].iloc[at]}"
            tiers = ((float(kept), float(each)),)
            rows.append(Row(name, np.array([at]), np.ones(1), tiers=tiers, kind=MOVE))
    return rows


def _copying(
    workload: Workload, now: list[Placement], here: pd.DataFrame, assumptions: Assumptions
) -> pd.Series:
    """Return what copying its share of the state costs each assignment, USD a machine."""
    if not workload.state_gb:
        return pd.Series(0.0, here.index)
    usd_per_gb = pd.Series(0.0, here.index)
    for provider in {placement.offer.split("/")[0] for placement in now}:
        stays = assumptions.get(f"transfer_usd_per_gb/{provider}", "transfer_usd_per_gb")
        tiers = assumptions.tiers(f"egress_usd_per_gb/{provider}")
        tiers = tiers or assumptions.tiers("egress_usd_per_gb")
        rate = np.where(here["provider"] == provider, stays, tiers[0][1])
        usd_per_gb = usd_per_gb.clip(lower=rate)
    return workload.state_gb * workload.count * here["share"] * usd_per_gb
