"""What safety costs: the plan without risk limits, frontiers over a limit, and a limit on VaR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.check import check
from cloudarb_lib.allocate.plan import Plan
from cloudarb_lib.allocate.problem.limits import limits_of
from cloudarb_lib.allocate.problem.limits.cvar import Cvar
from cloudarb_lib.allocate.problem.limits.spread import EffectiveProviders
from cloudarb_lib.allocate.problem.limits.sums import Carbon
from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.allocate.relax import LEAST, elastic
from cloudarb_lib.allocate.solver.options import SolveOptions
from cloudarb_lib.allocate.solver.search import solve
from cloudarb_lib.allocate.trials import try_to_solve
from cloudarb_lib.base.errors import ParameterError, SolveError
from cloudarb_lib.base.measures import quantile_rank
from cloudarb_lib.base.progress import progress

_ROUNDS = 8
"""So many plans are solved for at most to repair VaR."""
CARBON = "carbon_kg"
"""The limit on CO2e, kg, as the demand file and ``Limits`` call it."""
_SHARES_OF_CARBON = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
_MOST_GROUPS = 5
"""A frontier over effective providers ends there unless it is told its values."""


def without_risk_limits(problem: Problem) -> Problem:
    """Return the problem without limits for safety: its optimum beside ours is their price."""
    for limit in limits_of(problem):
        if limit.is_risk:
            problem = limit.without(problem)
    return problem


def frontier(
    problem: Problem,
    over: str,
    values: Sequence[float] = (),
    options: SolveOptions | None = None,
    *,
    start: Plan | None = None,
) -> pd.DataFrame:
    """Return what each value of a limit costs: cost against safety.

    Solved from the tightest limit on, so that each plan is the one to beat at the next; over
    effective providers from the loosest on, and where one is found for none, the tighter are not
    tried: a plan of theirs would have been one there too.

    Parameters
    ----------
    problem
        The problem, whose other limits stay.
    over
        ``cvar_usd``, ``effective_providers`` (of what the limits' ``diversify`` says), or
        ``carbon_kg``.
    values
        Of the limit; without them six levels of CVaR from that of the plan without this limit down
        to close to the least there is (half of it at most), 1 to 5 effective providers, or the
        carbon of the plan without this limit down to a twentieth of it.
    options
        How to solve for each value.
    start
        A plan of the problem that is there: where it keeps the limit, no dearer one is told.

    Returns
    -------
    pd.DataFrame
        A row for each value, sorted by ``limit``: ``status`` (``solver failed``, ``not tried``, or
        as in ``Plan``), ``bound_usd`` (proven here or under a looser limit), ``cost_usd``,
        ``cvar_usd``, ``effective`` and ``gap``; NaN where there is no plan. A looser limit never
        costs more.

    Raises
    ------
    ParameterError
        For another limit, for CVaR without price paths, and for carbon where no grid intensity is
        known.
    """
    if over not in _LEVELS:
        raise ParameterError(f"no frontier over {over!r}.", f"Use one of {', '.join(_LEVELS)}.")
    if over == Cvar.kind and problem.paths is None:
        raise ParameterError(
            "a frontier over CVaR needs price paths.", "Give paths to the problem."
        )
    if over == CARBON and not any(row.kind == Carbon.kind for row in problem.rows):
        what = "a frontier over carbon needs the grid intensity of a region."
        raise ParameterError(what, "Give offers with their places (with_places).")
    levels = sorted({float(value) for value in values} or _LEVELS[over](problem, options, start))
    loosest_first = over == EffectiveProviders.kind
    rows: list[tuple] = []
    last: Plan | None = None
    for value in progress(levels, "frontier", unit="limit"):
        if loosest_first and rows and last is None:
            rows.append(_without_plan(value, "not tried"))
            continue
        limited = _under(problem, over, value)
        begin = _cheapest_within(limited, [start, last]) or last
        plan = try_to_solve(limited, options or SolveOptions(), start=begin)
        if plan is not None and plan.has_plan:
            last = plan
        elif loosest_first:
            last = None
        rows.append(_point(value, plan))
    if not loosest_first:
        rows = rows[::-1]
    columns = ["limit", "status", "bound_usd", "cost_usd", "cvar_usd", "effective"]
    return _with_proofs(pd.DataFrame(rows, columns=columns))


def _under(problem: Problem, over: str, value: float) -> Problem:
    """Return the problem with a limit at a value; other limits stay."""
    if over != CARBON:
        return problem.under(**{over: value})
    rows = tuple(
        replace(row, upper=value) if row.kind == Carbon.kind else row for row in problem.rows
    )
    return replace(problem, rows=rows)


def _cheapest_within(problem: Problem, plans: Sequence[Plan | None]) -> Plan | None:
    """Return the cheapest of some plans that keeps the limits of a problem; None if none does."""
    within = [
        plan
        for plan in plans
        if plan is not None and plan.counts is not None and not check(problem, plan.counts).broken
    ]
    return min(within, key=lambda plan: plan.objective_usd, default=None)


def _point(value: float, plan: Plan | None) -> tuple:
    """Return a row of a frontier."""
    if plan is None:
        return _without_plan(value, "solver failed")
    if not plan.has_plan:
        bound_usd = np.inf if plan.status == "infeasible" else plan.bound_usd
        return value, plan.status, bound_usd, np.nan, np.nan, np.nan
    verdict = plan.verdict
    figures = (verdict.objective_usd, verdict.cvar_usd, verdict.effective)
    return value, plan.status, plan.bound_usd, *figures


def _without_plan(value: float, status: str) -> tuple:
    """Return a row of a frontier about which nothing is known."""
    return value, status, -np.inf, np.nan, np.nan, np.nan


def _with_proofs(curve: pd.DataFrame) -> pd.DataFrame:
    """Return a frontier whose points come loosest first with bounds carried on, and its gaps.

    What bounds the looser bounds the tighter; where the looser has no plan the tighter has none.
    """
    bound = curve["bound_usd"].cummax()
    cost = curve["cost_usd"]
    curve = curve.assign(
        status=curve["status"].where(np.isfinite(bound) | (bound < 0), "infeasible"),
        bound_usd=bound.where(np.isfinite(bound)),
        gap=((cost - bound) / cost.clip(lower=1e-9)).clip(lower=0.0),
    )
    return curve.sort_values("limit", ignore_index=True)


def _levels_of_cvar(
    problem: Problem, options: SolveOptions | None, start: Plan | None
) -> list[float]:
    """Return six levels from the CVaR of the cheapest plan down to close to the least there is.

    Where no plan is found without the limit either, the limit that is set alone.
    """
    cheapest = try_to_solve(problem.under(cvar_usd=None), options or SolveOptions(), start=start)
    if cheapest is None or not cheapest.has_plan:
        return [problem.limits.cvar_usd or 0.0]
    loose = cheapest.verdict.cvar_usd
    half = loose / 2
    least = try_to_solve(elastic(problem.under(cvar_usd=half), [Cvar(half)]), LEAST)
    low = half
    if least is not None and least.has_plan:
        low = max(half, least.verdict.cvar_usd)
    return sorted(set(np.linspace(low, loose, 7)[1:].tolist()))


def _groups(problem: Problem, _options: SolveOptions | None, _start: Plan | None) -> list[float]:
    """Return the numbers of providers, or regions, over which spend can be spread evenly."""
    most = min(_MOST_GROUPS, len(np.unique(problem.groups)))
    return [float(number) for number in range(1, most + 1)]


def _levels_of_carbon(
    problem: Problem, options: SolveOptions | None, start: Plan | None
) -> list[float]:
    """Return six levels from the carbon of the plan without this limit down, kg."""
    free = _under(problem, CARBON, np.inf)
    cheapest = try_to_solve(free, options or SolveOptions(), start=start)
    is_carbon = [row.kind == Carbon.kind for row in problem.rows]
    if cheapest is None or not cheapest.has_plan:
        return [problem.limits.carbon_kg or 0.0]
    kg = float(cheapest.verdict.sums[np.array(is_carbon)].sum())
    return [kg * share for share in _SHARES_OF_CARBON]


_LEVELS: dict[str, Callable[[Problem, SolveOptions | None, Plan | None], list[float]]] = {
    Cvar.kind: _levels_of_cvar,
    EffectiveProviders.kind: _groups,
    CARBON: _levels_of_carbon,
}
"""By the limit that a frontier is over, the values that it takes where none are given."""


def hold_var(problem: Problem, var_usd: float, options: SolveOptions | None = None) -> Plan:
    """Return a plan that holds VaR, which is repaired, not optimised.

    A limit on CVaR, which is at least VaR, gives a first plan; then the sample paths that may cost
    more (1 - level of them) are those of the plan without this limit, and after that those of each
    better plan found, while every other path must keep the limit.

    Parameters
    ----------
    problem
        A problem with price paths.
    var_usd
        VaR at the limits' ``cvar_level`` is at most so many USD.
    options
        How to solve; up to ten solves, each within the options' limits.

    Returns
    -------
    Plan
        Status ``var_repaired``, but that of the plan without the limit where it keeps it, or is
        not there. The bound is proven without the limit, so the true gap is at most the one told.

    Raises
    ------
    ParameterError
        For a limit that is no cost, or a problem without paths.
    SolveError
        Where no plan was found, which is no proof that none exists.
    """
    if problem.paths is None or not 0 < var_usd < np.inf:
        raise ParameterError(
            f"VaR cannot be held at {var_usd:g} USD.", "Give a cost and price paths."
        )
    base = solve(problem, options)
    if not base.has_plan or base.verdict.var_usd <= var_usd:
        return base
    cvar_usd = min(var_usd, np.inf if problem.limits.cvar_usd is None else problem.limits.cvar_usd)
    tries = [problem.under(cvar_usd=cvar_usd), _within_calm_paths(problem, base, var_usd)]
    best: Plan | None = None
    for _ in range(_ROUNDS):
        if not tries:
            break
        plan = solve(tries.pop(0), options)
        seconds = base.seconds + plan.seconds
        work = base.work + plan.work
        plan = Plan(problem, "var_repaired", base.bound_usd, seconds, plan.counts, work)
        if not _holds(plan, var_usd):
            continue
        if best is None or plan.objective_usd < best.objective_usd * (1 - 1e-6):
            best = plan
            tries.append(_within_calm_paths(problem, plan, var_usd))
    if best is None:
        raise SolveError(
            f"no plan with VaR {problem.limits.cvar_level:g} up to {var_usd:,.0f} USD was found.",
            f"Raise it. The cheapest plan without it has {base.verdict.var_usd:,.0f} USD.",
        )
    return best


def _holds(plan: Plan, var_usd: float) -> bool:
    """Return whether a plan keeps every limit, and VaR."""
    if not plan.has_plan or plan.verdict.broken:
        return False
    return plan.verdict.var_usd <= var_usd * (1 + 1e-6)


def _within_calm_paths(problem: Problem, plan: Plan, var_usd: float) -> Problem:
    """Return the problem whose sample paths that may cost more are the dearest of ``plan``."""
    assert plan.counts is not None
    assert problem.paths is not None
    keep = quantile_rank(len(problem.paths), problem.limits.cvar_level) + 1
    costs = problem.path_costs(plan.counts)
    calm = problem.paths[np.argsort(costs, kind="stable")[:keep]]
    # a tail of half a path: the dearest of the calm ones must keep the limit
    return replace(problem.under(cvar_usd=var_usd, cvar_level=1 - 0.5 / keep), paths=calm)
