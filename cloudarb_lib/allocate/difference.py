"""What a plan changes against the last one, in machines and in dollars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.check import check
from cloudarb_lib.allocate.plan import Plan, counts_of, is_idle, rows_in_scenario, scenarios_in
from cloudarb_lib.allocate.problem.model import Consumption, Problem


@dataclass(frozen=True, eq=False)
class Difference:
    """A plan beside the last one going on, both at the prices and over the horizon of the plan.

    Attributes
    ----------
    table
        A row for each ``workload`` and ``offer_id`` whose machines or dollars differ:
        ``machines_before`` and ``machines_now`` of the first period, ``usd_before`` and ``usd_now``
        of rent and disks over the plan; NaN where what ran serves the workload no more.
    keep_usd
        Expected cost of going on as in the first period of the last plan; NaN where that is no
        plan any more.
    now_usd
        Expected cost of the plan, moving to it included.
    must
        Why what runs cannot go on; empty where it can.
    """

    table: pd.DataFrame
    keep_usd: float
    now_usd: float
    must: tuple[str, ...]


def difference(plan: Plan, before: pd.DataFrame, running: str = "") -> Difference:
    """Return what a plan changes against the last one.

    Parameters
    ----------
    plan
        A plan that is there.
    before
        Table ``plan`` of the last one; its first period is what runs now.
    running
        Of a last plan with other scenarios than the plan, the one that has come.

    Raises
    ------
    ParameterError
        Where the last plan lacks that scenario.
    """
    problem = plan.problem
    assert plan.counts is not None
    first = _in_futures(before[before["period"] == 0], problem, running)
    periods = int(problem.slots["period"].max()) + 1
    goes_on = pd.concat([first.assign(period=period) for period in range(periods)])
    kept_counts = counts_of(problem, goes_on)
    broken = check(problem, kept_counts).broken
    machines = {
        "machines_before": first.groupby(_KEYS)["instances"].sum(),
        "machines_now": _machines(problem, plan.counts),
        "usd_before": _usd(problem, kept_counts),
        "usd_now": _usd(problem, plan.counts),
    }
    table = pd.concat(machines, axis=1)
    is_gone = table["machines_before"].gt(0) & ~table["usd_before"].gt(0)
    table = table.fillna(0.0)
    table.loc[is_gone, "usd_before"] = np.nan
    same = table["machines_before"].eq(table["machines_now"])
    same &= table["usd_before"].sub(table["usd_now"]).abs().lt(0.01)
    wanted = set(problem.demands["workload"])
    gone = [
        f"{offer} does not serve {workload} any more"
        for workload, offer in table.index[is_gone]
        if workload in wanted
    ]
    must = (*gone, *(() if gone else broken))
    return Difference(
        table=table[~same].sort_index().reset_index(names=_KEYS),
        keep_usd=np.nan if must else Consumption(problem, kept_counts).cost_usd,
        now_usd=Consumption(problem, plan.counts).cost_usd,
        must=must,
    )


_KEYS = ["workload", "offer_id"]


def _in_futures(before: pd.DataFrame, problem: Problem, running: str) -> pd.DataFrame:
    """Return work of the last plan under the labels that it has in a problem.

    Of the same scenarios each goes on as itself; of others what runs now goes on in all.
    """
    futures = sorted(set(problem.demands["scenario"].astype(str)) - {""})
    if scenarios_in(before) == futures:
        return before[~is_idle(before)]
    now = rows_in_scenario(before, running)
    if not futures:
        return now
    return pd.concat([now.assign(workload=now["workload"] + f" in {name}") for name in futures])


def _usd(problem: Problem, counts: np.ndarray) -> pd.Series:
    """Return rent and disks of work by workload and offer, where there are any."""
    details = problem.assignment_details.assign(usd=counts * problem.unit_cost, units=counts)
    working = details[(details["units"] > 0) & (details["cover"] > 0)]
    return working.groupby(_KEYS)["usd"].sum()


def _machines(problem: Problem, counts: np.ndarray) -> pd.Series:
    """Return machines at work in the first period by workload and offer."""
    details = problem.assignment_details
    details = details.assign(machines=counts * details["instances"])
    working = details[(details["machines"] > 0) & (details["cover"] > 0)]
    return working[working["period"] == 0].groupby(_KEYS)["machines"].sum()
