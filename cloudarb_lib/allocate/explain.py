"""Why this plan: what binds and what a unit more is worth, runners-up, and what conflicts."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.check import check
from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.allocate.problem.build import IDLE
from cloudarb_lib.allocate.problem.model import Problem, Row
from cloudarb_lib.allocate.solver.engine import Relaxation, SolveOptions
from cloudarb_lib.allocate.solver.milp import Milp, to_milp
from cloudarb_lib.allocate.solver.search import solve
from cloudarb_lib.base.errors import SolveError

_PATIENCE_S = 30.0


def binding(plan: Plan) -> pd.DataFrame:
    """Return the limits that bind: ``limit``, ``used``, ``available``, ``worth_usd``, ``unit``.

    ``worth_usd`` is what one unit more would save, at the margin of the relaxation in which the plan's sites
    are open: whole machines make the true saving come in steps. Demands and effective providers are listed with
    what one unit more would cost, as a negative worth. Sorted by absolute worth, at least a cent.
    """
    problem, told, milp = plan.problem, plan.verdict.told, to_milp(plan.problem, tight=False)
    relaxation = _relaxed(milp, plan.counts)
    if relaxation is None:
        raise SolveError(
            "the relaxation has no verdict in time.", "Ask for an explanation of that."
        )
    names = [*milp.row_names, *(name for cuts in relaxation.cuts for name in cuts.names)]
    worth = pd.Series(-relaxation.row_dual[: len(names)]).groupby(names).sum()
    if n := problem.limits.effective_providers:  # one more narrows the row by T / n^2
        worth[problem.spread] *= -relaxation.z[milp.spread_columns].max() / n**2
    hours = problem.usage(milp.counts(relaxation.z))
    worth.loc[worth.index.str.startswith("share")] *= hours @ problem.slots["mean_price"] / 100
    worth.loc[worth.index.str.startswith("on-demand")] *= -hours.sum() / 100
    amounts = pd.DataFrame(told, columns=["kind", "limit", "used", "available", "least"])
    rows = amounts[["limit", "used", "available"]].drop_duplicates("limit")
    rows = rows.assign(
        worth_usd=rows["limit"].map(worth).fillna(0.0),
        unit=rows["limit"].str.split(" ").str[0].map(_UNITS).fillna(""),
    )
    # a pool in which one more machine would still fit does not bind
    machine = problem.assignment_details.groupby("pool")["pool_use"].min()
    machine.index = [problem.capacities[k] for k in machine.index]
    loose = rows["available"] - rows["used"] >= rows["limit"].map(machine).fillna(np.inf)
    rows = rows[~loose & ~rows["limit"].str.endswith("goes on") & (rows["worth_usd"].abs() >= 0.01)]
    return rows.sort_values("worth_usd", key=np.abs, ascending=False, ignore_index=True)


_UNITS = {
    "capacity": "GPU",
    "demand": "GPU or GPU-hour a week",
    "budget": "USD",
    "CVaR": "USD",
    "carbon": "kgCO2e",
    "commitment": "instance",
    "share": "hundredth",
    "on-demand": "hundredth",
}
"""Of limits, by the first word of their names."""


def _relaxed(milp: Milp, counts: np.ndarray | None = None) -> Relaxation | None:
    """Return the relaxation solved with every cut it needs, or None; with ``counts`` of a plan its sites are open."""
    relaxation, most = Relaxation(milp), milp.problem.assignments["most"].to_numpy(float)
    if counts is not None:
        site, most = milp.site_columns, milp.counts(milp.upper)
        relaxation.bound(site, milp.point(counts)[site], milp.upper[site])
    # bounds repeat what rows say; without them the worth falls to the rows, which have names
    relaxation.bound(np.arange(len(most)), np.zeros(len(most)), np.where(most > 0, np.inf, 0.0))
    return relaxation if relaxation.settle(time.perf_counter() + _PATIENCE_S) == "optimal" else None


def runners_up(plan: Plan, options: SolveOptions | None = None) -> pd.DataFrame:
    """Return, for each workload, what it would move to if its main pool were gone.

    A pool is provider/region/purchase option/GPU model (on a marketplace, the offer). Columns
    ``workload``, ``pool`` (largest cost now), ``runner_up`` (pools taken up or enlarged
    instead) and ``extra_usd``: cost of the best plan without that pool for that workload, less
    the cost now; NaN where nothing else can serve it within the limits.
    """
    options = replace(options or SolveOptions(), time_limit_s=_PATIENCE_S)
    problem, rows = plan.problem, []
    pairs, pool = problem.assignments, problem.assignment_details["pool"].map(problem.pools["name"])
    for workload, held in _by_pool(plan).groupby(level=0, sort=False):
        if str(workload).startswith(IDLE):
            continue
        main = str(held.droplevel(0).idxmax())
        gone = (problem.assignment_details["workload"] == workload) & (pool == main)
        left = replace(problem, assignments=pairs.assign(most=pairs["most"].where(~gone, 0.0)))
        other = solve(left, options)
        taken, extra = "none within the limits", np.nan
        if other.has_plan:
            more = _by_pool(other).loc[[str(workload)]].sub(held, fill_value=0.0).droplevel(0)
            taken = ", ".join(more[more > 0.01].sort_values(ascending=False).index[:3])
            extra = round(other.objective_usd - plan.objective_usd, 6)
        rows.append((workload, main, taken, extra))
    return pd.DataFrame(rows, columns=["workload", "pool", "runner_up", "extra_usd"])


def _by_pool(plan: Plan) -> pd.Series:
    """Cost by workload and pool."""
    assert plan.counts is not None
    ways = plan.problem.assignment_details.assign(cost=plan.counts * plan.problem.unit_cost)[
        plan.counts > 0
    ]
    pool = ways["pool"].map(plan.problem.pools["name"])
    return ways.groupby(["workload", pool])["cost"].sum()


def summary(plan: Plan) -> pd.DataFrame:
    """Return the plan in facts, a row each: ``fact``, ``value``, ``unit``, ``text``."""
    verdict, limits = plan.verdict, plan.problem.limits
    rows: list[tuple[str, float, str, str]] = [
        ("status", np.nan, "", plan.status.replace("_", " ")),
        ("expected cost", verdict.objective_usd, "USD", ""),
        ("proven bound", plan.bound_usd, "USD", ""),
        ("gap", plan.gap, "", f"{plan.gap:.2%}"),
        ("spend at list prices", verdict.list_spend_usd, "USD", ""),
        (f"effective {limits.diversify}s", verdict.effective, "", ""),
    ]
    for row, value in zip(plan.problem.rows, verdict.sums, strict=True):
        if row.unit:
            rows.append((row.name, float(value), row.unit, ""))
    charged = float(verdict.charges_usd.sum())
    if charged:
        rows.append(("charges", charged, "USD", "of it beside rent, disks and site fees"))
    if limits.budget_usd is not None:
        rows.append(("budget", limits.budget_usd, "USD", "of spend at list prices"))
    if plan.problem.paths is not None:
        rows.append((f"CVaR {limits.cvar_level:g} of rent", verdict.cvar_usd, "USD", ""))
        rows.append((f"VaR {limits.cvar_level:g} of rent", verdict.var_usd, "USD", ""))
    for name, used, available, worth, unit in binding(plan).itertuples(index=False, name=None):
        text = f"used {used:,.6g} of {available:,.6g}; one {unit} more is worth this"
        if name.startswith("demand"):
            rows.append((f"{name}, one more", -worth, "USD", "marginal cost"))
        else:
            rows.append((f"binds: {name}", worth, "USD", text))
    return pd.DataFrame(rows, columns=["fact", "value", "unit", "text"])


def conflicts(problem: Problem) -> list[str]:
    """Return, in words, what alone would make a plan possible: the sentences of ``reliefs``."""
    return [said for said, _ in reliefs(problem)]


def reliefs(problem: Problem) -> list[tuple[str, Problem | None]]:
    """Return the least changes that make a plan possible, each in words and as the problem so changed.

    Each kind of limit in turn gives way, in proportion to its size and for whole machines, while the others hold:
    as much more as told admits a plan, to 1 % the least such. Then how far spend can be spread, regions that
    alone would mend it (the five cheapest of each workload are tried), and by how much less demand would, where some
    is left. Where no kind suffices alone, all give way together. The problem is None where no plan of whole machines
    was found in time: the change told is then the least for parts of machines.
    """
    limits, spread = problem.limits, f"effective {problem.limits.diversify}s"
    alone = [relief for kind in _KINDS for relief in _relief(problem, (kind,))]
    if limits.effective_providers and (most := most_effective(problem)):
        eased = problem.under(effective_providers=most)
        alone.append((f"{most:.2f} {spread} can be had, not {limits.effective_providers:g}", eased))
    for said, wider in problem.elsewhere():
        wider = replace(wider, limits=limits)
        if solve(wider, _ANY).has_plan:
            alone.append((said, wider))
    if not alone:
        fewer = f"; fewer {spread}" if limits.effective_providers else ""
        free = problem.under(effective_providers=None)
        together = "no limit alone is at fault; together: "
        alone = [(f"{together}{said}{fewer}", eased) for said, eased in _relief(free, _KINDS)]
    for said, less in _relief(problem, ("demand",)):
        if less is None or less.demands["need"].sum() > 0.001 * problem.demands["need"].sum():
            alone.append((said, less))
    if _relaxed(to_milp(problem, tight=False)) is not None:
        alone.insert(0, ("Parts of machines would fit: only whole machines are in the way.", None))
    return alone


_KINDS = (
    "budget_usd",
    "cvar_usd",
    "min_on_demand_share",
    "max_provider_share",
    "max_region_share",
    "carbon",
    "capacity",
)
"""Limits that can give way beside the demand."""
_ANY = SolveOptions(gap=0.9, time_limit_s=5.0)
"""To find out whether there is a plan, whatever it costs."""
LEAST = SolveOptions(gap=0.01, time_limit_s=_PATIENCE_S)
_DEAR = 1e4
"""How many times the cost of the demand all of a limit costs that gives way: of plans that exceed it as little, a cheap
one is taken."""


def softened(problem: Problem, kinds: tuple[str, ...]) -> Problem:
    """Return the problem whose limits of ``kinds`` may be exceeded at a price, beside which other costs are next to
    nothing: that of the demand at its cheapest, times ``_DEAR``, for all of a limit's size. Without such limits, ``problem`` itself."""
    p, pairs, limits = problem, problem.assignments, problem.limits
    serves = pairs[pairs["cover"] > 0]
    rate = (p.unit_cost[serves.index] / serves["cover"]).groupby(serves["demand"]).min()
    scale = _DEAR * max(float((rate * p.demands["need"]).sum()), 1.0)
    pool, use = p.assignment_details["pool"].to_numpy(), pairs["pool_use"].to_numpy(float)
    room = [
        Row(name, at := np.flatnonzero(pool == k), use[at], upper=capacity)
        for k, (name, capacity) in enumerate(zip(p.capacities, p.pools["capacity"], strict=True))
    ]
    soft = [row for field, row in p.limit_rows if field in kinds] + room * ("capacity" in kinds)
    soft += [row for row in p.rows if row.name in kinds and row.upper < np.inf]
    excess = scale / limits.cvar_usd if limits.cvar_usd and "cvar_usd" in kinds else np.inf
    if not soft and excess == np.inf and "demand" not in kinds:
        return problem
    paid = [
        replace(row, upper=np.inf, tiers=((row.upper, scale / row.upper if row.upper else _DEAR),))
        for row in soft
    ]
    rows = [replace(row, upper=np.inf) if row.name in kinds else row for row in p.rows]
    most, unmet = p.pools["capacity"], p.demands["unmet_usd"]
    if "capacity" in kinds:
        most = most + np.bincount(pool, use * pairs["most"], len(p.pools))
    if "demand" in kinds:
        unmet = unmet.where(np.isfinite(unmet), scale / p.demands["need"].clip(lower=1e-9))
    given = dict.fromkeys(vars(limits).keys() & set(kinds) - {"cvar_usd"})
    return replace(
        p.under(**given),
        rows=(*rows, *paid),
        pools=p.pools.assign(capacity=most),
        cvar_excess_usd=excess,
        demands=p.demands.assign(unmet_usd=unmet),
    )


