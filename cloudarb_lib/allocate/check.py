"""A plan checked in numpy, from the problem alone: no solver, no program, no cuts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.base.measures import conditional_value_at_risk, value_at_risk

TOLERANCE = 1e-6
"""Relative: what a limit may be exceeded by before a plan counts as breaking it."""


@dataclass(frozen=True)
class Verdict:
    """Cost of a plan, and every limit it breaks, in words.

    ``told``: of each limit its kind (a field of ``Limits``, or capacity, row (its upper end), demand (what must be
    served), other), its name as in the program, what is used and available, and whether so much must be used at
    least, not at most.
    """

    objective_usd: float
    broken: tuple[str, ...]
    cvar_usd: float
    var_usd: float
    effective: float
    list_spend_usd: float
    sums: np.ndarray
    """Of each of the problem's rows."""
    charges_usd: np.ndarray
    told: list[tuple[str, str, float, float, bool]]


def check(problem: Problem, counts: np.ndarray) -> Verdict:
    """Return the verdict on a plan of ``counts`` units of each pair."""
    pairs, slots, demands, limits = (
        problem.assignments,
        problem.slots,
        problem.demands,
        problem.limits,
    )
    ways, of_rows = problem.assignment_details, [row.name for row in problem.rows]
    hours = problem.usage(counts)
    list_spend, spend = (
        hours * slots[price].to_numpy(float) for price in ("list_price", "mean_price")
    )
    total = max(spend.sum(), 1e-9)
    effective = (
        float(total**2 / (np.bincount(problem.groups, spend) ** 2).sum()) if spend.any() else np.inf
    )
    steady = hours[slots["on_demand"].to_numpy(bool)].sum() / hours.sum() if hours.any() else 1.0
    cvar = var = float("nan")
    if problem.paths is not None:
        samples = problem.paths @ hours
        cvar = float(conditional_value_at_risk(samples, limits.cvar_level))
        var = float(value_at_risk(samples, limits.cvar_level))
    need, worth = demands["need"].to_numpy(float), demands["unmet_usd"].to_numpy(float)
    served = np.bincount(pairs["demand"], counts * pairs["cover"].to_numpy(float), len(demands))
    held = np.bincount(ways["pool"], counts * pairs["pool_use"].to_numpy(float), len(problem.pools))
    sums = problem.sums(counts)
    shares = [
        np.bincount(pd.factorize(slots[key])[0], spend).max() / total
        for key in ("provider", "site")
    ]
    told: list[tuple[str, str, float, float, bool]] = []
    for kind, names, amounts, available, least in (
        ("budget_usd", ["budget"], [list_spend.sum()], [limits.budget_usd], False),
        ("cvar_usd", ["CVaR"], [cvar], [limits.cvar_usd], False),
        (
            "max_provider_share",
            ["share of a provider"],
            shares[:1],
            [limits.max_provider_share],
            False,
        ),
        ("max_region_share", ["share of a region"], shares[1:], [limits.max_region_share], False),
        ("min_on_demand_share", ["on-demand share"], [steady], [limits.min_on_demand_share], True),
        ("effective_providers", [problem.spread], [effective], [limits.effective_providers], True),
        ("capacity", problem.capacities, held, problem.pools["capacity"], False),
        ("row", of_rows, sums, [row.upper for row in problem.rows], False),
        ("other", of_rows, sums, [row.lower for row in problem.rows], True),
        ("demand", problem.needs, served, np.where(np.isinf(worth), need, 0.0), True),
        ("other", problem.needs if problem.exact else [], served, need, False),
    ):
        told += [
            (kind, *one, least)
            for one in zip(names, amounts, available, strict=False)
            if one[2] is not None
        ]
    broken = [
        f"{name}: {used:,.6g} {'below' if least else 'above'} {available:,.6g}"
        for kind, name, used, available, least in told
        if (available - used if least else used - available) > TOLERANCE * max(1.0, abs(available))
        and (kind != "cvar_usd" or problem.cvar_excess_usd == np.inf)
    ]
    if (counts > pairs["most"].to_numpy(float)).any():
        broken.insert(0, "more units of an assignment than its bound")
    if not np.isfinite(counts).all() or (counts < 0).any() or (counts != np.round(counts)).any():
        broken.insert(0, "counts are not whole numbers from 0 up")
    charges = np.zeros(len(sums))
    for i, (row, value) in enumerate(zip(problem.rows, sums, strict=True)):
        for start, end, usd in row.pieces:
            charges[i] += usd * max(min(value, end) - start, 0.0)
    used = np.bincount(ways["site"], counts, len(problem.sites)) > 0
    unmet = np.maximum(need - served, 0.0)
    undone = unmet > TOLERANCE * np.maximum(1.0, need)
    objective = float(counts @ problem.unit_cost + problem.sites["fee_usd"].to_numpy(float) @ used)
    objective += float(unmet[undone] @ worth[undone] + charges.sum())
    if problem.cvar_excess_usd < np.inf:
        objective += problem.cvar_excess_usd * max(cvar - (limits.cvar_usd or np.inf), 0.0)
    return Verdict(
        objective, tuple(broken), cvar, var, effective, float(list_spend.sum()), sums, charges, told
    )
