"""A plan checked in numpy, from the problem alone: no solver, no program, no cuts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudarb_lib.allocate.model import Problem, tail_mean

TOLERANCE = 1e-6
"""Relative: what a limit may be exceeded by before a plan counts as breaking it."""


@dataclass(frozen=True)
class Verdict:
    """Cost of a plan, what it leaves undone (per demand), and every limit it breaks, in words."""

    objective_usd: float
    unmet: np.ndarray
    broken: tuple[str, ...]
    cvar_usd: float
    var_usd: float
    effective: float
    list_spend_usd: float
    sums: np.ndarray
    """Of each of the problem's rows."""
    charges_usd: np.ndarray


def check(problem: Problem, counts: np.ndarray) -> Verdict:
    """Return the verdict on a plan of ``counts`` units of each pair."""
    pairs, slots, demands, limits = problem.pairs, problem.slots, problem.demands, problem.limits
    demand, slot = pairs["demand"].to_numpy(), pairs["slot"].to_numpy()
    broken: list[str] = []

    def over(value: float, limit: float, what: str) -> None:
        if value > limit + TOLERANCE * max(1.0, abs(limit)):
            broken.append(f"{what}: {value:,.6g} above {limit:,.6g}")

    if not np.isfinite(counts).all() or (counts < 0).any() or (counts != np.round(counts)).any():
        broken.append("counts are not whole numbers from 0 up")
    if (counts > pairs["most"].to_numpy(float)).any():
        broken.append("more units of a pair than its bound")
    need = demands["need"].to_numpy(float)
    served = np.bincount(demand, counts * pairs["cover"].to_numpy(float), len(demands))
    unmet = np.maximum(need - served, 0.0)
    unmet[unmet <= TOLERANCE * np.maximum(1.0, need)] = 0.0
    price_of_unmet = demands["unmet_usd"].to_numpy(float)
    wrong = (unmet > 0) & np.isinf(price_of_unmet)
    wrong |= problem.exact & (served > need * (1 + TOLERANCE))
    broken += [
        f"demand of {demands['workload'].iloc[i]}: {served[i]:g} of {need[i]:g} served"
        for i in np.flatnonzero(wrong)
    ]
    pool = slots["pool"].to_numpy()[slot]
    held = np.bincount(pool, counts * pairs["pool_use"].to_numpy(float), len(problem.pools))
    capacity = problem.pools["capacity"].to_numpy(float)
    for k in np.flatnonzero(held > capacity * (1 + TOLERANCE) + TOLERANCE):
        over(held[k], capacity[k], f"capacity of {problem.pools['name'].iloc[k]}")
    hours = problem.usage(counts)
    list_spend = float(hours @ slots["list_price"].to_numpy(float))
    if limits.budget_usd is not None:
        over(list_spend, limits.budget_usd, "budget")
    spend = hours * slots["mean_price"].to_numpy(float)
    for share, key in ((limits.max_provider_share, "provider"), (limits.max_region_share, "site")):
        if share is not None and spend.sum() > 0:
            for name in slots[key].unique():
                part = spend[(slots[key] == name).to_numpy()].sum() / spend.sum()
                over(part, share, f"share of {key} {name}")
    if limits.min_on_demand_share is not None and hours.sum() > 0:
        steady = hours[slots["on_demand"].to_numpy(bool)].sum() / hours.sum()
        over(-steady, -limits.min_on_demand_share, "on-demand share (negated)")
    site = slots["site"].to_numpy()[slot]
    by_group = np.bincount(problem.groups, spend)
    effective = float(spend.sum() ** 2 / (by_group**2).sum()) if spend.sum() > 0 else np.inf
    if limits.effective_providers is not None:
        over(-effective, -limits.effective_providers, f"effective {limits.diversify}s (negated)")
    cvar = var = float("nan")
    if problem.paths is not None:
        samples = problem.paths @ hours
        cvar = tail_mean(samples, limits.cvar_level)
        var = float(np.quantile(samples, limits.cvar_level, method="inverted_cdf"))
        if limits.cvar_usd is not None:
            over(cvar, limits.cvar_usd, f"CVaR {limits.cvar_level:g}")
    sums = np.array([float(row.values @ counts[row.at]) for row in problem.rows])
    charges = np.zeros(len(sums))
    for i, (row, value) in enumerate(zip(problem.rows, sums, strict=True)):
        over(value, row.upper, row.name)
        over(-value, -row.lower, f"{row.name} (negated)")
        ends = [*(start for start, _ in row.tiers), np.inf][1:]
        for (start, usd), end in zip(row.tiers, ends, strict=True):
            charges[i] += usd * max(min(value, end) - start, 0.0)
    used = np.bincount(site, counts, len(problem.sites)) > 0
    undone = float((unmet[unmet > 0] * price_of_unmet[unmet > 0]).sum()) if unmet.any() else 0.0
    objective = float(counts @ problem.unit_cost + problem.sites["fee_usd"].to_numpy(float) @ used)
    return Verdict(
        objective + undone + float(charges.sum()), unmet, tuple(broken), cvar, var, effective, list_spend,
        sums, charges,
    )  # fmt: skip
