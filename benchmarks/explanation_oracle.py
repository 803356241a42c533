"""What is wrong with the explanations of a problem, claim by claim, by trying all its plans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.enumeration import NEAR, Least, least_cost
from cloudarb_lib import allocate

OPTIONS = allocate.SolveOptions(gap=1e-6, work_limit=20)


def findings(problem: allocate.Problem) -> list[str]:
    """Return what is wrong with each explanation of a problem; nothing where all are right."""
    return wrong_explanations(explain(problem))


class Explained(NamedTuple):
    """What the product says of a problem."""

    plan: allocate.Plan
    binds: pd.DataFrame | None
    runners: pd.DataFrame | None
    reliefs: list
    frontiers: dict[str, pd.DataFrame]


def explain(problem: allocate.Problem) -> Explained:
    """Return the plan of a problem and all its explanations."""
    plan = allocate.solve(problem, OPTIONS)
    over = ["effective_providers"] + ["cvar_usd"] * (problem.paths is not None)
    frontiers = {limit: allocate.frontier(problem, limit, options=OPTIONS) for limit in over}
    if not plan.has_plan:
        return Explained(plan, None, None, allocate.reliefs(problem), frontiers)
    binds = allocate.binding(plan, OPTIONS)
    allocate.summary(plan, binds)
    return Explained(plan, binds, allocate.runners_up(plan, OPTIONS), [], frontiers)


def wrong_explanations(said: Explained) -> list[str]:
    """Return what is wrong with the explanations of a problem, by the least cost of problems."""
    plan = said.plan
    best = least_cost(plan.problem)
    found = []
    if said.binds is not None and said.runners is not None:
        if not best.is_near(plan.objective_usd):
            return [f"plan: {plan.objective_usd:.8g} where the best costs {best}"]
        found += wrong_binding(plan, said.binds)
        found += wrong_runners_up(plan, said.runners)
    elif best.must_be:
        return [f"plan: {plan.status} where the best costs {best}"]
    else:
        found += wrong_reliefs(plan.problem, said.reliefs)
    for over, curve in said.frontiers.items():
        found += wrong_frontier(plan.problem, over, curve)
    return found


def wrong_binding(plan: allocate.Plan, binds: pd.DataFrame) -> list[str]:
    """Return what is wrong with what a unit more and less of each limit is worth, or missing."""
    problem = plan.problem
    found = []
    for row in binds.to_dict("records"):
        more = (1, row["worth_usd"], row["worth_is"])
        less = (-1, row["less_usd"], row["less_is"])
        for sign, usd, known in (more, less):
            if known != "none":
                changed, units = with_more(problem, row, sign)
                cost = least_cost(changed)
                said = f"binding: {row['limit']}, {units:+.4g} is {known} {usd:.6g}"
                found += _wrong_cost(said, known, plan.objective_usd - usd * units, cost)
    for name in ("budget", "CVaR"):
        stated = getattr(problem.limits, STATED[name][0])
        if stated is not None and name not in set(binds["limit"]):
            changed, units = with_more(problem, {"limit": name, "step": 0.16 * stated}, 1)
            saved_usd = plan.objective_usd - least_cost(changed).tight
            if saved_usd > 1.0 + 0.02 * units:
                found.append(f"binding: {name} is not told, {units:.4g} more save {saved_usd:.6g}")
    return found


def _wrong_cost(said: str, known: str, usd: float, cost: Least) -> list[str]:
    """Return what is wrong with what the best plan of a changed problem is said to cost."""
    if known == "no plan":
        return [f"{said}, a plan costs {cost}"] if cost.must_be else []
    if known != "solved":
        return [f"{said}: not solved"]
    return [] if cost.is_near(usd) else [f"{said}: cost {usd:.8g}, the true one is {cost}"]


STATED = {
    "budget": ("budget_usd", 1.0, np.inf),
    "CVaR": ("cvar_usd", 1.0, np.inf),
    "on-demand share": ("min_on_demand_share", 100.0, 1.0),
    "share of a provider": ("max_provider_share", 100.0, 1.0),
    "effective providers": ("effective_providers", 1.0, np.inf),
    "effective regions": ("effective_providers", 1.0, np.inf),
}
"""Limits that are stated by one figure: field, units in one of it, and the most there can be."""


def with_more(problem: allocate.Problem, row: dict, sign: int) -> tuple[allocate.Problem, float]:
    """Return the problem with a step more, or less, of the limit of a row; and that in units."""
    name = row["limit"]
    if name in STATED:
        field, units_each, most = STATED[name]
        before = getattr(problem.limits, field)
        floor = {"effective_providers": 1.0, "max_provider_share": 0.01}.get(field, 0.0)
        now = min(max(before + sign * row["step"] / units_each, floor), most)
        limits = replace(problem.limits, **{field: now})
        return replace(problem, limits=limits), (now - before) * units_each
    if name.startswith("capacity of "):
        pools = problem.pools
        is_it = pools["name"] == name.removeprefix("capacity of ")
        before = float(pools["capacity"][is_it].iloc[0])
        now = max(before + sign * row["step"], 0.0)
        capacity = pools["capacity"].where(~is_it, now)
        return replace(problem, pools=pools.assign(capacity=capacity)), now - before
    if name.startswith("demand of "):
        return _with_more_demand(problem, name.removeprefix("demand of "), sign * row["step"])
    (at,) = (i for i, each in enumerate(problem.rows) if each.name == name)
    rows = list(problem.rows)
    before = rows[at].upper
    now = max(before + sign * row["step"], 0.0)
    rows[at] = replace(rows[at], upper=now)
    return replace(problem, rows=tuple(rows)), now - before


def _with_more_demand(
    problem: allocate.Problem, name: str, more: float
) -> tuple[allocate.Problem, float]:
    """Return the problem with another need, and as many more machines allowed as it takes."""
    demands = problem.demands
    names = demands["workload"]
    if (demands["period"] > 0).any():
        names = names + " in period " + (demands["period"] + 1).astype(str)
    (at,) = np.flatnonzero(names == name)
    before = float(demands["need"].iloc[at])
    now = max(before + more, 0.0)
    assignments = problem.assignments
    most = assignments["most"].to_numpy(float).copy()
    pairs = zip(assignments["demand"], assignments["cover"], strict=True)
    for i, (demand, cover) in enumerate(pairs):
        if demand == at and cover > 0 and most[i] > 0:
            machines = np.ceil(now / cover - 1e-9) - np.ceil(before / cover - 1e-9)
            most[i] += max(machines, 0)
    need = demands["need"].astype(float).copy()
    need.iloc[at] = now
    changed = replace(
        problem, demands=demands.assign(need=need), assignments=assignments.assign(most=most)
    )
    return changed, now - before


def wrong_runners_up(plan: allocate.Plan, runners: pd.DataFrame) -> list[str]:
    """Return what is wrong with where each workload is said to move to, and at what cost."""
    problem = plan.problem
    assignments = problem.assignments
    slot = assignments["slot"].to_numpy()
    pool = problem.pools["name"].to_numpy()[problem.slots["pool"].to_numpy()[slot]]
    at = assignments["demand"].to_numpy()
    workload = problem.demands["workload"].to_numpy()[at]
    is_work = ~problem.demands["idle"].to_numpy(bool)[at]
    running = set(workload[(plan.counts > 0) & is_work])
    found = []
    if running != set(runners["workload"]):
        found.append(f"runners-up of {sorted(runners['workload'])}, {sorted(running)} run")
    for row in runners.to_dict("records"):
        gone = (workload == row["workload"]) & (pool == row["pool"]) & is_work
        cost = least_cost(problem, gone)
        said = f"runner-up of {row['workload']}: {row['runner_up']} for {row['extra_usd']:.6g}"
        found += _wrong_cost(said, row["extra_is"], plan.objective_usd + row["extra_usd"], cost)
        if (row["extra_is"] == "no plan") != (row["runner_up"] == "none within the limits"):
            found.append(f"{said}: {row['extra_is']}")
        if row["pool"] in row["runner_up"].split(", "):
            found.append(f"{said}: its own pool")
    return found


def wrong_reliefs(problem: allocate.Problem, reliefs: list) -> list[str]:
    """Return which changes do not mend a problem, mend more than needed, or are missing."""
    found = []
    for sentence, eased in reliefs:
        if eased is None:
            if "machines" not in sentence:
                found.append(f"relief: {sentence}: not known by what")
            continue
        if not least_cost(eased).may_be:
            found.append(f"relief: {sentence}: does not mend it")
        # what several give together is weighed by prices: a bound where shares are among them
        is_bound = "together: " in sentence and ", or less" in sentence
        if not is_bound and least_cost(_nearer(problem, eased)).must_be:
            found.append(f"relief: {sentence}: less would do")
    for kind, free in _without_each(problem):
        told = any(sentence.startswith(kind) for sentence, _ in reliefs)
        if least_cost(free).must_be and not told:
            found.append(f"relief: {kind} alone would mend it, not told")
    return found


def _nearer(tight: allocate.Problem, loose: allocate.Problem) -> allocate.Problem:
    """Return the problem whose limits lie 98 % of the way from one to the other."""

    def between(before, now):
        return 0.02 * before + 0.98 * now

    limits = {
        name: between(before, getattr(loose.limits, name) or 0.0)
        for name, before in vars(tight.limits).items()
        if isinstance(before, float) and before != getattr(loose.limits, name)
    }
    fewer = loose.limits.effective_providers
    if fewer != tight.limits.effective_providers:
        # told to two figures, to 0.5 %
        limits["effective_providers"] = None if fewer is None else 1.006 * fewer + 0.01
    need = between(tight.demands["need"], loose.demands["need"])
    capacity = between(tight.pools["capacity"], loose.pools["capacity"])
    rows = tuple(
        row
        if row == before or np.isinf(before.upper)
        else replace(row, upper=between(before.upper, row.upper))
        for before, row in zip(tight.rows, loose.rows, strict=True)
    )
    return replace(
        loose,
        limits=replace(loose.limits, **limits),
        demands=loose.demands.assign(need=need),
        pools=loose.pools.assign(capacity=capacity),
        rows=rows,
    )


def _without_each(problem: allocate.Problem) -> Iterator[tuple[str, allocate.Problem]]:
    """Yield the beginning of the sentence on each limit that may give way, and all without it."""
    limits = problem.limits
    names = {
        "budget_usd": "budget",
        "cvar_usd": "CVaR",
        "min_on_demand_share": "on-demand share",
        "max_provider_share": "share of a provider",
    }
    for field, name in names.items():
        if getattr(limits, field) is not None:
            yield name, replace(problem, limits=replace(limits, **{field: None}))
    rows = [replace(row, upper=np.inf) if row.kind == "carbon" else row for row in problem.rows]
    yield "carbon", replace(problem, rows=tuple(rows))
    room = problem.pools["capacity"] + 1_000.0
    yield "capacity", replace(problem, pools=problem.pools.assign(capacity=room))


def wrong_frontier(problem: allocate.Problem, over: str, curve: pd.DataFrame) -> list[str]:
    """Return which points of a frontier are wrong, or cost more than a tighter one."""
    found = []
    for row in curve.to_dict("records"):
        cost = least_cost(problem.under(**{over: row["limit"]}))
        said = f"frontier: {over} {row['limit']:.6g} is {row['status']} at {row['cost_usd']:.8g}"
        if np.isnan(row["cost_usd"]):
            if cost.must_be or row["status"] != "infeasible":
                found.append(f"{said}, the best costs {cost}")
        elif not cost.is_near(row["cost_usd"]) or not row["gap"] <= NEAR:
            found.append(f"{said}, gap {row['gap']:.2g}, the best costs {cost}")
        elif row["bound_usd"] > cost.tight * (1 + NEAR) + 0.01:
            found.append(f"{said}, bound {row['bound_usd']:.8g}, the best costs {cost}")
    costs_usd = curve["cost_usd"].dropna().to_numpy()
    if over == "effective_providers":
        costs_usd = costs_usd[::-1]
    if (np.diff(costs_usd) > 1e-9 * costs_usd[1:]).any():
        found.append(f"frontier: {over} is dearer where it is looser")
    return found
