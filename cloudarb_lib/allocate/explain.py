"""Why this plan: what binds and what a unit more is worth, runners-up, and what conflicts."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse

from cloudarb_lib.allocate.build import IDLE
from cloudarb_lib.allocate.engine import Relaxation, SolveOptions
from cloudarb_lib.allocate.milp import Milp, separate, to_milp
from cloudarb_lib.allocate.model import Problem, tail_mean
from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.allocate.search import solve
from cloudarb_lib.errors import SolveError

_PATIENCE_S = 30.0
_ROUNDS = 100
"""Of cuts, until a relaxation that still breaks a limit is taken to admit no plan."""


def binding(plan: Plan) -> pd.DataFrame:
    """Return the limits that bind: ``limit``, ``used``, ``available``, ``worth_usd``, ``unit``.

    ``worth_usd`` is what one unit more would save, at the margin of the relaxation: whole
    machines make the true saving come in steps. Demands are listed with what one unit more
    would cost, as a negative worth. Sorted by absolute worth, at least a cent.
    """
    problem, milp = plan.problem, to_milp(plan.problem, tight=False)
    verdict = plan.verdict
    assert plan.counts is not None
    relaxation, names = _relaxed(milp)
    dual = pd.Series(-relaxation.row_dual[: len(names)]).groupby(pd.Series(names)).sum()
    z = np.zeros(len(milp.cost))
    z[: len(plan.counts)] = plan.counts
    z[milp.usage_columns] = problem.usage(plan.counts)
    used = dict(zip(milp.row_names, milp.rows @ z, strict=True))
    used |= {
        "CVaR": verdict.cvar_usd, "budget": verdict.list_spend_usd,
        "effective providers": verdict.effective,
    }  # fmt: skip
    limits = problem.limits
    available = dict(zip(milp.row_names, milp.row_upper, strict=True))
    # a pool that closes with its site has the row use - capacity * open <= 0: one GPU more widens
    # it only as far as the site is open
    fees = relaxation.z.copy()
    fees[: len(plan.counts)] = fees[milp.usage_columns] = 0.0
    opened = dict(zip(milp.row_names, -(milp.rows @ fees), strict=True))
    pool = problem.slots["pool"].to_numpy()[problem.pairs["slot"].to_numpy()]
    machine = problem.pairs["pool_use"].groupby(pool).min()
    loose = set()
    for k, (name, gpus) in enumerate(zip(problem.pools["name"], problem.pools["capacity"], strict=True)):
        name = f"capacity of {name}"
        if name in available and available[name] == 0 < gpus:
            available[name] = gpus
            dual[name] *= min(opened[name] / gpus, 1.0)
        if gpus - used.get(name, 0.0) >= machine.get(k, np.inf):
            loose.add(name)  # one more machine would still fit: it does not bind
    need = dict(zip(milp.row_names, milp.row_lower, strict=True))
    available |= {"CVaR": limits.cvar_usd, "effective providers": limits.effective_providers}
    silent = loose | {"", "link"}
    rows = []
    dual = dual[dual.abs() >= 0.01]
    for name, worth in zip(dual.index.astype(str), dual, strict=True):
        if name not in silent and not name.endswith("goes on"):
            limit = need[name] if name.startswith("demand") else available[name]
            rows.append((name, used[name], limit, worth, _UNITS.get(name.split(" ")[0], "")))
    frame = pd.DataFrame(rows, columns=["limit", "used", "available", "worth_usd", "unit"])
    return frame.sort_values("worth_usd", key=np.abs, ascending=False, ignore_index=True)


_UNITS = {
    "capacity": "GPU", "demand": "GPU or GPU-hour a week", "budget": "USD", "CVaR": "USD",
    "carbon": "kgCO2e", "commitment": "instance",
}  # fmt: skip
"""Of limits, by the first word of their names."""


def _relaxed(milp: Milp) -> tuple[Relaxation, list[str]]:
    """Return the relaxation solved with every cut it needs, and the name of each row."""
    relaxation, names = Relaxation(milp), list(milp.row_names)
    # bounds repeat what rows say; without them the worth falls to the rows, which have names
    x = np.arange(len(milp.problem.pairs))
    most = np.where(milp.upper[x] > 0, np.inf, 0.0)
    relaxation.bound(x, milp.lower[x], most)
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
    """Return, in words, the least change of each kind of limit that alone makes a plan possible.

    Each kind of limit in turn is made elastic at a price relative to its size while the others
    hold; where no kind suffices alone, all give way together. This is the relaxation: an answer
    of no change at all means that only whole machines are in the way. Regions that alone would mend it
    follow, the five cheapest of each workload tried; and by how much less demand would, where some is left.
    """
    limits = problem.limits
    if least_excess(problem, ()) is not None:
        return ["Fractions of machines would fit: only whole machines are in the way."]
    names = [*to_milp(problem, tight=False).row_names, "CVaR" if limits.cvar_usd else ""]
    kinds = [kind for kind in _KINDS if any(name.startswith(kind) for name in names)]
    alone = [_words(found) for kind in kinds if (found := least_excess(problem, (kind,)))]
    if limits.effective_providers and (most := most_effective(problem)):
        alone.append(
            f"{most:.2f} effective {limits.diversify}s at most can be had, not {limits.effective_providers:g}"
        )
    for said, wider in problem.elsewhere():
        if least_excess(replace(wider, limits=limits), ()) is not None:
            alone.append(said)
    if not alone:
        free = replace(problem, limits=replace(limits, effective_providers=None))
        fewer = [f"fewer effective {limits.diversify}s"] if limits.effective_providers else []
        together = [_words(least_excess(free, tuple(kinds)) or {}), *fewer]
        alone.append(f"no limit alone is at fault; together: {'; '.join(filter(None, together))}")
    less = least_excess(problem, ("demand",)) or {}
    if 0 < sum(more for _, more in less.values()) < 0.999 * sum(limit for limit, _ in less.values()):
        alone.append(_words(less))
    return alone


_KINDS = ("budget", "CVaR", "on-demand", "share", "carbon", "capacity")
"""Limits that can give way beside the demand, by how their names begin."""


def _words(excess: dict[str, tuple[float, float]]) -> str:
    return "; ".join(
        f"{name} {limit:,.6g} is short by {more:,.6g} (+{more / limit:.1%})"
        for name, (limit, more) in excess.items()
    )


def most_effective(problem: Problem) -> float | None:
    """Return to how many effective providers (or regions) the other limits let spend be spread, within 2 %.

    This is the relaxation, by bisection; None where the other limits admit no plan.
    """
    low, high = 1.0, float(len(np.unique(problem.groups)))
    free = replace(problem, limits=replace(problem.limits, effective_providers=None))
    if least_excess(free, ()) is None:
        return None
    while high - low > 0.02 * low:
        middle = (low + high) / 2
        limits = replace(problem.limits, effective_providers=middle)
        kept = least_excess(replace(problem, limits=limits), ()) is not None
        low, high = (middle, high) if kept else (low, middle)
    return low


def least_excess(problem: Problem, kinds: tuple[str, ...]) -> dict[str, tuple[float, float]] | None:
    """Return limit and least excess of the limits of ``kinds`` that must give way, by name, so that
    there is a (fractional) plan; None if there is none, or none was found in ``_ROUNDS`` rounds of cuts."""
    base, limits = to_milp(problem, tight=False), problem.limits
    at = np.array([i for i, name in enumerate(base.row_names) if kinds and name.startswith(kinds)], int)
    names = [*(base.row_names[i] for i in at), "CVaR"]
    held = dict(
        zip(problem.pools["name"].map("capacity of {}".format), problem.pools["capacity"], strict=True)
    )
    low, high = base.row_lower[at], base.row_upper[at]
    size = np.where(np.isfinite(high) & (high > 0), high, np.where(np.isfinite(low) & (low > 0), low, 1.0))
    size = np.array([held.get(name, value) for name, value in zip(names, size, strict=False)])
    size = np.r_[size, limits.cvar_usd or 1.0]
    k, width = len(names), len(base.cost)
    eased = sparse.csr_matrix(
        (np.where(np.isfinite(low), 1.0, -1.0), (at, np.arange(len(at)))), (len(base.row_names), k)
    )
    most = base.upper.copy()
    x = np.arange(len(problem.pairs))
    need = problem.demands["need"].to_numpy(float)[problem.pairs["demand"].to_numpy()]
    cover = problem.pairs["cover"].to_numpy(float)
    enough = np.ceil(need / np.maximum(cover, 1e-9))
    most[x] = np.where((most[x] > 0) & (cover > 0), enough, most[x])
    milp = replace(
        base, cost=np.r_[np.zeros(width), 1 / np.maximum(size, 1e-3)], lower=np.zeros(width + k),
        upper=np.r_[most, 1e4 * size[:-1], 1e4 * size[-1] * ("CVaR" in kinds)],
        rows=sparse.hstack([base.rows, eased], format="csr"),
    )  # fmt: skip
    relaxation = Relaxation(milp)
    for _ in range(_ROUNDS):
        if relaxation.solve(_PATIENCE_S) != "optimal":
            return None
        cuts = separate(base, relaxation.z[:width], tolerance=1e-4, links=False)
        if not cuts.names or (cuts.names == ["CVaR"] and _settled(problem, base, relaxation.z)):
            break
        slack = sparse.lil_matrix((len(cuts.names), k))
        slack[[i for i, name in enumerate(cuts.names) if name == "CVaR"], k - 1] = -1.0
        relaxation.add(replace(cuts, matrix=sparse.hstack([cuts.matrix, slack], format="csr")))
    else:
        return None
    excess = zip(names, zip(size, relaxation.z[width:], strict=True), strict=True)
    return {name: (limit, more) for name, (limit, more) in excess if more > 1e-6 * limit}


def _settled(problem: Problem, milp: Milp, z: np.ndarray) -> bool:
    """Return whether the CVaR of a point exceeds its limit by what the last slack allows, to a dollar."""
    limits = problem.limits
    assert problem.paths is not None
    assert limits.cvar_usd is not None
    cvar = tail_mean(problem.paths @ z[milp.usage_columns], limits.cvar_level)
    return bool(cvar - limits.cvar_usd <= z[-1] + 1.0)
