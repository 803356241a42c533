"""Why this plan: what binds and what a unit more is worth, runners-up, and the plan in facts."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.allocate.problem.limits import limits_of
from cloudarb_lib.allocate.problem.limits.served import Served
from cloudarb_lib.allocate.problem.limits.spread import EffectiveProviders
from cloudarb_lib.allocate.problem.model import Margin, Problem, Use
from cloudarb_lib.allocate.problem.row import Key
from cloudarb_lib.allocate.solver.milp import Milp
from cloudarb_lib.allocate.solver.options import SolveOptions
from cloudarb_lib.allocate.solver.program import to_milp
from cloudarb_lib.allocate.solver.relaxation import Relaxation
from cloudarb_lib.allocate.solver.search import solve
from cloudarb_lib.base.errors import SolveError

PATIENCE_S = 30.0
"""So long one question that an explanation asks of the solver may take."""
_LEAST_WORTH_USD = 0.01


def binding(plan: Plan) -> pd.DataFrame:
    """Return the limits that bind in a plan, and what one unit more of each is worth.

    Parameters
    ----------
    plan
        A plan that is there.

    Returns
    -------
    pd.DataFrame
        Columns ``limit`` (its name), ``used``, ``available``, ``worth_usd`` and ``unit``, sorted by
        absolute worth, at least a cent. ``worth_usd`` is what one unit more would save, at the
        margin of the relaxation in which the plan's sites are open: whole machines make the true
        saving come in steps. Demands and effective providers are listed with what one unit more
        would cost, as a negative worth.

    Raises
    ------
    SolveError
        Where there is no plan, or the relaxation has no verdict in time.
    """
    return _binding(plan).drop(columns="kind")


def _binding(plan: Plan) -> pd.DataFrame:
    """Return ``binding`` with the kind of each limit."""
    uses = plan.verdict.uses  # raises where there is no plan
    problem = plan.problem
    milp = to_milp(problem, tight=False)
    relaxation = relaxation_at(milp, plan.counts)
    if relaxation is None:
        raise SolveError(
            "the relaxation has no verdict in time.", "Ask for an explanation of that."
        )
    spread = relaxation.z[milp.spread_columns]
    margin = Margin(
        problem,
        hours=problem.usage(milp.counts(relaxation.z)),
        spread_spend_usd=spread.max() if len(spread) else 0.0,
    )
    saving = _saving_by_key(problem, milp, relaxation)
    rows = pd.concat(
        [_worth_of(use, problem, saving, margin) for use in uses if use.limit.is_listed],
        ignore_index=True,
    ).drop_duplicates("key")
    is_loose = rows["available"] - rows["used"] >= rows["step"]
    rows = rows[~is_loose & (rows["worth_usd"].abs() >= _LEAST_WORTH_USD)]
    rows = rows.sort_values("worth_usd", key=np.abs, ascending=False, ignore_index=True)
    return rows[["limit", "used", "available", "worth_usd", "unit", "kind"]]


def _saving_by_key(problem: Problem, milp: Milp, relaxation: Relaxation) -> dict[Key, float]:
    """Return what one more at the ends of all rows of each limit would save, from their duals."""
    of_cuts = {limit.cuts: limit.keys(problem)[0] for limit in limits_of(problem) if limit.cuts}
    keys = [*milp.row_keys]
    for cuts in relaxation.cuts:
        keys += [of_cuts.get(name) for name in cuts.names]
    code: dict[Key | None, int] = {}
    codes = [code.setdefault(key, len(code)) for key in keys]
    sums = pd.Series(-relaxation.row_dual[: len(keys)]).groupby(codes).sum()
    return {key: float(sums[number]) for key, number in code.items() if key is not None}


def _worth_of(use: Use, problem: Problem, saving: dict[Key, float], margin: Margin) -> pd.DataFrame:
    """Return what is used, available and worth of the limits of one kind, a row each."""
    limit = use.limit
    keys = limit.keys(problem)
    dual = np.array([saving.get(key, 0.0) for key in keys])
    return pd.DataFrame(
        {
            "key": keys,
            "kind": limit.kind,
            "limit": limit.names(problem),
            "used": use.used,
            "available": use.available,
            "worth_usd": limit.worth(dual, margin),
            "unit": limit.unit,
            "step": limit.steps(problem),
        }
    )


def relaxation_at(milp: Milp, counts: np.ndarray | None = None) -> Relaxation | None:
    """Return the relaxation of a program, solved with every cut that it needs.

    Parameters
    ----------
    milp
        The program.
    counts
        Units of each assignment of a plan, whose sites are then open.

    Returns
    -------
    Relaxation or None
        None where it has no solution, or no verdict in ``PATIENCE_S`` seconds.
    """
    relaxation = Relaxation(milp)
    most = milp.problem.assignments["most"].to_numpy(float)
    if counts is not None:
        sites = milp.site_columns
        most = milp.counts(milp.upper)
        relaxation.bound(sites, milp.point(counts)[sites], milp.upper[sites])
    # bounds repeat what rows say; without them the worth falls to the rows, which have limits
    no_bound = np.where(most > 0, np.inf, 0.0)
    relaxation.bound(np.arange(len(most)), np.zeros(len(most)), no_bound)
    status = relaxation.solve_with_cuts(time.perf_counter() + PATIENCE_S)
    return relaxation if status == "optimal" else None


def runners_up(plan: Plan, options: SolveOptions | None = None) -> pd.DataFrame:
    """Return, for each workload, what it would move to if its main pool were gone.

    Parameters
    ----------
    plan
        A plan that is there.
    options
        How to solve without that pool, in ``PATIENCE_S`` seconds each.

    Returns
    -------
    pd.DataFrame
        A pool is provider/region/purchase option/GPU model (on a marketplace, the offer). Columns
        ``workload``, ``pool`` (largest cost now), ``runner_up`` (pools taken up or enlarged
        instead) and ``extra_usd``: cost of the best plan without that pool for that workload, less
        the cost now; NaN where nothing else can serve it within the limits.
    """
    options = replace(options or SolveOptions(), time_limit_s=PATIENCE_S)
    problem = plan.problem
    details = problem.assignment_details
    most = problem.assignments["most"]
    pool = details["pool"].map(problem.pools["name"])
    rows = []
    for workload, cost_now in _cost_by_pool(plan).groupby(level=0, sort=False):
        main = str(cost_now.droplevel(0).idxmax())
        is_gone = (details["workload"] == workload) & ~_is_idle(problem) & (pool == main)
        table = problem.assignments.assign(most=most.where(~is_gone, 0.0))
        other = solve(replace(problem, assignments=table), options)
        runner_up = "none within the limits"
        extra_usd = np.nan
        if other.has_plan:
            cost_then = _cost_by_pool(other)
            of_workload = cost_then[cost_then.index.get_level_values(0) == workload]
            added = of_workload.sub(cost_now, fill_value=0.0).droplevel(0)
            largest = added[added > 0.01].sort_values(ascending=False)
            runner_up = ", ".join(largest.index[:3]) if len(of_workload) else "left undone"
            extra_usd = round(other.objective_usd - plan.objective_usd, 6)
        rows.append((workload, main, runner_up, extra_usd))
    return pd.DataFrame(rows, columns=["workload", "pool", "runner_up", "extra_usd"])


def _is_idle(problem: Problem) -> np.ndarray:
    """Return which assignments are machines committed to and not used."""
    details = problem.assignment_details
    return details.get("idle", pd.Series(False, details.index)).to_numpy(bool)


def _cost_by_pool(plan: Plan) -> pd.Series:
    """Return cost by workload and pool."""
    assert plan.counts is not None
    problem = plan.problem
    details = problem.assignment_details.assign(cost=plan.counts * problem.unit_cost)
    used = details[(plan.counts > 0) & ~_is_idle(problem)]
    pool = used["pool"].map(problem.pools["name"])
    return used.groupby(["workload", pool])["cost"].sum()


def _oldest_observation(plan: Plan) -> str:
    """Return in words when the price was observed that of all those rented is known the longest."""
    observed = plan.table["observed_at"].dropna()
    return f"observed {observed.min():%Y-%m-%d %H:%M} UTC" if len(observed) else "none: all held"


def summary(plan: Plan) -> pd.DataFrame:
    """Return a plan in facts.

    Parameters
    ----------
    plan
        A plan that is there.

    Returns
    -------
    pd.DataFrame
        A row for each ``fact``: ``value`` (NaN where it is no number), ``unit`` and ``text``.
    """
    verdict = plan.verdict
    problem = plan.problem
    limits = problem.limits
    rows: list[tuple[str, float, str, str]] = [
        ("status", np.nan, "", plan.status.replace("_", " ")),
        ("expected cost", verdict.objective_usd, "USD", ""),
        ("proven bound", plan.bound_usd, "USD", ""),
        ("gap", plan.gap, "", f"{plan.gap:.2%}"),
        ("spend at list prices", verdict.list_spend_usd, "USD", ""),
        (EffectiveProviders(1.0).name(problem), verdict.effective, "", ""),
    ]
    if "observed_at" in problem.slots:
        rows.append(("oldest price rented", np.nan, "", _oldest_observation(plan)))
    for row, total in zip(problem.rows, verdict.sums, strict=True):
        if row.unit:
            rows.append((row.name, float(total), row.unit, ""))
    charged = float(verdict.charges_usd.sum())
    if charged:
        rows.append(("charges", charged, "USD", "of it beside rent, disks and site fees"))
    if limits.budget_usd is not None:
        rows.append(("budget", limits.budget_usd, "USD", "of expected cost"))
    if problem.paths is not None:
        rows.append((f"CVaR {limits.cvar_level:g} of rent", verdict.cvar_usd, "USD", ""))
        rows.append((f"VaR {limits.cvar_level:g} of rent", verdict.var_usd, "USD", ""))
    for name, used, available, worth, unit, kind in _binding(plan).itertuples(
        index=False, name=None
    ):
        if kind == Served.kind:
            rows.append((f"{name}, one more", -worth, "USD", "marginal cost"))
        else:
            text = f"used {used:,.6g} of {available:,.6g}; one {unit} more is worth this"
            rows.append((f"binds: {name}", worth, "USD", text))
    return pd.DataFrame(rows, columns=["fact", "value", "unit", "text"])
