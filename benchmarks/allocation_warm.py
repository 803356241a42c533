"""How fast a plan follows a change: a session beside a solve from nothing, and beside Gurobi."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from benchmarks.allocation_peers import by_gurobi
from cloudarb_lib import allocate

Trace = list[tuple[float, float]]
"""CPU seconds and cost of each better plan."""


def changes(problem: allocate.Problem) -> Iterator[tuple[str, allocate.Problem]]:
    """Yield a problem as a person would change it, each change made to the first state."""
    limits = problem.limits
    yield "nothing before", problem
    (spend,) = problem.rows
    yield "budget -1 %", replace(problem, rows=(replace(spend, upper=spend.upper * 0.99),))
    if limits.cvar_usd is not None:
        yield "CVaR -0.5 %", problem.under(cvar_usd=limits.cvar_usd * 0.995)
        yield "CVaR +1 %", problem.under(cvar_usd=limits.cvar_usd * 1.01)
    least = limits.effective_providers
    yield "effective providers", problem.under(effective_providers=least - 0.2 if least else 4.5)
    yield "effective regions", problem.under(diversify="region", effective_providers=6.0)
    yield "one price +10 %", _dearer(problem)
    yield "one workload less", _without_workload(problem, 7)
    yield "as at first", problem


def _dearer(problem: allocate.Problem) -> allocate.Problem:
    """The problem with the offer that most may be served by 10 % dearer."""
    slot = problem.assignments["slot"].mode()[0]
    factor = np.where(np.arange(len(problem.slots)) == slot, 1.1, 1.0)
    prices = {name: problem.slots[name] * factor for name in ("list_price", "mean_price")}
    assert problem.paths is not None
    slots = problem.slots.assign(**prices)
    return replace(problem, slots=slots, paths=problem.paths * factor)


def _without_workload(problem: allocate.Problem, gone: int) -> allocate.Problem:
    kept = problem.assignments[problem.assignments["demand"] != gone].reset_index(drop=True)
    demand = kept["demand"] - (kept["demand"] > gone)
    demands = problem.demands.drop(index=gone).reset_index(drop=True)
    return replace(problem, demands=demands, assignments=kept.assign(demand=demand))


def follow(
    problem: allocate.Problem, options: allocate.SolveOptions, *, beside_gurobi: bool
) -> Iterator[dict[str, object]]:
    """Yield a line for each change: CPU seconds to the first plan and to the gap, and work."""
    session = allocate.PlanSession(options)
    for name, changed in changes(problem):
        trace: Trace = []
        began = time.process_time()
        plan = session.solve(changed, on_progress=noting(trace))
        seconds = time.process_time() - began
        line: dict[str, object] = {"change": name, "status": plan.status}
        if plan.has_plan:
            line["first_plan_cpu_s"] = round(trace[0][0], 2)
            line["gap"] = float(f"{plan.gap:.2g}")
        line["cpu_s"] = round(seconds, 2)
        line["wall_s"] = round(plan.seconds, 2)
        line["work"] = round(plan.work, 2)
        if beside_gurobi and plan.has_plan:
            line |= _beside(changed, options, trace, seconds)
        yield line


def noting(trace: Trace) -> Callable[[allocate.Plan], None]:
    """Return what notes each better plan of a search in ``trace``, from now on."""
    began = time.process_time()

    def note(plan: allocate.Plan) -> None:
        if plan.has_plan and (not trace or plan.objective_usd < trace[-1][1]):
            trace.append((time.process_time() - began, plan.objective_usd))

    return note


def _beside(
    problem: allocate.Problem, options: allocate.SolveOptions, trace: Trace, seconds: float
) -> dict[str, object]:
    """Gurobi's CPU seconds, and the primal integrals of both over the longer time of the two."""
    theirs: Trace = []
    report = by_gurobi(problem, options, trace=theirs)
    their_seconds = report.get("gurobi_cpu_seconds")
    if not isinstance(their_seconds, float):  # not installed, or its licence refuses the size
        return report
    best = min(cost for _, cost in [*trace, *theirs])
    end = max(seconds, their_seconds)
    return {
        "primal_integral_cpu_s": round(primal_integral(trace, best, end), 3),
        "gurobi_primal_integral_cpu_s": round(primal_integral(theirs, best, end), 3),
        "gurobi_cpu_s": their_seconds,
        "gurobi_gap": report.get("gurobi_gap"),
    }


def primal_integral(trace: Trace, best: float, end: float) -> float:
    """Return the integral over time of how far the plan so far lies above the best.

    Parameters
    ----------
    trace
        Seconds and cost (USD, above 0) of each better plan; empty where none was found.
    best
        Cost of the best plan known, USD.
    end
        Second at which it ends.

    Returns
    -------
    float
        Seconds. The distance of a plan is its cost above the best over its own cost; before the
        first plan it is 1.

    References
    ----------
    Berthold (2013), Measuring the impact of primal heuristics.
    """
    total = 0.0
    since = 0.0
    distance = 1.0
    for second, cost in trace:
        total += (second - since) * distance
        since = second
        distance = (cost - best) / cost
    return total + (end - since) * distance
