"""What safety costs: the plan without risk limits, frontiers over a limit, and a limit on VaR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.explain import LEAST, softened
from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.allocate.solver.engine import SolveOptions
from cloudarb_lib.allocate.solver.search import solve
from cloudarb_lib.base.errors import ParameterError, SolveError
from cloudarb_lib.base.measures import quantile_rank

_RISK_LIMITS = (
    "cvar_usd",
    "effective_providers",
    "max_provider_share",
    "max_region_share",
    "min_on_demand_share",
)
_ROUNDS = 8


def without_risk_limits(problem: Problem) -> Problem:
    """Return the problem with budget and capacity only: its optimum beside ours is the price of safety."""
    return problem.under(**dict.fromkeys(_RISK_LIMITS))


def frontier(
    problem: Problem, over: str, values: Sequence[float] = (), options: SolveOptions | None = None
) -> pd.DataFrame:
    """Return what each of ``values`` of limit ``over`` costs: cost against safety, a row each.

    ``over`` is cvar_usd or effective_providers (of what the limits' ``diversify`` says); other limits stay.
    Without ``values``: six levels of CVaR from that of the plan without this limit down to close to the
    least there is (half of it at most), or 1 to 5 effective providers. Columns ``limit``, ``status``, ``cost_usd``, ``bound_usd``,
    ``cvar_usd``, ``effective``; NaN where there is no plan. Solved from the tightest limit on, so that
    each plan is the one to beat at the next. Sorted by ``limit``.
    """
    if over not in ("cvar_usd", "effective_providers"):
        raise ParameterError(f"no frontier over {over!r}.", "Use cvar_usd or effective_providers.")
    if over == "cvar_usd" and problem.paths is None:
        raise ParameterError(
            "a frontier over CVaR needs price paths.", "Give paths to the problem."
        )
    if not len(values) and over == "effective_providers":
        values = range(1, min(5, len(np.unique(problem.groups))) + 1)
    elif not len(values):
        loose = solve(problem.under(cvar_usd=None), options).verdict.cvar_usd
        least = solve(softened(problem.under(cvar_usd=loose / 2), ("cvar_usd",)), LEAST)
        low = max(loose / 2, least.verdict.cvar_usd) if least.has_plan else loose / 2
        values = np.linspace(low, loose, 7)[1:].tolist()
    rows: list[tuple] = []
    start: pd.DataFrame | None = None
    for value in sorted({float(v) for v in values}, reverse=over != "cvar_usd"):
        plan = solve(problem.under(**{over: value}), options, start=start)
        told = (np.nan,) * 3
        if plan.has_plan:
            start, verdict = plan.table, plan.verdict
            told = (verdict.objective_usd, verdict.cvar_usd, verdict.effective)
        rows.append((value, plan.status, plan.bound_usd, *told))
    columns = ["limit", "status", "bound_usd", "cost_usd", "cvar_usd", "effective"]
    curve = pd.DataFrame(rows[::-1], columns=columns)  # what bounds the looser bounds the tighter
    return curve.assign(bound_usd=curve["bound_usd"].cummax()).sort_values(
        "limit", ignore_index=True
    )


def hold_var(problem: Problem, var_usd: float, options: SolveOptions | None = None) -> Plan:
    """Return a plan whose VaR at the limits' ``cvar_level`` is at most ``var_usd``.

    VaR is repaired, not optimised. A limit on CVaR, which is at least VaR, gives a first plan; then
    the worlds that may cost more (1 - level of them) are those of the plan without this limit, and
    after that those of each better plan found, while every other world must keep the limit. The
    bound is proven without the limit, so the true gap is at most the one told. Status
    ``var_repaired``, but that of the plan without the limit where it keeps it, or is not there. Up
    to ten solves, each with the options' time limit. ParameterError for a limit that is no cost or
    a problem without paths; SolveError where no plan was found, which is no proof that none exists.
    """
    if problem.paths is None or not 0 < var_usd < np.inf:
        raise ParameterError(
            f"VaR cannot be held at {var_usd:g} USD.", "Give a cost and price paths."
        )
    base = solve(problem, options)
    if not base.has_plan or base.verdict.var_usd <= var_usd:
        return base
    limits, paths = problem.limits, problem.paths
    keep = quantile_rank(len(paths), limits.cvar_level) + 1  # paths within the limit

    def calm(plan: Plan) -> Problem:
        """The problem whose worlds that may cost more are the dearest of ``plan``."""
        assert plan.counts is not None
        worlds = np.argsort(paths @ problem.usage(plan.counts), kind="stable")[:keep]
        # a tail of half a world: the dearest of the calm worlds must keep the limit
        return replace(
            problem.under(cvar_usd=var_usd, cvar_level=1 - 0.5 / keep), paths=paths[worlds]
        )

    found: Plan | None = None
    left = [problem.under(cvar_usd=min(var_usd, limits.cvar_usd or np.inf)), calm(base)]
    for _ in range(_ROUNDS):
        if not left:
            break
        plan = solve(left.pop(0), options)
        plan = Plan(
            problem, "var_repaired", base.bound_usd, base.seconds + plan.seconds, plan.counts
        )
        kept = (
            plan.has_plan
            and not plan.verdict.broken
            and plan.verdict.var_usd <= var_usd * (1 + 1e-6)
        )
        if kept and (found is None or plan.objective_usd < found.objective_usd * (1 - 1e-6)):
            found = plan
            left.append(calm(plan))
    if found is None:
        raise SolveError(
            f"no plan with VaR {limits.cvar_level:g} up to {var_usd:,.0f} USD was found.",
            f"Raise it. The cheapest plan without it has {base.verdict.var_usd:,.0f} USD.",
        )
    return found
