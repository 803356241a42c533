"""Why this plan: what binds and what a unit more is worth, runners-up, and what conflicts."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse

from cloudarb_lib.allocate.build import IDLE
from cloudarb_lib.allocate.check import check
from cloudarb_lib.allocate.engine import Relaxation, SolveOptions, solve_mip
from cloudarb_lib.allocate.milp import Cuts, Milp, separate, to_milp
from cloudarb_lib.allocate.model import Problem
from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.allocate.search import solve
from cloudarb_lib.errors import SolveError

_PATIENCE_S = 30.0
_ROUNDS = 200
"""Of cuts, until a relaxation that still breaks a limit is taken to admit no plan."""


def binding(plan: Plan) -> pd.DataFrame:
    """Return the limits that bind: ``limit``, ``used``, ``available``, ``worth_usd``, ``unit``.

    ``worth_usd`` is what one unit more would save, at the margin of the relaxation in which the plan's sites
    are open: whole machines make the true saving come in steps. Demands and effective providers are listed with
    what one unit more would cost, as a negative worth. Sorted by absolute worth, at least a cent.
    """
    problem, milp, verdict = plan.problem, to_milp(plan.problem, tight=False), plan.verdict
    assert plan.counts is not None
    relaxation, names = _relaxed(milp, plan.counts)
    worth = pd.Series(-relaxation.row_dual[: len(names)]).groupby(pd.Series(names)).sum()
    limits, bound = problem.limits, np.where(np.isfinite(milp.row_upper), milp.row_upper, milp.row_lower)
    rows = pd.DataFrame({
        "limit": ["CVaR", "effective providers", *milp.row_names],
        "used": [verdict.cvar_usd, verdict.effective, *(milp.rows @ milp.point(plan.counts))],
        "available": np.array([limits.cvar_usd, limits.effective_providers, *bound], float),
    }).drop_duplicates("limit")  # fmt: skip
    if n := limits.effective_providers:  # one more narrows the row by T / n^2
        worth["effective providers"] *= -relaxation.z[milp.spread_columns].max() / n**2
    rows["worth_usd"] = rows["limit"].map(worth).fillna(0.0)
    rows["unit"] = rows["limit"].str.split(" ").str[0].map(_UNITS).fillna("")
    # a pool in which one more machine would still fit does not bind
    pool = problem.slots["pool"].to_numpy()[problem.pairs["slot"].to_numpy()]
    machine = problem.pairs["pool_use"].groupby(pool).min()
    machine.index = "capacity of " + problem.pools["name"].iloc[machine.index]
    loose = rows["available"] - rows["used"] >= rows["limit"].map(machine).fillna(np.inf)
    unnamed = rows["limit"].isin(("", "link", "tangent")) | rows["limit"].str.endswith("goes on")
    rows = rows[~loose & ~unnamed & (rows["worth_usd"].abs() >= 0.01)]
    return rows.sort_values("worth_usd", key=np.abs, ascending=False, ignore_index=True)


_UNITS = {
    "capacity": "GPU", "demand": "GPU or GPU-hour a week", "budget": "USD", "CVaR": "USD",
    "carbon": "kgCO2e", "commitment": "instance",
}  # fmt: skip
"""Of limits, by the first word of their names."""


def _relaxed(milp: Milp, counts: np.ndarray) -> tuple[Relaxation, list[str]]:
    """Return the relaxation solved with every cut it needs, sites of a plan open, and the name of each row."""
    relaxation, names = Relaxation(milp), list(milp.row_names)
    # bounds repeat what rows say; without them the worth falls to the rows, which have names
    x = np.arange(len(milp.problem.pairs))
    most = np.where(milp.upper[x] > 0, np.inf, 0.0)
    relaxation.bound(x, milp.lower[x], most)
    site = milp.site_columns
    relaxation.bound(site, milp.point(counts)[site], milp.upper[site])
    deadline = time.perf_counter() + _PATIENCE_S
    while True:
        status = relaxation.solve(deadline - time.perf_counter())
        if status != "optimal":
            raise SolveError(f"the relaxation ended {status}.", "Ask for an explanation of that.")
        cuts = separate(milp, relaxation.z, tolerance=1e-7)
        if not cuts.names:
            return relaxation, names
        relaxation.add(cuts)
        names += cuts.names


def runners_up(plan: Plan, options: SolveOptions | None = None) -> pd.DataFrame:
    """Return, for each workload, what it would move to if its main pool were gone.

    A pool is provider/region/purchase option/GPU model (on a marketplace, the offer). Columns
    ``workload``, ``pool`` (largest cost now), ``runner_up`` (pools taken up or enlarged
    instead) and ``extra_usd``: cost of the best plan without that pool for that workload, less
    the cost now; NaN where nothing else can serve it within the limits.
    """
    options = replace(options or SolveOptions(), time_limit_s=_PATIENCE_S)
    problem, rows = plan.problem, []
    now = _by_pool(plan)
    for workload, held in now.groupby(level=0, sort=False):
        if str(workload).startswith(IDLE):
            continue
        main = str(held.droplevel(0).idxmax())
        other = solve(_without(problem, str(workload), main), options)
        taken, extra = "none within the limits", np.nan
        if other.has_plan:
            more = _by_pool(other).loc[[str(workload)]].sub(held, fill_value=0.0).droplevel(0)
            taken = ", ".join(more[more > 0.01].sort_values(ascending=False).index[:3])
            extra = round(other.objective_usd - plan.objective_usd, 6)
        rows.append((workload, main, taken, extra))
    return pd.DataFrame(rows, columns=["workload", "pool", "runner_up", "extra_usd"])


def _by_pool(plan: Plan) -> pd.Series:
    """Cost by workload and pool."""
    pairs, problem = plan.problem.pairs, plan.problem
    assert plan.counts is not None
    at = np.flatnonzero(plan.counts)
    pool = problem.slots["pool"].to_numpy()[pairs["slot"].to_numpy()[at]]
    workload = problem.demands["workload"].to_numpy()[pairs["demand"].to_numpy()[at]]
    cost = pd.Series((plan.counts * problem.unit_cost)[at])
    return cost.groupby([workload, problem.pools["name"].to_numpy()[pool]]).sum()


def _without(problem: Problem, workload: str, pool: str) -> Problem:
    pairs = problem.pairs
    pools = problem.pools["name"].to_numpy()[problem.slots["pool"].to_numpy()]
    gone = (problem.demands["workload"].to_numpy()[pairs["demand"]] == workload) & (
        pools[pairs["slot"].to_numpy()] == pool
    )
    return replace(problem, pairs=pairs.assign(most=pairs["most"].where(~gone, 0.0)))


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
        eased = replace(problem, limits=replace(limits, effective_providers=most))
        alone.append((f"{most:.2f} {spread} can be had, not {limits.effective_providers:g}", eased))
    for said, wider in problem.elsewhere():
        wider = replace(wider, limits=limits)
        if least_excess(wider, ()) is not None and solve(wider, _ANY).has_plan:
            alone.append((said, wider))
    if not alone:
        fewer = f"; fewer {spread}" if limits.effective_providers else ""
        free = replace(problem, limits=replace(limits, effective_providers=None))
        together = "no limit alone is at fault; together: "
        alone = [(f"{together}{said}{fewer}", eased) for said, eased in _relief(free, _KINDS)]
    for said, less in _relief(problem, ("demand",)):
        if less is None or less.demands["need"].sum() > 0.001 * problem.demands["need"].sum():
            alone.append((said, less))
    if least_excess(problem, ()) is not None:
        alone.insert(0, ("Parts of machines would fit: only whole machines are in the way.", None))
    return alone


_KINDS = ("budget", "CVaR", "on-demand", "share", "carbon", "capacity")
"""Limits that can give way beside the demand, by how their names begin."""
_ANY = SolveOptions(gap=0.9, time_limit_s=5.0)
"""To find out whether there is a plan, whatever it costs."""


def _relief(problem: Problem, kinds: tuple[str, ...]) -> list[tuple[str, Problem | None]]:
    """Return what limits of ``kinds`` must give for a plan, if that suffices, and the problem in which they do."""
    parts = least_excess(problem, kinds)
    if parts is None:
        return []
    counts = least_excess(problem, kinds, whole=True)
    said, eased = _eased(problem, parts if counts is None else counts)
    if not said:
        return []
    return [(said, eased) if counts is not None else (f"{said}, or more for whole machines", None)]


def _eased(problem: Problem, counts: np.ndarray) -> tuple[str, Problem]:
    """Return what the limits lack for a plan of ``counts``, and the problem with limits that admit it."""
    pairs, slots, demands, limits = problem.pairs, problem.slots, problem.demands, problem.limits
    verdict, usage = check(problem, counts), problem.usage(counts)
    spend, total = usage * slots["mean_price"].to_numpy(float), max(usage.sum(), 1e-9)
    top = {key: pd.Series(spend).groupby(slots[key]).sum().max() for key in ("provider", "site")}
    named = {
        "budget_usd": ("budget", verdict.list_spend_usd), "cvar_usd": ("CVaR", verdict.cvar_usd),
        "max_provider_share": ("share of a provider", top["provider"] / max(spend.sum(), 1e-9)),
        "max_region_share": ("share of a region", top["site"] / max(spend.sum(), 1e-9)),
        "min_on_demand_share": ("on-demand share", usage[slots["on_demand"].to_numpy(bool)].sum() / total),
    }  # fmt: skip
    named = {field: told for field, told in named.items() if getattr(limits, field) is not None}
    capacity, need = problem.pools["capacity"].to_numpy(float), demands["need"].to_numpy(float)
    pool = slots["pool"].to_numpy()[pairs["slot"].to_numpy()]
    served = np.bincount(pairs["demand"], counts * pairs["cover"].to_numpy(float), len(demands))
    names = [name for name, _ in named.values()] + [f"capacity of {name}" for name in problem.pools["name"]]
    names += [row.name for row in problem.rows] + [f"demand of {name}" for name in demands["workload"]]
    limit = np.r_[
        [getattr(limits, field) for field in named], capacity, [r.upper for r in problem.rows], need
    ]
    value = np.r_[
        [value for _, value in named.values()], np.bincount(pool, counts * pairs["pool_use"], len(capacity)),
        verdict.sums, np.where(np.isinf(demands["unmet_usd"]), served, need),
    ]  # fmt: skip
    least = np.array([name.startswith(("on-demand", "demand")) for name in names])
    lack = np.where(least, limit - value, value - limit)
    lack = np.where(lack > 1e-6 * np.maximum(np.abs(limit), 1e-6), _up(np.maximum(lack, 1e-9)), 0.0)
    told = [
        f"{names[i]} {_figure(limit[i])} is {'too much' if least[i] else 'short'} by {_figure(lack[i])}"
        + f" ({lack[i] / limit[i]:.1%})" * bool(limit[i])
        for i in np.flatnonzero(lack)
    ]
    after = np.where(least, limit - lack, limit + lack).tolist()
    free, open_ = len(named), len(named) + len(capacity)
    rows = [replace(row, upper=upper) for row, upper in zip(problem.rows, after[open_:], strict=False)]
    return "; ".join(told), replace(
        problem,
        limits=replace(limits, **dict(zip(named, after, strict=False))),
        pools=problem.pools.assign(capacity=after[free:open_]),
        rows=tuple(rows),
        demands=demands.assign(need=after[open_ + len(rows) :]),
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1e5 else f"{value:,.6g}"


def _up(value: np.ndarray) -> np.ndarray:
    """Return positive values rounded up to the six figures that a sentence shows."""
    unit = 10.0 ** (np.floor(np.log10(value)) - 5)
    return np.ceil(value / unit - 1e-9) * unit


def most_effective(problem: Problem) -> float | None:
    """Return over how many effective providers (or regions) a plan within the other limits can spread spend.

    The relaxation's most, within 0.5 % by bisection, is tried with whole machines, and less until a plan is found;
    None where the other limits admit none.
    """
    low, high = 1.0, float(len(np.unique(problem.groups)))
    free = replace(problem, limits=replace(problem.limits, effective_providers=None))
    if least_excess(free, ()) is None:
        return None
    while high - low > 0.005 * low:
        middle = (low + high) / 2
        limits = replace(problem.limits, effective_providers=middle)
        kept = least_excess(replace(problem, limits=limits), ()) is not None
        low, high = (middle, high) if kept else (low, middle)
    for level in (high, *np.arange(low, 1.0, -0.05 * low), 1.0):
        plan = solve(replace(problem, limits=replace(problem.limits, effective_providers=level)), _ANY)
        if plan.has_plan:
            return float(np.floor(100 * plan.verdict.effective + 1e-6) / 100)
    return None


def least_excess(problem: Problem, kinds: tuple[str, ...], *, whole: bool = False) -> np.ndarray | None:
    """Return counts of a plan that exceeds the limits of ``kinds`` least, relative to their sizes, and no other.

    Among such plans a cheap one, without which cuts of a cone would go on and on. Parts of machines, unless
    ``whole``: then to 1 %. None if there is none, or none was found in ``_ROUNDS``
    rounds of cuts or ``_PATIENCE_S``.
    """
    base, limits = to_milp(problem, tight=False), problem.limits
    at = np.array([i for i, name in enumerate(base.row_names) if kinds and name.startswith(kinds)], int)
    low, high = base.row_lower[at], base.row_upper[at]
    size = np.where(np.isfinite(high), high, np.where(np.isfinite(low), low, 0.0))
    # shares stand against zero in their rows: what they exceed it by is of the size of the spend
    pairs = problem.pairs[problem.pairs["cover"] > 0]
    rate = (problem.unit_cost[pairs.index] / pairs["cover"]).groupby(pairs["demand"]).min()
    scale = max(float((rate * problem.demands["need"]).sum()), 1.0)
    size[size <= 0] = scale
    size = np.r_[size, limits.cvar_usd or 1.0]
    k, width = len(size), len(base.cost)
    give = sparse.csr_matrix(
        (np.where(np.isfinite(low), 1.0, -1.0), (at, np.arange(len(at)))), (len(base.row_names), k)
    )
    most, x = base.upper.copy(), problem.pairs["most"].to_numpy(float)
    most[: len(x)] = x
    tail = np.isfinite(limits.cvar_usd or np.inf) and "CVaR" in kinds
    milp = replace(
        base, cost=np.r_[base.cost * (1e-4 / scale), 1 / size], lower=np.r_[base.lower, np.zeros(k)],
        upper=np.r_[most, 1e4 * size[:-1], 1e4 * size[-1] * tail], integer=np.r_[base.integer, np.zeros(k, bool)],
        rows=sparse.hstack([base.rows, give], format="csr"),
    )  # fmt: skip
    cuts: list[Cuts] = []
    relaxation, relaxed = Relaxation(milp), not whole
    until, tolerance = time.perf_counter() + _PATIENCE_S, 1e-7 if whole else 1e-4
    for _ in range(_ROUNDS):
        z, left_s = None, max(until - time.perf_counter(), 0.1)
        if not (whole and relaxed):
            z = relaxation.z if relaxation.solve(left_s) == "optimal" else None
        else:
            answer = solve_mip(
                milp, cuts, upper=milp.upper, options=SolveOptions(gap=0.01, time_limit_s=left_s)
            )
            if answer.stopped:
                raise KeyboardInterrupt
            z = answer.z
        if z is None:
            return None
        eased = replace(problem, limits=replace(limits, cvar_usd=limits.cvar_usd and limits.cvar_usd + z[-1]))
        new = separate(replace(base, problem=eased), z[:width], tolerance=tolerance, links=False)
        if not new.names:
            if relaxed:
                return np.round(base.counts(z)) if whole else base.counts(z)
            relaxed = True
            continue
        new.upper[np.array(new.names) == "CVaR"] = limits.cvar_usd or 0.0
        slack = sparse.lil_matrix((len(new.names), k))
        slack[[i for i, name in enumerate(new.names) if name == "CVaR"], k - 1] = -1.0
        cuts.append(replace(new, matrix=sparse.hstack([new.matrix, slack], format="csr")))
        relaxation.add(cuts[-1])
    return None