def _relief(problem: Problem, kinds: tuple[str, ...]) -> list[tuple[str, Problem | None]]:
    """Return what limits of ``kinds`` must give for a plan, if that suffices, and the problem in which they do."""
    soft = softened(problem, kinds)
    plan = None if soft is problem else solve(soft, LEAST)
    if plan is None or plan.status == "infeasible":
        return []
    if plan.counts is not None:
        said, eased = _eased(problem, plan.counts)
        return [(said, eased)] * bool(said)
    parts = _relaxed(to_milp(soft, tight=False))
    said = "" if parts is None else _eased(problem, parts.milp.counts(parts.z))[0]
    return [(f"{said}, or more for whole machines", None)] * bool(said)


def _eased(problem: Problem, counts: np.ndarray) -> tuple[str, Problem]:
    """Return what the limits lack for a plan of ``counts``, and the problem with limits that admit it."""
    after: dict[str, list[float]] = {}
    said = []
    for kind, name, used, available, least in check(problem, counts).told:
        lack = available - used if least else used - available
        lacks = lack > 1e-6 * max(abs(available), 1e-6) and kind not in (
            "effective_providers",
            "other",
        )
        lack = _up(lack) if lacks else 0.0
        after.setdefault(kind, []).append(max(available - lack, 0.0) if least else available + lack)
        if lacks:
            relative = f" ({lack / available:.1%})" if available else ""
            word = "too much" if least else "short"
            said.append(f"{name} {_figure(available)} is {word} by {_figure(lack)}{relative}")
    demands, rows = problem.demands, zip(problem.rows, after.get("row", ()), strict=True)
    return "; ".join(said), replace(
        problem.under(
            **{kind: told[0] for kind, told in after.items() if hasattr(problem.limits, kind)}
        ),
        pools=problem.pools.assign(capacity=after["capacity"]),
        rows=tuple(replace(row, upper=upper) for row, upper in rows),
        demands=demands.assign(
            need=demands["need"].where(demands["unmet_usd"] < np.inf, after["demand"])
        ),
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1e5 else f"{value:,.6g}"


def _up(value: float) -> float:
    """Return a positive value rounded up to the six figures that a sentence shows."""
    unit = 10.0 ** (np.floor(np.log10(value)) - 5)
    return float(np.ceil(value / unit - 1e-9) * unit)


def most_effective(problem: Problem) -> float | None:
    """Return over how many effective providers (or regions) a plan within the other limits can spread spend.

    Within 0.5 % by bisection, with whole machines; None where the other limits admit none.
    """

    def spread_at(level: float) -> float:
        plan = solve(problem.under(effective_providers=level), _ANY)
        return plan.verdict.effective if plan.has_plan else 0.0

    low, high = spread_at(1.0), float(problem.groups.max() + 1)
    middle = high
    while low and high - low > 0.005 * low:
        found = spread_at(middle)
        low, high = (found, high) if found else (low, middle)
        middle = (low + high) / 2
    return float(np.floor(100 * low + 1e-6) / 100) or None
