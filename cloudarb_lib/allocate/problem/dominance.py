"""Which ways of serving a demand no best plan needs."""

from __future__ import annotations

import numpy as np

from cloudarb_lib.allocate.problem.limits import limits_of, sum_rows
from cloudarb_lib.allocate.problem.model import Problem


def dominated(problem: Problem) -> np.ndarray:
    """Return which pairs no best plan needs: another of the same demand, pool and site does as much with no more.

    The other is the cheapest there. It must cover as much, take no more of the pool and cost no more at list
    prices and in every world, and as many of it as the demand or the pool takes must be allowed. None is
    dominated where limits weigh shares of the spend, which a dearer offer may even out, nor where a row binds it.
    """
    p, limits = problem, problem.limits
    none = np.zeros(len(p.assignments), bool)
    if any(limit.dearer_may_help(problem) for limit in limits_of(problem)):
        return none
    pairs = p.assignment_details.assign(
        cost=p.unit_cost, listed=p.assignment_details["hours"] * p.assignment_details["list_price"]
    )
    pairs["capacity"] = pairs["pool"].map(p.pools["capacity"])
    per_unit = pairs["cost"] / pairs["cover"].where(pairs["cover"] > 0)
    key = [pairs["demand"], pairs["pool"], pairs["site"]]
    best = per_unit.groupby(key).transform("idxmin").fillna(-1).to_numpy(int)
    j = np.flatnonzero((best >= 0) & (best != np.arange(len(best))))
    bound = [
        row.at[row.values != 0]
        for row in sum_rows(problem)
        if not row.on_usage and (row.tiers or row.is_limited)
    ]
    free = np.ones(len(best), bool)
    free[np.concatenate([np.zeros(0, int), *bound])] = False
    j = j[free[j] & free[best[j]]]
    mine, other = pairs.iloc[j], pairs.iloc[best[j]].set_axis(j)
    wanted = np.ceil(other["need"] / other["cover"] - 1e-9)
    room = np.floor(other["capacity"].clip(lower=1e-9) / other["pool_use"] + 1e-9)
    no_more = ["pool_use", "cost", "listed"]
    kept = (other[no_more] <= mine[no_more]).all(axis=1) & (
        other["most"] >= np.minimum(wanted, room)
    )
    kept &= other["cover"].eq(mine["cover"]) if p.exact else other["cover"].ge(mine["cover"])
    gone = j[kept].tolist()
    if limits.cvar_usd is not None and p.paths is not None:
        slot, hours = pairs["slot"].to_numpy(), pairs["hours"].to_numpy(float)
        both = zip(gone, best[gone], strict=True)
        gone = [
            a
            for a, b in both
            if (hours[b] * p.paths[:, slot[b]] <= hours[a] * p.paths[:, slot[a]]).all()
        ]
    none[gone] = True
    return none
